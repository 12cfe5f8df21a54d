"""Fields known by their values on a grid of times and places."""

from __future__ import annotations

from typing import Any, Literal

from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, frozen, real_array
from recouple.field.base import VelocityField

__all__ = ["GridField"]


class GridField(VelocityField):
    """Velocity field on the line by cubic interpolation in x and in t.

    Parameters
    ----------
    t : array of shape (m,), at least 2 points
        Increasing.
    x : array of shape (n,), at least 2 points
        Increasing; equally spaced points are looked up faster.
    v : array of shape (m, n)
        Velocities v(t[i], x[j]), in length per unit time.
    method : "spline" or "monotone"
        In x, tensor splines with two continuous derivatives (not-a-knot), or cubics that are
        monotone wherever the data are (Fritsch & Butland 1984). In t always splines.
    extrapolation : "linear" or "constant"
        Beyond the grid, in x and in t: along the tangent at the edge, or the value there.

    Raises
    ------
    ValueError
        On shapes, points that do not increase, and entries that are not finite.

    Notes
    -----
    Accuracy: O(h^4) in x and t inside the grid for smooth fields with "spline", O(h^2) to O(h^3)
    with "monotone". Cost: O(1) per point on equally spaced grids, O(log n) otherwise.

    Examples
    --------
    >>> import numpy as np, recouple as rc
    >>> t, x = np.linspace(0, 1, 5), np.linspace(-2, 2, 9)
    >>> field = rc.GridField(t, x, np.outer(1 + t, x))
    >>> field(0.3, [0.5, 4.0])
    array([0.65, 5.2 ])
    """

    __slots__ = ("extrapolation", "method", "t", "v", "x")

    def __init__(
        self,
        t: ArrayLike,
        x: ArrayLike,
        v: ArrayLike,
        *,
        method: Literal["spline", "monotone"] = "spline",
        extrapolation: Literal["linear", "constant"] = "linear",
    ):
        if method not in ("spline", "monotone"):
            raise ValueError(f'method must be "spline" or "monotone", got {method!r}')
        if extrapolation not in ("linear", "constant"):
            raise ValueError(f'extrapolation must be "linear" or "constant", got {extrapolation!r}')
        times, points = real_array("t", t, ndim=1), real_array("x", x, ndim=1)
        values = real_array("v", v, shape=(len(times), len(points)))
        core = _core.grid_field(
            times, points, values, method == "monotone", extrapolation == "linear"
        )
        ends = (float(times[0]), float(times[-1]))
        super().__init__(
            core, _grid_field, times, points, values, method, extrapolation, t_range=ends
        )
        self.t: FloatArray = frozen(times)
        self.x: FloatArray = frozen(points)
        self.v: FloatArray = frozen(values)
        self.method = method
        self.extrapolation = extrapolation

    def __repr__(self) -> str:
        return (
            f"GridField({len(self.t)} times on [{self.t[0]:g}, {self.t[-1]:g}] x "
            f"{len(self.x)} points on [{self.x[0]:g}, {self.x[-1]:g}], {self.method})"
        )


def _grid_field(t: Any, x: Any, v: Any, method: Any, extrapolation: Any) -> GridField:
    return GridField(t, x, v, method=method, extrapolation=extrapolation)
