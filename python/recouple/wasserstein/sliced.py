"""Sliced Wasserstein distances between points in R^D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import (
    FloatArray,
    frozen,
    generator,
    real_array,
    real_number,
    thread_count,
    whole_number,
)
from recouple.marginal import Normal
from recouple.progress import Progress, progress_callback
from recouple.wasserstein.line import finite_order

Directions = Literal["gaussian", "orthogonal", "quasi"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SlicedDistance:
    """Sliced distance with its Monte Carlo standard error; ``float()`` gives the distance.

    ``powers`` holds W_p^p along each row of ``projections``.
    """

    distance: float
    standard_error: float
    projections: FloatArray
    powers: FloatArray

    def __float__(self) -> float:
        return self.distance

    def __repr__(self) -> str:
        return (
            f"SlicedDistance({self.distance:.6g} +- {self.standard_error:.2g}, "
            f"{len(self.powers)} projections)"
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SlicedGradient:
    """Sliced distance and its gradients by the points and by the weights as they were given."""

    distance: float
    X: FloatArray
    Y: FloatArray
    a: FloatArray
    b: FloatArray
    projections: FloatArray

    def __repr__(self) -> str:
        return f"SlicedGradient({self.distance:.6g}, shapes {self.X.shape}, {self.Y.shape})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MaxSlicedDistance:
    """Greatest distance found along a direction; ``float()`` gives it.

    ``status`` is "converged", or "iterations" if the limit came first.
    """

    distance: float
    direction: FloatArray
    iterations: int
    status: str

    def __float__(self) -> float:
        return self.distance

    def __repr__(self) -> str:
        return f"MaxSlicedDistance({self.distance:.6g}, {self.status})"


def sliced_wasserstein(
    X: ArrayLike,
    Y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    p: float = 2,
    n_projections: int = 100,
    projections: ArrayLike | None = None,
    directions: Directions = "gaussian",
    rng: int | np.random.Generator | None = None,
    power: bool = False,
    num_threads: int | None = None,
    progress: Progress = None,
) -> SlicedDistance:
    """Sliced Wasserstein distance between weighted points in R^D.

    SW_p(X, Y)^p = E_theta W_p(<theta, X>, <theta, Y>)^p,  theta uniform on the unit sphere

    Parameters
    ----------
    X, Y : array_like, shapes (n, D) and (m, D)
        Points; n and m may differ. Units of length.
    a, b : array_like, shapes (n,) and (m,), optional
        Weights, normalised to sum 1; equal by default.
    p : float
        Order, at least 1 and finite.
    n_projections : int
        Number of directions drawn.
    projections : array_like, shape (L, D), optional
        Directions to use instead, brought to unit length: those of another result, say, so that
        two distances differ by the points alone.
    directions : {"gaussian", "orthogonal", "quasi"}
        How directions are drawn: independent, in orthogonal sets of D, or as a shifted lattice
        sequence, which spreads them more evenly.
    rng : int, Generator or None
        Seed of the directions.
    power : bool
        Return SW_p^p.
    num_threads : int, optional
        Threads of the sorts; the result does not depend on them. The projections are a matrix
        product of NumPy's, with threads of its own.
    progress : bool or callable
        True for a bar, or called as progress(done, total) with directions done.

    Returns
    -------
    SlicedDistance
        ``.distance``, ``.standard_error`` over the directions (for orthogonal and quasi-random ones
        the true error is smaller as a rule), ``.projections``, ``.powers``.

    Raises
    ------
    ValueError
        For points that are not finite or differ in dimension, weights as in ``wasserstein_1d``,
        directions of length zero, p < 1.

    Notes
    -----
    Cost: L products and sorts, O(L (n + m) (D + log(n + m))); memory for some directions.
    Source: Bonneel, Rabin, Peyre and Pfister, J. Math. Imaging Vis. 51 (2015).

    Examples
    --------
    >>> import recouple as rc
    >>> X = [[0.0, 0.0], [1.0, 0.0]]
    >>> rc.sliced_wasserstein(X, X, rng=0).distance
    0.0
    """
    points = _Points(X, Y, a, b, num_threads)
    order = finite_order(p)
    theta = _directions(points.dim, n_projections, projections, directions, rng)
    tell = progress_callback(progress, "sliced_wasserstein")
    powers = np.concatenate([w for w in points.powers(theta, order, tell)])
    mean = float(powers.mean())
    error = float(powers.std(ddof=1) / np.sqrt(len(powers))) if len(powers) > 1 else np.nan
    distance = mean
    if not power:
        distance = mean ** (1 / order)
        error = error * distance / (order * mean) if mean > 0 else 0.0
    return SlicedDistance(distance, error, frozen(theta), frozen(powers))


def sliced_wasserstein_grad(
    X: ArrayLike,
    Y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    p: float = 2,
    n_projections: int = 100,
    projections: ArrayLike | None = None,
    directions: Directions = "gaussian",
    rng: int | np.random.Generator | None = None,
    power: bool = False,
    num_threads: int | None = None,
    progress: Progress = None,
) -> SlicedGradient:
    """Gradient of the sliced Wasserstein distance by points and weights, the directions held fixed.

    d SW_p^p / d X_i = mean_theta theta d W_p^p / d <theta, X_i>
    d SW_p^p / d a_i = mean_theta d W_p^p(<theta, X>, <theta, Y>) / d a_i

    Parameters and errors are those of ``sliced_wasserstein``; where the distance is 0 the gradient
    is 0.

    Returns
    -------
    SlicedGradient
        ``.distance`` and the gradients ``.X`` (n, D), ``.Y`` (m, D), ``.a`` (n,) and ``.b`` (m,);
        weights left out count as 1 / n, as in ``wasserstein_1d_grad``.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.sliced_wasserstein_grad([[0.0]], [[2.0]], projections=[[1.0]]).X
    array([[-1.]])
    """
    points = _Points(X, Y, a, b, num_threads)
    order = finite_order(p)
    theta = _directions(points.dim, n_projections, projections, directions, rng)
    tell = progress_callback(progress, "sliced_wasserstein_grad")
    total, by_x, by_y = 0.0, np.zeros_like(points.X), np.zeros_like(points.Y)
    by_a, by_b = np.zeros(len(points.X)), np.zeros(len(points.Y))
    for some, powers, du, dv, da, db in points.gradients(theta, order, tell):
        total += float(powers.sum())
        by_x += du.T @ some
        by_y += dv.T @ some
        by_a += da.sum(axis=0)
        by_b += db.sum(axis=0)
    mean = total / len(theta)
    factor = 1 / len(theta)
    if not power:
        factor *= 0.0 if mean == 0 else mean ** (1 / order - 1) / order
        mean = mean ** (1 / order)
    x, y, a, b = (frozen(factor * by) for by in (by_x, by_y, by_a, by_b))
    return SlicedGradient(mean, x, y, a, b, frozen(theta))


def max_sliced_wasserstein(
    X: ArrayLike,
    Y: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    p: float = 2,
    n_starts: int = 4,
    max_iterations: int = 200,
    tol: float = 1e-9,
    rng: int | np.random.Generator | None = None,
    num_threads: int | None = None,
) -> MaxSlicedDistance:
    """Greatest Wasserstein distance along a direction, and the direction.

    max_{|theta| = 1} W_p(<theta, X>, <theta, Y>)

    by gradient ascent on the sphere from the best of 32 ``n_starts`` random directions and from the
    difference of the means. The maximum found is a lower bound of the true one, which may lie in
    another valley; more starts make that less likely.

    Parameters
    ----------
    X, Y, a, b, p, rng, num_threads
        As in ``sliced_wasserstein``.
    n_starts : int
        Ascents from random directions.
    max_iterations : int
        Steps of each ascent.
    tol : float
        An ascent has converged when the slope along the sphere is below ``tol`` of the distance.

    Returns
    -------
    MaxSlicedDistance
        ``.distance``, ``.direction`` (D,), ``.iterations`` and ``.status``.

    Raises
    ------
    ValueError
        As ``sliced_wasserstein``.

    Notes
    -----
    Source: Deshpande et al., CVPR (2019), section 3.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.max_sliced_wasserstein([[0.0, 0.0]], [[3.0, 4.0]], rng=0)
    MaxSlicedDistance(5, converged)
    """
    points = _Points(X, Y, a, b, num_threads)
    order = finite_order(p)
    starts = whole_number("n_starts", n_starts, minimum=1)
    limit = whole_number("max_iterations", max_iterations, minimum=1)
    slope = real_number("tol", tol, positive=True)
    drawn = _directions(points.dim, 32 * starts, None, "gaussian", rng)
    powers = np.concatenate([w for w in points.powers(drawn, order, None)])
    theta = list(drawn[np.argsort(-powers, kind="stable")[:starts]])
    shift = points.mean_difference()
    if shift.any():
        theta.insert(0, shift / np.linalg.norm(shift))
    found = [points.climb(start, order, slope, limit) for start in theta]
    return max(found, key=float)


class _Points:
    """Two clouds with weights, and what their projections say."""

    def __init__(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        a: ArrayLike | None,
        b: ArrayLike | None,
        num_threads: int | None,
    ) -> None:
        self.X, self.Y = real_array("X", X, ndim=2), real_array("Y", Y, ndim=2)
        self.dim = self.X.shape[1]
        if self.Y.shape[1] != self.dim:
            raise ValueError(f"Y must have shape (m, {self.dim}) as X, got {self.Y.shape}")
        self.a = None if a is None else real_array("a", a, shape=(len(self.X),))
        self.b = None if b is None else real_array("b", b, shape=(len(self.Y),))
        for name, weights in (("a", self.a), ("b", self.b)):
            if weights is not None and not (weights.min() >= 0 and 0 < weights.sum() < np.inf):
                raise ValueError(f"{name} must not be negative and have a positive, finite sum")
        self.threads = thread_count(num_threads)

    def mean_difference(self) -> FloatArray:
        difference: FloatArray = np.average(self.X, axis=0, weights=self.a) - np.average(
            self.Y, axis=0, weights=self.b
        )
        return difference

    def _blocks(self, theta: FloatArray, tell: Any) -> Any:
        """Yield some directions and both projections on them, 64 MB at a time."""
        step = max(1, (1 << 23) // (len(self.X) + len(self.Y)))
        for first in range(0, len(theta), step):
            some = theta[first : first + step]
            yield some, some @ self.X.T, some @ self.Y.T
            if tell is not None:
                tell(min(first + step, len(theta)), len(theta))

    def powers(self, theta: FloatArray, p: float, tell: Any) -> Any:
        for some, x, y in self._blocks(theta, tell):
            rows = np.arange(len(some), dtype=np.uint64)
            yield _core.wasserstein_1d(
                x,
                y,
                self.a,
                self.b,
                u_rows=rows,
                v_rows=rows,
                p=p,
                power=True,
                assume_sorted=False,
                threads=self.threads,
            )

    def gradients(self, theta: FloatArray, p: float, tell: Any) -> Any:
        for some, x, y in self._blocks(theta, tell):
            yield (
                some,
                *_core.wasserstein_1d_grad(
                    x, y, self.a, self.b, p=p, power=True, threads=self.threads
                ),
            )

    def along(self, theta: FloatArray, p: float) -> tuple[float, FloatArray]:
        """Return the distance along a direction, and its gradient by the direction."""
        x, y = (theta @ self.X.T)[None], (theta @ self.Y.T)[None]
        distance, du, dv, _, _ = _core.wasserstein_1d_grad(
            x, y, self.a, self.b, p=p, power=False, threads=self.threads
        )
        return float(distance[0]), du[0] @ self.X + dv[0] @ self.Y

    def climb(self, theta: FloatArray, p: float, tol: float, limit: int) -> MaxSlicedDistance:
        """Ascend from a direction along great circles, by steps halved until they pay."""
        value, gradient = self.along(theta, p)
        step, done = 1.0, 0
        while done < limit:
            slope = gradient - (gradient @ theta) * theta
            size = float(np.linalg.norm(slope))
            if size <= tol * value:
                return MaxSlicedDistance(value, frozen(theta), done, "converged")
            while step > 1e-14:
                angle = min(step * size / value, np.pi / 4)
                there = np.cos(angle) * theta + np.sin(angle) * slope / size
                there /= np.linalg.norm(there)
                new_value, new_gradient = self.along(there, p)
                if new_value >= value + 0.1 * angle * size:
                    break
                step *= 0.5
            else:  # a kink: no step up is left along this slope
                return MaxSlicedDistance(value, frozen(theta), done, "converged")
            theta, value, gradient = there, new_value, new_gradient
            step, done = min(4 * step, 1e6), done + 1
        return MaxSlicedDistance(value, frozen(theta), done, "iterations")


def _directions(
    dim: int,
    n_projections: int,
    projections: ArrayLike | None,
    kind: str,
    rng: int | np.random.Generator | None,
) -> FloatArray:
    """Return unit directions (L, D)."""
    if projections is not None:
        theta = real_array("projections", projections, shape=(None, dim))
    else:
        count = whole_number("n_projections", n_projections, minimum=1)
        draw = generator(rng)
        if kind == "gaussian":
            theta = draw.standard_normal((count, dim))
        elif kind == "orthogonal":
            sets = draw.standard_normal((-(-count // dim), dim, dim))
            q, r = np.linalg.qr(sets)
            # With the signs of R's diagonal taken out, Q is uniform on the orthogonal group.
            q = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[:, None, :]
            theta = np.swapaxes(q, -1, -2).reshape(-1, dim)[:count]
        elif kind == "quasi":
            theta = _lattice(dim, count, draw.random(dim))
        else:
            raise ValueError(
                f"directions must be 'gaussian', 'orthogonal' or 'quasi', got {kind!r}"
            )
    length = np.linalg.norm(theta, axis=1, keepdims=True)
    if not length.all():
        raise ValueError(
            f"projections must not be zero, got length 0 at row {int(length.argmin())}"
        )
    return np.ascontiguousarray(theta / length)


def _lattice(dim: int, count: int, shift: FloatArray) -> FloatArray:
    """Return normal vectors from the additive sequence of the generalised golden ratio.

    The ratio solves x^(D+1) = x + 1 (Roberts 2018); on the circle equal angles are better still.
    """
    if dim == 2:
        angle = np.pi * (np.arange(count) + shift[0]) / count
        return np.column_stack([np.cos(angle), np.sin(angle)])
    ratio = 2.0
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / (dim + 1))
    steps = ratio ** -np.arange(1.0, dim + 1)
    u = (shift + np.arange(1, count + 1)[:, None] * steps) % 1
    normal: FloatArray = Normal().ppf(np.clip(u, 2.0**-54, 1 - 2.0**-53))
    return normal
