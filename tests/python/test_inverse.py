"""Recovery on the line: exact fields, broken fields, snapshots, error bars, laws."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recouple as rc


def correlated(rho: float, std: float = 1.0) -> np.ndarray[Any, Any]:
    return std**2 * np.array([[1.0, rho], [rho, 1.0]])


RIDGES = rc.MixturePlan(
    [0.5, 0.5], [[0, 0], [0, 0]], [correlated(0.95, 1.2), correlated(-0.95, 1.2)]
)
BLOBS = rc.MixturePlan(
    [1 / 3] * 3, [[-2.0, 1.0], [0.0, -2.0], [2.0, 2.2]], [correlated(0, 0.35)] * 3
)


def total_variation(recovered: rc.GridPlan, truth: rc.MixturePlan) -> float:
    x, y = np.meshgrid(recovered.x0, recovered.x1, indexing="ij")
    cell = (recovered.x0[1] - recovered.x0[0]) * (recovered.x1[1] - recovered.x1[0])
    return float(np.abs(recovered.mass - truth.pdf(x, y) * cell).sum() / 2)


@pytest.mark.parametrize(
    ("truth", "bound"),
    [
        (rc.GaussianPlan(0, 0, 1, 0.8, 1), 1e-3),
        (RIDGES, 0.02),
        (BLOBS, 0.006),
    ],
    ids=["gaussian", "crossing ridges", "blobs"],
)
def test_an_exact_field_gives_its_plan_back(truth: rc.MixturePlan, bound: float) -> None:
    # The bounds are the accuracy the documentation claims; what is reached is 7e-5, .0124, .0012.
    rec = rc.recover_plan(rc.velocity_field(truth), truth.source)
    assert rec.status == "converged"
    assert rec.verdict == "unique"
    assert total_variation(rec.plan, truth) <= bound
    error = abs(rec.plan.correlation - truth.correlation)
    assert error <= 5e-4
    assert error <= 3 * rec.error_bars["correlation"].error + 1e-6  # 1e-6: the mass cut off
    assert rec.residuals.field is not None
    assert rec.residuals.field <= 0.02


@settings(max_examples=8, deadline=None)
@given(
    rho=st.floats(-0.8, 0.8),
    mean=st.floats(-5, 5),
    scale=st.floats(0.1, 10),
)
def test_recovery_follows_shifts_and_scales(rho: float, mean: float, scale: float) -> None:
    truth = rc.GaussianPlan(mean, -mean, scale**2, rho * scale, 1.0)
    rec = rc.recover_plan(rc.velocity_field(truth), truth.source, grid=48, times=9)
    # A coarse grid with few times: the regularisation path still reaches three digits.
    assert rec.plan.correlation == pytest.approx(rho, abs=2e-3)
    assert total_variation(rec.plan, truth) < 0.01


def test_a_known_target_measures_the_field() -> None:
    truth = rc.GaussianPlan(0, 0.5, 1, 0.5, 2)
    exact = rc.velocity_field(truth)
    fine = rc.recover_plan(exact, truth.source, truth.target, grid=48, times=9)
    assert fine.residuals.mismatch is not None
    assert fine.residuals.mismatch < 1e-6  # RK4 at 96 steps
    noisy = rc.as_field(lambda t, x: exact(t, x) + 0.02 * np.sin(3 * x + 5 * t))
    rough = rc.recover_plan(noisy, truth.source, truth.target, grid=48, times=9)
    assert rough.residuals.mismatch is not None
    assert rough.residuals.mismatch > 1e-4
    assert rough.history[-1].regularization > fine.history[-1].regularization
    assert "error of the data" in rough.message
    # The disturbance is 2% of the velocity's size; the correlation moves by no more than that.
    assert rough.plan.correlation == pytest.approx(truth.correlation, abs=0.02)


def test_a_callable_and_a_scipy_law_do_as_well() -> None:
    stats = pytest.importorskip("scipy.stats")
    truth = rc.GaussianPlan(0, 0, 1, -0.6, 1)
    native = rc.velocity_field(truth)
    calls: list[float] = []

    def field(t: Any, x: Any) -> Any:
        calls.append(t)
        return native(t, x)

    one = rc.recover_plan(field, stats.norm(0, 1), grid=48, times=9)
    two = rc.recover_plan(native, rc.Normal(0, 1), grid=48, times=9)
    assert calls
    np.testing.assert_allclose(one.plan.mass, two.plan.mass, atol=1e-9)  # cdfs differ by ulps


def test_samples_of_the_source_do_as_well() -> None:
    truth = rc.GaussianPlan(1, 0, 4, 1.0, 1)
    x0, _ = truth.sample(20_000, 1)
    rec = rc.recover_plan(rc.velocity_field(truth), x0, grid=48, times=9)
    # Sampling error of the source's scale, 1/sqrt(2n) = 0.5%, and the smoothing of its law.
    assert rec.plan.correlation == pytest.approx(truth.correlation, abs=0.03)


def test_the_verdict_depends_on_the_tails() -> None:
    stats = pytest.importorskip("scipy.stats")
    field = rc.velocity_field(rc.GaussianPlan(0, 0, 1, 0.5, 1))

    def verdict(law: Any) -> tuple[str, str]:
        # Heavy tails stretch the box: the grid must still see the middle.
        rec = rc.recover_plan(field, law, family="line", grid=96, splines=24, times=5)
        return rec.verdict, rec.reason

    # An exponential tail has the moment that uniqueness asks for, only just: warned, not refused.
    assert verdict(stats.laplace())[0] == "unique"
    assert "close to exponential" in verdict(stats.laplace())[1]
    assert verdict(stats.t(4))[0] == "representative"
    assert "close" not in verdict(rc.Normal(0, 1))[1]
    draws = stats.t(2).rvs(500, random_state=0)
    assert "which samples cannot show" in verdict(np.clip(draws, -5, 5))[1]


@pytest.mark.parametrize(
    ("field", "target"),
    [
        (lambda t, x: -3 * x, None),
        (rc.velocity_field(rc.GaussianPlan(0, 0, 1, 0.6, 1)), rc.Normal(7, 1)),
    ],
    ids=["no plan has it", "another target"],
)
def test_a_field_that_fits_no_plan_is_called_inconsistent(field: Any, target: Any) -> None:
    rec = rc.recover_plan(field, rc.Normal(0, 1), target, grid=32, times=9)
    assert rec.status == "inconsistent"
    assert rec.verdict == "representative"
    assert "fit no plan" in rec.message


def test_two_ends_alone_determine_no_correlation() -> None:
    x0, x1 = rc.GaussianPlan(0, 0, 1, 0.8, 1).sample(2000, 0)
    rec = rc.recover_plan_from_snapshots([0, 1], [x0, x1], grid=32)
    assert rec.verdict == "representative"
    bar = rec.error_bars["correlation"]
    assert bar.resolved < 0.05
    assert bar.unresolved > 0.9
    assert "more the reference's than the data's" in rec.summary()


def test_a_law_finer_than_the_grid_is_refused() -> None:
    spikes = rc.NormalMixture([1 / 3] * 3, [-1, 0.013, 1], [3e-3] * 3)
    with pytest.raises(ValueError, match="grid must resolve the source"):
        rc.recover_plan(lambda t, x: np.ones_like(x), spikes, family="line")


def test_threads_change_no_bit() -> None:
    field, source = rc.velocity_field(RIDGES), RIDGES.source
    one = rc.recover_plan(field, source, grid=64, times=9, num_threads=1)
    two = rc.recover_plan(field, source, grid=64, times=9, num_threads=2)
    assert np.array_equal(one.plan.mass, two.plan.mass)
    assert one.error_bars == two.error_bars


def test_a_recovery_pickles_prints_and_answers_questions() -> None:
    truth = rc.GaussianPlan(0, 0, 1, 0.5, 1)
    rec = rc.recover_plan(rc.velocity_field(truth), truth.source, grid=48, times=9)
    again = pickle.loads(pickle.dumps(rec))
    assert np.array_equal(again.plan.mass, rec.plan.mass)
    bar = again.expectation(lambda x, y: (x > 0) & (y > 0))
    orthant = 0.25 + np.arcsin(0.5) / (2 * np.pi)
    # Evaluated every .01: the edges are known to half of that, of a density of .4.
    assert bar.value == pytest.approx(orthant, abs=4e-3)
    assert 0 < bar.resolved <= 1
    assert "Recovery(unique, converged" in repr(rec)
    for word in ("verdict", "correlation", "settings", "moment residual"):
        assert word in rec.summary()


def test_progress_is_told_and_an_interrupt_keeps_the_best_plan() -> None:
    truth = rc.GaussianPlan(0, 0, 1, 0.5, 1)
    seen: list[tuple[int, int]] = []
    field = rc.velocity_field(truth)
    rc.recover_plan(field, truth.source, grid=32, times=5, progress=lambda *a: seen.append(a))
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1]

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    rec = rc.recover_plan(field, truth.source, grid=32, times=5, progress=stop)
    assert rec.status == "interrupted"
    assert len(rec.history) == 3
    assert np.isfinite(rec.plan.mass).all()


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (lambda t, x: np.where(x > 1, np.nan, x), "field must be finite, got nan at t = 0"),
        (lambda t, x: x[:-1], "field must return an array of shape"),
        (lambda t, x: 50 * x**3, "trajectory leaves the numbers"),
        (3, "field must be callable"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_broken_field_is_named(field: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rc.recover_plan(field, rc.Normal(0, 1), grid=32, times=5)


def test_what_a_field_raises_surfaces() -> None:
    def field(t: Any, x: Any) -> Any:
        raise RuntimeError("the teacher is asleep")

    with pytest.raises(RuntimeError, match="asleep"):
        rc.recover_plan(field, rc.Normal(0, 1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"source": [np.nan, 1.0]}, "source must be"),
        ({"source": []}, "source must be"),
        ({"source": [1.0, 1.0]}, "at least two different samples"),
        ({"source": "normal"}, "source must be"),
        ({"family": "gauss"}, "family must be"),
        ({"grid": 4}, "grid must be at least 16"),
        ({"times": 1}, "times must be at least 2"),
        ({"degree": 9}, "degree must be at most 7"),
        ({"regularization": -1}, "regularization must be positive"),
        ({"tail": 0.2}, "tail must be at most"),
        ({"num_threads": 0}, "num_threads must be at least 1"),
        ({"num_threads": 2**31}, "num_threads must be at most 1024"),
        ({"grid": 10**6}, "grid must be at most 2048"),
        ({"regularization": "1e-6"}, "regularization must be a number"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], words: str) -> None:
    source = arguments.pop("source", rc.Normal(0, 1))
    with pytest.raises(ValueError, match=words):
        rc.recover_plan(lambda t, x: -x, source, **arguments)


def snapshots(
    truth: rc.MixturePlan, times: np.ndarray[Any, Any], n: int
) -> list[np.ndarray[Any, Any]]:
    out = []
    for k, t in enumerate(times):
        x0, x1 = truth.sample(n, k)  # fresh pairs for each time
        out.append((1 - t) * x0 + t * x1)
    return out


def test_snapshots_give_the_plan_back_within_sampling_error() -> None:
    times = np.linspace(0, 1, 9)
    rec = rc.recover_plan_from_snapshots(times, snapshots(BLOBS, times, 5000), grid=64)
    assert rec.status == "converged"
    assert "cross-validation" in rec.message
    assert rec.verdict == "representative"
    # Twice what nine snapshots of 5000 reached over a few seeds (.05 to .07).
    assert total_variation(rec.plan, BLOBS) < 0.12
    error = abs(rec.plan.correlation - BLOBS.correlation)
    assert error < 4 * rec.error_bars["correlation"].error


def test_snapshots_may_be_laws_and_may_miss_the_ends() -> None:
    truth = rc.GaussianPlan(0, 1, 1, 0.5, 1)
    times = np.linspace(0.1, 0.9, 7)
    rec = rc.recover_plan_from_snapshots(times, [truth.marginal(float(t)) for t in times], grid=48)
    # Exact laws, but an aperture short of its ends and a floor of 1e-10 on their variance.
    assert rec.plan.correlation == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("times", "clouds", "words"),
    [
        ([0.5], [[1.0, 2.0]], "at least two different times"),
        ([0.5, 0.5], [[1.0, 2.0], [1.0, 2.0]], "at least two different times"),
        ([0.0, 15.0], [[1.0, 2.0], [1.0, 2.0]], "times must lie within 10"),
        ([0.0, 1.0], [[1.0, 2.0]], "snapshots must have 2 entries"),
        ([0.0, 1.0], [[1.0, 2.0], []], r"snapshots\[1\]"),
        ([0.0, 1.0], [[1.0, np.inf], [1.0, 2.0]], r"snapshots\[0\]"),
        ([0.3, 0.6], [[1.0, 1.0], [1.0, 1.0]], "snapshots must spread"),
        ([0.0, 1.0], None, "snapshots must be a sequence"),
    ],
)
def test_bad_snapshots_are_named(times: Any, clouds: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rc.recover_plan_from_snapshots(times, clouds)
