"""The sorts behind the distances: NumPy's, lent to the core, and the core's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import recouple as rc
from recouple import _core

FloatArray = NDArray[np.float64]


@pytest.fixture(params=["numpy", "own"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.sort_backend()
    _core.use_sort(request.param)
    yield request.param
    _core.use_sort("numpy" if before == "numpy" else "own")


def ordered(x: FloatArray) -> FloatArray:
    """Return the sorted values, read off the plan to a single atom."""
    plan = rc.wasserstein_1d_plan(x, [0.0])
    return np.asarray(x[plan.u_index])


def test_numpy_lends_its_sort() -> None:
    assert _core.sort_backend() == "numpy"


def test_an_unknown_sort_is_named() -> None:
    with pytest.raises(ValueError, match="got bogo"):
        _core.use_sort("bogo")


everything = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, np.nextafter(1, 2), 1e308, -1e308, 5e-324, -5e-324]),
)


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 80), elements=everything))
def test_order_is_stable_for_all_doubles(x: FloatArray) -> None:
    plan = rc.wasserstein_1d_plan(x, [0.0])
    # As a stable sort, but that -0.0 goes before 0.0.
    expected = np.lexsort((np.arange(len(x)), ~np.signbit(x), x))
    assert np.array_equal(plan.u_index, expected)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "kind", ["normal", "few values", "outlier", "sorted", "reversed", "one value", "heavy", "near"]
)
def test_large_weighted_problems_agree_with_numpy(backend: str, kind: str, threads: int) -> None:
    n = 200_000
    rng = np.random.default_rng(0)
    draws: dict[str, Callable[[], FloatArray]] = {
        "normal": lambda: rng.normal(size=n),
        "few values": lambda: rng.integers(0, 5, size=n).astype(float),
        # The outlier takes the leading bits: everything else agrees in them.
        "outlier": lambda: np.append(1 + 1e-13 * rng.random(n - 1), -1e300),
        "sorted": lambda: np.sort(rng.normal(size=n)),
        "reversed": lambda: -np.sort(rng.normal(size=n)),
        "one value": lambda: np.full(n, 3.0),
        "heavy": lambda: rng.standard_cauchy(size=n) ** 5,
        "near": lambda: 1e9 + rng.random(n),
    }
    x = draws[kind]()
    w = rng.random(n)
    w[::7] = 0
    order = np.argsort(x, kind="stable")
    y, m = np.median(x), np.array([1.0])
    # Against one atom the distance is a plain weighted sum, whatever the order ...
    expected = np.sum(w * np.abs(x - y)) / w.sum()
    got = rc.wasserstein_1d(x, [y], w, m, num_threads=threads)
    assert got == pytest.approx(expected, rel=1e-12)
    # ... and against a shuffled copy it is 0 only if values and weights stayed together. Levels
    # are right to 16 ulp, atoms apart by at most the spread.
    mixed = rng.permutation(n)
    spread = float(np.ptp(x))
    again = rc.wasserstein_1d(x, x[mixed], w, w[mixed], num_threads=threads)
    assert again <= 1e-12 * spread if kind == "heavy" else again <= 1e-14 * max(spread, 1)
    if kind != "one value":
        assert np.array_equal(ordered(x), x[order])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_large_plain_problems_agree_with_numpy(backend: str, dtype: Any, threads: int) -> None:
    rng = np.random.default_rng(1)
    for draw in (rng.normal, rng.standard_cauchy):
        u, v = draw(size=300_000).astype(dtype), draw(size=300_000).astype(dtype)
        expected = np.abs(np.sort(u).astype(float) - np.sort(v).astype(float)).mean()
        got = rc.wasserstein_1d(u, v, num_threads=threads)
        assert got == pytest.approx(expected, rel=1e-12)
        one = rc.wasserstein_1d(u, v[:1000], num_threads=1)
        assert rc.wasserstein_1d(u, v[:1000], num_threads=threads) == one


def test_infinities_are_sorted_too(backend: str) -> None:
    x = np.random.default_rng(2).normal(size=200_000)
    x[77] = -np.inf
    for threads in (1, 4):
        assert rc.wasserstein_1d(x, x[:5], num_threads=threads) == np.inf
        w = np.ones(len(x))
        w[77] = 0
        assert np.isfinite(rc.wasserstein_1d(x, x[:5], w, num_threads=threads))


def test_callers_in_several_threads_do_not_meet(backend: str) -> None:
    rng = np.random.default_rng(3)
    u, v, w = rng.normal(size=50_000), rng.normal(size=50_000), rng.random(50_000)
    alone = rc.wasserstein_1d(u, v, w, p=2)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: rc.wasserstein_1d(u, v, w, p=2), range(8)))
    assert found == [alone] * 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_sorts_too() -> None:
    x = np.random.default_rng(4).normal(size=200_000)
    expected = rc.wasserstein_1d(x, -x, num_threads=2)
    code = f"""
import os, numpy as np, recouple as rc
x = np.random.default_rng(4).normal(size=200_000)
assert rc.wasserstein_1d(x, -x, num_threads=4) == {expected!r}
child = os.fork()
if child == 0:
    os._exit(0 if rc.wasserstein_1d(x, -x, num_threads=4) == {expected!r} else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
