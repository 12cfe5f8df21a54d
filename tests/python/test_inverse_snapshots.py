"""Snapshots and atoms: what is seen, what is not there and not found, what does not fit."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest
from scipy import interpolate, stats

import recouple as rc
from line_plans import THREE, total_variation
from recouple.inverse import snapshots as snapshots_module
from recouple.inverse.atom import find_lines
from recouple.inverse.dual import descend
from recouple.inverse.held_out import replicas_of
from recouple.inverse.profile import law_of
from recouple.inverse.spread import contradiction, mixed_moments, paths_of

CORRELATED = rc.GaussianPlan(0, 0, 1, 0.6, 1)


def clouds_of(
    plan: Any, times: Any, n: int, seed: int, *, fresh: bool = True, noise: float = 0.0
) -> list[Any]:
    """Samples of X_t at each time: drawn anew, or of the same particles in any order."""
    rng = np.random.default_rng(seed)
    same = plan.sample(n, rng)
    seen = []
    for t in times:
        x0, x1 = plan.sample(n, rng) if fresh else same
        seen.append(rng.permutation((1 - t) * x0 + t * x1) + noise * rng.normal(size=n))
    return seen


@pytest.mark.parametrize(("n", "k"), [(5, 5), (10, 5), (10, 7), (20, 9), (30, 5), (50, 5)])
def test_independent_clouds_are_no_atoms(n: int, k: int) -> None:
    times = np.linspace(0, 1, k)
    # What is claimed is expected by chance in one of a thousand: two in 40 would be a defect.
    called = sum(
        find_lines(times, [rc.Empirical(c) for c in clouds_of(CORRELATED, times, n, seed)])
        is not None
        for seed in range(40)
    )
    assert called <= 1


def test_few_atoms_at_few_times_are_still_found() -> None:
    times = np.linspace(0, 1, 5)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x0, x1 = rng.normal(size=(2, 10))
        seen = [(1 - t) * x0 + t * x1 + 1e-3 * rng.normal(size=10) for t in times]
        lines = find_lines(times, [rc.Empirical(c) for c in seen])
        assert lines is not None
        gap = np.hypot(lines.x0[:, None] - x0, lines.x1[:, None] - x1)
        assert gap.min(axis=0).max() < 5e-3  # five standard deviations of a position


def test_atoms_that_too_many_lines_fit_are_not_paired() -> None:
    # 150 atoms within 1e-3 at five times: a line through any two ends passes others by chance.
    times = np.linspace(0, 1, 5)
    seen = clouds_of(rc.GaussianPlan(0, 0, 1, 0, 1), times, 150, 0, fresh=False, noise=1e-3)
    with pytest.raises(ValueError, match="straight line of its own"):
        rc.recover_plan_from_snapshots(times, seen, family="atoms")
    assert rc.recover_plan_from_snapshots(times, seen, grid=32, bootstrap=0).family == "line"


def test_what_other_lines_fit_is_told() -> None:
    # Two pairs that cross where nobody looks: joined the other way round they fit as well.
    x0, x1 = np.array([-1.0, 1.0, 4.0, 9.0]), np.array([1.0, -1.0, 2.0, 8.0])
    times = np.array([0.0, 0.01, 0.02, 0.99, 1.0])
    rng = np.random.default_rng(0)
    seen = [rc.Empirical((1 - t) * x0 + t * x1 + 0.03 * rng.normal(size=4)) for t in times]
    lines = find_lines(times, seen)
    assert lines is not None
    assert lines.ambiguous >= 0.5
    (bar,) = lines.expectations([lambda x, y: x * y])
    # Joined the other way round the two lines' products are 1 instead of -1.
    assert bar.error > 0.5


def test_coinciding_atoms_count_with_their_weights() -> None:
    # At t = 1/2 all lines meet in one point, which holds all of the mass.
    x0, weights = np.array([-2.0, 0.5, 3.0]), [0.5, 0.3, 0.2]
    times = [0.0, 0.25, 0.5, 0.75, 1.0]
    rec = rc.recover_plan_from_snapshots(
        times, [rc.Empirical((1 - 2 * t) * x0, weights) for t in times], regularization=3.0
    )
    assert rec.family == "atoms"
    np.testing.assert_allclose(rec.plan.x1, -rec.plan.x0, atol=1e-12)
    np.testing.assert_allclose(rec.plan.weights, weights)
    assert any(line.startswith("regularization: ") for line in rec.evidence)
    shuffled = [rc.Empirical((1 - 2 * t) * x0, np.roll(weights, k)) for k, t in enumerate(times)]
    assert find_lines(np.array(times), shuffled) is None


def stopping_at(step: int) -> Any:
    """Progress that asks to stop from a step on."""
    calls = []

    def told(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) > step:
            raise KeyboardInterrupt

    return told


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 0.9, 1.0])
def test_ctrl_c_leaves_the_best_so_far(share: float) -> None:
    times = np.linspace(0, 1, 5)
    seen = clouds_of(CORRELATED, times, 500, 0)
    steps: list[tuple[int, int]] = []
    full = rc.recover_plan_from_snapshots(
        times, seen, grid=24, progress=lambda done, total: steps.append((done, total))
    )
    rec = rc.recover_plan_from_snapshots(
        times, seen, grid=24, progress=stopping_at(1 + int(share * (len(steps) - 3)))
    )
    assert rec.status == "interrupted"
    assert "stopped on request" in rec.message
    assert rec.plan.correlation == pytest.approx(full.plan.correlation, abs=0.2)
    assert np.isfinite(rec.error_bars["correlation"].error)


def test_ctrl_c_before_any_plan_is_raised() -> None:
    times = np.linspace(0, 1, 5)
    with pytest.raises(KeyboardInterrupt):
        rc.recover_plan_from_snapshots(
            times, clouds_of(CORRELATED, times, 500, 0), grid=24, progress=stopping_at(0)
        )


def test_progress_runs_to_its_end_over_the_whole_work() -> None:
    times = np.linspace(0, 1, 5)
    seen = clouds_of(CORRELATED, times, 500, 0)
    for options in ({}, {"reference": "schroedinger"}, {"regularization": 30.0}):
        steps: list[tuple[int, int]] = []

        def told(done: int, total: int, steps: Any = steps) -> None:
            steps.append((done, total))

        more: Any = options
        rc.recover_plan_from_snapshots(times, seen, grid=24, progress=told, **more)
        done, totals = np.array(steps).T
        assert len(set(totals)) == 1
        assert np.all(np.diff(done) >= 0)
        assert list(done).count(totals[0]) == 1
        assert done[-1] == totals[0]


@pytest.mark.parametrize(
    ("times", "laws", "words"),
    [
        ([0, 0.5, 1], [(0, 1), (0, 3), (0, 1)], r"snapshots\[1\] \(t = 0.5\), of .* 3,"),
        ([1, 0, 0.5], [(0, 1), (0, 1), (0, 1.05)], r"snapshots\[2\] \(t = 0.5\), .* 1.05, .* to 1"),
        ([0, 0.5, 1], [(0, 1), (1, 0.7), (0, 1)], "the mean of X_t is a straight line"),
        ([0, 0.3, 0.6, 1], [(0, 1), (0, 0.8), (0, 0.1), (0, 1)], "the variance of X_t"),
    ],
)
def test_laws_of_no_plan_are_named(times: Any, laws: Any, words: str) -> None:
    rec = rc.recover_plan_from_snapshots(times, [rc.Normal(*law) for law in laws], grid=32)
    assert rec.status == "inconsistent"
    assert "Newton" not in rec.message
    assert re.search(words, rec.message)
    assert rec.plan.mass.sum() == pytest.approx(1)


def test_the_one_snapshot_that_is_off_is_named_and_the_others_are_not() -> None:
    times = np.array([1.0, 0.75, 0.5, 0.25, 0.0, -0.3, 1.3])
    seen = clouds_of(CORRELATED, times, 2000, 0)
    seen[2] = seen[2] * 1.6
    rec = rc.recover_plan_from_snapshots(times, seen, grid=24, bootstrap=0)
    assert rec.status == "inconsistent"
    assert "snapshots[2] (t = 0.5)" in rec.message
    assert "snapshots[1]" not in rec.message


def test_what_fits_is_not_called_inconsistent() -> None:
    times = np.linspace(0, 1, 9)
    for law in (rc.GaussianPlan(0, 1, 1, 1, 1), rc.GaussianPlan(0, 1, 1, -1.9, 4), CORRELATED):
        laws = [law.marginal(float(t)) for t in times]
        index = np.arange(9)
        assert contradiction(paths_of(index[1:8], times[1:8], laws[1:8], np.zeros(7))) is None
        for seed in range(20):
            clouds = [rc.Empirical(c) for c in clouds_of(law, times, 100, seed)]
            assert contradiction(paths_of(index, times, clouds, np.zeros(9))) is None


def profiles_of(seen: Any, bins: int = 60) -> list[Any]:
    return [np.histogram(x, bins)[::-1] for x in seen]  # (edges, counts)


def test_counts_of_a_histogram_say_what_their_samples_say() -> None:
    times = np.linspace(0, 1, 5)
    seen = clouds_of(CORRELATED, times, 4000, 0)
    options: Any = {"grid": 32, "reference": "schroedinger"}
    samples = rc.recover_plan_from_snapshots(times, seen, **options).error_bars["correlation"]
    counts = rc.recover_plan_from_snapshots(times, profiles_of(seen), **options)
    bar = counts.error_bars["correlation"]
    assert counts.status == "converged"
    assert "cross-validation" in counts.message
    # The halves are drawn otherwise, and sixty bins leave a hundredth of a standard deviation.
    assert bar.value == pytest.approx(samples.value, abs=0.5 * samples.error)
    assert 0.5 < bar.error / samples.error < 2


def test_histograms_are_taken_in_any_order_as_lists_and_as_densities() -> None:
    times = np.linspace(0, 1, 3)
    counts = profiles_of(clouds_of(CORRELATED, times, 4000, 0))
    options: Any = {"grid": 24, "bootstrap": 0, "noise": 5e-3, "reference": "schroedinger"}

    def found(seen: Any) -> float:
        return float(rc.recover_plan_from_snapshots(times, seen, **options).plan.correlation)

    assert found([pair[::-1] for pair in counts]) == found(counts)
    assert found([[list(edges), list(mass)] for edges, mass in counts]) == found(counts)
    shares = found([(edges, mass / mass.sum()) for edges, mass in counts])
    density = [(edges, mass / mass.sum() / np.diff(edges)) for edges, mass in counts]
    assert found(density) == pytest.approx(shares, abs=1e-9)


def test_masses_that_are_no_counts_are_exact_or_have_their_noise() -> None:
    times = np.linspace(0, 1, 5)
    seen = profiles_of(clouds_of(CORRELATED, times, 1000, 0))
    shares = [(edges, mass / mass.sum()) for edges, mass in seen]
    rec = rc.recover_plan_from_snapshots(times, shares, grid=24)
    assert rec.status != "converged"
    assert "noise=" in rec.message
    rec = rc.recover_plan_from_snapshots(times, shares, grid=24, noise=6e-3)
    assert rec.status == "converged"
    low, high = rec.error_bars["correlation"].interval(0.99)
    assert low < 0.6 < high


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (([1.0, 2.0], [0.0, 1.0, 0.5]), "edges, the longer of the two, increase"),
        (([0.0, 1.0, 2.0], [1.0, -2.0]), "must not be negative"),
        (([0.0, 1.0, 2.0, 3.0], [1.0, 2.0]), "one more edge than masses, got two .* 4 and 2"),
        (([0.0, np.nan, 2.0], [1.0, 2.0]), "must be finite"),
    ],
)
def test_bad_histograms_are_named(snapshot: Any, words: str) -> None:
    with pytest.raises(ValueError, match=rf"snapshots\[1\].*{words}"):
        rc.recover_plan_from_snapshots([0, 1], [[0.0, 1.0, 2.0], snapshot])


def test_noise_has_an_entry_a_snapshot() -> None:
    with pytest.raises(ValueError, match="noise must be one number or 3"):
        rc.recover_plan_from_snapshots([0, 0.5, 1], [[0.0, 1.0, 2.0]] * 3, noise=[0.1, 0.2])


def test_noise_of_the_snapshots_is_in_the_bootstrap() -> None:
    times = np.linspace(0, 1, 3)
    seen = clouds_of(CORRELATED, times, 4000, 0)
    rec = rc.recover_plan_from_snapshots(
        times, seen, grid=24, regularization=1.0, reference="product", bootstrap=0
    )
    problem: Any = rec.estimator
    floor, sizes = np.zeros(problem.moments.size), [4000] * 3
    spread = []
    for noise in (0.0, 1e-2):
        drawn = replicas_of(problem, floor, sizes, np.full(3, noise), 8)
        shifts = (drawn - problem.theta) * np.sqrt(problem.penalty)
        spread.append(np.sqrt(np.mean(shifts**2)))
    # A spline holds some .1 of the mass, which 4000 samples tell to .005: twice that is added.
    assert spread[1] > 1.3 * spread[0]


def test_mixed_moments_come_from_the_snapshots_alone() -> None:
    plan = rc.GaussianPlan(0.5, -0.3, 1.0, 0.6, 1.5)
    times = np.linspace(0, 1, 6)
    laws = [plan.marginal(float(t)) for t in times]
    rec = rc.recover_plan_from_snapshots(times, laws, grid=32, reference="schroedinger")
    found = rec.moments(3)
    for i, j in ((1, 0), (1, 1), (2, 1), (1, 2), (0, 3)):
        # Midpoints of 4000 panels over 13 standard deviations: a millionth; condition 2^3.
        assert found.value[i, j] == pytest.approx(plan.moment(i, j), abs=1e-4)
    assert any(line.startswith("by the moments of X_t alone") for line in rec.evidence)
    with pytest.raises(ValueError, match="order must be at most 5"):
        rec.moments(6)


def test_errors_of_the_mixed_moments_are_those_of_sampling() -> None:
    plan, times = rc.GaussianPlan(0.5, -0.3, 1.0, 0.6, 1.5), np.linspace(0, 1, 6)
    scores = []
    for seed in range(60):
        seen = [rc.Empirical(c) for c in clouds_of(plan, times, 300, seed)]
        found = mixed_moments(times, seen)
        off = found.value - np.array([[plan.moment(i, j) for j in range(6)] for i in range(6)])
        scores.append([off[i, j] / found.error[i, j] for i, j in ((1, 1), (2, 1))])
    # Sixty normal scores have a root mean square of 1 +- .09.
    assert np.abs(np.sqrt(np.mean(np.square(scores), axis=0)) - 1).max() < 0.3


def skewed(n: int, rng: np.random.Generator) -> tuple[Any, Any]:
    x0 = rng.gamma(2, size=n)
    return x0, 0.6 * x0 + 0.5 * rng.gamma(2, size=n)


def test_error_bars_cover_skewed_plans_too() -> None:
    times = np.linspace(0, 1, 9)
    functions: Any = (lambda x, y: x * x * y, lambda x, y: np.cos(2 * (x - y)))
    truths = [np.mean(f(*skewed(1_000_000, np.random.default_rng(99)))) for f in functions]
    inside = np.zeros(2)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        seen = [(1 - t) * a + t * b for t in times for a, b in [skewed(2000, rng)]]
        rec = rc.recover_plan_from_snapshots(times, seen, grid=32, bootstrap=0)
        for k, f in enumerate(functions):
            low, high = rec.expectation(f).interval(0.9)
            inside[k] += low < truths[k] < high
    # Of 30 runs these intervals cover .9 and more; by the chosen penalty's own errors .33 and .60.
    assert inside.min() >= 3


@pytest.mark.parametrize("bins", [16, 32])
def test_bins_stand_for_a_smooth_law(bins: int) -> None:
    plan = rc.GaussianPlan(0.0, 0.0, 1.0, -0.6, 1.0)
    times, edges = np.linspace(0, 1, 9), np.linspace(-4, 4, bins + 1)
    masses = [np.diff(plan.marginal(t).cdf(edges)) for t in times]
    exact = rc.recover_plan_from_snapshots(times, [(edges, m) for m in masses], grid=48)
    assert exact.status == "converged"
    rng = np.random.default_rng(0)
    pairs = [plan.sample(100_000, rng) for _ in times]
    clouds = [np.clip((1 - t) * a + t * b, -4, 4) for t, (a, b) in zip(times, pairs, strict=True)]
    seen = [(edges, np.histogram(x, edges)[0]) for x in clouds]
    counts = rc.recover_plan_from_snapshots(times, seen, grid=48, bootstrap=0)
    for rec in (exact, counts):
        bar = rec.error_bars["correlation"]
        # Even masses within bins of h = .5 had added h^2 / 6 to the covariance: -.6 became -.54.
        assert abs(bar.value + 0.6) < 0.02
        assert abs(bar.value + 0.6) < 3 * bar.error


def test_a_binned_law_keeps_its_masses_and_pickles() -> None:
    edges, mass = np.array([0.0, 1.0, 1.5, 3.0, 4.0]), np.array([1.0, 3.0, 0.0, 4.0])
    law: Any = law_of((edges, mass))
    whole = interpolate.PchipInterpolator(edges, np.append(0, np.cumsum(mass)) / 8)
    np.testing.assert_allclose(law.cdf(law.edges), whole(law.edges), atol=1e-14)
    np.testing.assert_allclose(np.diff(law.cdf(edges)), mass / 8, atol=1e-15)
    again: Any = pickle.loads(pickle.dumps(law))
    assert type(again) is type(law)
    np.testing.assert_allclose(again.mass, law.mass, atol=1e-16)
    fine = law_of((np.linspace(-5, 5, 41), np.diff(rc.Normal(0, 1).cdf(np.linspace(-5, 5, 41)))))
    assert float(fine.std()) ** 2 == pytest.approx(1, abs=1e-3)  # h^2 / 12 were 5e-3
    assert pickle.loads(pickle.dumps(fine)).std() == pytest.approx(fine.std(), rel=1e-14)
    density = law_of((np.array([0.0, 0.25, 0.5]), np.array([1.0, 3.0])))  # its area is 1
    np.testing.assert_allclose(density.cdf(0.25), 0.25)


def test_very_many_counts_are_counts() -> None:
    plan = rc.GaussianPlan(0.0, 0.0, 1.0, 0.5, 1.0)
    times, edges = np.linspace(0, 1, 5), np.linspace(-5, 5, 61)
    for total in (3e9, 2e19):
        seen = [(edges, np.rint(total * np.diff(plan.marginal(t).cdf(edges)))) for t in times]
        rec = rc.recover_plan_from_snapshots(times, seen, grid=48, bootstrap=0)
        assert rec.plan.correlation == pytest.approx(0.5, abs=0.01)


def test_moments_of_laws_know_their_errors_and_their_tails() -> None:
    plan = rc.GaussianPlan(0.0, 0.0, 1.0, 0.995, 1.0)
    times = np.linspace(0, 1, 5)
    rec = rc.recover_plan_from_snapshots(times, [plan.marginal(t) for t in times], grid=48)
    assert any("correlation 0.995" in line for line in rec.evidence)  # not clipped
    assert np.isfinite(rec.moments(2).error[:3, 0]).all()
    heavy = stats.lognorm(1.5)
    laws = [rc.as_marginal(stats.lognorm(1.5, scale=1 + t)) for t in times]
    found = mixed_moments(times, laws)
    assert found.value[1, 0] == pytest.approx(heavy.mean(), rel=1e-6)
    assert found.value[1, 1] == pytest.approx(2 * heavy.moment(2), rel=1e-2)


@pytest.mark.parametrize("equal", [True, False])
def test_clouds_of_atoms_are_paired_along_lines(equal: bool) -> None:
    rng = np.random.default_rng(3)
    n, times = 40, np.linspace(0, 1, 15)
    x0, x1 = rng.normal(size=(2, n))
    weights = np.full(n, 1 / n) if equal else rng.dirichlet(np.ones(n))
    clouds = []
    for t in times:
        shuffle = rng.permutation(n)
        places = (1 - t) * x0 + t * x1 + 1e-3 * rng.normal(size=n)
        clouds.append(rc.Empirical(places[shuffle], weights[shuffle]))
    rec = rc.recover_plan_from_snapshots(times, clouds)
    assert rec.family == "atoms"
    gap = np.hypot(rec.plan.x0[:, None] - x0, rec.plan.x1[:, None] - x1)
    right = gap.min(axis=0) < 5e-3  # five standard deviations of a position
    assert weights[right].sum() >= 0.98
    assert rec.plan.weights[gap.argmin(axis=0)][right] == pytest.approx(weights[right])


def test_independent_samples_are_no_atoms() -> None:
    rng = np.random.default_rng(0)
    times = np.linspace(0, 1, 9)
    clouds = [rc.Empirical(rng.normal(size=60)) for _ in times]
    assert find_lines(times, clouds) is None
    with pytest.raises(ValueError, match="these lie on none"):
        rc.recover_plan_from_snapshots(times, clouds, family="atoms")


@pytest.mark.parametrize("call", [1, 2, 3])
def test_ctrl_c_in_snapshots_is_a_status(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Call 1 starts the mixture, 2 solves from it, 3 asks what the reference's error does.
    x0, x1 = THREE.sample(4000, 0)
    times = np.linspace(0, 1, 5)
    seen = [(1 - t) * x0 + t * x1 for t in times]
    calls = []

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        found = descend(*arguments)
        return (*found[:2], "interrupted", "stopped") if len(calls) == call else found

    monkeypatch.setattr(snapshots_module, "descend", counted)
    rec = rc.recover_plan_from_snapshots(times, seen, grid=32, reference="mixture")
    assert rec.status == "interrupted"
    assert total_variation(rec.plan, THREE) < 0.3
    assert len(calls) == call


def test_two_snapshots_say_nothing_of_the_correlation() -> None:
    x0, x1 = rc.GaussianPlan(0, 0, 1, 0.8, 1).sample(4000, 0)
    for times in ([0.0, 1.0], [0.4, 0.6]):
        seen = [(1 - t) * x0 + t * x1 for t in times]
        bar = rc.recover_plan_from_snapshots(times, seen, grid=32).error_bars["correlation"]
        low, high = bar.interval(0.9)
        assert low < 0.8 < high


def test_the_correlation_of_snapshots_scatters_no_more_than_it_must() -> None:
    plan = rc.GaussianPlan(2, -1, 1, -0.8, 1)
    times = np.linspace(0, 1, 9)
    gaps = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        clouds = [(1 - t) * a + t * b for t in times for a, b in [plan.sample(500, rng)]]
        laws = [rc.Empirical(c) for c in clouds]
        rho, doubt = snapshots_module._correlation(times, laws, np.zeros(len(times)))
        gaps.append((rho + 0.8) / doubt)
    # Fisher's information of the variances gives 40 normal scores: their size is 1 +- .11.
    assert 0.7 < np.sqrt(np.mean(np.square(gaps))) < 1.4
    # Unweighted squares leave twice the scatter: the bound on the error is half of theirs.
    basis = np.column_stack([(1 - times) ** 2, 2 * times * (1 - times), times**2])
    spread = (1 - times) ** 2 + times**2 - 1.6 * times * (1 - times)
    noise = np.sqrt(2 / 500) * spread
    naive = np.sqrt(np.sum((np.linalg.pinv(basis)[1] * noise) ** 2))
    assert doubt < 0.7 * naive


def test_snapshots_see_more_through_a_wider_window() -> None:
    truth = rc.GaussianPlan(0, 0, 1, 0.8, 1)

    def found(times: Any) -> Any:
        rng = np.random.default_rng(0)
        seen = []
        for t in times:
            x0, x1 = truth.sample(3000, rng)
            seen.append((1 - t) * x0 + t * x1)
        return rc.recover_plan_from_snapshots(times, seen, grid=48, reference="product")

    narrow, wide = found(np.linspace(0, 1, 9)), found(np.linspace(-0.5, 1.5, 9))
    assert total_variation(wide.plan, truth) < total_variation(narrow.plan, truth)
    low, high = wide.error_bars["correlation"].interval(0.95)
    assert low < 0.8 < high


def test_a_reference_with_the_right_correlation_steadies_snapshots() -> None:
    truth = rc.GaussianPlan(0, 0, 1, 0.8, 1)
    times = np.linspace(0, 1, 9)
    rng = np.random.default_rng(1)
    seen = [(1 - t) * x0 + t * x1 for t in times for x0, x1 in [truth.sample(3000, rng)]]
    tied, free = (
        rc.recover_plan_from_snapshots(times, seen, grid=48, reference=name)
        for name in ("schroedinger", "product")
    )
    assert total_variation(tied.plan, truth) < 0.5 * total_variation(free.plan, truth)
    low, high = tied.error_bars["correlation"].interval(0.95)
    assert low < 0.8 < high


def test_few_snapshots_have_wide_error_bars() -> None:
    # Three interior snapshots of 800 samples say little of a correlation; the bar must say so.
    inside = 0
    for seed in range(4):
        x0, x1 = rc.GaussianPlan(0, 0, 1, 0.6, 1).sample(2400, seed)
        times = [0.25, 0.5, 0.75]
        parts = [slice(800 * k, 800 * (k + 1)) for k in range(3)]
        seen = [(1 - t) * x0[p] + t * x1[p] for t, p in zip(times, parts, strict=True)]
        bar = rc.recover_plan_from_snapshots(times, seen, grid=48).error_bars["correlation"]
        low, high = bar.interval(0.9)
        inside += low < 0.6 < high
        assert "more the reference's than the data's" in str(bar)
    assert inside >= 3


def test_histograms_do_and_a_displaced_snapshot_is_named() -> None:
    x0, x1 = THREE.sample(40_000, 0)
    times = np.linspace(0, 1, 9)
    seen = [((1 - t) * x0 + t * x1)[k::9] for k, t in enumerate(times)]
    profiles = [np.histogram(x, 50)[::-1] for x in seen]  # (edges, mass)
    rec = rc.recover_plan_from_snapshots(times, profiles, grid=48, noise=3e-3)
    assert rec.plan.correlation == pytest.approx(THREE.correlation, abs=0.06)
    seen[4] = seen[4] + 0.5
    rec = rc.recover_plan_from_snapshots(times, seen, grid=48)
    assert rec.status == "inconsistent"
    assert "t = 0.5" in rec.message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reference": "best"}, "reference must be"),
        ({"noise": -0.1}, "noise must not be negative"),
        ({"family": "gaussian"}, "family must be"),
        ({"bootstrap": -1}, "bootstrap must be at least 0"),
    ],
)
def test_bad_options_of_snapshots_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rc.recover_plan_from_snapshots([0, 1], [[0.0, 1.0, 2.0], [0.0, 1.0, 3.0]], **options)


def test_what_two_snapshots_cannot_see_has_a_wide_bar_even_where_symmetry_hides_it() -> None:
    # E[X0^2 X1] of the product of the ends is 0, and so is every first-order change of it.
    rec = rc.recover_plan_from_snapshots([0, 1], [rc.Normal(0, 1), rc.Normal(0, 1)], grid=48)
    bar = rec.expectation(lambda x, y: (x**2 - 1) * y)
    assert bar.resolved < 0.1
    assert bar.error > 1
