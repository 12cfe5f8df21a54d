"""Distances between Gaussians and their mixtures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import recouple as rc

FloatArray = NDArray[np.float64]


def covariance(rng: np.random.Generator, dim: int, rank: int | None = None) -> FloatArray:
    root = rng.normal(size=(dim, dim if rank is None else rank))
    return np.asarray(root @ root.T)


def root(matrix: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_factor_form_is_the_trace_formula(dim: int) -> None:
    rng = np.random.default_rng(dim)
    m0, m1 = rng.normal(size=(2, dim))
    S0, S1 = covariance(rng, dim), covariance(rng, dim)
    half = root(S1)
    squared = np.sum((m0 - m1) ** 2) + np.trace(S0 + S1 - 2 * root(half @ S0 @ half))
    assert rc.bures_wasserstein(m0, S0, m1, S1) == pytest.approx(np.sqrt(squared), rel=1e-12)


@pytest.mark.parametrize("epsilon", [1e-3, 1e-6, 1e-9])
def test_near_gaussians_keep_their_distance(epsilon: float) -> None:
    # S1 = (I + eps A) S0 (I + eps A) with the map I + eps A: W^2 = eps^2 tr(A S0 A).
    rng = np.random.default_rng(7)
    S0 = covariance(rng, 4)
    A = covariance(rng, 4) / 4
    T = np.eye(4) + epsilon * A
    S1 = T @ S0 @ T
    expected = epsilon * np.sqrt(np.trace(A @ S0 @ A))
    # S1 is rounded to an ulp: relative 1e-16 / eps times its condition (about 100).
    got = rc.bures_wasserstein(np.zeros(4), S0, np.zeros(4), (S1 + S1.T) / 2)
    assert got == pytest.approx(expected, rel=2e-14 / epsilon)


def test_singular_covariances_are_exact() -> None:
    # Commuting projections: W^2 = sum (s0 - s1)^2 over the common axes, with zeros among them.
    axes = np.linalg.qr(np.random.default_rng(8).normal(size=(4, 4)))[0]
    s0, s1 = np.array([2.0, 0, 1, 0]), np.array([0.5, 3, 0, 0])
    S0, S1 = (axes * s0**2) @ axes.T, (axes * s1**2) @ axes.T
    got = rc.bures_wasserstein(np.zeros(4), (S0 + S0.T) / 2, np.zeros(4), (S1 + S1.T) / 2)
    assert got == pytest.approx(np.sqrt(np.sum((s0 - s1) ** 2)), rel=1e-14)
    assert rc.bures_wasserstein([0, 0], np.zeros((2, 2)), [3, 4], np.zeros((2, 2))) == 5


def test_batches_broadcast() -> None:
    rng = np.random.default_rng(9)
    means = rng.normal(size=(3, 2))
    covs = np.stack([covariance(rng, 2) for _ in range(3)])
    table = rc.bures_wasserstein(means[:, None], covs[:, None], means[None], covs[None])
    assert table.shape == (3, 3)
    np.testing.assert_allclose(np.diag(table), 0, atol=1e-14)  # a few ulp of the standard deviation
    one = rc.bures_wasserstein(means[0], covs[0], means[2], covs[2])
    assert table[0, 2] == pytest.approx(one, rel=1e-14)


def test_the_map_carries_one_gaussian_to_the_other_at_the_cost_of_the_distance() -> None:
    rng = np.random.default_rng(10)
    m0, m1 = rng.normal(size=(2, 3))
    S0, S1 = covariance(rng, 3), covariance(rng, 3)
    T = rc.bures_map(m0, S0, m1, S1)
    np.testing.assert_allclose(T.matrix @ S0 @ T.matrix.T, S1, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(T.matrix, T.matrix.T)
    assert np.linalg.eigvalsh(T.matrix).min() > 0  # the gradient of a convex function
    np.testing.assert_allclose(T(m0), m1)
    off = T.matrix - np.eye(3)
    cost = np.sum((m0 - m1) ** 2) + np.trace(off @ S0 @ off)
    assert np.sqrt(cost) == pytest.approx(rc.bures_wasserstein(m0, S0, m1, S1), rel=1e-12)


@pytest.mark.parametrize("power", [False, True])
def test_gradients_are_the_limits_of_differences(power: bool) -> None:
    rng = np.random.default_rng(11)
    start: list[FloatArray] = [
        rng.normal(size=3),
        covariance(rng, 3),
        rng.normal(size=3),
        covariance(rng, 3),
    ]
    gradient = rc.bures_wasserstein_grad(*start, power=power)
    found = [gradient.m0, gradient.S0, gradient.m1, gradient.S1]

    def value(arguments: list[FloatArray]) -> float:
        distance = float(rc.bures_wasserstein(*arguments))
        return distance**2 if power else distance

    assert gradient.distance == pytest.approx(value(start), rel=1e-14)
    for k in range(4):
        change = rng.normal(size=start[k].shape)
        if change.ndim == 2:
            change = change + change.T
        h = 1e-6
        ends = [
            value([a + sign * h * change if i == k else a for i, a in enumerate(start)])
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * h)
        # Central differences: h^2 and 1e-16 / h, times derivatives of order 10.
        assert np.sum(found[k] * change) == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_mixtures_agree_with_the_linear_program() -> None:
    linprog = pytest.importorskip("scipy.optimize").linprog
    for seed in range(12):
        rng = np.random.default_rng(seed)
        n, m = rng.integers(1, 8, size=2)
        mixes = []
        for k in (n, m):
            weights = rng.random(k) + 0.05
            covs = np.stack([covariance(rng, 2) for _ in range(k)])
            mixes.append(rc.GaussianMixture(weights / weights.sum(), rng.normal(size=(k, 2)), covs))
        left, right = mixes
        got = rc.mixture_wasserstein(left, right)
        cost = (
            rc.bures_wasserstein(
                left.means[:, None], left.covs[:, None], right.means[None], right.covs[None]
            )
            ** 2
        )
        A = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
        solved = linprog(
            cost.ravel(), A_eq=A, b_eq=np.concatenate([left.weights, right.weights]), method="highs"
        )
        assert got.distance**2 == pytest.approx(solved.fun, rel=1e-7)  # the solver's tolerance
        np.testing.assert_allclose(got.plan.sum(1), left.weights, atol=1e-14)
        np.testing.assert_allclose(got.plan.sum(0), right.weights, atol=1e-14)


def test_mixtures_on_the_line_bound_the_distance_from_above() -> None:
    left = rc.NormalMixture([0.3, 0.7], [-2, 1], [0.5, 1])
    right = rc.NormalMixture([0.6, 0.4], [0, 4], [1, 0.2])
    distance = float(rc.mixture_wasserstein(left, right))
    assert distance >= rc.wasserstein_1d(left, right, p=2)
    # Equal deviations reduce the problem to the means, weighted.
    left = rc.NormalMixture([0.3, 0.7], [-2, 1], [2, 2])
    right = rc.NormalMixture([0.6, 0.4], [0, 4], [2, 2])
    expected = rc.wasserstein_1d([-2, 1], [0, 4], [0.3, 0.7], [0.6, 0.4], 2)
    assert float(rc.mixture_wasserstein(left, right)) == pytest.approx(expected, rel=1e-14)
    assert float(rc.mixture_wasserstein(rc.Normal(0, 1), rc.Normal(3, 5))) == pytest.approx(5)


def test_peers_agree() -> None:
    gaussian = pytest.importorskip("ot").gaussian
    rng = np.random.default_rng(12)
    m0, m1 = rng.normal(size=(2, 3))
    S0, S1 = covariance(rng, 3), covariance(rng, 3)
    assert rc.bures_wasserstein(m0, S0, m1, S1) == pytest.approx(
        float(gaussian.bures_wasserstein_distance(m0, m1, S0, S1)), rel=1e-9
    )
    A, b = gaussian.bures_wasserstein_mapping(m0, m1, S0, S1)
    x = rng.normal(size=(5, 3))
    np.testing.assert_allclose(rc.bures_map(m0, S0, m1, S1)(x), x @ A + b, rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 0], np.eye(3), [0, 0], np.eye(2)), r"S0 must have shape \(..., 2, 2\)"),
        (([0, 0], np.eye(2), [0], np.eye(2)), r"m1 must have shape \(2,\)"),
        (([0, 0], [[1, 2], [0, 1]], [0, 0], np.eye(2)), "S0 must be symmetric"),
        (([0, 0], np.eye(2), [0, 0], np.diag([1, -1])), "S1 must be positive semidefinite"),
        (([0, np.nan], np.eye(2), [0, 0], np.eye(2)), "m0 must be finite"),
        ((0, np.eye(2), [0, 0], np.eye(2)), r"m0 must have shape \(D,\), got a number"),
    ],
)
def test_bad_input_is_named(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rc.bures_wasserstein(*arguments)


def test_what_is_no_mixture_is_named() -> None:
    with pytest.raises(ValueError, match="mix1 must be a mixture of Gaussians, got 3"):
        rc.mixture_wasserstein(rc.Normal(0, 1), 3)
