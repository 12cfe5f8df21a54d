"""Interpolants X_t = a(t) X0 + b(t) X1, with a(0) = b(1) = 1 and a(1) = b(0) = 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from recouple._core import Interpolant
from recouple.arguments import FloatArray

__all__ = ["COSINE", "LINEAR", "TRIGONOMETRIC", "Interpolant", "custom_interpolant"]

LINEAR = Interpolant.linear
"""a = 1 - t, b = t: straight paths at constant velocity, the convention of flow matching."""

TRIGONOMETRIC = Interpolant.trigonometric
"""a = cos(pi t / 2), b = sin(pi t / 2): keeps a^2 + b^2 = 1 (variance preserving)."""

COSINE = Interpolant.cosine
"""a = (1 + cos(pi t)) / 2, b = 1 - a: straight paths that start and stop at rest."""

Curve: TypeAlias = Callable[[float], float]

_DEGREE = 24
_MOST_PIECES = 256
_ACCURACY = 1e-13  # of the tabulated curves, relative to the largest value of each


def custom_interpolant(
    a: Curve, b: Curve, da: Curve | None = None, db: Curve | None = None, *, name: str = "custom"
) -> Interpolant:
    """Make an interpolant of any two smooth curves.

    Parameters
    ----------
    a, b : callable
        Of one time in [0, 1]; a(0) = b(1) = 1 and a(1) = b(0) = 0, within 1e-9.
    da, db : callable, optional
        Their derivatives; taken from the tabulated curves if not given.
    name : str
        What its repr shows.

    Returns
    -------
    Interpolant
        The curves as piecewise Chebyshev series, so that every field follows them in compiled code
        and the result pickles whatever the curves were.

    Raises
    ------
    ValueError
        If the ends are wrong, a value is not finite, the angle atan2(b, a) does not increase, a
        given derivative contradicts its curve, or a curve is too rough to tabulate (as
        sqrt(1 - t^2) is at t = 1).

    Notes
    -----
    Accuracy: 1e-13 of the largest value, measured between the nodes; derivatives that are not given
    lose two to three digits. Cost: some thousand calls of each curve, once.

    Examples
    --------
    >>> import recouple as rc
    >>> square = rc.custom_interpolant(lambda t: 1 - t * t, lambda t: t * t, name="square")
    >>> square
    Interpolant.square
    """
    if any(curve is not None and not callable(curve) for curve in (a, b, da, db)):
        raise ValueError("a, b, da and db must be callable at one time in [0, 1]")
    for label, curve, ends in (("a", a, (1.0, 0.0)), ("b", b, (0.0, 1.0))):
        for t, value in zip((0.0, 1.0), ends, strict=True):
            got = float(curve(t))
            if not abs(got - value) <= 1e-9:
                raise ValueError(f"{label}({t:g}) must be {value:g}, got {got:g}")
    pieces = 1
    while True:
        series = [_fit(curve, pieces) for curve in (a, b)]
        for rate, fitted in zip((da, db), tuple(series), strict=True):
            series.append(_slope(fitted) if rate is None else _fit(rate, pieces))
        given = zip(("a", "b", "da", "db"), (a, b, da, db), series, strict=True)
        rough = [name_ for name_, f, fitted in given if f is not None and not _resolved(f, fitted)]
        if not rough:
            break
        pieces *= 2
        if pieces > _MOST_PIECES:
            raise ValueError(
                f"{rough[0]} must be smooth on [0, 1]: {_MOST_PIECES} polynomials of degree "
                f"{_DEGREE} do not follow it to {_ACCURACY:g}"
            )
    for label, stated, fitted in (("da", series[2], series[0]), ("db", series[3], series[1])):
        slope = _slope(fitted)
        if np.abs(stated - slope).max() > 1e-6 * (1 + np.abs(slope).max()):
            raise ValueError(f"{label} must be the derivative of {label[1:]}, it differs from it")
    result = Interpolant.tabulated(name, np.ascontiguousarray(np.stack(series)), pieces)
    times = np.linspace(0, 1, 513)[1:-1]  # at the ends it may rest
    values = np.array([_values(fitted, times) for fitted in series])
    turning = values[0] * values[3] - values[1] * values[2]
    if (turning <= 0).any():
        at = times[int(np.argmax(turning <= 0))]
        raise ValueError(
            f"a and b must turn from X0 to X1 without stopping; they do not at t = {at:g}"
        )
    return result


def _nodes() -> FloatArray:
    k = np.arange(_DEGREE + 1)
    nodes: FloatArray = np.cos(np.pi * (k + 0.5) / (_DEGREE + 1))
    return nodes


def _sample(curve: Curve, t: FloatArray) -> FloatArray:
    values = np.array([float(curve(float(s))) for s in t.ravel()])
    if not np.isfinite(values).all():
        at = t.ravel()[int(np.argmin(np.isfinite(values)))]
        raise ValueError(f"an interpolant's curves must be finite, one is not at t = {at:g}")
    return values.reshape(t.shape)


def _fit(curve: Curve, pieces: int) -> FloatArray:
    """Chebyshev coefficients (pieces, degree + 1) of a curve."""
    k = np.arange(_DEGREE + 1)
    t = (np.arange(pieces)[:, None] + (_nodes() + 1) / 2) / pieces
    basis = np.cos(np.outer(k, np.pi * (k + 0.5) / (_DEGREE + 1)))
    series: FloatArray = 2 / (_DEGREE + 1) * _sample(curve, t) @ basis.T
    series[:, 0] /= 2
    return series


def _slope(series: FloatArray) -> FloatArray:
    pieces = len(series)
    slope: FloatArray = np.zeros_like(series)
    slope[:, :-1] = np.polynomial.chebyshev.chebder(series, axis=1) * 2 * pieces
    return slope


def _values(series: FloatArray, t: FloatArray) -> FloatArray:
    pieces = len(series)
    piece = np.minimum((t * pieces).astype(np.intp), pieces - 1)
    z = 2 * (t * pieces - piece) - 1
    values = np.polynomial.chebyshev.chebval(z, series[piece].T, tensor=False)
    return np.asarray(values, dtype=np.float64)


def _resolved(curve: Curve, series: FloatArray) -> bool:
    pieces = len(series)
    inside = np.array([0.0, 0.037, 0.31, 0.5, 0.77, 0.981, 1.0])
    t = ((np.arange(pieces)[:, None] + inside) / pieces).ravel()
    exact = _sample(curve, t)
    scale: Any = max(np.abs(exact).max(), 1.0)
    return bool(np.abs(_values(series, np.minimum(t, 1)) - exact).max() <= _ACCURACY * scale)
