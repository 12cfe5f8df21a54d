from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import recouple as rc
from recouple import FlowStatus

FIXED = ["euler", "midpoint", "heun", "rk4"]
ADAPTIVE = ["bosh3", "dopri5", "tsit5", "dop853"]

MILD = rc.MixturePlan(
    [0.5, 0.5],
    [[-0.3, -0.8], [0.3, 0.8]],
    [[[1.0, 0.3], [0.3, 0.8]], [[1.0, 0.2], [0.2, 0.8]]],
)
# Plans on the line whose flow stretches by at most 10 (measured: 1.0 to 2.3).
MODERATE = {
    "gaussian": rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 2.0),
    "independent gaussian": rc.GaussianPlan(1.0, -1.0, 1.0, 0.0, 4.0),
    "decreasing gaussian": rc.GaussianPlan(0.0, 0.0, 1.0, -0.3, 1.0),
    "three components": rc.MixturePlan(
        [0.3, 0.5, 0.2],
        [[-0.6, 0.5], [0.0, -0.3], [0.7, 0.2]],
        [[[1.0, 0.3], [0.3, 0.8]], [[0.8, 0.2], [0.2, 1.2]], [[1.1, 0.4], [0.4, 0.9]]],
    ),
    "two modes": rc.MixturePlan(
        [0.5, 0.5], [[0.0, -1.0], [0.0, 1.0]], [[[1, 0.3], [0.3, 0.6]]] * 2
    ),
}


def exact_end(plan: Any, x0: Any) -> Any:
    """The flow on the line is F1^-1 o F0, whatever the plan; taken from the nearer tail."""
    low = plan.source.cdf(x0) < 0.5
    end = np.empty_like(x0)
    end[low] = plan.target.ppf(plan.source.cdf(x0[low]))
    end[~low] = plan.target.isf(plan.source.sf(x0[~low]))
    return end


def points(n: int, seed: int = 0, scale: float = 1.0) -> Any:
    return scale * np.random.default_rng(seed).normal(size=n)


# ------------------------------------------------------------------------------------- accuracy


@pytest.mark.parametrize(
    ("method", "order", "counts"),
    [
        # Steps between where the leading error term rules and where rounding does.
        ("euler", 1, (256, 1024)),
        ("midpoint", 2, (64, 256)),
        ("heun", 2, (64, 256)),
        ("rk4", 4, (24, 96)),
        ("bosh3", 3, (8, 32)),
        ("dopri5", 5, (12, 48)),
        ("tsit5", 5, (24, 64)),
        ("dop853", 8, (6, 12)),
    ],
)
def test_every_method_has_its_declared_order(
    method: str, order: int, counts: tuple[int, int]
) -> None:
    x0 = np.linspace(-2.5, 2.5, 101)
    field = rc.velocity_field(MILD)
    exact = exact_end(MILD, x0)
    error = [
        np.sqrt(np.mean((rc.integrate(field, x0, method=method, steps=n).x - exact) ** 2))
        for n in counts
    ]
    slope = np.log(error[0] / error[1]) / np.log(counts[1] / counts[0])
    assert abs(slope - order) < 0.1


@pytest.mark.parametrize(
    ("method", "order"), [("rk4", 4), ("dopri5", 4), ("tsit5", 4), ("dop853", 7)]
)
def test_points_between_steps_have_the_order_of_the_dense_output(method: str, order: int) -> None:
    x0 = np.linspace(-2.5, 2.5, 21)
    field = rc.velocity_field(MILD)
    counts = (6, 9) if method == "dop853" else (20, 40)
    error = []
    for n in counts:
        t = (np.arange(n) + 0.3) / n  # the same place within each step
        exact = rc.integrate(field, x0, method="dop853", steps=200, t_eval=t).x
        between = rc.integrate(field, x0, method=method, steps=n, t_eval=t).x
        error.append(np.sqrt(np.mean((between - exact) ** 2)))
    # Half an order below the declared one would already be another method.
    assert np.log(error[0] / error[1]) / np.log(counts[1] / counts[0]) > order - 0.5


