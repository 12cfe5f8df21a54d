"""Plans: joint laws of (X0, X1), the couplings that flow matching draws its pairs from."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, frozen, real_array, real_number
from recouple.interpolant import Interpolant

__all__ = ["GaussianPlan", "GridPlan", "MixturePlan", "Plan"]


class Plan(Protocol):
    """What every plan offers."""

    @property
    def dim(self) -> int:
        """Dimension D of X0 and of X1."""
        ...

    def _field(self, interpolant: Interpolant) -> _core.Field: ...


class MixturePlan:
    """Mixture of Gaussians on R^2 as the joint law of (X0, X1) on the line."""

    dim = 1

    def __init__(self, weights: ArrayLike, means: ArrayLike, covs: ArrayLike):
        w = real_array("weights", weights, ndim=1)
        m = real_array("means", means, shape=(len(w), 2))
        c = real_array("covs", covs, shape=(len(w), 2, 2))
        self._native = _core.MixturePlan(w, m, c)
        self.weights: FloatArray = frozen(w / w.sum())
        self.means: FloatArray = frozen(m)
        self.covs: FloatArray = frozen(c)

    def _field(self, interpolant: Interpolant) -> _core.Field:
        return _core.mixture_field(self._native, interpolant)


class GaussianPlan:
    """Jointly Gaussian (X0, X1) on the line."""

    dim = 1

    def __init__(self, mean0: float, mean1: float, cov00: float, cov01: float, cov11: float):
        self.mean0 = real_number("mean0", mean0)
        self.mean1 = real_number("mean1", mean1)
        self.cov00 = real_number("cov00", cov00)
        self.cov01 = real_number("cov01", cov01)
        self.cov11 = real_number("cov11", cov11)
        self._native = _core.MixturePlan(
            np.ones(1),
            np.array([[self.mean0, self.mean1]]),
            np.array([[[self.cov00, self.cov01], [self.cov01, self.cov11]]]),
        )

    def _field(self, interpolant: Interpolant) -> _core.Field:
        return _core.mixture_field(self._native, interpolant)


class GridPlan:
    """Masses on a rectangular grid of equally spaced points."""

    dim = 1

    def __init__(self, x0: ArrayLike, x1: ArrayLike, mass: ArrayLike):
        a = real_array("x0", x0, ndim=1)
        b = real_array("x1", x1, ndim=1)
        m = real_array("mass", mass, shape=(len(a), len(b)))
        self._native = _core.GridPlan(a, b, m)
        self.x0: FloatArray = frozen(a)
        self.x1: FloatArray = frozen(b)
        self.mass: FloatArray = frozen(m / m.sum())

    def _field(self, interpolant: Interpolant) -> _core.Field:
        return _core.grid_plan_field(self._native, interpolant)
