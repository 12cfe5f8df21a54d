"""The energy distance on the line."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, real_array


def energy_distance(
    u_values: ArrayLike,
    v_values: ArrayLike,
    u_weights: ArrayLike | None = None,
    v_weights: ArrayLike | None = None,
) -> float:
    """Energy distance between two samples on the line.

    D(u, v) = (2 E|U - V| - E|U - U'| - E|V - V'|)^(1/2) = (2 int (F_u - F_v)^2 dx)^(1/2)

    Parameters
    ----------
    u_values, v_values : array_like
        Atoms, n and m of them, in any order. Units of length.
    u_weights, v_weights : array_like, optional
        Weights of the atoms, normalised to sum 1; equal by default.

    Returns
    -------
    float
        The distance, in units of the square root of length.

    Raises
    ------
    ValueError
        For values that are not finite or empty, and weights that are negative, not finite, sum to
        zero or do not fit the values.

    Notes
    -----
    Accuracy: a few ulp of the greatest cumulative weight. Cost: O((n + m) log(n + m)).
    Source: Szekely and Rizzo, J. Stat. Plan. Inference 143 (2013), section 2.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.energy_distance([0.0], [2.0])
    2.0
    """
    x, w = _signed("u", u_values, u_weights, 1.0)
    y, z = _signed("v", v_values, v_weights, -1.0)
    atoms = np.concatenate([x, y])
    order = np.argsort(atoms, kind="stable")
    atoms = atoms[order]
    excess = np.cumsum(np.concatenate([w, z])[order])[:-1]
    return float(np.sqrt(2 * np.sum(excess**2 * np.diff(atoms))))


def _signed(
    side: str, values: ArrayLike, weights: ArrayLike | None, sign: float
) -> tuple[FloatArray, FloatArray]:
    x = real_array(f"{side}_values", values, ndim=1)
    if weights is None:
        return x, np.full(len(x), sign / len(x))
    w = real_array(f"{side}_weights", weights, shape=x.shape)
    if w.min() < 0:
        raise ValueError(f"{side}_weights must not be negative, got {w.min():g}")
    total = w.sum()
    if not 0 < total < np.inf:
        raise ValueError(f"{side}_weights must have a positive, finite sum, got {total:g}")
    return x, w * (sign / total)
