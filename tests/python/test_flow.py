from __future__ import annotations

import pickle
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import recouple as rc

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