@pytest.mark.parametrize("name", MODERATE)
@pytest.mark.parametrize("method", ADAPTIVE)
def test_adaptive_methods_keep_the_global_error_within_ten_times_rtol(
    method: str, name: str
) -> None:
    plan = MODERATE[name]
    x0 = np.sort(points(1000, scale=1.3))
    exact = exact_end(plan, x0)
    field = rc.velocity_field(plan)
    for rtol in (1e-3, 1e-5, 1e-8) if method == "bosh3" else (1e-3, 1e-5, 1e-7, 1e-9, 1e-11):
        flow = rc.integrate(field, x0, method=method, rtol=rtol)
        assert flow.ok
        # Quantiles themselves are good to a few eps of the tail, far below 1e-11.
        assert np.max(np.abs(flow.x - exact) / np.maximum(1, np.abs(exact))) < 10 * rtol


@pytest.mark.parametrize("name", MODERATE)
def test_on_the_line_the_flow_is_the_map_between_quantiles(name: str) -> None:
    plan = MODERATE[name]
    x0 = points(500, seed=3)
    flow = rc.integrate(rc.velocity_field(plan), x0, method="dop853", rtol=1e-12)
    assert_allclose(
        flow.x, exact_end(plan, x0), rtol=1e-10, atol=1e-10
    )  # a hundred times the tolerance


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-2, 2),
    st.floats(-2, 2),
    st.floats(0.3, 2),
    st.floats(0.3, 2),
    st.floats(-0.6, 0.95),
)
def test_gaussian_flows_are_affine(m0: float, m1: float, s0: float, s1: float, r: float) -> None:
    field = rc.velocity_field(rc.GaussianPlan(m0, m1, s0**2, r * s0 * s1, s1**2))
    x0 = np.array([m0, m0 - 2 * s0, m0 + 3 * s0])
    flow = rc.integrate(field, x0, rtol=1e-8, log_density=True)
    expected = m1 + s1 / s0 * (x0 - m0)
    # Ten times rtol times the stretching: the variance along the way may dip to (1 - r^2) times
    # what it is at the ends, and errors grow by at most the inverse of that dip.
    stretch = max(1, s1 / s0, s0 / s1) / np.sqrt(1 - min(r, 0) ** 2)
    assert np.abs(flow.x - expected).max() < 1e-7 * stretch * max(1, np.abs(expected).max())
    assert_allclose(flow.log_det, np.log(s1 / s0), atol=1e-6 * stretch)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_the_flow_returns_when_run_backwards(method: str) -> None:
    rtol = 1e-7
    x0 = points(300)
    for plan in MODERATE.values():
        field = rc.velocity_field(plan)
        there = rc.integrate(field, x0, method=method, rtol=rtol)
        back = rc.integrate(field, there.x, 1.0, 0.0, method=method, rtol=rtol)
        assert back.t == 0.0
        assert np.max(np.abs(back.x - x0) / np.maximum(1, np.abs(x0))) < 10 * rtol


@given(st.floats(0.05, 0.95))
@settings(max_examples=15, deadline=None)
def test_two_flows_in_a_row_are_one(s: float) -> None:
    field, x0 = rc.velocity_field(MILD), points(50)
    whole = rc.integrate(field, x0, method="dop853", rtol=1e-11).x
    half = rc.integrate(field, x0, 0.0, s, method="dop853", rtol=1e-11).x
    rest = rc.integrate(field, half, s, 1.0, method="dop853", rtol=1e-11).x
    assert_allclose(rest, whole, atol=1e-9)  # ten times rtol, three integrations, stretching < 3


def test_trajectories_from_the_same_plan_agree_with_scipy() -> None:
    scipy_integrate = pytest.importorskip("scipy.integrate")
    field = rc.velocity_field(MODERATE["three components"])
    for x0 in (-1.0, 0.3, 2.0):
        peer = scipy_integrate.solve_ivp(
            field, (0, 1), [x0], method="DOP853", rtol=1e-11, atol=1e-13
        )
        ours = rc.integrate(field, x0, method="dop853", rtol=1e-11)
        assert abs(ours.x - peer.y[0, -1]) < 1e-9  # both to about 1e-10


# ---------------------------------------------------------------------------- log-density, Jacobian


@pytest.mark.parametrize("name", MODERATE)
def test_the_log_density_is_that_of_the_target(name: str) -> None:
    plan = MODERATE[name]
    x0 = points(200)
    field = rc.velocity_field(plan)
    flow = rc.integrate(field, x0, method="dop853", rtol=1e-12, log_density=True)
    carried = plan.source.logpdf(x0) - flow.log_det
    assert_allclose(carried, plan.target.logpdf(flow.x), atol=1e-9)
    traced = rc.log_likelihood(field, flow.x, plan.source, method="dop853", rtol=1e-12)
    assert_allclose(traced, plan.target.logpdf(flow.x), atol=1e-9)


