"""Maps on the line: told from plans that are none, and from those that no field tells apart."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats

import recouple as rc
from line_plans import THREE, rough
from recouple.inverse.graph import find_graph, graph_of, recover_graph
from recouple.inverse.straight import diffusions, spreads

NORMAL = rc.Normal(0, 1)
NARROWED = rc.monotone_plan(NORMAL, rc.Normal(0.3, 0.7))
FOLDED = rc.monotone_plan(NORMAL, rc.Normal(0.3, 0.7), decreasing=True)
APART = rc.MixturePlan([0.3, 0.7], [[-20, -20], [20, 20]], [0.25 * np.eye(2)] * 2)


@pytest.mark.parametrize("rho", [-0.9996, -0.95, -0.3, 0.0, 0.7, 0.9996])
@pytest.mark.parametrize("known", [False, True])
def test_the_diffusion_of_a_gaussian_plan_is_read_off_its_flow(rho: float, known: bool) -> None:
    plan = rc.GaussianPlan(0.5, -1, 1, 2 * rho, 4)
    found = diffusions(rc.velocity_field(plan), plan.source, plan.target if known else None, 0.0)
    for d in (found.whole, found.local):
        assert d.error < 1e-4
        # E Var(X1 | X0) / Var X1 = 1 - rho^2, in every neighbourhood.
        assert abs(d.value - (1 - rho**2)) < 3 * d.error + 1e-6
    # Never below: a Gaussian diffusion is the same everywhere. 1% for the places' distance.
    assert found.bound > 0.99 * (1 - rho**2)


@pytest.mark.parametrize("plan", [NARROWED, FOLDED])
def test_a_map_has_no_diffusion(plan: Any) -> None:
    found = diffusions(rc.velocity_field(plan), plan.source, None, 0.0)
    assert abs(found.whole.value) < 1e-6  # RK4's error
    assert abs(found.local.value) < 1e-6
    assert find_graph(rc.velocity_field(plan), plan.source, None, None) is not None


@pytest.mark.parametrize("known", [False, True])
def test_modes_far_apart_are_no_map_for_their_distance(known: bool) -> None:
    field = rc.velocity_field(APART)
    target = APART.target if known else None
    graph = graph_of(field, APART.source, target, None)
    assert graph.diffusion.whole.value < 2e-3
    # Within each mode X1 does not depend on X0; two neighbourhoods of eleven hold both modes.
    assert graph.diffusion.local.value > 0.6
    assert find_graph(field, APART.source, target, None) is None


@pytest.mark.parametrize(("rho", "level"), [(0.96, 0.1), (0.98, 0.05), (0.995, 0.01)])
@pytest.mark.parametrize("known", [False, True])
def test_a_small_field_errs_little(rho: float, level: float, known: bool) -> None:
    # The error is a share of a speed (1 - rho) x: it hides no diffusion of 1 - rho^2.
    plan = rc.GaussianPlan(0, 0, 1, rho, 1)
    for seed in range(2):
        field = rough(plan, level, seed)
        assert find_graph(field, plan.source, plan.target if known else None, level) is None


def test_maps_seen_through_noise_stay_maps_and_say_what_noise_hides() -> None:
    for plan in (NARROWED, FOLDED):
        for seed in range(3):
            field = rough(plan, 0.05, seed)
            graph = find_graph(field, plan.source, plan.target, None)
            assert graph is not None
            assert 0 < graph.diffusion.within(1) < 0.05


def test_what_noise_hides_is_in_the_error_bars() -> None:
    # Seen at 5%, this plan and the map next to it are much alike.
    plan = rc.MixturePlan([1.0], [[0, 0]], [[[1, -0.985], [-0.985, 1]]])
    covered = 0
    for seed in range(5):
        field = rough(plan, 0.1, seed)
        rec = recover_graph(field, plan.source, plan.target, noise=0.1)
        low, high = rec.error_bars["correlation"].interval(0.9)
        covered += low < -0.985 < high
    assert covered >= 4


def test_a_diffusion_too_small_for_a_grid_is_left_to_the_error_bars() -> None:
    for rho in (-0.99995, 0.99995):
        plan = rc.GaussianPlan(0, 0, 1, rho, 1)
        rec = rc.recover_plan(rc.velocity_field(plan), plan.source, noise=0.0)
        assert rec.family == "graph"
        assert "too small for a grid" in rec.reason
        low, high = rec.error_bars["correlation"].interval(0.9)
        assert low < rho < high
        # sqrt(1 - rho^2) is .01, and as much is said of what X1 may differ from the map.
        assert rec.settings["undecided diffusion"] == pytest.approx(1e-4, rel=0.05)
        sign = np.sign(rho)

        def gap(x: Any, y: Any, sign: float = sign) -> Any:
            return (y - sign * x) ** 2

        off = rec.expectation(gap)
        assert off.error == pytest.approx(1e-4, rel=0.1)


def test_atoms_that_spread_are_no_pairs() -> None:
    two = rc.MixturePlan(
        [0.5, 0.5], [[-1, 1.5], [1, -0.5]], [np.diag([1e-12, 0.36]), np.diag([1e-12, 0.09])]
    )
    assert spreads(rc.velocity_field(two), rc.Empirical([-1.0, 1.0])) == 1
    five = rc.MixturePlan(np.ones(5), [[k, 0.5 * k] for k in range(5)], [np.diag([1e-12, 1.0])] * 5)
    source = rc.Empirical(np.arange(5.0))

    def field(t: Any, x: Any) -> Any:  # at t = 0 every atom is one place
        return -0.5 * x if t == 0 else five.velocity(t, x)

    for target in (None, five.target):
        assert find_graph(rc.as_field(field), source, target, None) is None
    # Half of the mass at each of two places at t = 1.
    fork = rc.AtomicPlan([0.0, 0.0, 3.0, 3.0], [-1.0, 1.0, 2.0, 5.0]).smoothed(1e-4)
    assert spreads(rc.velocity_field(fork), rc.Empirical([0.0, 3.0])) == 1


def test_atoms_in_pairs_do_not_spread() -> None:
    x0, x1 = np.array([-1.0, 0.2, 1.0]), np.array([0.5, -2.0, 1.0])
    field = rc.velocity_field(rc.AtomicPlan(x0, x1).smoothed(1e-4))
    assert spreads(field, rc.Empirical(x0)) == 0
    graph = find_graph(field, rc.Empirical(x0), rc.Empirical(x1), None)
    assert graph is not None
    np.testing.assert_allclose(graph.end, x1, atol=1e-6)


def test_draws_of_a_smooth_law_are_no_atoms_to_decide_by() -> None:
    draws = rc.Empirical(NORMAL.rvs(300, 0))
    plan = rc.GaussianPlan(0, 0, 1, -0.9, 1)
    assert find_graph(rc.velocity_field(plan), draws, None, None) is None
    assert find_graph(rc.velocity_field(NARROWED), draws, None, None) is not None


def test_x0_as_a_function_of_x1_runs_from_the_other_end() -> None:
    # X0 = X1^2 - 1: X1 is two-valued. Near t = 1 every particle is alone.
    back = rc.as_marginal(stats.chi2(1, loc=-1))

    def field(t: Any, x: Any) -> Any:
        s = 1 - t  # (1 - s) y + s (y^2 - 1) = x has two roots y; both count, by density / slope
        a, b, c = s, 1 - s, -s - x
        root = np.sqrt(np.maximum(b * b - 4 * a * c, 1e-300))
        if s < 1e-6:
            return x - (x * x - 1)
        ys = (-b + root) / (2 * a), (-b - root) / (2 * a)
        weights = [np.exp(-0.5 * y * y) + 1e-300 for y in ys]
        total = sum(w * (y - y * y + 1) for w, y in zip(weights, ys, strict=True))
        return total / sum(weights)

    rec = recover_graph(rc.as_field(field), back, NORMAL)
    assert rec.status == "converged"
    assert "X0 is a function of X1" in rec.reason
    assert rec.evidence[0].startswith("D1 = ")
    np.testing.assert_allclose(rec.plan.x0, rec.plan.x1**2 - 1, atol=0.02)  # moved onto its law
    assert rec.expectation(lambda x, y: x - y**2 + 1).error < 1e-3


def test_a_negative_diffusion_is_said_in_words_that_hold() -> None:
    field = rc.as_field(lambda t, x: 1.5 * x * (1 - t))  # wider at first than it ends
    rec = recover_graph(field, NORMAL)
    assert rec.status == "inconsistent"
    assert "wider than it is" in rec.message
    assert "= -" not in rec.message


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_field_that_is_not_finite_at_once_says_where(value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"field must be finite, got .* at t = 0, x = "):
            graph_of(rc.as_field(lambda t, x: np.full_like(x, value)), NORMAL, None, None)


@pytest.mark.parametrize("power", [3, 25])
def test_a_field_that_blows_up_is_no_graph_and_no_warning(power: int) -> None:
    for v in (lambda t, x: x**power, lambda t, x: np.full_like(x, 1e300) * x):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert find_graph(rc.as_field(v), NORMAL, NORMAL, None) is None


def test_without_a_variance_there_is_no_correlation() -> None:
    rec = rc.recover_plan(rc.as_field(lambda t, x: x / (1 + t)), stats.cauchy())  # X1 = 2 X0
    assert rec.family == "graph"
    assert rec.error_bars == {}
    assert "X0 without a variance" in rec.reason
    np.testing.assert_allclose(rec.plan.x1, 2 * rec.plan.x0)
    rec.summary()


def test_a_recovered_map_pickles_and_maps_places_between_its_pairs() -> None:
    rec = rc.recover_plan(rc.velocity_field(NARROWED), NORMAL)
    again = pickle.loads(pickle.dumps(rec))
    assert again.error_bars == rec.error_bars
    with pytest.raises(ValueError, match="one_step"):
        rec.plan.conditional(0.5)
    # Between pairs 2.6e-3 apart.
    (y,) = rc.one_step(rec.plan)(np.array([0.5]), rng=0)
    assert y == pytest.approx(0.3 + 0.7 * 0.5, abs=5e-3)


def test_atoms_that_spread_ask_for_a_density() -> None:
    plan = rc.MixturePlan(
        [0.5, 0.5], [[-1, 1.5], [1, -0.5]], [np.diag([1e-12, 0.36]), np.diag([1e-12, 0.09])]
    )
    field, source = rc.velocity_field(plan), rc.Empirical([-1.0, 1.0])
    rec = rc.recover_plan(field, source, grid=48, times=7, reference="product")
    assert rec.family == "line"
    assert rec.verdict == "representative"
    assert "give the source a density" in rec.message


@pytest.mark.parametrize("decreasing", [False, True])
@pytest.mark.parametrize("level", [0.0, 0.03])
def test_a_map_is_recognised_and_read_off_one_end(decreasing: bool, level: float) -> None:
    # The paths of the decreasing map meet at t = 1 / 1.7, between the steps of the tracing.
    truth = rc.monotone_plan(rc.Normal(0, 1), rc.Normal(0.3, 0.7), decreasing=decreasing)
    rec = rc.recover_plan(rough(truth, level, 1), truth.source, truth.target)
    assert rec.family == "graph"
    # Rearranged onto the target, a monotone map has no error left.
    np.testing.assert_allclose(rec.plan.cov, truth.cov, atol=1e-12)
    assert "function of X0" in rec.reason


def test_plans_near_a_map_are_not_called_one() -> None:
    for rho in (-0.95, 0.95):
        plan = rc.GaussianPlan(0, 0, 1, rho, 1)
        for target in (None, plan.target):
            rec = rc.recover_plan(rc.velocity_field(plan), plan.source, target, grid=32, times=7)
            assert rec.family == "line"
    forced = rc.recover_plan(rc.velocity_field(THREE), THREE.source, family="graph")
    assert forced.status == "inconsistent"


def test_atoms_of_a_sampled_source_come_from_one_end() -> None:
    x0, x1 = np.array([-1.0, 0.2, 1.0]), np.array([0.5, -2.0, 1.0])
    plan = rc.AtomicPlan(x0, x1, [0.5, 0.3, 0.2])
    # Atoms as narrow as this have the field of the atoms themselves.
    rec = rc.recover_plan(rc.velocity_field(plan.smoothed(1e-4)), rc.Empirical(x0, plan.weights))
    assert rec.family == "graph"
    np.testing.assert_allclose(rec.plan.x1, x1, atol=1e-6)
    np.testing.assert_allclose(rec.plan.weights, plan.weights)


def test_blobs_that_change_places_are_no_map() -> None:
    # Source and target are one law: the flow ends where it began, and its length is no measure.
    points = np.array([[-2.0, 0.0], [0.0, 2.0], [2.0, -2.0]])
    truth = rc.MixturePlan(np.ones(3), points, np.tile(0.12 * np.eye(2), (3, 1, 1)))
    assert find_graph(rc.velocity_field(truth), truth.source, truth.target, None) is None


def test_a_map_with_noise_lands_on_its_target() -> None:
    def turn(x: Any) -> Any:
        return 0.5 * x + 1.2 * np.tanh(2 * x**2 - 2)

    source = rc.Normal(0, 1)
    target = rc.smoothed(turn(source.ppf((np.arange(4000) + 0.5) / 4000)), bandwidth=0.02)

    def field(t: Any, x: Any) -> Any:  # near t = 0 every particle is alone
        start = x
        for _ in range(60):
            start = x - t * (turn(start) - start)
        return (turn(start) - start) * (1 + 0.05 * np.sin(4 * start))

    found = recover_graph(rc.as_field(field), source, target, noise=0.05).plan
    assert isinstance(found, rc.AtomicPlan)
    order = np.argsort(found.x1)
    levels = np.cumsum(found.weights[order]) - 0.5 * found.weights[order]
    # Quantiles of the target, by construction; the map itself is closer than its noise, 5%.
    np.testing.assert_allclose(found.x1[order], target.ppf(levels), atol=1e-9)
    gap = np.sqrt(found.weights @ (found.x1 - turn(found.x0)) ** 2)
    raw = np.sqrt(found.weights @ (field(0.0, found.x0) + found.x0 - turn(found.x0)) ** 2)
    assert gap < raw
