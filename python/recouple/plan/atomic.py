"""Plans of finitely many pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, generator, real_array, real_number, whole_number
from recouple.interpolant import LINEAR, Interpolant
from recouple.marginal import Empirical
from recouple.plan.base import Plan, Points, Rng, rows
from recouple.plan.law import Atoms, weighted
from recouple.plan.mixture import MixturePlan

__all__ = ["AtomicPlan"]


class AtomicPlan(Plan):
    """Finitely many weighted pairs (x0[i], x1[i]).

    Its X_t is a cloud of atoms, so that a velocity exists at the atoms only.
    ``smoothed(bandwidth)`` gives the mixture plan whose field is defined everywhere; no bandwidth
    is chosen silently.

    Parameters
    ----------
    x0, x1 : array of shape (n,) on the line, (n, D) otherwise
        The pairs.
    weights : array of shape (n,), optional
        Not negative; normalised; equal if not given.

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.AtomicPlan([0.0, 1.0], [2.0, 5.0])
    >>> plan
    AtomicPlan(2 pairs, D = 1)
    >>> plan.smoothed(0.1)
    MixturePlan(2 components, D = 1)
    """

    x0: FloatArray
    x1: FloatArray
    weights: FloatArray
    _fields = ("x0", "x1", "weights")

    def __init__(self, x0: ArrayLike, x1: ArrayLike, weights: ArrayLike | None = None):
        a, b = rows("x0", x0), rows("x1", x1)
        if a.shape != b.shape:
            raise ValueError(f"x1 must have the shape {np.shape(x0)} of x0, got {np.shape(x1)}")
        dim = a.shape[1]
        if dim == 1:
            a, b = a.ravel(), b.ravel()
        self._set(dim=dim, x0=a, x1=b, weights=weighted("weights", weights, len(a)))

    @property
    def _pairs(self) -> FloatArray:
        return np.column_stack([self.x0, self.x1])

    @property
    def mean(self) -> FloatArray:
        """Mean of (X0, X1), shape (2 D,)."""
        return self.weights @ self._pairs

    @property
    def cov(self) -> FloatArray:
        """Covariance of (X0, X1), shape (2 D, 2 D)."""
        centred = self._pairs - self.mean
        spread: FloatArray = (self.weights[:, None] * centred).T @ centred
        return spread

    def _law(self, points: FloatArray, weights: FloatArray) -> Any:
        return Empirical(points, weights) if self.dim == 1 else Atoms(points, weights)

    def marginal(self, t: float, interpolant: Interpolant = LINEAR) -> Any:
        """Law of X_t: its atoms, Empirical on the line and Atoms in R^D."""
        a, b, _, _ = _core.coefficients(interpolant, real_number("t", t))
        return self._law(a * self.x0 + b * self.x1, self.weights)

    def sample(self, n: int, rng: Rng = None) -> tuple[FloatArray, FloatArray]:
        """Draw n pairs."""
        chosen = generator(rng).choice(len(self.x0), whole_number("n", n), p=self.weights)
        return self.x0[chosen], self.x1[chosen]

    def conditional(self, x0: ArrayLike) -> Any:
        """Law of X1 given X0 = x0, which must be one of the atoms of X0."""
        point = real_array("x0", x0).reshape(-1)
        if len(point) != self.dim:
            raise ValueError(f"x0 must be one point of dimension {self.dim}, got {np.shape(x0)}")
        at = (self.x0.reshape(-1, self.dim) == point).all(axis=1) & (self.weights > 0)
        if not at.any():
            raise ValueError(
                f"x0 must be an atom of X0, got {point}; one_step(plan) maps the places between"
            )
        return self._law(self.x1[at], self.weights[at] / self.weights[at].sum())

    def sample_conditional(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """Draw one X1 given each X0 = x0[i], which must be atoms of X0; shaped like x0."""
        points = Points("x0", x0, self.dim)
        kept = np.flatnonzero(self.weights > 0)
        _, group = np.unique(
            np.concatenate([self.x0[kept].reshape(-1, self.dim), points.rows]),
            axis=0,
            return_inverse=True,
        )
        group = group.ravel()
        order = np.argsort(group[: len(kept)], kind="stable")
        sorted_group = group[: len(kept)][order]
        mass = np.concatenate([[0.0], np.cumsum(self.weights[kept][order])])
        wanted = group[len(kept) :]
        first = np.searchsorted(sorted_group, wanted, side="left")
        last = np.searchsorted(sorted_group, wanted, side="right")
        if (first == last).any():
            i = int(np.argmax(first == last))
            raise ValueError(f"x0 must be atoms of X0, got {points.rows[i]} at index {i}")
        u = mass[first] + generator(rng).random(len(points)) * (mass[last] - mass[first])
        pick = np.clip(np.searchsorted(mass, u, side="right") - 1, first, last - 1)
        return points.restore(self.x1[kept[order[pick]]])

    def smoothed(self, bandwidth: ArrayLike) -> MixturePlan:
        """Return the mixture plan with a Gaussian of this standard deviation around each pair.

        Parameters
        ----------
        bandwidth : float, two floats, or array of shape (2 D,)
            One for all coordinates, one for X0 and one for X1, or one for each coordinate of
            (X0, X1); in length units, positive.
        """
        h = real_array("bandwidth", bandwidth).reshape(-1)
        if len(h) not in (1, 2, 2 * self.dim):
            raise ValueError(f"bandwidth must hold 1, 2 or {2 * self.dim} numbers, got {len(h)}")
        if not (h > 0).all():
            raise ValueError(f"bandwidth must be positive, got {h.min():g}")
        std = np.repeat(h, self.dim) if len(h) == 2 else np.broadcast_to(h, (2 * self.dim,))
        covs = np.broadcast_to(np.diag(std**2), (len(self.x0), 2 * self.dim, 2 * self.dim))
        return MixturePlan(self.weights, self._pairs, covs)

    def reverse(self) -> AtomicPlan:
        """Return the plan of (X1, X0)."""
        return AtomicPlan(self.x1, self.x0, self.weights)

    def collision_times(self, interpolant: Interpolant = LINEAR) -> FloatArray:
        """Times in [0, 1] at which two different atoms of X_t meet; O(n^2), for n <= 4000."""
        if len(self.x0) > 4000:
            raise ValueError(f"collision times are for at most 4000 pairs, got {len(self.x0)}")
        x0, x1 = (x.reshape(-1, self.dim) for x in (self.x0, self.x1))
        times = set()
        for i in range(len(x0) - 1):
            u, v = x0[i + 1 :] - x0[i], x1[i + 1 :] - x1[i]
            # a u + b v = 0 with a, b >= 0: the two differences are opposite.
            size = np.maximum(np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1))
            a, b = np.linalg.norm(v, axis=1), np.linalg.norm(u, axis=1)
            gap = np.linalg.norm(a[:, None] * u + b[:, None] * v, axis=1)
            for k in np.flatnonzero((gap <= 1e-12 * size**2) & (size > 0)):
                times.add(interpolant.time_of(float(a[k]), float(b[k])))
        return np.array(sorted(times))

    def _local(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[FloatArray, FloatArray]:
        self._field(interpolant)
        raise AssertionError

    def _moment(self, powers: tuple[int, ...]) -> float:
        return float(self.weights @ (self._pairs ** np.array(powers)).prod(axis=1))

    def _field(self, interpolant: Interpolant) -> _core.Field:
        raise ValueError(
            "an atomic plan has a velocity only at its atoms: "
            "take plan.smoothed(bandwidth) for a field everywhere"
        )

    def __repr__(self) -> str:
        return f"AtomicPlan({len(self.x0)} pairs, D = {self.dim})"
