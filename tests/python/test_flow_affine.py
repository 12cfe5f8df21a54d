"""Flows of affine fields: closed forms, densities, order of convergence, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recouple as rc


def random_plan(dim: int, seed: int) -> rc.GaussianPlan:
    rng = np.random.default_rng(seed)
    g = rng.normal(size=(2 * dim, 4 * dim))
    return rc.GaussianPlan.from_joint(rng.normal(size=2 * dim), g @ g.T / (4 * dim))


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_flow_carries_moments_and_density(dim: int) -> None:
    plan = random_plan(dim, dim)
    flow = rc.affine_flow(rc.velocity_field(plan))
    cov0, cov1 = np.atleast_2d(plan.cov00), np.atleast_2d(plan.cov11)
    np.testing.assert_allclose(flow.matrix @ cov0 @ flow.matrix.T, cov1, atol=1e-13)
    x = plan.source.rvs(30, rng=0)
    np.testing.assert_allclose(
        plan.log_density(1.0, flow(x)), plan.log_density(0.0, x) - flow.log_det, atol=2e-13
    )
    np.testing.assert_allclose(flow.inverse(flow(x)), x, atol=1e-12)
    integrated = rc.integrate(rc.velocity_field(plan), x, rtol=1e-11).x
    np.testing.assert_allclose(flow(x), integrated, atol=1e-8)


def test_independent_ends_have_a_closed_form() -> None:
    # C = 0: phi = (S1 S0^-1)^(1/2), with S0 = 1 the root of S1.
    g = np.random.default_rng(0).normal(size=(3, 9))
    cov = g @ g.T / 9
    plan = rc.GaussianPlan(np.zeros(3), np.zeros(3), np.eye(3), np.zeros((3, 3)), cov)
    values, vectors = np.linalg.eigh(cov)
    flow = rc.affine_flow(rc.velocity_field(plan))
    np.testing.assert_allclose(flow.matrix, (vectors * np.sqrt(values)) @ vectors.T, atol=1e-13)


def test_a_turning_plan_has_a_closed_form() -> None:
    # D = 2, S0 = S1 = 1, C = w J: phi = exp(-w J int dt / s_t), s_t = (1-t)^2 + t^2.
    w, J = 0.6, np.array([[0.0, -1.0], [1.0, 0.0]])
    plan = rc.GaussianPlan([0, 0], [0, 0], np.eye(2), w * J, np.eye(2))
    angle = -w * np.pi / 2  # the integral is pi / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flow = rc.affine_flow(rc.velocity_field(plan))
    np.testing.assert_allclose(flow.matrix, turn, atol=1e-13)


def test_the_order_is_ten() -> None:
    plan = random_plan(2, 3)
    field = rc.velocity_field(plan)
    exact = rc.affine_flow(field, steps=64).matrix
    errors = [np.abs(rc.affine_flow(field, steps=n).matrix - exact).max() for n in (1, 2, 4)]
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    assert slopes[-1] > 7  # 10 in the limit, which rounding reaches first


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (lambda t, x: x, "differentiable"),
        (
            rc.velocity_field(rc.MixturePlan([1, 1], [[-2, 0], [2, 1]], [np.eye(2)] * 2)),
            "must be affine",
        ),
    ],
)
def test_other_fields_are_refused(field: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rc.affine_flow(field)


def test_points_of_another_dimension_are_refused() -> None:
    flow = rc.affine_flow(rc.velocity_field(random_plan(2, 0)))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 2\)"):
        flow(np.zeros((3, 3)))
