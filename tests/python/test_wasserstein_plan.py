"""The plan on the line and the gradients of the distance."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import recouple as rc

FloatArray = NDArray[np.float64]
Weighted = tuple[FloatArray, FloatArray]


@st.composite
def weighted(draw: Any) -> Weighted:
    x = draw(hnp.arrays(np.float64, st.integers(1, 9), elements=st.integers(-9, 9)))
    w = draw(hnp.arrays(np.float64, x.shape, elements=st.integers(0, 5)))
    w[draw(st.integers(0, len(x) - 1))] += 1
    return x, w


@settings(max_examples=150, deadline=None)
@given(weighted(), weighted())
def test_a_plan_has_its_marginals_and_attains_every_distance(u: Weighted, v: Weighted) -> None:
    plan = rc.wasserstein_1d_plan(u[0], v[0], u[1], v[1])
    assert len(plan) <= len(u[0]) + len(v[0]) - 1
    assert (plan.mass > 0).all()
    dense = plan.to_dense()
    # Levels within 16 ulp count as equal: that much, and the rounding of the sums.
    np.testing.assert_allclose(dense.sum(1), u[1] / u[1].sum(), atol=1e-14, rtol=0)
    np.testing.assert_allclose(dense.sum(0), v[1] / v[1].sum(), atol=1e-14, rtol=0)
    for p in (1.0, 2.0, 3.5):
        # A distance of 0 may come out as the root of a sliver, hence the absolute part.
        expected = rc.wasserstein_1d(u[0], v[0], u[1], v[1], p)
        assert plan.distance(p) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(weighted(), weighted(), st.sampled_from([1.0, 2.0, 3.0]))
def test_the_distance_is_the_linear_program(u: Weighted, v: Weighted, p: float) -> None:
    linprog = pytest.importorskip("scipy.optimize").linprog
    n, m = len(u[0]), len(v[0])
    cost = np.abs(u[0][:, None] - v[0][None]) ** p
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    masses = np.concatenate([u[1] / u[1].sum(), v[1] / v[1].sum()])
    solved = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=masses, method="highs")
    got = rc.wasserstein_1d(u[0], v[0], u[1], v[1], p, power=True)
    assert got == pytest.approx(solved.fun, rel=1e-7, abs=1e-7)  # the solver's own tolerance


def test_equal_weights_give_a_permutation() -> None:
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=50), rng.normal(size=50)
    plan = rc.wasserstein_1d_plan(u, v)
    assert np.array_equal(np.argsort(u), plan.u_index)
    assert np.array_equal(np.argsort(v), plan.v_index)
    assert np.array_equal(plan.mass, np.full(50, 1 / 50))


def test_a_plan_is_a_plan_of_the_package_too() -> None:
    plan = rc.wasserstein_1d_plan([3.0, 1.0], [2.0, 4.0, 6.0], None, [1, 0, 1])
    atoms = plan.to_plan()
    assert np.array_equal(atoms.x0, [1, 3])
    assert np.array_equal(atoms.x1, [2, 6])
    assert np.array_equal(plan.to_coo().toarray(), plan.to_dense())
    copy = pickle.loads(pickle.dumps(plan))
    assert np.array_equal(copy.mass, plan.mass)
    assert repr(copy) == "LinePlan(2 to 3 atoms, 2 entries)"
    with pytest.raises(ValueError, match="read-only"):
        plan.mass[0] = 1


def test_large_weighted_plans_keep_their_marginals() -> None:
    rng = np.random.default_rng(1)
    u, v = rng.normal(size=100_000), rng.exponential(size=70_000)
    a, b = rng.random(100_000), rng.exponential(size=70_000) ** 4
    plan = rc.wasserstein_1d_plan(u, v, a, b)
    rows = np.bincount(plan.u_index, plan.mass, len(u))
    columns = np.bincount(plan.v_index, plan.mass, len(v))
    np.testing.assert_allclose(rows, a / a.sum(), atol=1e-14, rtol=0)
    np.testing.assert_allclose(columns, b / b.sum(), atol=1e-14, rtol=0)
    assert plan.distance(2) == pytest.approx(rc.wasserstein_1d(u, v, a, b, 2), rel=1e-11)


def differences(f: Any, x: FloatArray, h: float) -> FloatArray:
    slope = np.empty_like(x)
    for k in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[k] += h
        down[k] -= h
        slope[k] = (f(up) - f(down)) / (2 * h)
    return slope


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 5.5])
@pytest.mark.parametrize("sizes", [(6, 6), (7, 4)])
@pytest.mark.parametrize("power", [False, True])
def test_gradients_are_the_limits_of_differences(
    p: float, sizes: tuple[int, int], power: bool
) -> None:
    rng = np.random.default_rng(2)
    u, v = rng.normal(size=sizes[0]), rng.normal(size=sizes[1]) + 0.4
    a, b = rng.random(sizes[0]) + 0.1, rng.random(sizes[1]) + 0.1

    def distance(u: Any, v: Any, a: Any, b: Any) -> float:
        return float(rc.wasserstein_1d(u, v, a, b, p, power=power))

    gradient = rc.wasserstein_1d_grad(u, v, a, b, p, power=power)
    assert gradient.distance == pytest.approx(distance(u, v, a, b), rel=1e-13)
    h = 1e-6  # central differences: error h^2 times third derivatives of order 1, plus 1e-16 / h
    close: Any = {"rtol": 1e-6, "atol": 1e-8}
    np.testing.assert_allclose(
        gradient.u_values, differences(lambda x: distance(x, v, a, b), u, h), **close
    )
    np.testing.assert_allclose(
        gradient.v_values, differences(lambda x: distance(u, x, a, b), v, h), **close
    )
    np.testing.assert_allclose(
        gradient.u_weights, differences(lambda x: distance(u, v, x, b), a, h), **close
    )
    np.testing.assert_allclose(
        gradient.v_weights, differences(lambda x: distance(u, v, a, x), b, h), **close
    )


def test_gradients_by_weights_lie_between_the_one_sided_ones_at_a_kink() -> None:
    # Equal weights: every level of u is one of v, and each weight's derivative jumps there.
    rng = np.random.default_rng(3)
    u, v, w = rng.normal(size=5), rng.normal(size=5), np.full(5, 0.2)
    gradient = rc.wasserstein_1d_grad(u, v, p=2)
    h = 1e-7
    start = rc.wasserstein_1d(u, v, w, w, 2)
    for k in range(5):
        step = h * np.eye(5)[k]
        sides = [
            (rc.wasserstein_1d(u, v, w + step, w, 2) - start) / h,
            (start - rc.wasserstein_1d(u, v, w - step, w, 2)) / h,
        ]
        assert min(sides) - 1e-5 <= gradient.u_weights[k] <= max(sides) + 1e-5


def test_an_atom_without_weight_has_the_slope_of_gaining_some() -> None:
    u, v, a = np.array([0.0, 1.7, 3.0]), np.array([0.5, 4.0]), np.array([0.4, 0.0, 0.6])
    gradient = rc.wasserstein_1d_grad(u, v, a, [0.3, 0.7], 2, power=True)
    gain = rc.wasserstein_1d(u, v, a + [0, 1e-7, 0], [0.3, 0.7], 2, power=True)
    start = rc.wasserstein_1d(u, v, a, [0.3, 0.7], 2, power=True)
    assert gradient.u_weights[1] == pytest.approx((gain - start) / 1e-7, rel=1e-5)
    assert gradient.u_values[1] == 0


def test_gradients_agree_with_automatic_differentiation() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(3, 40)), rng.normal(size=(3, 40))
    u, v = (torch.tensor(a, requires_grad=True) for a in (x, y))
    loss = ((u.sort(dim=-1).values - v.sort(dim=-1).values).abs() ** 3).mean(-1).sum()
    loss.backward()
    gradient = rc.wasserstein_1d_grad(x, y, p=3, power=True)
    np.testing.assert_allclose(gradient.u_values, u.grad.numpy(), rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(gradient.v_values, v.grad.numpy(), rtol=1e-11, atol=1e-15)


def test_a_batch_of_gradients_is_its_problems_one_by_one() -> None:
    rng = np.random.default_rng(5)
    u, v, a = rng.normal(size=(3, 1, 8)), rng.normal(size=(2, 5)), rng.random(8)
    batch = rc.wasserstein_1d_grad(u, v, a, p=2)
    assert batch.distance.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        one = rc.wasserstein_1d_grad(u[i, 0], v[j], a, p=2)
        assert batch.distance[i, j] == one.distance
        assert np.array_equal(batch.u_values[i, j], one.u_values)
        assert np.array_equal(batch.v_weights[i, j], one.v_weights)


def test_the_gradient_of_no_distance_is_zero() -> None:
    gradient = rc.wasserstein_1d_grad([1.0, 2.0], [2.0, 1.0], p=2)
    assert gradient.distance == 0
    assert not gradient.u_values.any()
    assert not gradient.u_weights.any()


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="u_values must be finite, got inf"):
        rc.wasserstein_1d_plan([np.inf], [1])
    with pytest.raises(ValueError, match="p must be finite, got inf"):
        rc.wasserstein_1d_grad([1], [1], p=np.inf)
    with pytest.raises(ValueError, match=r"u_weights must have shape \(2\)"):
        rc.wasserstein_1d_plan([1, 2], [1], [1])
    with pytest.raises(ValueError, match="v_weights must not be negative"):
        rc.wasserstein_1d_grad([1], [1, 2], None, [1, -1])