def test_the_jacobian_is_the_slope_of_the_map_and_gives_the_log_det() -> None:
    field, x0 = rc.velocity_field(MILD), np.array([-1.0, 0.2, 1.5])
    h = 1e-5
    flow = rc.integrate(field, x0, rtol=1e-11, jacobian=True)
    ends = rc.integrate(field, np.concatenate([x0 - h, x0 + h]), rtol=1e-12).x.reshape(2, 3)
    # Central differences: h^2 = 1e-10 times a third derivative, and 1e-12 / h of the integrations.
    assert_allclose(flow.jacobian, (ends[1] - ends[0]) / (2 * h), rtol=1e-6)
    alone = rc.integrate(field, x0, rtol=1e-11, log_density=True)
    assert_allclose(flow.log_det, alone.log_det, atol=1e-9)
    assert_allclose(np.exp(alone.log_det), flow.jacobian, rtol=1e-9)


LINEAR_MAP = np.array([[0.3, 1.0, 0.0], [-1.0, -0.2, 0.4], [0.1, 0.0, 0.5]])


def linear(t: Any, x: Any) -> Any:
    return x @ LINEAR_MAP.T


def test_a_linear_field_in_space_has_the_matrix_exponential_as_jacobian() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    exact = linalg.expm(LINEAR_MAP)
    x0 = np.random.default_rng(0).normal(size=(20, 3))
    for native_like in (True, False):
        flow = rc.integrate(linear, x0, rtol=1e-10, jacobian=native_like, log_density=True)
        assert_allclose(flow.x, x0 @ exact.T, atol=1e-9)  # ten times rtol
        assert_allclose(flow.log_det, np.trace(LINEAR_MAP), atol=1e-8)  # differences: 1e-10 each
    flow = rc.integrate(linear, x0, rtol=1e-10, jacobian=True, t_eval=[0.0, 0.5, 1.0])
    for t, jacobian in zip([0.0, 0.5, 1.0], flow.jacobian, strict=True):
        assert_allclose(
            jacobian, np.broadcast_to(linalg.expm(t * LINEAR_MAP), (20, 3, 3)), atol=1e-8
        )


def test_hutchinson_is_unbiased_and_seeded() -> None:
    x0 = np.zeros((4000, 3))
    flow = rc.integrate(linear, x0, rtol=1e-6, log_density="hutchinson", rng=5)
    # e . A e = tr A + sum over i < j of (A_ij + A_ji) e_i e_j, whose standard deviation is known.
    off = (LINEAR_MAP + LINEAR_MAP.T)[np.triu_indices(3, 1)]
    spread = np.sqrt(np.sum(off**2))
    assert_allclose(np.std(flow.log_det), spread, rtol=0.1)  # 4000 draws: 1.1 % standard error
    assert abs(np.mean(flow.log_det) - np.trace(LINEAR_MAP)) < 4 * spread / np.sqrt(4000)
    again = rc.integrate(linear, x0, rtol=1e-6, log_density="hutchinson", rng=5)
    other = rc.integrate(linear, x0, rtol=1e-6, log_density="hutchinson", rng=6)
    assert_array_equal(flow.log_det, again.log_det)
    assert np.any(flow.log_det != other.log_det)


def test_a_single_precision_callable_is_differenced_with_a_step_that_suits_it() -> None:
    flow = rc.integrate(
        lambda t, x: np.float32(-0.5) * np.asarray(x, dtype=np.float32),
        points(20),
        rtol=1e-4,
        log_density=True,
    )
    # Rounding of 6e-8 over a step of 5e-3 makes 1e-5 of error; with the double's step it were 1e-2.
    assert_allclose(flow.log_det, -0.5, atol=2e-4)


# ------------------------------------------------------------------------ each trajectory its own


def test_every_trajectory_takes_the_steps_it_would_take_alone() -> None:
    # One point sits where two narrow modes part and needs many more steps than the others.
    plan = rc.MixturePlan([0.5, 0.5], [[0, -2.0], [0, 2.0]], [[[1.0, 0.0], [0.0, 0.003]]] * 2)
    field = rc.velocity_field(plan)
    x0 = np.concatenate([points(300), [1e-7]])
    batch = rc.integrate(field, x0, rtol=1e-7)
    alone = [rc.integrate(field, x, rtol=1e-7) for x in x0]
    # The same points in other company may round differently, and rounding may tip one decision.
    difference = batch.steps - np.array([int(f.steps) for f in alone])
    assert np.abs(difference).max() <= 1
    assert np.count_nonzero(difference) <= 5
    total = sum(int(f.evaluations) for f in alone)
    assert abs(batch.evaluations.sum() - total) <= 0.01 * total
    ends = np.array([float(f.x) for f in alone])
    same = difference == 0
    # Rounding, amplified by a stretching of up to 30.
    assert_allclose(batch.x[same], ends[same], rtol=1e-12, atol=1e-12)
    assert len(np.unique(batch.steps)) > 10
    assert batch.steps[-1] > 1.5 * np.median(batch.steps)


