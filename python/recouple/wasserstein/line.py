"""Wasserstein distances between laws on the line."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple import _core
from recouple.arguments import thread_count
from recouple.wasserstein.law import is_law, wasserstein_law


def wasserstein_1d(
    u_values: Any,
    v_values: Any,
    u_weights: ArrayLike | None = None,
    v_weights: ArrayLike | None = None,
    p: float = 1,
    *,
    axis: int = -1,
    power: bool = False,
    assume_sorted: bool = False,
    num_threads: int | None = None,
) -> Any:
    """Wasserstein distance between laws on the line.

    W_p(u, v) = (int_0^1 |F_u^-1(s) - F_v^-1(s)|^p ds)^(1/p),  W_inf = ess sup |F_u^-1 - F_v^-1|

    Parameters
    ----------
    u_values, v_values : array_like or law
        Atoms of the two laws along ``axis``, n and m of them, in any order; the other dimensions
        broadcast, each entry a problem of its own. Units of length. Either may be a law instead
        (of this package or of SciPy); see ``wasserstein_law``, which tells the error as well.
    u_weights, v_weights : array_like, optional
        Weights of the atoms: of the shape of the values, or of length n (m) to serve all problems.
        They need not sum to 1; atoms of weight 0 do not count. Equal weights by default.
    p : float
        Order, from 1 to ``numpy.inf``.
    axis : int
        Axis of the values (and of weights that have their shape) that runs over atoms.
    power : bool
        Return W_p^p instead of W_p.
    assume_sorted : bool
        The atoms increase along ``axis`` already; sorting is skipped and the order not checked.
    num_threads : int, optional
        Threads; the result does not depend on them.

    Returns
    -------
    float or numpy.ndarray
        The distance, in units of length: a float for one problem, otherwise an array of the
        broadcast shape, float32 if all inputs are.

    Raises
    ------
    ValueError
        For NaN, complex or empty values, weights that are negative, not finite, sum to zero or do
        not fit the values, p < 1, and shapes that do not broadcast.

    Warns
    -----
    RuntimeWarning
        If both laws have mass at the same infinity: the distance is undefined and NaN is returned.
        Any other atom at infinity makes the distance infinite.

    Notes
    -----
    Accuracy: sums and cumulative weights in float64 whatever the input, a few ulp. Levels closer
    than 16 ulp of 1 count as equal, so that the rounding of weights couples no distant atoms; for
    p = inf an atom of whatever weight counts.
    Cost: the sorts, O(n log n + m log m), then O(n + m). Extra memory: one sorted copy of the
    inputs, half as much again where more than two threads share weighted samples.
    Source: Villani, Topics in Optimal Transportation (2003), Theorem 2.18.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.wasserstein_1d([0, 1, 3], [5, 6, 8])
    5.0
    >>> rc.wasserstein_1d([0, 1], [0, 1], [3, 1], [1, 1], p=2)
    0.5
    """
    order = order_of(p)
    if power and np.isinf(order):
        raise ValueError("power must be False for p = inf, got True")
    if is_law(u_values) or is_law(v_values):
        if u_weights is not None or v_weights is not None:
            raise ValueError(
                "weights must be left out beside a law: give Empirical(values, weights)"
            )
        return wasserstein_law(u_values, v_values, order, power=power).distance
    u, v = _numbers("u_values", u_values), _numbers("v_values", v_values)
    uw = None if u_weights is None else _numbers("u_weights", u_weights)
    vw = None if v_weights is None else _numbers("v_weights", v_weights)
    single = all(a is None or a.dtype == np.float32 for a in (u, v, uw, vw))
    dtype = np.dtype(np.float32 if single else np.float64)

    u_values, u_shape, u_weights = _rows("u", u, uw, axis, dtype)
    v_values, v_shape, v_weights = _rows("v", v, vw, axis, dtype)
    shape = _batch_shape(u_shape, v_shape)
    distances = _core.wasserstein_1d(
        u_values,
        v_values,
        u_weights,
        v_weights,
        u_rows=_row_numbers(u_shape, shape),
        v_rows=_row_numbers(v_shape, shape),
        p=order,
        power=bool(power),
        assume_sorted=bool(assume_sorted),
        threads=thread_count(num_threads),
    )
    if np.isnan(np.sum(distances)):
        warnings.warn(
            "the distance between laws with mass at the same infinity is undefined",
            RuntimeWarning,
            stacklevel=2,
        )
    if shape == ():
        return float(distances)
    return distances.astype(np.float32) if single else distances


def order_of(p: float) -> float:
    """Return the order p as a float, at least 1 and possibly infinite."""
    try:
        order = float(p)
    except (TypeError, ValueError):
        raise ValueError(f"p must be a number, got {p!r}") from None
    if not order >= 1:
        raise ValueError(f"p must be at least 1, got {order:g}")
    return order


def finite_order(p: float) -> float:
    """Return the order p as a finite float of at least 1."""
    order = order_of(p)
    if np.isinf(order):
        raise ValueError("p must be finite, got inf")
    return order


def _numbers(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return real numbers of whatever precision, not empty, at least one dimension."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be convertible to an array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"{name} must have at least one dimension, got a number")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    return array


def _contiguous(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.aligned:
        return array
    return np.require(array, dtype=dtype, requirements=["C", "A"])


def _rows(
    side: str,
    values: NDArray[Any],
    weights: NDArray[Any] | None,
    axis: int,
    dtype: np.dtype[Any],
) -> tuple[NDArray[Any], tuple[int, ...], NDArray[Any] | None]:
    """Return the values as contiguous rows of atoms, their batch shape, and weights to match."""
    last = values.ndim - 1
    if not -values.ndim <= axis <= last:
        raise ValueError(f"axis must be an axis of {side}_values, got {axis} for {values.shape}")
    rows = values if axis in (-1, last) else np.moveaxis(values, axis, -1)
    if weights is not None:
        if weights.shape == values.shape:
            weights = weights if axis in (-1, last) else np.moveaxis(weights, axis, -1)
        elif weights.shape != rows.shape[-1:]:
            raise ValueError(
                f"{side}_weights must have the shape of {side}_values, {values.shape}, or "
                f"({rows.shape[-1]},), got {weights.shape}"
            )
        weights = _contiguous(weights, dtype)
    return _contiguous(rows, dtype), rows.shape[:-1], weights


def _batch_shape(u_shape: tuple[int, ...], v_shape: tuple[int, ...]) -> tuple[int, ...]:
    if u_shape == v_shape:
        return u_shape
    try:
        return np.broadcast_shapes(u_shape, v_shape)
    except ValueError:
        raise ValueError(
            "u_values and v_values must have shapes that broadcast but for the axis of atoms, "
            f"got batches of shape {u_shape} and {v_shape}"
        ) from None


_ONE_ROW = np.zeros((), dtype=np.uint64)


def _row_numbers(own: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.uint64]:
    """Return which row of a side serves each problem of the batch."""
    if shape == ():
        return _ONE_ROW
    numbers = np.arange(np.prod(own, dtype=np.intp), dtype=np.uint64).reshape(own)
    return np.broadcast_to(numbers, shape).copy()
