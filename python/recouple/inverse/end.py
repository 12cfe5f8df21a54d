"""What is known of X0 or X1 in R^D: a law, its moments, or samples of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recouple.arguments import FloatArray, frozen, real_array
from recouple.marginal import Empirical, Marginal, as_marginal
from recouple.plan import Atoms

SINGULAR = 1e-12  # an eigenvalue this far below the largest is zero
DRAWS = 20_000  # from a law that does not tell its moments


@dataclass(frozen=True, eq=False)
class End:
    """Mean and covariance of an end, how many samples they rest on, and how to draw from it.

    ``count`` is infinite for moments known exactly.
    """

    mean: FloatArray
    cov: FloatArray
    count: float
    draw: Callable[[int, np.random.Generator], FloatArray] = field(repr=False)
    logpdf: Callable[[FloatArray], Any] | None = field(default=None, repr=False)  # if known

    @property
    def exact(self) -> bool:
        """Whether the moments are known, not estimated."""
        return bool(np.isinf(self.count))


def dimension_of(source: Any) -> int:
    """Return the dimension of the space that a law, its moments or its samples live in."""
    if isinstance(source, tuple) and len(source) == 2:
        return int(np.size(source[0]))
    dim = getattr(source, "dim", None)
    if isinstance(dim, int | np.integer):
        return int(dim)
    if hasattr(source, "rvs") or hasattr(source, "cdf"):
        return 1
    shape = np.shape(source)
    return shape[1] if len(shape) == 2 else 1


def read_end(name: str, law: Any, dim: int, *, regular: bool) -> End:
    """Return what is known of an end; ``regular`` asks for a covariance of full rank.

    ``law`` is a law with ``mean``, ``cov`` and ``rvs``, a tuple (mean, covariance), or samples of
    shape (n, D); on the line also anything that :func:`as_marginal` takes.
    """
    if isinstance(law, tuple) and len(law) == 2:
        mean = real_array(f"{name}[0]", np.atleast_1d(law[0]), shape=(dim,))
        cov = real_array(f"{name}[1]", np.atleast_2d(law[1]), shape=(dim, dim))
        end = _moments(name, mean, cov)
    elif isinstance(law, Atoms) or not (hasattr(law, "rvs") or hasattr(law, "cdf")):
        end = _samples(name, law, dim)
    elif dim == 1 and getattr(law, "dim", 1) == 1:
        end = _on_line(name, law)
    else:
        end = _law(name, law, dim)
    values = np.linalg.eigvalsh(end.cov)
    if values[0] < -SINGULAR * max(values[-1], 0.0):
        raise ValueError(
            f"{name} must have a positive semidefinite covariance, its smallest eigenvalue is "
            f"{values[0]:g}"
        )
    if regular and not values[0] > SINGULAR * values[-1]:
        raise ValueError(
            f"{name} must have a covariance of full rank, its eigenvalues go from {values[0]:g} "
            f"to {values[-1]:g}: the field says nothing off the support"
        )
    return end


def _moments(name: str, mean: FloatArray, cov: FloatArray) -> End:
    skew = np.abs(cov - cov.T).max()
    if skew > 1e-12 * np.abs(cov).max():
        raise ValueError(f"{name} must have a symmetric covariance, it is off by {skew:g}")
    values, vectors = np.linalg.eigh(cov)
    root = vectors * np.sqrt(np.maximum(values, 0))

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        points: FloatArray = mean + rng.standard_normal((n, len(mean))) @ root.T
        return points

    return End(frozen(mean), frozen((cov + cov.T) / 2), np.inf, draw)


def _samples(name: str, law: Any, dim: int) -> End:
    if isinstance(law, Atoms):
        points, weights = law.points, law.weights
    else:
        points = real_array(name, law)
        points = points[:, None] if points.ndim == 1 and dim == 1 else points
        weights = np.full(len(points), 1 / len(points))
    if points.ndim != 2 or points.shape[1] != dim:
        raise ValueError(f"{name} must have shape (n, {dim}), got {points.shape}")
    count = 1 / float(np.sum(weights**2))
    if count < dim + 1:
        raise ValueError(
            f"{name} must hold at least {dim + 2} samples in dimension {dim}, got {len(points)}"
        )
    mean = weights @ points
    centred = points - mean
    cov = (weights[:, None] * centred).T @ centred * (count / (count - 1))

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        if np.ptp(weights) == 0 and n <= len(points):
            return points[rng.permutation(len(points))[:n]]
        return points[rng.choice(len(points), n, p=weights)]

    return End(frozen(mean), frozen(cov), count, draw)


def _on_line(name: str, law: Any) -> End:
    try:
        marginal: Marginal = as_marginal(law)
    except ValueError as error:
        raise ValueError(f"{name} must be a law on the line or samples of one: {error}") from None
    if isinstance(marginal, Empirical):
        return _samples(name, Atoms(marginal.values[:, None], marginal.weights), 1)

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        points: FloatArray = np.asarray(marginal.ppf(rng.random(n)))[:, None]
        return points

    mean, std = float(marginal.mean()), float(marginal.std())
    if not (np.isfinite(mean) and np.isfinite(std)):
        raise ValueError(f"{name} must have a finite mean and variance, got {mean} and {std**2}")
    return End(
        np.array([mean]), np.array([[std**2]]), np.inf, draw, lambda x: marginal.logpdf(x[:, 0])
    )


def _law(name: str, law: Any, dim: int) -> End:
    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        scipys = type(law).__module__.startswith("scipy.")
        drawn = law.rvs(size=n, random_state=rng) if scipys else law.rvs(n, rng)
        points = real_array(f"draws of {name}", drawn)
        return points.reshape(n, dim) if points.size == n * dim else points

    def known(what: str) -> Any:
        value = getattr(law, what, None)
        return value() if callable(value) else value

    mean, cov = known("mean"), known("cov")
    if mean is None or cov is None:
        return _estimated(name, draw, dim)
    mean = real_array(f"{name}'s mean", np.atleast_1d(mean), shape=(dim,))
    cov = real_array(f"{name}'s covariance", np.atleast_2d(cov), shape=(dim, dim))
    return End(frozen(mean), frozen(cov), np.inf, draw, getattr(law, "logpdf", None))


def _estimated(name: str, draw: Callable[[int, np.random.Generator], FloatArray], dim: int) -> End:
    drawn = draw(DRAWS, np.random.default_rng(0))
    end = _samples(name, drawn, dim)
    return End(end.mean, end.cov, end.count, draw)