def test_the_count_of_evaluations_is_what_the_field_saw() -> None:
    seen = 0

    def counting(t: Any, x: Any) -> Any:
        nonlocal seen
        seen += len(x)
        return np.sin(5 * x + t)

    for options in (
        {"rtol": 1e-6},
        {"method": "dop853", "rtol": 1e-9},
        {"method": "rk4", "steps": 7},
    ):
        seen = 0
        flow = rc.integrate(counting, points(50), **options)
        assert seen == flow.evaluations.sum()
    assert flow.evaluations[0] == 28


def test_t_eval_does_not_change_the_steps_and_agrees_with_dense_output() -> None:
    field, x0 = rc.velocity_field(MILD), points(40)
    t = np.linspace(0, 1, 23)
    for method in ADAPTIVE:
        plain = rc.integrate(field, x0, method=method, rtol=1e-8)
        flow = rc.integrate(field, x0, method=method, rtol=1e-8, t_eval=t, dense=True)
        assert flow.x.shape == (23, 40)
        assert_array_equal(flow.steps, plain.steps)
        assert_array_equal(flow.x[0], x0)
        assert_array_equal(flow.x[-1], plain.x)
        assert_array_equal(flow.x_reached, plain.x)
        assert_allclose(flow(t), flow.x, atol=1e-12)  # the same polynomial, summed another way
        exact = rc.integrate(field, x0, method="dop853", rtol=1e-13, t_eval=t).x
        assert_allclose(flow.x, exact, atol=1e-6)  # dense output: within 100 tolerances
    assert_allclose(flow(0.5), flow([0.5])[0])
    copy = pickle.loads(pickle.dumps(flow))
    assert_array_equal(copy(t), flow(t))
    with pytest.raises(ValueError, match="dense=True"):
        plain(0.5)
    with pytest.raises(ValueError, match="t must lie in"):
        flow(1.5)


def test_t_eval_works_backwards_and_at_times_that_repeat() -> None:
    field, x1 = rc.velocity_field(MILD), points(10)
    t = np.array([1.0, 0.7, 0.7, 0.2])
    flow = rc.integrate(field, x1, 1.0, 0.0, rtol=1e-10, t_eval=t, log_density=True)
    for i, at in enumerate(t):
        single = rc.integrate(field, x1, 1.0, at, rtol=1e-10, log_density=True)
        assert_allclose(flow.x[i], single.x, atol=1e-8)
        assert_allclose(flow.log_det[i], single.log_det, atol=1e-8)
    fixed = rc.integrate(field, x1, 1.0, 0.0, method="rk4", steps=64, t_eval=t)
    assert_allclose(fixed.x, flow.x, atol=1e-5)  # rk4 with h = 1/64: h^4 = 6e-8 times derivatives


def test_an_interval_without_length_stays_where_it_is() -> None:
    field = rc.velocity_field(MILD)
    flow = rc.integrate(
        field, [1.0, 2.0], 0.3, 0.3, t_eval=[0.3, 0.3], log_density=True, dense=True
    )
    assert flow.ok
    assert_array_equal(flow.x, [[1.0, 2.0]] * 2)
    assert_array_equal(flow.log_det, np.zeros((2, 2)))
    assert_array_equal(flow(0.3), [1.0, 2.0])


# ------------------------------------------------------------------------------------- failures


def test_a_pole_ends_in_a_status_in_bounded_work_and_the_others_finish() -> None:
    # x' = x^2 leaves the line at t = 1 / x0.
    with np.errstate(over="ignore", invalid="ignore"):
        flow = rc.integrate(lambda t, x: x * x, [0.5, 2.0, 0.25, 4.0], rtol=1e-8)
    assert_array_equal(flow.status == FlowStatus.ok, [True, False, True, False])
    assert set(flow.status[[1, 3]]) <= {FlowStatus.step_too_small, FlowStatus.non_finite}
    assert_allclose(flow.t_reached, [1, 0.5, 1, 0.25], atol=1e-6)
    assert_allclose(flow.x[[0, 2]], [1.0, 1 / 3], rtol=1e-6)
    assert np.isnan(flow.x[[1, 3]]).all()
    assert (flow.x_reached[[1, 3]] > 1e6).all()
    assert flow.evaluations.max() < 5000
    assert "pole" in flow.summary() or "not finite" in flow.summary()
    assert not flow.ok


