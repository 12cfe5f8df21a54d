"""Wasserstein distances on the line: closed forms, laws, second algorithms and peers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import recouple as rc

FloatArray = NDArray[np.float64]

# Small whole numbers: sums, differences and products of them are exact, and ties are common.
whole_values = hnp.arrays(np.float64, st.integers(1, 7), elements=st.integers(-9, 9))
values = hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(-1e3, 1e3))
orders = st.sampled_from([1.0, 1.5, 2.0, 3.0, 7.3, 70.0, np.inf])


@st.composite
def weighted(draw: Any, atoms: Any = values) -> tuple[FloatArray, FloatArray]:
    x = draw(atoms)
    w = draw(hnp.arrays(np.float64, x.shape, elements=st.integers(0, 5)))
    w[draw(st.integers(0, len(x) - 1))] += 1
    return x, w


def by_quantiles(u: FloatArray, v: FloatArray, uw: FloatArray, vw: FloatArray, p: float) -> float:
    """Return W_p from the quantile functions on a grid of levels: plain NumPy, another algorithm.

    The weights are whole numbers, so that the levels k / (sum uw * sum vw) resolve both laws.
    """
    a, b = int(uw.sum()), int(vw.sum())
    i, j = np.argsort(u, kind="stable"), np.argsort(v, kind="stable")
    x = np.repeat(np.repeat(u[i], uw[i].astype(int)), b)
    y = np.repeat(np.repeat(v[j], vw[j].astype(int)), a)
    d = np.abs(x - y)
    top = d.max()
    if np.isinf(p) or top == 0:
        return float(top)
    return float(top * np.mean((d / top) ** p) ** (1 / p))


@settings(max_examples=200, deadline=None)
@given(weighted(), weighted(), orders)
def test_the_distance_is_that_of_the_quantile_functions(
    u: tuple[FloatArray, FloatArray], v: tuple[FloatArray, FloatArray], p: float
) -> None:
    got = rc.wasserstein_1d(u[0], v[0], u[1], v[1], p)
    # Up to 60 x 60 terms, each right to 1 ulp times p.
    scale = max(abs(u[0]).max(), abs(v[0]).max())
    assert got == pytest.approx(
        by_quantiles(*u[:1], *v[:1], u[1], v[1], p), rel=1e-12, abs=1e-13 * scale
    )


@settings(max_examples=100, deadline=None)
@given(values, values, orders)
def test_equal_weights_are_weights_of_one(u: FloatArray, v: FloatArray, p: float) -> None:
    got = rc.wasserstein_1d(u, v, p=p)
    ones = rc.wasserstein_1d(u, v, np.ones(len(u)), 3 * np.ones(len(v)), p)
    assert got == pytest.approx(ones, rel=1e-13, abs=1e-12)  # rounding of the levels only


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 40, 538, np.inf])
def test_two_point_masses_are_their_distance_apart(p: float) -> None:
    assert rc.wasserstein_1d([0.0], [3.0], p=p) == pytest.approx(3, rel=1e-15)
    assert rc.wasserstein_1d([0.0], [3e-200], p=p) == pytest.approx(3e-200, rel=1e-15)
    assert rc.wasserstein_1d([0.0], [3e200], p=p) == pytest.approx(3e200, rel=1e-15)


@pytest.mark.parametrize("p", [1, 2, 2.5, np.inf])
@pytest.mark.parametrize("sizes", [(400, 400), (400, 317), (20000, 30001)])
@pytest.mark.parametrize("weights", [False, True])
def test_large_problems_agree_with_numpy(p: float, sizes: tuple[int, int], weights: bool) -> None:
    rng = np.random.default_rng(1)
    u, v = rng.normal(size=sizes[0]), rng.exponential(size=sizes[1])
    a, b = (rng.random(n) if weights else np.ones(n) for n in sizes)
    i, j = np.argsort(u), np.argsort(v)
    cu, cv = np.cumsum(a[i]) / a.sum(), np.cumsum(b[j]) / b.sum()
    levels = np.sort(np.concatenate([cu, cv]))
    middle = np.concatenate([[0], levels[:-1]]) / 2 + levels / 2
    mass = np.diff(np.concatenate([[0], levels]))
    x = u[i][np.searchsorted(cu, middle).clip(max=len(u) - 1)]
    y = v[j][np.searchsorted(cv, middle).clip(max=len(v) - 1)]
    d = np.abs(x - y)
    expected = d[mass > 1e-12].max() if np.isinf(p) else np.sum(mass * d**p) ** (1 / p)
    got = rc.wasserstein_1d(u, v, a if weights else None, b if weights else None, p)
    assert got == pytest.approx(expected, rel=1e-11)  # NumPy's plain cumulative sums


def test_the_thread_count_changes_no_bit() -> None:
    rng = np.random.default_rng(2)
    u, v, w = rng.normal(size=200_000), rng.normal(size=150_000), rng.random(200_000)
    for weights in (None, w):
        for p in (1, 2, 2.5, np.inf):
            one, two, five = (
                rc.wasserstein_1d(u, v, weights, p=p, num_threads=k) for k in (1, 2, 5)
            )
            assert one == two == five


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weights", [None, "shared", "own"])
def test_a_batch_is_its_problems_one_by_one(dtype: Any, weights: str | None) -> None:
    rng = np.random.default_rng(3)
    u = rng.normal(size=(4, 1, 30)).astype(dtype)
    v = rng.normal(size=(5, 20)).astype(dtype)
    a = None if weights is None else rng.random(u.shape if weights == "own" else 30).astype(dtype)
    got = rc.wasserstein_1d(u, v, a, p=2)
    assert got.shape == (4, 5)
    assert got.dtype == dtype
    for i in range(4):
        for j in range(5):
            row = None if a is None else a if weights == "shared" else a[i, 0]
            assert got[i, j] == dtype(rc.wasserstein_1d(u[i, 0], v[j], row, p=2))
    swapped = rc.wasserstein_1d(
        np.moveaxis(u, -1, 0), np.broadcast_to(v, (4, 5, 20)).transpose(2, 0, 1), p=2, axis=0
    )
    assert np.array_equal(swapped, rc.wasserstein_1d(u, v, p=2))


def test_sorted_input_may_be_declared_so() -> None:
    rng = np.random.default_rng(4)
    u, v = np.sort(rng.normal(size=50)), np.sort(rng.normal(size=70))
    a = rng.random(50)
    for w in (None, a):
        assert rc.wasserstein_1d(u, v, w, assume_sorted=True) == rc.wasserstein_1d(u, v, w)


def test_float32_sums_are_kept_in_double() -> None:
    x = np.linspace(0, 1, 10**7, dtype=np.float32)
    # x + 1 is rounded to a float32 near 1 or 2: at most 2^-24 each way, and unbiased.
    assert rc.wasserstein_1d(x, x + np.float32(1)) == pytest.approx(1, abs=1e-6)


def test_inputs_are_left_alone() -> None:
    u, v, w = np.array([3.0, 1, 2]), np.array([0.0, 5, 1]), np.array([1.0, 0, 2])
    for array in (u, v, w):
        array.setflags(write=False)
    assert rc.wasserstein_1d(u, v, w) > 0
    assert rc.wasserstein_1d(u[::-1], v, w[::-1]) == rc.wasserstein_1d(u, v, w)


@pytest.mark.parametrize(
    ("u", "v", "expected"),
    [
        ([1, 2, np.inf], [1, 1], np.inf),
        ([1, 2, np.inf], [-np.inf, 1], np.inf),
        ([1, -np.inf, np.inf], [1, 1], np.inf),
    ],
)
def test_mass_at_infinity_is_infinitely_far(u: Any, v: Any, expected: float) -> None:
    for p in (1, 2, 3.5, np.inf):
        assert rc.wasserstein_1d(u, v, p=p) == expected
        assert rc.wasserstein_1d(u, v, np.ones(3), p=p) == expected
    assert rc.wasserstein_1d([1, np.inf], [1, 1], [1, 0]) == 0


def test_mass_at_the_same_infinity_has_no_distance() -> None:
    with pytest.warns(RuntimeWarning, match="undefined"):
        assert np.isnan(rc.wasserstein_1d([1, 2, np.inf], [np.inf, 1]))


def test_slivers_of_rounding_do_not_decide_w_inf() -> None:
    # 0.1 + 0.2 exceeds 0.3 by an ulp: the atoms at 1 and 100 must not meet.
    assert rc.wasserstein_1d([0, 1, 100], [0, 100], [0.1, 0.2, 0.7], [0.3, 0.7], np.inf) == 1
    assert rc.wasserstein_1d([0, 100], [0, 1, 100], [0.3, 0.7], [0.1, 0.2, 0.7], np.inf) == 1
    # An atom of tiny weight is an atom all the same.
    assert rc.wasserstein_1d([0, 50], [0], [1, 1e-30], [1], np.inf) == 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, np.nan], [1, 2]), "u_values must not hold NaN"),
        (([1, 2], [1, np.nan]), "v_values must not hold NaN"),
        (([1, 2], [1j, 2]), "v_values must hold real numbers, got dtype complex128"),
        (([], [1]), "u_values must not be empty"),
        ((1.0, [1]), "u_values must have at least one dimension"),
        ((["a"], [1]), "u_values must hold real numbers"),
        (([1, 2], [1], [1, -1]), "u_weights must not be negative, got -1"),
        (([1, 2], [1], [0, 0]), "u_weights must be finite with a positive, finite sum, got"),
        (([1, 2], [1], [1, np.nan]), "u_weights must be finite"),
        (([1, 2], [1], [1, np.inf]), "u_weights must be finite"),
        (([1, 2], [1], [1]), r"u_weights must have the shape of u_values, \(2,\)"),
        (([1, 2], [1], None, [1, 2]), "v_weights must have the shape of v_values"),
        (([1, 2], [1], None, None, 0.5), "p must be at least 1, got 0.5"),
        (([1, 2], [1], None, None, np.nan), "p must be at least 1, got nan"),
        (([1, 2], [1], None, None, "two"), "p must be a number, got 'two'"),
        ((np.ones((2, 3)), np.ones((3, 3))), "must have shapes that broadcast"),
    ],
)
def test_bad_input_is_named(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rc.wasserstein_1d(*arguments)


def test_bad_options_are_named() -> None:
    with pytest.raises(ValueError, match="axis must be an axis of u_values, got 1"):
        rc.wasserstein_1d([1, 2], [1], axis=1)
    with pytest.raises(ValueError, match="power must be False for p = inf"):
        rc.wasserstein_1d([1, 2], [1], p=np.inf, power=True)
    with pytest.raises(ValueError, match="num_threads must be at least 1, got 0"):
        rc.wasserstein_1d([1, 2], [1], num_threads=0)
