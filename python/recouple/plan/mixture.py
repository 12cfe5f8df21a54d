"""Plans that are Gaussian, or mixtures of Gaussians, on R^D x R^D."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, generator, real_array, real_number, whole_number
from recouple.interpolant import LINEAR, Interpolant
from recouple.plan.base import Plan, Points, Rng
from recouple.plan.grid import GridPlan
from recouple.plan.law import draw, factors, log_density, mixture_law, weighted

__all__ = ["GaussianPlan", "MixturePlan", "normal_moment"]


class MixturePlan(Plan):
    r"""Mixture of Gaussians on R^(2D) as the joint law of (X0, X1).

    .. math:: \pi = \sum_k w_k N(m_k, C_k), \qquad C_k = \begin{pmatrix} C_{00} & C_{01} \\
              C_{01}^T & C_{11} \end{pmatrix}

    Parameters
    ----------
    weights : array of shape (K,)
        Not negative; normalised. Components of weight zero are dropped.
    means : array of shape (K, 2 D)
        Means of (X0, X1).
    covs : array of shape (K, 2 D, 2 D)
        Joint covariances: symmetric, positive semidefinite; singular ones are allowed.

    Raises
    ------
    ValueError
        On shapes, non-finite entries, negative weights, and on a covariance that is not symmetric
        positive semidefinite (the message has its smallest eigenvalue).

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.MixturePlan([1, 1], [[-1.0, 1.0], [1.0, -1.0]], [[[1, 0], [0, 1]]] * 2)
    >>> plan
    MixturePlan(2 components, D = 1)
    >>> plan.correlation
    -0.5
    """

    weights: FloatArray
    means: FloatArray
    covs: FloatArray
    _root: FloatArray
    _fields: tuple[str, ...] = ("weights", "means", "covs")

    def __init__(self, weights: ArrayLike, means: ArrayLike, covs: ArrayLike):
        m = real_array("means", means, ndim=2)
        if m.shape[1] % 2:
            raise ValueError(f"means must have shape (K, 2 D), got {m.shape}")
        w = weighted("weights", weights, len(m))
        c = real_array("covs", covs, shape=(len(m), m.shape[1], m.shape[1]))
        kept = w > 0
        if not kept.all():
            w, m, c = w[kept], m[kept], c[kept]
        self._set(dim=m.shape[1] // 2, weights=w, means=m, covs=c, _root=factors("covs", c))

    @cached_property
    def _native(self) -> _core.MixturePlan:
        return _core.MixturePlan(self.weights, self.means, self.covs)

    def _field(self, interpolant: Interpolant) -> _core.Field:
        return _core.mixture_field(self._native, interpolant)

    @property
    def _constant_covariance(self) -> bool:
        return len(self.weights) == 1

    def _local(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[FloatArray, FloatArray]:
        _, score, cov = _core.mixture_local(self._native, interpolant, t, x)
        return score, cov

    def collision_times(self, interpolant: Interpolant = LINEAR) -> FloatArray:
        """Times in [0, 1] at which X_t is more singular in a component than around them.

        The least singular value of a L0 + b L1, (L0; L1) the root of the joint covariance, over the
        angle atan2(b, a): its zeros, found by refining the minima of a scan.
        """
        return np.unique([interpolant.time_of(a, b) for a, b in self._collisions])

    @cached_property
    def _collisions(self) -> FloatArray:
        """Directions (a, b) in which X_t is singular, each (2,)."""
        values = np.linalg.eigvalsh(self.covs)
        if (values[:, 0] > 1e-9 * values[:, -1]).all():
            return np.empty((0, 2))
        d = self.dim
        suspects = self._root[values[:, 0] <= 1e-9 * values[:, -1]]
        first, second = suspects[:, :d, :], suspects[:, d:, :]

        def least(k: Any, angle: FloatArray) -> FloatArray:
            rows_ = (
                np.cos(angle)[:, None, None] * first[k] + np.sin(angle)[:, None, None] * second[k]
            )
            s = np.linalg.svd(rows_, compute_uv=False)
            picked: FloatArray = s[np.arange(len(s)), rank[k] - 1]
            return picked

        angles = np.linspace(0, np.pi / 2, 65)
        n = len(suspects)
        every = np.repeat(np.arange(n), len(angles))
        tiled = np.tile(angles, n)
        rows_ = (
            np.cos(tiled)[:, None, None] * first[every]
            + np.sin(tiled)[:, None, None] * second[every]
        )
        s = np.linalg.svd(rows_, compute_uv=False).reshape(n, len(angles), d)
        scale = s.max(axis=(1, 2))
        rank = (s > 1e-10 * scale[:, None, None]).sum(axis=2).max(axis=1)
        alive = np.flatnonzero(rank > 0)
        scan = s[alive[:, None], np.arange(len(angles)), rank[alive, None] - 1]
        padded = np.pad(scan, ((0, 0), (1, 1)), constant_values=np.inf)
        dip = (scan <= padded[:, :-2]) & (scan <= padded[:, 2:])
        who, where = np.nonzero(dip)
        k = alive[who]
        low, high = angles[np.maximum(where - 1, 0)], angles[np.minimum(where + 1, len(angles) - 1)]
        golden = (np.sqrt(5) - 1) / 2
        for _ in range(80):
            left, right = high - golden * (high - low), low + golden * (high - low)
            better = least(k, left) <= least(k, right)
            low, high = np.where(better, low, left), np.where(better, right, high)
        best = 0.5 * (low + high)
        for end in (0.0, np.pi / 2):  # the ends exactly, where the scan has them
            best = np.where(np.abs(best - end) < 1e-9, end, best)
        zero = least(k, best) <= 1e-9 * scale[k]
        found = np.unique(np.round(best[zero], 12))
        return np.stack([np.cos(found), np.sin(found)], axis=1)

    @property
    def mean(self) -> FloatArray:
        """Mean of (X0, X1), shape (2 D,)."""
        return self.weights @ self.means

    @property
    def cov(self) -> FloatArray:
        """Covariance of (X0, X1), shape (2 D, 2 D)."""
        centred = self.means - self.mean
        within = np.tensordot(self.weights, self.covs, 1)
        total: FloatArray = within + (self.weights[:, None] * centred).T @ centred
        return total

    def marginal(self, t: float, interpolant: Interpolant = LINEAR) -> Any:
        """Law of X_t: Normal or NormalMixture on the line, Gaussian or GaussianMixture in R^D."""
        a, b, _, _ = _core.coefficients(interpolant, real_number("t", t))
        d = self.dim
        c = self.covs
        cross = c[:, :d, d:]
        cov = a * a * c[:, :d, :d] + b * b * c[:, d:, d:] + a * b * (cross + cross.swapaxes(1, 2))
        return mixture_law(self.weights, a * self.means[:, :d] + b * self.means[:, d:], cov)

    def sample(self, n: int, rng: Rng = None) -> tuple[FloatArray, FloatArray]:
        """Draw n pairs (x0, x1)."""
        z = draw(self.weights, self.means, self._root, whole_number("n", n), generator(rng))
        return self._split(z)

    def _split(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        d = self.dim
        if d == 1:
            return z[:, 0].copy(), z[:, 1].copy()
        return z[:, :d].copy(), z[:, d:].copy()

    @cached_property
    def _regression(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """For each component: slope of X1 on X0, what is left of its covariance, inverse root."""
        d = self.dim
        c00, c01, c11 = self.covs[:, :d, :d], self.covs[:, :d, d:], self.covs[:, d:, d:]
        slope = (np.linalg.pinv(c00, rcond=1e-12, hermitian=True) @ c01).swapaxes(1, 2)
        left = c11 - slope @ c01
        return slope, 0.5 * (left + left.swapaxes(1, 2)), factors("covs", c00)

    def _responsibilities(self, x0: FloatArray) -> FloatArray:
        """Posterior weight of each component at each x0, shape (n, K)."""
        if len(self.weights) == 1:
            return np.ones((len(x0), 1))
        d = self.dim
        _, _, root = self._regression
        logs = np.empty((len(x0), len(self.weights)))
        rank = np.linalg.matrix_rank(root)
        for k in range(len(self.weights)):
            u, s, _ = np.linalg.svd(root[k])
            r = int(rank[k])
            z = (x0 - self.means[k, :d]) @ u
            # A component that lives on a smaller space outweighs the others there, and only there.
            off = np.linalg.norm(z[:, r:], axis=1) > 1e-9 * (1 + s[0])
            half = 0.5 * ((z[:, :r] / s[:r]) ** 2).sum(axis=1)
            logs[:, k] = np.log(self.weights[k]) - np.log(s[:r]).sum() - half
            logs[:, k] -= 0.5 * r * np.log(2 * np.pi)
            logs[off, k] = -np.inf
        ranks = np.where(np.isfinite(logs), rank, d + 1)
        logs[ranks > ranks.min(axis=1, keepdims=True)] = -np.inf
        top = logs.max(axis=1, keepdims=True)
        share = np.exp(logs - np.where(np.isfinite(top), top, 0))
        total = share.sum(axis=1, keepdims=True)
        if not (total > 0).all():
            i = int(np.argmin(total > 0))
            raise ValueError(f"x0 must lie where X0 can be, got {x0[i]} at index {i}")
        normalised: FloatArray = share / total
        return normalised

    def conditional(self, x0: ArrayLike) -> Any:
        """Law of X1 given X0 = x0, a number on the line, shape (D,) otherwise.

        Examples
        --------
        >>> import recouple as rc
        >>> law = rc.GaussianPlan(0.0, 0.0, 1.0, 0.5, 1.0).conditional(2.0)
        >>> law.mean(), round(law.std() ** 2, 12)
        (1.0, 0.75)
        """
        point = real_array("x0", x0).reshape(-1)
        if len(point) != self.dim:
            raise ValueError(f"x0 must be one point of dimension {self.dim}, got {np.shape(x0)}")
        d = self.dim
        slope, left, _ = self._regression
        share = self._responsibilities(point[None])[0]
        means = self.means[:, d:] + (slope @ (point - self.means[:, :d])[:, :, None])[:, :, 0]
        kept = share > 0
        return mixture_law(share[kept] / share[kept].sum(), means[kept], left[kept])

    def sample_conditional(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """Draw one X1 given each X0 = x0[i]; shaped like x0.

        Cost: O(n K D^2), on the line by the compiled core. The draws depend on the seed alone.
        """
        points = Points("x0", x0, self.dim)
        generate = generator(rng)
        n, d = len(points), self.dim
        u, z = generate.random(n), generate.standard_normal((n, d))
        if d == 1 and (self.covs[:, 0, 0] > 0).all():
            drawn = _core.sample_conditional(self._native, points.rows.ravel(), u, z.ravel())
            return points.restore(drawn)
        slope, left, _ = self._regression
        root = factors("covs", left)
        share = np.cumsum(self._responsibilities(points.rows), axis=1)
        component = (u[:, None] * share[:, -1:] >= share[:, :-1]).sum(axis=1)
        x1 = np.empty((n, d))
        for k in np.unique(component):
            at = component == k
            x1[at] = self.means[k, d:] + (points.rows[at] - self.means[k, :d]) @ slope[k].T
            x1[at] += z[at] @ root[k].T
        return points.restore(x1)

    def logpdf(self, x0: ArrayLike, x1: ArrayLike) -> Any:
        """Log density at pairs; on the line x0 and x1 broadcast against each other."""
        if self.dim == 1:
            a, b = np.broadcast_arrays(
                real_array("x0", x0, finite=False, empty=True),
                real_array("x1", x1, finite=False, empty=True),
            )
            shape, z = a.shape, np.stack([a.ravel(), b.ravel()], axis=1)
        else:
            p, q = Points("x0", x0, self.dim), Points("x1", x1, self.dim)
            if len(p) != len(q):
                raise ValueError(f"x0 and x1 must have equally many points, got {len(p)}, {len(q)}")
            shape, z = np.shape(x0)[:-1], np.concatenate([p.rows, q.rows], axis=1)
        return log_density(self.weights, self.means, self.covs, z).reshape(shape)[()]

    def pdf(self, x0: ArrayLike, x1: ArrayLike) -> Any:
        """Density at pairs; ValueError if a covariance is singular."""
        return np.exp(self.logpdf(x0, x1))

    def reverse(self) -> MixturePlan:
        """Return the plan of (X1, X0)."""
        d = self.dim
        order = np.r_[d : 2 * d, :d]
        swapped = self.covs[:, order][:, :, order]
        return MixturePlan(self.weights, self.means[:, order], swapped)

    def on_grid(self, x0: ArrayLike | int = 128, x1: ArrayLike | int = 128) -> GridPlan:
        """Return the plan's masses on a grid, as a :class:`GridPlan`; for D = 1.

        Parameters
        ----------
        x0, x1 : array of equally spaced points, or their number
            A number places them over six standard deviations either side of every component.
        """
        if self.dim != 1:
            raise ValueError(f"on_grid needs a plan on the line, got D = {self.dim}")
        axes = []
        for side, (name, given) in enumerate((("x0", x0), ("x1", x1))):
            if isinstance(given, int | np.integer):
                reach = 6 * np.sqrt(self.covs[:, side, side])
                low, high = self.means[:, side] - reach, self.means[:, side] + reach
                axes.append(
                    np.linspace(low.min(), high.max(), whole_number(name, given, minimum=4))
                )
            else:
                axes.append(real_array(name, given, ndim=1))
        return GridPlan(axes[0], axes[1], self.pdf(axes[0][:, None], axes[1][None, :]))

    def _moment(self, powers: tuple[int, ...]) -> float:
        return float(self.weights @ normal_moment(self.means, self.covs, powers))

    def __repr__(self) -> str:
        n = len(self.weights)
        return f"MixturePlan({n} component{'s' * (n != 1)}, D = {self.dim})"


def normal_moment(means: FloatArray, covs: FloatArray, powers: tuple[int, ...]) -> FloatArray:
    """Moments E[prod X_p^powers_p] of Gaussians, one per row: Stein's recursion, memoised.

    E[X_p f(X)] = m_p E f + sum_q C_pq E[d_q f], applied to one factor at a time.
    """
    known: dict[tuple[int, ...], FloatArray] = {(0,) * len(powers): np.ones(len(means))}

    def moment(alpha: tuple[int, ...]) -> FloatArray:
        if alpha not in known:
            p = next(i for i, power in enumerate(alpha) if power)
            rest = tuple(power - (i == p) for i, power in enumerate(alpha))
            value = means[:, p] * moment(rest)
            for q, power in enumerate(rest):
                if power:
                    lower = tuple(r - (i == q) for i, r in enumerate(rest))
                    value = value + power * covs[:, p, q] * moment(lower)
            known[alpha] = value
        return known[alpha]

    return moment(powers)


class GaussianPlan(MixturePlan):
    """Jointly Gaussian (X0, X1).

    Parameters
    ----------
    mean0, mean1 : float, or array of shape (D,)
    cov00, cov01, cov11 : float, or array of shape (D, D)
        Var X0, Cov(X0, X1) (X0 along rows) and Var X1; the joint covariance must be positive
        semidefinite and may be singular.

    Raises
    ------
    ValueError
        On shapes, non-finite entries and a joint covariance that is not positive semidefinite (the
        message has its smallest eigenvalue).

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 1.0)
    >>> plan
    GaussianPlan(D = 1)
    >>> plan.correlation, plan.moment(1, 1)
    (0.5, 0.5)
    """

    _fields = ("mean0", "mean1", "cov00", "cov01", "cov11")

    def __init__(
        self,
        mean0: ArrayLike,
        mean1: ArrayLike,
        cov00: ArrayLike,
        cov01: ArrayLike,
        cov11: ArrayLike,
    ):
        m0 = np.atleast_1d(real_array("mean0", mean0))
        if m0.ndim != 1:
            raise ValueError(f"mean0 must be a number or have shape (D,), got {m0.shape}")
        d = len(m0)
        m1 = _sized("mean1", mean1, (d,))
        blocks = [
            _sized(name, block, (d, d))
            for name, block in (("cov00", cov00), ("cov01", cov01), ("cov11", cov11))
        ]
        joint = np.block([[blocks[0], blocks[1]], [blocks[1].T, blocks[2]]])
        root = factors("the joint covariance", joint[None])
        self._set(
            dim=d,
            weights=np.ones(1),
            means=np.concatenate([m0, m1])[None],
            covs=joint[None],
            _root=root,
        )

    @classmethod
    def from_joint(cls, mean: ArrayLike, cov: ArrayLike) -> GaussianPlan:
        """Return the plan with this mean (2 D,) and covariance (2 D, 2 D) of (X0, X1)."""
        m = real_array("mean", mean, ndim=1)
        if len(m) % 2:
            raise ValueError(f"mean must have shape (2 D,), got {m.shape}")
        c = real_array("cov", cov, shape=(len(m), len(m)))
        d = len(m) // 2
        if not np.allclose(c, c.T, rtol=0, atol=1e-12 * np.abs(c).max()):
            raise ValueError("cov must be symmetric")
        return cls(m[:d], m[d:], c[:d, :d], c[:d, d:], c[d:, d:])

    def reverse(self) -> GaussianPlan:
        """Return the plan of (X1, X0)."""
        return GaussianPlan(
            self.mean1, self.mean0, self.cov11, np.transpose(self.cov01), self.cov00
        )

    def __repr__(self) -> str:
        return f"GaussianPlan(D = {self.dim})"


def _sized(name: str, value: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    array = real_array(name, value)
    if array.shape != shape and not (array.size == 1 and max(shape) == 1):
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return array.reshape(shape)
