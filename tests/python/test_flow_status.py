from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import recouple as rc
from recouple import FlowStatus
from test_flow import ADAPTIVE, MILD, points


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