def test_a_pole_in_time_is_named_with_its_time() -> None:
    with np.errstate(divide="ignore"):
        flow = rc.integrate(lambda t, x: 1 / (0.5 - t) + 0 * x, [0.0, 1.0])
    assert set(flow.status) <= {FlowStatus.step_too_small, FlowStatus.non_finite}
    assert_allclose(flow.t_reached, 0.5, atol=1e-9)


def test_a_collision_that_the_steps_leap_over_is_found_on_the_line() -> None:
    # X1 = -X0: all meet in 0 at t = 1/2. The trajectories are straight, so every step is exact.
    x0 = points(200)
    with np.errstate(divide="ignore", invalid="ignore"):
        flow = rc.integrate(lambda t, x: -2 * x / (1 - 2 * t), x0, t_eval=[0.25, 0.5, 0.75])
    assert (flow.status == FlowStatus.collision).all()
    assert np.abs(flow.t_reached - 0.5).max() < 0.05  # located to 1/64 of the interval and finer
    assert_allclose(flow.x_reached, x0 * (1 - 2 * flow.t_reached), atol=1e-9)
    assert_allclose(flow.x[0], x0 / 2)
    assert np.isnan(flow.x[2]).all()
    assert "collision" in flow.summary()
    # With the log-density a single trajectory is enough: its divergence has the pole.
    with np.errstate(divide="ignore", invalid="ignore"):
        alone = rc.integrate(lambda t, x: -2 * x / (1 - 2 * t), 1.0, log_density=True)
    assert not alone.ok
    assert abs(alone.t_reached - 0.5) < 1e-6


def test_a_collision_of_a_plan_ends_the_trajectories_that_meet_and_no_others() -> None:
    antithetic = rc.velocity_field(rc.GaussianPlan(0.0, 0.0, 1.0, -1.0, 1.0))
    for x0 in (0.7, points(100)):
        for method in ADAPTIVE:
            flow = rc.integrate(antithetic, x0, method=method)
            assert np.all(flow.status == FlowStatus.collision)
            assert_allclose(flow.t_reached, 0.5, atol=1e-5)
            assert np.max(flow.evaluations) < 5000
    pair = rc.MixturePlan([0.5, 0.5], [[0, 0], [10, 10]], [[[1, -1], [-1, 1]], [[1, 0], [0, 1]]])
    flow = rc.integrate(rc.velocity_field(pair), [-1.0, 0.5, 9.0, 11.0])
    assert_array_equal(flow.status == FlowStatus.ok, [False, False, True, True])
    assert (flow.status[:2] == FlowStatus.collision).all()
    back = rc.integrate(antithetic, 0.7, 1.0, 0.0)
    assert back.status == FlowStatus.collision
    short = rc.integrate(antithetic, 0.7, 0.0, 0.4, rtol=1e-8)
    assert_allclose(short.x, 0.7 * 0.2, rtol=1e-7)
    for steps in (7, 10):  # over the pole, and onto it
        fixed = rc.integrate(antithetic, [0.7, -0.2], method="rk4", steps=steps)
        assert (fixed.status == FlowStatus.collision).all()
        assert ((fixed.t_reached < 0.5) & (fixed.t_reached > 0.3)).all()
        fixed = rc.integrate(rc.velocity_field(pair), [0.5, 9.0], method="rk4", steps=steps)
        assert_array_equal(fixed.status, [FlowStatus.collision, FlowStatus.ok])


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_trajectories_of_plans_never_cross(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 6))
    factors = rng.normal(size=(k, 2, 2))
    plan = rc.MixturePlan(
        rng.uniform(0.1, 1, k),
        rng.normal(size=(k, 2)) * 2,
        factors @ factors.transpose(0, 2, 1) + 0.05 * np.eye(2),
    )
    x0 = rng.normal(size=200)
    flow = rc.integrate(rc.velocity_field(plan), x0, rtol=1e-6)
    assert flow.ok
    assert not rc.crossings(x0, flow.x, 1e-3).any()


