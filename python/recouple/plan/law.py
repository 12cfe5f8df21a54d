"""Laws of X_t beyond the line's own: Gaussians, their mixtures and atoms in R^D, and grids."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, generator, real_array, whole_number
from recouple.marginal import Empirical, Marginal, Normal, NormalMixture, as_marginal
from recouple.plan.base import Points, Rng

__all__ = [
    "Atoms",
    "Gaussian",
    "GaussianMixture",
    "GridLaw",
    "LineMixture",
    "Mixture",
    "factors",
    "mixture_law",
    "weighted",
]

_SEMIDEFINITE = 1e-12  # an eigenvalue this far below zero, relative to the largest, is rounding


def weighted(name: str, weights: ArrayLike | None, n: int) -> FloatArray:
    """Return n weights that sum to 1; None stands for equal ones."""
    if weights is None:
        return np.full(n, 1.0 / n)
    w = real_array(name, weights, shape=(n,))
    if (w < 0).any():
        k = int(np.argmax(w < 0))
        raise ValueError(f"{name} must not be negative, got {w[k]:g} at index {k}")
    total = w.sum()
    if not (np.isfinite(total) and total > 0):
        raise ValueError(f"{name} must have a positive, finite sum, got {total:g}")
    return w if abs(total - 1) <= 4e-16 * n else w / total


def factors(name: str, covs: FloatArray) -> FloatArray:
    """Return L with L L' = cov for each matrix of a stack, singular ones included.

    Raises ValueError, naming the smallest eigenvalue, for a matrix that is not symmetric positive
    semidefinite.
    """
    scale = np.abs(covs).max(axis=(1, 2))
    skew = np.abs(covs - covs.transpose(0, 2, 1)).max(axis=(1, 2))
    if (skew > _SEMIDEFINITE * scale).any():
        k = int(np.argmax(skew > _SEMIDEFINITE * scale))
        raise ValueError(
            f"{name}[{k}] must be symmetric, it differs from its transpose by {skew[k]:g}"
        )
    values, vectors = np.linalg.eigh(covs)
    least, largest = values[:, 0], np.maximum(values[:, -1], 0)
    if (least < -_SEMIDEFINITE * largest).any():
        k = int(np.argmax(least < -_SEMIDEFINITE * largest))
        raise ValueError(
            f"{name}[{k}] must be positive semidefinite, its smallest eigenvalue is {least[k]:g}"
        )
    values[values <= _SEMIDEFINITE * largest[:, None]] = 0
    root: FloatArray = vectors * np.sqrt(values)[:, None, :]
    return root


class GaussianMixture:
    """Mixture of Gaussians in R^D; covariances may be singular.

    Parameters
    ----------
    weights : array of shape (K,)
    means : array of shape (K, D)
    covs : array of shape (K, D, D)

    Examples
    --------
    >>> import recouple as rc
    >>> law = rc.GaussianMixture([1.0, 3.0], [[0.0, 0.0], [4.0, 0.0]], [[[1, 0], [0, 1]]] * 2)
    >>> law.mean()
    array([3., 0.])
    """

    weights: FloatArray
    means: FloatArray
    covs: FloatArray

    def __init__(self, weights: ArrayLike, means: ArrayLike, covs: ArrayLike):
        m = real_array("means", means, ndim=2)
        self.dim = m.shape[1]
        c = real_array("covs", covs, shape=(len(m), self.dim, self.dim))
        self.weights = frozen(weighted("weights", weights, len(m)))
        self.means = frozen(m)
        self.covs = frozen(c)
        self._root = factors("covs", c)

    def mean(self) -> FloatArray:
        """Mean, shape (D,)."""
        return self.weights @ self.means

    def cov(self) -> FloatArray:
        """Covariance, shape (D, D)."""
        centred = self.means - self.mean()
        within = np.tensordot(self.weights, self.covs, 1)
        total: FloatArray = within + (self.weights[:, None] * centred).T @ centred
        return total

    def std(self) -> FloatArray:
        """Standard deviation of each coordinate, shape (D,)."""
        return np.sqrt(np.diag(self.cov()))

    def rvs(self, size: int = 1, rng: Rng = None) -> FloatArray:
        """Draw ``size`` points, shape (size, D)."""
        n = whole_number("size", size)
        return draw(self.weights, self.means, self._root, n, generator(rng))

    def logpdf(self, x: ArrayLike) -> Any:
        """Log density at points of shape (n, D); ValueError if a covariance is singular."""
        points = Points("x", x, self.dim, finite=False)
        return points.restore(log_density(self.weights, self.means, self.covs, points.rows), rank=0)

    def pdf(self, x: ArrayLike) -> Any:
        """Density at points of shape (n, D)."""
        return np.exp(self.logpdf(x))

    def __reduce__(self) -> tuple[Any, ...]:
        return GaussianMixture, (self.weights, self.means, self.covs)

    def __repr__(self) -> str:
        return f"GaussianMixture({len(self.weights)} components in R^{self.dim})"


class Gaussian(GaussianMixture):
    """Gaussian law in R^D; the covariance may be singular.

    Parameters
    ----------
    mean : array of shape (D,)
    cov : array of shape (D, D)
    """

    def __init__(self, mean: ArrayLike, cov: ArrayLike):
        m = real_array("mean", mean, ndim=1)
        c = real_array("cov", cov, shape=(len(m), len(m)))
        super().__init__([1.0], m[None], c[None])

    def __reduce__(self) -> tuple[Any, ...]:
        return Gaussian, (self.means[0], self.covs[0])

    def __repr__(self) -> str:
        return f"Gaussian(in R^{self.dim})"


class Atoms:
    """Finitely many weighted points in R^D.

    Parameters
    ----------
    points : array of shape (n, D)
    weights : array of shape (n,), optional
        Equal if not given.
    """

    points: FloatArray
    weights: FloatArray

    def __init__(self, points: ArrayLike, weights: ArrayLike | None = None):
        x = real_array("points", points, ndim=2)
        self.points = frozen(x)
        self.weights = frozen(weighted("weights", weights, len(x)))
        self.dim = x.shape[1]

    def mean(self) -> FloatArray:
        """Mean, shape (D,)."""
        return self.weights @ self.points

    def cov(self) -> FloatArray:
        """Covariance, shape (D, D)."""
        centred = self.points - self.mean()
        spread: FloatArray = (self.weights[:, None] * centred).T @ centred
        return spread

    def std(self) -> FloatArray:
        """Standard deviation of each coordinate, shape (D,)."""
        return np.sqrt(np.diag(self.cov()))

    def rvs(self, size: int = 1, rng: Rng = None) -> FloatArray:
        """Draw ``size`` points, shape (size, D)."""
        chosen = generator(rng).choice(len(self.points), whole_number("size", size), p=self.weights)
        drawn: FloatArray = self.points[chosen]
        return drawn

    def __reduce__(self) -> tuple[Any, ...]:
        return Atoms, (self.points, self.weights)

    def __repr__(self) -> str:
        return f"Atoms({len(self.points)} points in R^{self.dim})"


class GridLaw(Marginal):
    """A law on the line known by its density at equally spaced points.

    The cdf is a monotone cubic through the cumulated density, with the density as its slope where
    that keeps it increasing; ``pdf`` is its derivative. Exactly normalised, zero outside the grid;
    O(h^4) for the cdf and O(h^3) for the density, when that is smooth.

    Parameters
    ----------
    x : array of shape (n,), n >= 4
        Equally spaced, increasing.
    density : array of shape (n,)
        Not negative; normalised here.
    """

    x: FloatArray
    density: FloatArray

    def __init__(self, x: ArrayLike, density: ArrayLike):
        nodes = real_array("x", x, ndim=1)
        p = np.maximum(real_array("density", density, shape=nodes.shape), 0)
        h = (nodes[-1] - nodes[0]) / (len(nodes) - 1)
        padded = np.concatenate([[0.0], p, [0.0]])
        inside = 13 * (padded[1:-2] + padded[2:-1]) - padded[:-3] - padded[3:]
        cell = h / 24 * np.maximum(inside, 0)
        total = cell.sum()
        if not total > 0:
            raise ValueError("density must have a positive integral")
        self.x = frozen(nodes)
        self.density = frozen(p / total)
        self._h = h
        self._cell = cell / total
        self._cdf = np.concatenate([[0.0], np.cumsum(self._cell)])
        # Slopes of at most three times the mean slope of both neighbours keep a cubic increasing.
        mean_slope = np.concatenate([[0.0], self._cell, [0.0]]) / h
        self._slope = np.minimum(self.density, 3 * np.minimum(mean_slope[:-1], mean_slope[1:]))

    def _locate(self, x: FloatArray) -> tuple[Any, FloatArray]:
        u = np.clip((x - self.x[0]) / self._h, 0, len(self.x) - 1)
        cell = np.minimum(u.astype(np.intp), len(self.x) - 2)
        return cell, u - cell

    def cdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Probability of (-inf, x]."""
        cell, s = self._locate(np.asarray(x, dtype=np.float64))
        a, b, d = self._h * self._slope[cell], self._h * self._slope[cell + 1], self._cell[cell]
        return self._cdf[cell] + s * (a + s * (3 * d - 2 * a - b + s * (a + b - 2 * d)))

    def pdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Density."""
        points = np.asarray(x, dtype=np.float64)
        cell, s = self._locate(points)
        a, b, d = self._h * self._slope[cell], self._h * self._slope[cell + 1], self._cell[cell]
        p = (a + s * (2 * (3 * d - 2 * a - b) + 3 * s * (a + b - 2 * d))) / self._h
        inside = (points >= self.x[0]) & (points <= self.x[-1])
        return np.where(inside, np.maximum(p, 0), 0)

    def logpdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Log density."""
        with np.errstate(divide="ignore"):
            return np.log(self.pdf(x))

    def logcdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Log of the cdf."""
        with np.errstate(divide="ignore"):
            return np.log(self.cdf(x))

    def sf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Probability of (x, inf)."""
        return 1 - self.cdf(x)

    def logsf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Log of the survival function."""
        with np.errstate(divide="ignore"):
            return np.log(self.sf(x))

    def isf(self, u: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Upper quantile."""
        return self.ppf(1 - np.asarray(u, dtype=np.float64))

    def ppf(self, u: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Quantile: the cubic of the right cell, solved by bisection and Newton steps."""
        q = np.asarray(u, dtype=np.float64)
        if not ((q >= 0) & (q <= 1)).all():
            raise ValueError("u must lie in [0, 1]")
        cell = np.clip(np.searchsorted(self._cdf, q, side="right") - 1, 0, len(self.x) - 2)
        a, b, d = self._h * self._slope[cell], self._h * self._slope[cell + 1], self._cell[cell]
        rest = q - self._cdf[cell]
        c2, c3 = 3 * d - 2 * a - b, a + b - 2 * d
        low, high = np.zeros_like(rest), np.ones_like(rest)
        s = np.clip(np.divide(rest, d, out=np.zeros_like(rest), where=d > 0), 0, 1)
        for _ in range(60):
            f = s * (a + s * (c2 + s * c3)) - rest
            low, high = np.where(f < 0, s, low), np.where(f < 0, high, s)
            slope = a + s * (2 * c2 + 3 * s * c3)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = s - f / slope
            # Newton's step ends on an edge of the bracket once it has converged.
            s, before = np.where((step >= low) & (step <= high), step, 0.5 * (low + high)), s
            if np.max(np.abs(s - before), initial=0) < 1e-16:
                break
        x: FloatArray = self.x[cell] + self._h * s
        return x

    def _moment(self, power: int) -> float:
        node, weight = np.polynomial.legendre.leggauss(3 + power // 2)
        x = self.x[:-1, None] + self._h * (node + 1) / 2
        return float((self.pdf(x) * x**power @ weight).sum() * self._h / 2)

    def mean(self) -> float:
        """Mean."""
        return self._moment(1)

    def std(self) -> float:
        """Standard deviation."""
        return float(np.sqrt(max(self._moment(2) - self._moment(1) ** 2, 0.0)))

    def support(self) -> tuple[float, float]:
        """Ends of the grid."""
        return float(self.x[0]), float(self.x[-1])

    def __reduce__(self) -> tuple[Any, ...]:
        return GridLaw, (self.x, self.density)

    def __repr__(self) -> str:
        return f"GridLaw({len(self.x)} points on [{self.x[0]:g}, {self.x[-1]:g}])"


class Mixture:
    """Mixture of laws of any kind, with what all of them offer: densities, draws, the mean."""

    weights: FloatArray
    laws: tuple[Any, ...]

    def __init__(self, weights: ArrayLike, laws: tuple[Any, ...]):
        self.weights = frozen(weighted("weights", weights, len(laws)))
        self.laws = tuple(laws)

    def logpdf(self, x: ArrayLike) -> Any:
        """Log density."""
        with np.errstate(divide="ignore"):
            logs = [
                np.log(w) + law.logpdf(x) for w, law in zip(self.weights, self.laws, strict=True)
            ]
        return np.logaddexp.reduce(logs)

    def pdf(self, x: ArrayLike) -> Any:
        """Density."""
        return np.exp(self.logpdf(x))

    def cdf(self, x: ArrayLike) -> Any:
        """Probability of (-inf, x], on the line."""
        return sum(w * law.cdf(x) for w, law in zip(self.weights, self.laws, strict=True))

    def mean(self) -> Any:
        """Mean."""
        return sum(w * law.mean() for w, law in zip(self.weights, self.laws, strict=True))

    def rvs(self, size: int = 1, rng: Rng = None) -> FloatArray:
        """Draw ``size`` points."""
        generate = generator(rng)
        n = whole_number("size", size)
        counts = generate.multinomial(n, self.weights)
        drawn = [law.rvs(int(c), generate) for law, c in zip(self.laws, counts, strict=True) if c]
        points: FloatArray = generate.permutation(np.concatenate(drawn)) if drawn else np.empty(0)
        return points

    def __reduce__(self) -> tuple[Any, ...]:
        return Mixture, (self.weights, self.laws)

    def __repr__(self) -> str:
        return f"Mixture({len(self.laws)} laws)"


class LineMixture(Marginal):
    """Mixture of laws on the line, itself a law on the line; quantiles by inversion of the cdf."""

    weights: FloatArray
    laws: tuple[Marginal, ...]

    def __init__(self, weights: ArrayLike, laws: tuple[Marginal, ...]):
        self.weights = frozen(weighted("weights", weights, len(laws)))
        self.laws = tuple(laws)

    def _mean_of(self, curve: str, x: ArrayLike) -> Any:
        values = [getattr(law, curve)(x) for law in self.laws]
        return sum(w * y for w, y in zip(self.weights, values, strict=True))

    def _log_mean_of(self, curve: str, x: ArrayLike) -> Any:
        values = [getattr(law, curve)(x) for law in self.laws]
        with np.errstate(divide="ignore"):
            return np.logaddexp.reduce(
                [np.log(w) + y for w, y in zip(self.weights, values, strict=True)]
            )

    def pdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Density."""
        return self._mean_of("pdf", x)

    def logpdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Log density."""
        return self._log_mean_of("logpdf", x)

    def cdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Probability of (-inf, x]."""
        return self._mean_of("cdf", x)

    def logcdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Log of the cdf."""
        return self._log_mean_of("logcdf", x)

    def sf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Probability of (x, inf)."""
        return self._mean_of("sf", x)

    def logsf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Log of the survival function."""
        return self._log_mean_of("logsf", x)

    def ppf(self, u: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Quantile."""
        return self._inverse.ppf(u)

    def isf(self, u: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Upper quantile."""
        return self._inverse.isf(u)

    def mean(self) -> float:
        """Mean."""
        return float(self.weights @ [law.mean() for law in self.laws])

    def std(self) -> float:
        """Standard deviation: that of the means and of the laws."""
        means = np.array([float(law.mean()) for law in self.laws])
        stds = np.array([float(law.std()) for law in self.laws])
        return float(np.sqrt(self.weights @ (stds**2 + (means - self.weights @ means) ** 2)))

    def support(self) -> tuple[float, float]:
        """The least interval that holds all laws."""
        ends = np.array([law.support() for law in self.laws], dtype=float)
        return float(ends[:, 0].min()), float(ends[:, 1].max())

    @cached_property
    def _inverse(self) -> Marginal:
        return as_marginal(self.cdf, support=self.support())

    def __reduce__(self) -> tuple[Any, ...]:
        return LineMixture, (self.weights, self.laws)

    def __repr__(self) -> str:
        return f"LineMixture({len(self.laws)} laws)"


def mixture_law(weights: FloatArray, means: FloatArray, covs: FloatArray) -> Any:
    """Return the simplest law with these Gaussian components: (K,), (K, D), (K, D, D)."""
    if means.shape[1] > 1:
        if len(weights) == 1:
            return Gaussian(means[0], covs[0])
        return GaussianMixture(weights, means, covs)
    stds = np.sqrt(np.maximum(covs[:, 0, 0], 0))
    if not stds.any():
        return Empirical(means[:, 0], weights)
    if not stds.all():
        raise ValueError("X_t has atoms beside a density here: no law holds both")
    if len(weights) == 1:
        return Normal(float(means[0, 0]), float(stds[0]))
    return NormalMixture(weights, means[:, 0], stds)


def draw(
    weights: FloatArray, means: FloatArray, root: FloatArray, n: int, rng: np.random.Generator
) -> FloatArray:
    """Draw n points of a Gaussian mixture whose covariances are root root'."""
    component = rng.choice(len(weights), n, p=weights) if len(weights) > 1 else np.zeros(n, np.intp)
    z = rng.standard_normal((n, means.shape[1]))
    if n * root[0].size <= 1 << 22:
        noise = np.einsum("nij,nj->ni", root[component], z)
    else:
        noise = np.empty_like(z)
        order = np.argsort(component, kind="stable")
        ends = np.searchsorted(component[order], np.arange(len(weights) + 1))
        for k in np.unique(component):
            chosen = order[ends[k] : ends[k + 1]]
            noise[chosen] = z[chosen] @ root[k].T
    points: FloatArray = means[component] + noise
    return points


def log_density(
    weights: FloatArray, means: FloatArray, covs: FloatArray, x: FloatArray
) -> FloatArray:
    """Log density of a Gaussian mixture at points (n, D)."""
    try:
        lower = np.linalg.cholesky(covs)
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(covs).min()
        raise ValueError(
            f"there is no density: the smallest eigenvalue of a covariance is {least:g}"
        ) from None
    dim = means.shape[1]
    with np.errstate(divide="ignore"):
        offset = np.log(weights) - np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    inverse = np.linalg.inv(lower)
    total = np.full(len(x), -np.inf)
    for k in range(len(weights)):
        z = (x - means[k]) @ inverse[k].T
        total = np.logaddexp(total, offset[k] - 0.5 * np.einsum("ni,ni->n", z, z))
    result: FloatArray = total - 0.5 * dim * np.log(2 * np.pi)
    return result
