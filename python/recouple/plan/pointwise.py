"""Fields known at one time and point by point, and derivatives of what has no formula for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recouple.arguments import FloatArray

__all__ = ["at_each_time", "derivative"]


def at_each_time(
    velocity: Callable[[float, FloatArray], FloatArray], t: Any, x: FloatArray
) -> FloatArray:
    """Return ``velocity`` at points x on the line, at one time or at a time for each of them."""
    at = x.ravel()
    if np.ndim(t) == 0:
        return velocity(float(t), at).reshape(x.shape)
    v = np.full(len(at), np.nan)
    for time in np.unique(t):
        some = t == time
        v[some] = velocity(float(time), at[some])
    return v.reshape(x.shape)


def derivative(function: Callable[[FloatArray], FloatArray], h: FloatArray) -> FloatArray:
    """Return the derivative at 0 by central differences of steps h; their error is O(h^4)."""
    far, near, next_, beyond = (function(step * h) for step in (-2, -1, 1, 2))
    return (far - 8 * near + 8 * next_ - beyond) / (12 * h)