def test_crossings_are_counted_in_pairs_and_ties_may_end_in_any_order() -> None:
    x0 = [0.0, 1.0, 1.0, 2.0, np.nan, 3.0]
    assert_array_equal(rc.crossings(x0, [0, 5, 4, 6, 0, 7.0]), [False] * 6)
    assert_array_equal(
        rc.crossings(x0, [0, 5, 4, 4.5, 0, 7.0]), [False, True, False, True, False, False]
    )
    assert_array_equal(rc.crossings(x0, [0, 5, 4, 4.5, 0, 7.0], slack=0.3), [False] * 6)
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=60), rng.normal(size=60)
    brute = np.array([np.any((a < a[i]) & (b > b[i]) | (a > a[i]) & (b < b[i])) for i in range(60)])
    assert_array_equal(rc.crossings(a, b), brute)


def test_too_many_steps_is_a_status() -> None:
    flow = rc.integrate(rc.velocity_field(MILD), points(5), rtol=1e-10, max_steps=10)
    assert (flow.status == FlowStatus.too_many_steps).all()
    assert (flow.steps + flow.rejected == 10).all()
    assert ((flow.t_reached > 0) & (flow.t_reached < 1)).all()


@pytest.mark.parametrize("options", [{"rtol": 1e-6}, {"method": "rk4", "steps": 20}])
def test_a_field_that_is_not_finite_somewhere_stops_only_who_goes_there(options: Any) -> None:
    flow = rc.integrate(lambda t, x: np.where(x > 1, np.nan, 1.0), [-1.0, 0.5, -0.5], **options)
    assert_array_equal(flow.status, [FlowStatus.ok, FlowStatus.non_finite, FlowStatus.ok])
    assert_allclose(flow.x[[0, 2]], [0.0, 0.5], atol=1e-12)
    assert 0.4 < flow.t_reached[1] <= 0.5 + 1e-9
    everywhere = rc.integrate(lambda t, x: np.full_like(x, np.nan), points(3), **options)
    assert (everywhere.status == FlowStatus.non_finite).all()
    assert_array_equal(everywhere.t_reached, 0)
    assert_array_equal(everywhere.x_reached, points(3))


class BoomError(Exception):
    pass


@pytest.mark.parametrize("options", [{"rtol": 1e-6}, {"method": "rk4", "steps": 20}])
def test_the_exception_of_a_callable_surfaces_with_the_state_so_far(options: Any) -> None:
    def field(t: Any, x: Any) -> Any:
        if np.max(t) > 0.5:
            raise BoomError("no further")
        return -x

    with pytest.raises(BoomError, match="no further") as caught:
        rc.integrate(field, points(4), **options)
    flow = caught.value.flow  # type: ignore[attr-defined]
    assert (flow.status == FlowStatus.stopped).all()
    assert ((flow.t_reached > 0.2) & (flow.t_reached <= 0.5)).all()
    assert_allclose(flow.x_reached, points(4) * np.exp(-flow.t_reached), rtol=1e-5)
    kept = rc.integrate(field, points(4), throw=False, **options)
    assert isinstance(kept.error, BoomError)
    assert_array_equal(kept.x_reached, flow.x_reached)
    assert "no further" in kept.summary()


def test_a_callable_of_the_wrong_shape_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="shape"):
        rc.integrate(lambda t, x: x[:1], points(4))


