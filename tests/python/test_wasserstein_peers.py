"""Cases that SciPy and POT test themselves by, and their answers beside ours."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import recouple as rc

FloatArray = NDArray[np.float64]


# What SciPy checks of its wasserstein_distance: hand-made values, shifts, mixing in, repeats as
# weights, zero weights, and sizes that differ.
@pytest.mark.parametrize(
    ("u", "v", "uw", "vw", "expected"),
    [
        ([0, 1], [0], [1, 1], [1], 0.5),
        ([0, 1], [0], [3, 1], [1], 0.25),
        ([0, 2], [0], [1, 1], [1], 1),
        ([0, 1, 2], [1, 2, 3], None, None, 1),
        ([1, 1, 1, 1], [4, 4, 1], [1, 1, 1, 1], [1, 1, 1], 2),
        ([5, -2, 1], [5, -2, 1], [1, 2, 3], [1, 2, 3], 0),
        ([1, 2, 100000], [1, 1], [1, 1, 0], [1, 1], 0.5),
        ([3.4, 3.9, 7.5, 7.8], [4.5, 1.4], [1.4, 0.9, 3.1, 7.2], [3.2, 3.5], 4.0781331438047861),
    ],
)
def test_known_distances(u: Any, v: Any, uw: Any, vw: Any, expected: float) -> None:
    assert rc.wasserstein_1d(u, v, uw, vw) == pytest.approx(expected, rel=1e-14)
    assert rc.wasserstein_1d(v, u, vw, uw) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("p", [1, 2, 4.5, np.inf])
def test_a_shift_is_the_distance(p: float) -> None:
    assert rc.wasserstein_1d([1, 2, 5], [7, 8, 11], p=p) == pytest.approx(6, rel=1e-15)


def test_repeats_are_weights() -> None:
    rng = np.random.default_rng(0)
    u, v, count = rng.normal(size=8), rng.normal(size=5), rng.integers(0, 4, size=8)
    repeated = np.repeat(u, count)
    for p in (1, 2, 3.3, np.inf):
        assert rc.wasserstein_1d(u, v, count, p=p) == pytest.approx(
            rc.wasserstein_1d(repeated, v, p=p), rel=1e-14
        )


def test_mixing_in_the_other_law_brings_it_nearer_in_proportion() -> None:
    u, v = np.array([0.0, 1, 4]), np.array([2.0, 7, 9])
    whole = rc.wasserstein_1d(u, v)
    both, weights = np.concatenate([u, v]), np.array([3.0] * 3 + [1.0] * 3)
    assert rc.wasserstein_1d(both, v, weights) == pytest.approx(0.75 * whole, rel=1e-14)


arrays = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-100, 100, width=32))


@settings(max_examples=100, deadline=None)
@given(arrays, arrays, st.integers(0, 2**32 - 1))
def test_scipy_gives_the_same(u: FloatArray, v: FloatArray, seed: int) -> None:
    distance = pytest.importorskip("scipy.stats").wasserstein_distance
    rng = np.random.default_rng(seed)
    a, b = rng.random(len(u)) + 1e-3, rng.random(len(v)) + 1e-3
    for weights in ((None, None), (a, None), (a, b)):
        # Rounding of levels times the spread of 200.
        expected = pytest.approx(distance(u, v, *weights), rel=1e-12, abs=1e-12)
        assert rc.wasserstein_1d(u, v, *weights) == expected


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("sizes", [(20, 20), (20, 33)])
def test_pot_gives_the_same_after_the_root(p: int, sizes: tuple[int, int]) -> None:
    ot = pytest.importorskip("ot")
    rng = np.random.default_rng(p)
    u, v = rng.normal(size=sizes[0]), rng.normal(size=sizes[1])
    a, b = rng.random(sizes[0]), rng.random(sizes[1])
    a, b = a / a.sum(), b / b.sum()
    got = rc.wasserstein_1d(u, v, a, b, p)
    assert got == pytest.approx(float(ot.wasserstein_1d(u, v, a, b, p)) ** (1 / p), rel=1e-9)
    emd = float(ot.emd2_1d(u, v, a, b, metric="minkowski", p=p))
    assert got == pytest.approx(emd ** (1 / p), rel=1e-9)
    plan = ot.emd_1d(u, v, a, b, metric="minkowski", p=p)
    np.testing.assert_allclose(rc.wasserstein_1d_plan(u, v, a, b).to_dense(), plan, atol=1e-12)
    cost = np.abs(u[:, None] - v[None]) ** p
    assert got**p == pytest.approx(float(ot.emd2(a, b, cost)), rel=1e-9)


def test_pot_batches_run_along_the_first_axis() -> None:
    ot = pytest.importorskip("ot")
    rng = np.random.default_rng(3)
    u, v = rng.normal(size=(30, 4)), rng.normal(size=(20, 4))
    a = rng.random((30, 4))
    a /= a.sum(0)
    expected = ot.wasserstein_1d(u, v, a, None, p=2) ** 0.5
    np.testing.assert_allclose(rc.wasserstein_1d(u, v, a, p=2, axis=0), expected, rtol=1e-9)


# The laws of a metric, on problems of equal and of unequal weights.
problems = st.tuples(arrays, st.integers(0, 2**32 - 1)).map(
    lambda pair: (pair[0], np.random.default_rng(pair[1]).random(len(pair[0])) + 1e-3)
)
orders = st.sampled_from([1.0, 1.7, 2.0, 3.0, np.inf])


@settings(max_examples=100, deadline=None)
@given(problems, problems, problems, orders)
def test_the_distance_is_a_metric(u: Any, v: Any, w: Any, p: float) -> None:
    def distance(a: Any, b: Any) -> float:
        return float(rc.wasserstein_1d(a[0], b[0], a[1], b[1], p))

    assert distance(u, v) >= 0
    assert distance(u, v) == pytest.approx(distance(v, u), rel=1e-12, abs=1e-12)
    order = np.random.default_rng(0).permutation(len(u[0]))
    # Levels that agree within rounding are one: the same atoms in another order are at distance 0.
    assert distance(u, (u[0][order], 7 * u[1][order])) == pytest.approx(0, abs=1e-11)
    assert distance(u, w) <= (distance(u, v) + distance(v, w)) * (1 + 1e-12) + 1e-11


@settings(max_examples=100, deadline=None)
@given(problems, problems, orders, st.floats(-50, 50), st.floats(0.01, 50))
def test_shifts_and_scales_act_on_the_distance(
    u: Any, v: Any, p: float, shift: float, scale: float
) -> None:
    start = rc.wasserstein_1d(u[0], v[0], u[1], v[1], p)
    moved = rc.wasserstein_1d(u[0] + shift, v[0] + shift, u[1], v[1], p)
    assert moved == pytest.approx(start, rel=1e-11, abs=1e-11)  # rounding of the shifted atoms
    scaled = rc.wasserstein_1d(-scale * u[0], -scale * v[0], u[1], v[1], p)
    assert scaled == pytest.approx(scale * start, rel=1e-11, abs=1e-11 * scale)
    apart = rc.wasserstein_1d(u[0], u[0] + shift, u[1], u[1], p)
    assert apart == pytest.approx(abs(shift), rel=1e-11, abs=1e-11)


@settings(max_examples=100, deadline=None)
@given(problems, problems)
def test_the_distance_grows_with_the_order(u: Any, v: Any) -> None:
    found = [rc.wasserstein_1d(u[0], v[0], u[1], v[1], p) for p in (1, 1.3, 2, 3, 9.5, 40, np.inf)]
    assert all(a <= b * (1 + 1e-12) + 1e-12 for a, b in pairwise(found))
