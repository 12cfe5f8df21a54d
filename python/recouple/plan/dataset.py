"""The plan of a data set: Gaussian noise independent of a row drawn at random."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, generator, real_array, real_number, whole_number
from recouple.interpolant import LINEAR, Interpolant
from recouple.marginal import Empirical
from recouple.plan.base import Plan, Points, Rng, rows
from recouple.plan.law import Atoms, mixture_law, weighted
from recouple.plan.mixture import MixturePlan, normal_moment

__all__ = ["DatasetPlan", "dataset_plan"]


class DatasetPlan(Plan):
    """N(0, std^2 I) times the law on the rows of a data set; made by :func:`dataset_plan`."""

    data: FloatArray
    std: float
    weights: FloatArray
    _fields = ("data", "std", "weights")

    def __init__(self, data: ArrayLike, std: float = 1.0, weights: ArrayLike | None = None):
        y = rows("data", data)
        dim = y.shape[1]
        self._set(
            dim=dim,
            data=y.ravel() if dim == 1 else y,
            std=real_number("std", std, positive=True),
            weights=weighted("weights", weights, len(y)),
        )

    @property
    def _rows(self) -> FloatArray:
        return self.data.reshape(-1, self.dim)

    @cached_property
    def _native(self) -> _core.DatasetPlan:
        return _core.DatasetPlan(self._rows, self.std, self.weights)

    def _field(self, interpolant: Interpolant) -> _core.Field:
        return _core.dataset_field(self._native, interpolant)

    def _local(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[FloatArray, FloatArray]:
        # E[X0 | x] = (b' x - b v) / (a b' - a' b) and Tweedie's formula; X0 and X1 are tied by x.
        a, b, da, db = _core.coefficients(interpolant, t)
        v = self._field(interpolant)(np.array([t]), x, 0)
        turning = a * db - da * b
        score = -(db * x - b * v) / (turning * a * self.std**2)
        cov1 = _core.dataset_covariance(self._native, interpolant, t, x)
        return score, (turning / a) ** 2 * cov1

    @property
    def mean(self) -> FloatArray:
        """Mean of (X0, X1), shape (2 D,)."""
        return np.concatenate([np.zeros(self.dim), self.weights @ self._rows])

    @property
    def cov(self) -> FloatArray:
        """Covariance of (X0, X1), shape (2 D, 2 D)."""
        d = self.dim
        centred = self._rows - self.weights @ self._rows
        joint = np.zeros((2 * d, 2 * d))
        joint[:d, :d] = self.std**2 * np.eye(d)
        joint[d:, d:] = (self.weights[:, None] * centred).T @ centred
        return joint

    def marginal(self, t: float, interpolant: Interpolant = LINEAR) -> Any:
        """Law of X_t: one Gaussian of standard deviation a(t) std around each b(t) times a row."""
        a, b, _, _ = _core.coefficients(interpolant, real_number("t", t))
        if a == 0:
            return self._rows_law(b)
        if b == 0:
            return mixture_law(
                np.ones(1), np.zeros((1, self.dim)), (a * self.std) ** 2 * np.eye(self.dim)[None]
            )
        covs = np.broadcast_to(
            (a * self.std) ** 2 * np.eye(self.dim), (len(self.weights), self.dim, self.dim)
        )
        return mixture_law(self.weights, b * self._rows, covs)

    def _rows_law(self, scale: float = 1.0) -> Any:
        if self.dim == 1:
            return Empirical(scale * self.data, self.weights)
        return Atoms(scale * self.data, self.weights)

    def sample(self, n: int, rng: Rng = None) -> tuple[FloatArray, FloatArray]:
        """Draw n pairs (noise, row)."""
        generate, count = generator(rng), whole_number("n", n)
        x0 = self.std * generate.standard_normal((count, self.dim))
        x1 = self._draw(count, generate)
        return (x0.ravel(), x1.ravel()) if self.dim == 1 else (x0, x1)

    def _draw(self, n: int, generate: np.random.Generator) -> FloatArray:
        drawn: FloatArray = self._rows[generate.choice(len(self.weights), n, p=self.weights)]
        return drawn

    def conditional(self, x0: ArrayLike) -> Any:
        """Law of X1 given X0 = x0: the rows, whatever x0."""
        point = real_array("x0", x0).reshape(-1)
        if len(point) != self.dim:
            raise ValueError(f"x0 must be one point of dimension {self.dim}, got {np.shape(x0)}")
        return self._rows_law()

    def sample_conditional(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """Draw a row for each x0; shaped like x0."""
        points = Points("x0", x0, self.dim)
        return points.restore(self._draw(len(points), generator(rng)))

    def as_mixture(self) -> MixturePlan:
        """Return the same plan as a mixture of Gaussians, singular in X1; O(m D^2) memory."""
        d, m = self.dim, len(self.weights)
        means = np.concatenate([np.zeros((m, d)), self._rows], axis=1)
        cov = np.zeros((2 * d, 2 * d))
        cov[:d, :d] = self.std**2 * np.eye(d)
        return MixturePlan(self.weights, means, np.broadcast_to(cov, (m, 2 * d, 2 * d)))

    def reverse(self) -> MixturePlan:
        """Return the plan of (X1, X0), as a mixture."""
        return self.as_mixture().reverse()

    def collision_times(self, interpolant: Interpolant = LINEAR) -> FloatArray:
        """X_t collapses on the rows at t = 1."""
        return np.ones(1)

    def _moment(self, powers: tuple[int, ...]) -> float:
        d = self.dim
        noise = normal_moment(np.zeros((1, d)), self.std**2 * np.eye(d)[None], powers[:d])[0]
        return float(noise * (self.weights @ (self._rows ** np.array(powers[d:])).prod(axis=1)))

    def __repr__(self) -> str:
        return f"DatasetPlan({len(self.weights)} rows, D = {self.dim}, std = {self.std:g})"


def dataset_plan(
    data: ArrayLike, std: float = 1.0, weights: ArrayLike | None = None
) -> DatasetPlan:
    r"""Plan of Gaussian noise and a data set: X0 ~ N(0, std^2 I) independent of a row X1.

    Its field is the closed form of a perfectly trained flow-matching model,

    .. math:: v(t, x) = \frac{a'}{a} (x - b \hat y) + b' \hat y, \qquad
        \hat y = \sum_j p_j y_j, \quad p_j \propto w_j e^{-|x - b y_j|^2 / (2 a^2 \sigma^2)}

    Parameters
    ----------
    data : array of shape (m,) on the line, (m, D) otherwise
    std : float
        Of the noise.
    weights : array of shape (m,), optional
        Of the rows; equal if not given.

    Notes
    -----
    Accuracy: float64 throughout with a running maximum of the exponents; distances are taken by
    differences where expanding the square would cancel (t near 1). At t = 1, where X_t is the
    data, the compiled field gives b' times the nearest row. Cost: O(n m D), two matrix products in
    blocks, no n x m array, for velocities and divergence; Jacobians cost O(n m D^2).

    Source: Karras et al. (2022, eq. 57) for the denoiser of a data set; Lipman et al. (2023).

    Examples
    --------
    >>> import numpy as np, recouple as rc
    >>> field = rc.velocity_field(rc.dataset_plan(np.array([[1.0, 0.0], [-1.0, 0.0]])))
    >>> field(0.0, np.zeros((1, 2)))
    array([[0., 0.]])
    """
    return DatasetPlan(data, std, weights)