def test_a_callable_gets_a_time_for_each_point_and_may_be_called_with_one() -> None:
    kinds = set()

    def field(t: Any, x: Any) -> Any:
        kinds.add(np.shape(t) == np.shape(x))
        return -x

    rc.integrate(field, points(3))
    assert kinds == {True}
    kinds.clear()
    rc.integrate(field, points(3), method="heun", steps=3)
    assert kinds == {False}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x0": [0.0, np.nan]}, "x0 must be finite"),
        ({"x0": [np.inf]}, "x0 must be finite"),
        ({"x0": [[1.0, 2.0]]}, "x0 must have shape"),
        ({"x0": ["a"]}, "x0"),
        ({"x0": [1j]}, "x0 must hold real numbers"),
        ({"t1": np.nan}, "t1 must be finite"),
        ({"t0": "soon"}, "t0 must be a number"),
        ({"t1": 1.5}, "t1 must lie in the field's range"),
        ({"t0": -0.1}, "t0 must lie in the field's range"),
        ({"method": "rk5"}, "method must be one of"),
        ({"method": "rk4"}, "give steps"),
        ({"method": "rk4", "rtol": 1e-3}, "not rtol"),
        ({"method": "rk4", "steps": 0}, "steps must be at least 1"),
        ({"method": "rk4", "steps": 2.5}, "steps must be a whole number"),
        ({"steps": 10, "rtol": 1e-3}, "not both"),
        ({"rtol": 0.0}, "rtol must be positive"),
        ({"rtol": -1.0}, "rtol must be positive"),
        ({"atol": -1.0}, "atol must be at least 0"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"t_eval": [0.5, 0.2]}, "t_eval must go from t0 towards t1"),
        ({"t_eval": [0.5, 1.2]}, "t_eval must go from t0 towards t1"),
        ({"t_eval": [np.nan]}, "t_eval must be finite"),
        ({"t_eval": 0.5}, "t_eval must have 1 dimension"),
        ({"log_density": "exact"}, "log_density must be"),
        ({"num_threads": 0}, "num_threads must be at least 1"),
        ({"rng": "seed", "log_density": True}, "rng must be"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = {"x0": [0.0, 1.0], **arguments}
    with pytest.raises(ValueError, match=message):
        rc.integrate(rc.velocity_field(MILD), **call)


def test_a_grid_field_is_followed_within_its_times_only() -> None:
    t, x = np.linspace(0.1, 0.9, 9), np.linspace(-3, 3, 13)
    field = rc.GridField(t, x, np.ones((9, 13)))
    assert_allclose(rc.integrate(field, [0.0], 0.1, 0.9).x, [0.8])
    with pytest.raises(ValueError, match=r"range \[0.1, 0.9\]"):
        rc.integrate(field, [0.0])


# -------------------------------------------------------------------------------- shapes and forms


def test_results_have_the_shape_and_precision_of_the_points() -> None:
    field = rc.velocity_field(MILD)
    one = rc.integrate(field, 0.5, log_density=True)
    assert np.shape(one.x) == np.shape(one.log_det) == one.status.shape == ()
    column = rc.integrate(field, np.zeros((4, 1)), jacobian=True)
    assert column.x.shape == (4, 1)
    assert column.jacobian.shape == (4, 1, 1)
    assert column.status.shape == (4,)
    single = rc.integrate(field, np.zeros(4, dtype=np.float32), t_eval=[0.0, 1.0])
    assert single.x.dtype == np.float32
    assert single.x.shape == (2, 4)
    assert_allclose(single.x[1], rc.integrate(field, np.zeros(4)).x, rtol=1e-6)  # float32 rounding
    empty = rc.integrate(field, np.empty(0), t_eval=[0.5])
    assert empty.x.shape == (1, 0)
    assert empty.ok
    assert "0 point" in repr(empty)
    assert empty.summary()
    plane = rc.integrate(rc.as_field(linear, dim=3), np.zeros(3), jacobian=True)
    assert plane.x.shape == (3,)
    assert plane.jacobian.shape == (3, 3)
    assert plane.status.shape == ()


def test_results_are_frozen_and_pickle() -> None:
    flow = rc.integrate(rc.velocity_field(MILD), points(5), log_density=True)
    with pytest.raises(AttributeError):
        flow.x = 0  # type: ignore[misc]
    for name in ("x", "log_det", "status", "steps", "t_reached"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(flow, name)[0] = 1
    assert list(vars(flow)) == [field.name for field in fields(flow)]  # made without __init__
    copy = pickle.loads(pickle.dumps(flow))
    assert_array_equal(copy.x, flow.x)
    assert_allclose(copy.map(points(5)), flow.x, atol=1e-5)  # steps without the log-density
    assert repr(flow) == "Flow(5 point(s), t = 0 to 1, dopri5, ok)"


# ------------------------------------------------------------------------------- threads, progress


def test_no_bit_depends_on_the_number_of_threads() -> None:
    field, x0 = rc.velocity_field(MODERATE["three components"]), points(5000)
    options: list[dict[str, Any]] = [
        {"rtol": 1e-7, "log_density": True, "t_eval": [0.3, 1.0]},
        {"method": "rk4", "steps": 20, "log_density": True},
    ]
    for option in options:
        one = rc.integrate(field, x0, num_threads=1, **option)
        for threads in (2, 3):
            many = rc.integrate(field, x0, num_threads=threads, **option)
            assert_array_equal(one.x, many.x)
            assert_array_equal(one.log_det, many.log_det)
            assert_array_equal(one.steps, many.steps)


@pytest.mark.parametrize("policy", ["active", "passive"])
def test_waiting_threads_change_no_bit(policy: str) -> None:
    code = (
        "import recouple as rc, numpy as np\n"
        "p = rc.MixturePlan([.5, .5], [[0, -1.], [0, 1.]], [[[1, .3], [.3, .6]]] * 2)\n"
        "f = rc.integrate(rc.velocity_field(p), np.linspace(-2, 2, 3000), num_threads=2)\n"
        "print(f.x.sum().hex(), f.steps.sum())\n"
    )
    environment = {**os.environ, "OMP_WAIT_POLICY": policy, "OMP_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    flow = rc.integrate(
        rc.velocity_field(MODERATE["two modes"]), np.linspace(-2, 2, 3000), num_threads=1
    )
    assert run.stdout.split() == [float(flow.x.sum()).hex(), str(flow.steps.sum())]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*")  # NumPy's threads, jax
def test_a_forked_child_integrates_too() -> None:
    field, x0 = rc.velocity_field(MILD), points(4000)
    here = rc.integrate(field, x0, num_threads=2).x.sum()
    child = os.fork()
    if child == 0:
        same = rc.integrate(field, x0, num_threads=2).x.sum() == here
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_long_work_tells_its_progress_and_stops_when_asked(threads: int) -> None:
    calls: list[tuple[int, int]] = []
    field = rc.velocity_field(MILD)
    rc.integrate(
        field, points(3000), rtol=1e-6, num_threads=threads,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert calls[-1] == (3000, 3000)
    assert all(a[0] <= b[0] for a, b in pairwise(calls))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rc.integrate(field, points(3000), rtol=1e-6, num_threads=threads, progress=stop)


@pytest.mark.parametrize("dense", [False, True])
def test_what_a_loose_tolerance_carries_past_its_neighbours_is_followed_again(dense: bool) -> None:
    def stretching(t: float, x: np.ndarray) -> np.ndarray:
        return np.asarray(12 * np.sin(5 * x))  # flow: tan(5 x / 2) grows by exp(60 t)

    x0 = np.linspace(-3, 3, 4001)
    flow = rc.integrate(stretching, x0, method="dop853", rtol=1e-3, atol=1e-9, dense=dense)
    assert flow.ok
    assert not rc.crossings(x0, flow.x, 0.01).any()
    if dense:
        assert np.allclose(flow(1.0), flow.x, atol=1e-9)


def test_densities_and_jacobians_of_native_fields_in_space_are_the_closed_forms() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    plan = rc.GaussianPlan.from_joint(np.arange(6.0), root @ root.T + np.eye(6))
    x0 = plan.source.rvs(40, rng)
    flow = rc.integrate(rc.velocity_field(plan), x0, rtol=1e-11, log_density=True, jacobian=True)
    # log |det| = (log |S1| - log |S0|) / 2 for Gaussian plans; 1e-9 is 100 times the tolerance.
    exact = 0.5 * np.diff([np.linalg.slogdet(s)[1] for s in (plan.cov00, plan.cov11)])
    assert np.allclose(flow.log_det, exact, rtol=0, atol=1e-9)
    assert np.allclose(np.linalg.slogdet(flow.jacobian)[1], exact, rtol=0, atol=1e-9)
    # The flow of a Gaussian plan is affine: its Jacobian is the matrix between differences.
    steps, ends = x0[1:4] - x0[0], flow.x[1:4] - flow.x[0]
    assert np.allclose(steps @ flow.jacobian[0].T, ends, rtol=0, atol=1e-8)
    assert np.allclose(flow.jacobian, flow.jacobian[0], rtol=0, atol=1e-8)


def test_ctrl_c_stops_a_long_integration() -> None:
    import signal
    import threading
    import time

    field = rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 2.0))
    threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,)).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        rc.integrate(field, np.zeros(100_000), method="rk4", steps=100_000)
    assert time.perf_counter() - start < 60  # of several minutes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX's resource usage")
def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    import subprocess
    import sys

    code = """
import resource, sys, numpy as np, recouple as rc
field = rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 2.0))
x0 = np.random.default_rng(0).normal(size=1_000_000)
rc.integrate(field, x0, method="rk4", steps=1, num_threads=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rc.integrate(field, x0, method="rk4", steps=int(sys.argv[1]), num_threads=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = [
        int(subprocess.run([sys.executable, "-c", code, n], check=True, capture_output=True).stdout)
        for n in ("2", "20")
    ]
    # Kilobytes; one more array of the points would take 8000.
    assert abs(grown[1] - grown[0]) < 4000
