"""Plans on the line known by their masses on a grid."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, generator, real_array, real_number, whole_number
from recouple.interpolant import LINEAR, Interpolant
from recouple.plan.base import Plan, Points, Rng
from recouple.plan.law import GridLaw

__all__ = ["GridPlan"]

FINER = 8


class GridPlan(Plan):
    """Masses on a rectangular grid, for D = 1, read as a smooth density.

    The density is the cubic spline through mass / (h0 h1) at the grid points, zero outside the
    grid and where the spline undershoots. Marginals and fields are O(h^4) accurate when the
    underlying density is smooth and vanishes at the edge of the grid. Means and moments are those
    of the masses (the trapezoid rule, spectrally accurate for such densities).

    Parameters
    ----------
    x0, x1 : array of shape (n0,), (n1,), at least 4 points
        Equally spaced, increasing.
    mass : array of shape (n0, n1)
        Not negative; normalised.

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.GaussianPlan(0.0, 0.0, 1.0, 0.5, 1.0).on_grid(64, 64)
    >>> plan
    GridPlan(64 x 64 on [-6, 6] x [-6, 6])
    >>> round(plan.correlation, 6)
    0.5
    """

    dim = 1
    x0: FloatArray
    x1: FloatArray
    mass: FloatArray
    _native: _core.GridPlan
    _fields = ("x0", "x1", "mass")

    def __init__(self, x0: ArrayLike, x1: ArrayLike, mass: ArrayLike):
        a = real_array("x0", x0, ndim=1)
        b = real_array("x1", x1, ndim=1)
        m = real_array("mass", mass, shape=(len(a), len(b)))
        native = _core.GridPlan(a, b, m)
        total = m.sum()
        self._set(
            x0=a, x1=b, mass=m if abs(total - 1) <= 1e-15 * len(a) else m / total, _native=native
        )

    @classmethod
    def from_density(
        cls, density: Callable[[Any, Any], Any], x0: ArrayLike, x1: ArrayLike
    ) -> GridPlan:
        """Return the plan with a density given as ``density(x0, x1)`` that broadcasts."""
        a = real_array("x0", x0, ndim=1)
        b = real_array("x1", x1, ndim=1)
        values = np.broadcast_to(density(a[:, None], b[None, :]), (len(a), len(b)))
        return cls(a, b, values)

    @property
    def mean(self) -> FloatArray:
        """Mean of (X0, X1), shape (2,)."""
        return np.array([self.mass.sum(axis=1) @ self.x0, self.mass.sum(axis=0) @ self.x1])

    @property
    def cov(self) -> FloatArray:
        """Covariance of (X0, X1), shape (2, 2)."""
        u, v = self.x0 - self.mean[0], self.x1 - self.mean[1]
        cross = u @ self.mass @ v
        return np.array(
            [
                [self.mass.sum(axis=1) @ u**2, cross],
                [cross, self.mass.sum(axis=0) @ v**2],
            ]
        )

    @cached_property
    def _spline(self) -> _core.GridDensity:
        return _core.GridDensity(self._native)

    def _field(self, interpolant: Interpolant) -> _core.Field:
        return _core.grid_plan_field(self._native, interpolant)

    def _local(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[FloatArray, FloatArray]:
        score, variance = _core.grid_plan_local(self._spline, interpolant, t, x.ravel())
        return score[:, None], variance[:, None, None]

    def _log_density(self, t: float, x: FloatArray, interpolant: Interpolant) -> FloatArray:
        with np.errstate(divide="ignore"):
            logs: FloatArray = np.log(
                _core.grid_plan_density(self._spline, interpolant, t, x.ravel())
            )
        return logs

    def marginal(self, t: float, interpolant: Interpolant = LINEAR) -> GridLaw:
        """Law of X_t: the spline density integrated along a x0 + b x1 = x, on a grid of its own."""
        at = real_number("t", t)
        a, b, _, _ = _core.coefficients(interpolant, at)
        ends = np.sort([[a * self.x0[0], a * self.x0[-1]], [b * self.x1[0], b * self.x1[-1]]])
        low, high = ends.sum(axis=0)
        # The coarser of the two grids, seen along (a, b), cut FINER times: the cubics of a GridLaw
        # then follow the splines to 1e-8, where at the grid's own points they are off by 1e-5.
        spacing = max(abs(a) * (self.x0[1] - self.x0[0]), abs(b) * (self.x1[1] - self.x1[0]))
        spacing /= FINER
        x = np.linspace(low, high, round((high - low) / spacing) + 1)
        return GridLaw(x, _core.grid_plan_density(self._spline, interpolant, at, x))

    def sample(self, n: int, rng: Rng = None) -> tuple[FloatArray, FloatArray]:
        """Draw n pairs: X0 from its marginal, X1 from its conditional."""
        generate = generator(rng)
        x0 = self.source.rvs(whole_number("n", n), generate)
        return x0, _core.sample_grid_conditional(self._spline, x0, generate.random(len(x0)))

    def conditional(self, x0: ArrayLike) -> GridLaw:
        """Law of X1 given X0 = x0, a number inside the grid where the plan has mass."""
        point = real_array("x0", x0).reshape(-1)
        if len(point) != 1:
            raise ValueError(f"x0 must be one number, got shape {np.shape(x0)}")
        self._require_mass(point)
        return GridLaw(self.x1, _core.grid_slice(self._spline, float(point[0])))

    def sample_conditional(self, x0: ArrayLike, rng: Rng = None, *, nearest: bool = False) -> Any:
        """Draw one X1 given each X0 = x0[i]; shaped like x0.

        Parameters
        ----------
        x0 : array of shape (n,)
            Inside the grid, where the plan has mass.
        rng : int, Generator or None
        nearest : bool
            Take the conditional law at the nearest x0 that has one, instead of raising.
        """
        points = Points("x0", x0, 1)
        at = points.rows.ravel()
        if nearest:
            has = np.flatnonzero(self.mass.sum(axis=1) > 0)
            at = np.clip(at, self.x0[has[0]], self.x0[has[-1]])
        self._require_mass(at)
        u = generator(rng).random(len(at))
        return points.restore(_core.sample_grid_conditional(self._spline, at, u))

    def _require_mass(self, x0: FloatArray) -> None:
        outside = (x0 < self.x0[0]) | (x0 > self.x0[-1])
        if outside.any():
            i = int(np.argmax(outside))
            raise ValueError(
                f"x0 must lie on the grid [{self.x0[0]:g}, {self.x0[-1]:g}], "
                f"got {x0[i]:g} at index {i}"
            )
        h = self.x0[1] - self.x0[0]
        column = self.mass.sum(axis=1)
        cell = np.minimum(((x0 - self.x0[0]) / h).astype(np.intp), len(self.x0) - 2)
        empty = (column[cell] == 0) & (column[cell + 1] == 0)
        if empty.any():
            i = int(np.argmax(empty))
            raise ValueError(f"x0 must lie where the plan has mass, got {x0[i]:g} at index {i}")

    def pdf(self, x0: ArrayLike, x1: ArrayLike) -> Any:
        """Density at pairs, x0 and x1 broadcast against each other; zero outside the grid."""
        a, b = np.broadcast_arrays(
            real_array("x0", x0, empty=True), real_array("x1", x1, empty=True)
        )
        density = _core.grid_density(self._spline, a.ravel(), b.ravel())
        return density.reshape(a.shape)[()]

    def logpdf(self, x0: ArrayLike, x1: ArrayLike) -> Any:
        """Log density at pairs."""
        with np.errstate(divide="ignore"):
            return np.log(self.pdf(x0, x1))

    def on_grid(self, x0: ArrayLike, x1: ArrayLike) -> GridPlan:
        """Return the plan on another grid, by its spline density."""
        return GridPlan.from_density(self.pdf, x0, x1)

    def reverse(self) -> GridPlan:
        """Return the plan of (X1, X0)."""
        return GridPlan(self.x1, self.x0, self.mass.T)

    def _moment(self, powers: tuple[int, ...]) -> float:
        return float(self.x0 ** powers[0] @ self.mass @ self.x1 ** powers[1])

    def __repr__(self) -> str:
        a, b = self.x0, self.x1
        return f"GridPlan({len(a)} x {len(b)} on [{a[0]:g}, {a[-1]:g}] x [{b[0]:g}, {b[-1]:g}])"
