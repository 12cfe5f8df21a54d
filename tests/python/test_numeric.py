"""Special functions against 40-digit arithmetic, at every scale and at the edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from recouple import _core

EPS = 2.0**-52
RNG = np.random.default_rng(1)


def quantile(u: Any) -> Any:
    """Phi^-1 by Newton's method on log Phi, in mpmath's precision."""
    if u > 0.5:
        return -quantile(1 - u)
    x = mpmath.mpf(-1.2) * mpmath.sqrt(-mpmath.log(u)) if u < 0.4 else (u - 0.5) * 2.5
    for _ in range(60):
        p = mpmath.ncdf(x)
        step = mpmath.log(p / u) * p / mpmath.npdf(x)
        x -= step
        if abs(step) < mpmath.mpf(10) ** -36:
            break
    return x


# Largest relative errors seen are 0.7, 0.7, 1.1, 3.3, 2.5, 2.9 and 2.8 eps: the bounds leave the
# roundings of one more step.
CASES: dict[str, tuple[Callable[..., Any], Any, float]] = {
    "exp": (mpmath.exp, RNG.uniform(-708, 709, 300), 1),
    "log": (
        mpmath.log,
        np.concatenate([np.exp(RNG.uniform(-740, 700, 200)), RNG.uniform(0.5, 2, 200)]),
        1,
    ),
    "erf": (
        mpmath.erf,
        np.concatenate([RNG.normal(size=200), 10.0 ** RNG.uniform(-300, 0, 50)]),
        2,
    ),
    "erfc": (mpmath.erfc, RNG.uniform(-5, 26, 300), 4),
    "erfcx": (
        lambda x: mpmath.exp(x * x) * mpmath.erfc(x),
        np.concatenate([RNG.uniform(-26, 30, 200), 10.0 ** RNG.uniform(0, 4, 50)]),
        4,
    ),
    "normal_cdf": (mpmath.ncdf, RNG.uniform(-37.5, 5, 400), 4),
    "normal_quantile": (
        quantile,
        np.concatenate(
            [RNG.random(150), 10.0 ** RNG.uniform(-300, 0, 60), 1 - 10.0 ** RNG.uniform(-15, 0, 60)]
        ),
        4,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_function_is_accurate_relative_to_itself(name: str) -> None:
    exact, points, bound = CASES[name]
    got = getattr(_core, f"numeric_{name}")(points)
    with mpmath.workdps(40):
        worst = max(
            abs(mpmath.mpf(y) / exact(mpmath.mpf(x)) - 1)
            for x, y in zip(points.tolist(), got.tolist(), strict=True)
        )
    assert float(worst) <= bound * EPS


def test_edges_give_limits_and_nan_stays() -> None:
    inf, nan = np.inf, np.nan
    x = np.array([-inf, 0.0, inf, nan])
    expected = {
        "exp": [0, 1, inf, nan],
        "log": [nan, -inf, inf, nan],
        "erf": [-1, 0, 1, nan],
        "erfc": [2, 1, 0, nan],
        "erfcx": [inf, 1, 0, nan],
        "normal_cdf": [0, 0.5, 1, nan],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(getattr(_core, f"numeric_{name}")(x), values, err_msg=name)
    u = np.array([0.0, 0.5, 1.0, -0.1, 1.1, nan])
    np.testing.assert_array_equal(_core.numeric_normal_quantile(u), [-inf, 0, inf, nan, nan, nan])


@pytest.mark.parametrize("name", CASES)
def test_where_a_number_stands_in_the_array_changes_no_bit(name: str) -> None:
    points = np.ascontiguousarray(CASES[name][1][:67])
    f = getattr(_core, f"numeric_{name}")
    whole = f(points)
    for first in (1, 3, 8):
        np.testing.assert_array_equal(f(np.ascontiguousarray(points[first:])), whole[first:])
    np.testing.assert_array_equal([f(np.array([x]))[0] for x in points], whole)
