r"""Affine fields and the Gaussian plan behind them.

With S0 = Var X0, S1 = Var X1, C = Cov(X0, X1), the field of a Gaussian plan is
v = m1 - m0 + A_t (x - m_t) with A_t = K_t S_t^{-1},

    S_t = (1-t)^2 S0 + t^2 S1 + t(1-t) (C + C'),   K_t = (1-t)(C' - S0) + t (S1 - C).

K_t - A_t S_t = 0 is linear in (S0, C, S1); measured slopes are fitted by weighted least squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recouple.arguments import FloatArray
from recouple.inverse.end import End
from recouple.inverse.significance import chi2_tail

ROUNDING = 1e-9  # noise never credited to be smaller, relative to the field: keeps weights finite
UNDETERMINED = 1e-11  # relative singular value below which a direction is not seen
GOOD = 1e5  # condition up to which the normal equations keep six digits of a covariance
SETTLED = 1e-6  # square of a step in units of the noise: the last, taken unseen
INSIDE = 1e-10  # a canonical correlation may exceed 1 by rounding


@dataclass(frozen=True, eq=False)
class AffineData:
    """Slopes of the field at several times, and how well they are known.

    ``slopes`` (T, D, D); the field takes ``values`` (T, D) at ``centres`` (T, D); ``roots`` (T, D,
    D) with root root' the centred scatter of the points; ``noise`` (T,) standard deviation of one
    component of one value; ``counts`` (T,) points.
    """

    times: FloatArray
    slopes: FloatArray
    centres: FloatArray
    values: FloatArray
    roots: FloatArray
    noise: FloatArray
    counts: FloatArray

    @property
    def dim(self) -> int:
        """Dimension D."""
        return int(self.slopes.shape[1])


@dataclass(frozen=True, eq=False)
class GaussianFit:
    """Moments of the plan, the covariance of their estimate, and what was left."""

    mean0: FloatArray
    mean1: FloatArray
    cov00: FloatArray
    cov01: FloatArray
    cov11: FloatArray
    mean_cov: FloatArray  # of (m0, m1), (2 D, 2 D)
    joint_cov: FloatArray  # of the vectorised (S0, C, S1), (3 D^2, 3 D^2)
    misfit: FloatArray  # (T,) relative error of the slopes
    chi2: float
    dof: int
    excess: float  # of the largest canonical correlation over 1, before the constraint
    infeasible: tuple[float, int]  # squared distance to the feasible set, and violated directions

    @property
    def joint(self) -> FloatArray:
        """Covariance of (X0, X1)."""
        return np.block([[self.cov00, self.cov01], [self.cov01.T, self.cov11]])

    @property
    def consistency(self) -> float:
        """p-value of one plan for all times."""
        return chi2_tail(self.chi2, self.dof) if self.dof > 0 else 1.0

    @property
    def feasibility(self) -> float:
        """p-value, an upper bound, of a plan that exists at all."""
        distance, violated = self.infeasible
        if violated == 0:
            return 1.0
        return min(1.0, chi2_tail(distance, violated * (violated + 1) // 2))


@dataclass(frozen=True)
class Unknowns:
    """Which of the blocks (S0, C, S1) are sought; symmetric ones by their upper triangle."""

    dim: int
    first: bool
    last: bool
    cov00: FloatArray
    cov11: FloatArray

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Where S0, C and S1 are among the unknowns."""
        full, half = self.dim**2, self.dim * (self.dim + 1) // 2
        a = half if self.first else 0
        return slice(0, a), slice(a, a + full), slice(a + full, a + full + half * self.last)

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return int(self.slices[2].stop)

    def blocks(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return (S0, C, S1)."""
        first, cross, last = self.slices
        return (
            self._symmetric(theta[first]) if self.first else self.cov00,
            theta[cross].reshape(self.dim, self.dim),
            self._symmetric(theta[last]) if self.last else self.cov11,
        )

    def vector(self, cov00: FloatArray, cov01: FloatArray, cov11: FloatArray) -> FloatArray:
        """Return the unknowns of these blocks."""
        upper = _upper(self.dim)
        parts = [cov00[upper]] * self.first + [cov01.ravel()] + [cov11[upper]] * self.last
        return np.concatenate(parts)

    def _symmetric(self, half: FloatArray) -> FloatArray:
        out = np.zeros((self.dim, self.dim))
        i, j = _upper(self.dim)
        out[i, j] = out[j, i] = half
        return out

    def spread(self) -> FloatArray:
        """Return the matrix (3 D^2, size) from the unknowns to the vectorised (S0, C, S1)."""
        d = self.dim
        out = np.zeros((3, d * d, self.size))
        i, j = _upper(d)
        columns = np.arange(len(i))
        first, cross, last = self.slices
        for block, part, free in ((0, first, self.first), (2, last, self.last)):
            if free:
                out[block, i * d + j, part.start + columns] = 1
                out[block, j * d + i, part.start + columns] = 1
        out[1, :, cross] = np.eye(d * d)
        return out.reshape(3 * d * d, self.size)


@lru_cache(maxsize=32)
def _upper(dim: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    i, j = np.triu_indices(dim)
    return i, j


def path(
    t: FloatArray, cov00: FloatArray, cov01: FloatArray, cov11: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return S_t and K_t, each (T, D, D)."""
    s = t[:, None, None]
    cov = (1 - s) ** 2 * cov00 + s**2 * cov11 + s * (1 - s) * (cov01 + cov01.T)
    return cov, (1 - s) * (cov01.T - cov00) + s * (cov11 - cov01)


def slopes_of(cov: FloatArray, cross: FloatArray) -> FloatArray:
    """Return K_t S_t^{-1}."""
    return np.asarray(np.linalg.solve(cov, cross.swapaxes(1, 2)).swapaxes(1, 2), np.float64)


def derivative(t: FloatArray, A: FloatArray, right: FloatArray, unknowns: Unknowns) -> FloatArray:
    """Return the rows of d(K - A S) right over the unknowns, shape (T D^2, size).

    A change of C by E_ij moves K - A S by -(t I + t(1-t) A) E_ij + ((1-t) I - t(1-t) A) E_ji.
    """
    T, d = len(t), unknowns.dim
    s, eye = t[:, None, None], np.eye(d)
    flipped = right.swapaxes(1, 2)

    def moved(left: FloatArray) -> FloatArray:  # left E_ij right, indexed t r c i j
        return left[:, :, None, :, None] * flipped[:, None, :, None, :]

    def symmetric(left: FloatArray) -> FloatArray:
        full = moved(left).reshape(T * d * d, d, d)
        i, j = _upper(d)
        return full[:, i, j] + np.where(i == j, 0.0, full[:, j, i])

    both = s * (1 - s) * A
    cross = moved(-s * eye - both) + moved((1 - s) * eye - both).swapaxes(3, 4)
    parts = [cross.reshape(T * d * d, d * d)]
    if unknowns.first:
        parts.insert(0, symmetric(-(1 - s) * eye - (1 - s) ** 2 * A))
    if unknowns.last:
        parts.append(symmetric(s * eye - s**2 * A))
    return np.concatenate(parts, axis=1)


def fit_gaussian(data: AffineData, source: End, target: End | None) -> GaussianFit:
    """Fit a Gaussian plan to slopes: linear least squares, then Gauss-Newton, then feasibility.

    Raises ValueError if the times do not determine the plan.
    """
    unknowns = Unknowns(
        data.dim,
        not source.exact,
        target is None or not target.exact,
        source.cov,
        source.cov if target is None else target.cov,
    )
    weights = data.roots / data.noise[:, None, None]
    theta = _linear(data, weights, unknowns, source, target)
    rows, residual = _system(theta, data, weights, unknowns, source, target)
    value = residual @ residual
    for _ in range(50):
        inverse = _factored(rows, data.times)
        along = inverse.T @ (rows.T @ residual)  # the step, in units of the noise
        step = inverse @ along
        if along @ along <= SETTLED:
            theta = theta + step
            break
        length = 1.0
        while length > 1e-4:
            trial = theta + length * step
            found = _system(trial, data, weights, unknowns, source, target)
            if found[1] @ found[1] <= value or length < 1e-3:
                break
            length /= 2
        gain = value - found[1] @ found[1]
        if gain < 0:
            break
        theta, (rows, residual), value = trial, found, found[1] @ found[1]
    constrained, excess, infeasible = _feasible(theta, rows, unknowns)
    blocks = _clip(*unknowns.blocks(constrained))
    spread = unknowns.spread() @ inverse
    A = slopes_of(*path(data.times, *blocks))
    mean0, mean1, mean_cov, mean_chi2, mean_dof = _means(data, A, source, target)
    gap = np.linalg.norm((data.slopes - A) @ data.roots, axis=(1, 2))
    scale = np.linalg.norm(data.slopes @ data.roots, axis=(1, 2))
    return GaussianFit(
        mean0=mean0,
        mean1=mean1,
        cov00=blocks[0],
        cov01=blocks[1],
        cov11=blocks[2],
        mean_cov=mean_cov,
        joint_cov=spread @ spread.T,
        misfit=gap / np.maximum(scale, 1e-300),
        chi2=float(value + mean_chi2),
        dof=_degrees(data, unknowns, source, target) + mean_dof,
        excess=excess,
        infeasible=infeasible,
    )


def _degrees(data: AffineData, unknowns: Unknowns, source: End, target: End | None) -> int:
    half = data.dim * (data.dim + 1) // 2
    known = half * sum(end is not None and not end.exact for end in (source, target))
    return data.slopes.size + known - unknowns.size


def _linear(
    data: AffineData,
    weights: FloatArray,
    unknowns: Unknowns,
    source: End,
    target: End | None,
) -> FloatArray:
    """Solve K - A S = 0 for the measured A; twice where the points' scatter is not that of S."""
    d = data.dim
    start = unknowns.vector(source.cov, np.zeros((d, d)), unknowns.cov11)
    cov = data.roots @ data.roots.swapaxes(1, 2) / data.counts[:, None, None]
    for _ in range(2 if (data.counts == 1).all() else 1):
        right = np.asarray(np.linalg.solve(cov, weights), np.float64)
        rows = derivative(data.times, data.slopes, right, unknowns)
        zero = unknowns.blocks(np.zeros(unknowns.size))
        cov0, cross0 = path(data.times, *zero)
        residual = -((cross0 - data.slopes @ cov0) @ right).reshape(-1)
        prior, shift = _priors(start, unknowns, source, target)
        rows = np.concatenate([rows, prior])
        residual = np.concatenate([residual, shift + prior @ start])
        theta = _least_squares(rows, _factored(rows, data.times), residual)
        now, _ = path(data.times, *unknowns.blocks(theta))
        if not (np.linalg.eigvalsh(now)[:, 0] > 0).all():
            break
        cov = now
    return theta


def _system(
    theta: FloatArray,
    data: AffineData,
    weights: FloatArray,
    unknowns: Unknowns,
    source: End,
    target: End | None,
) -> tuple[FloatArray, FloatArray]:
    """Return Gauss-Newton's rows and residual: slopes at all times, and sampled ends."""
    cov, cross = path(data.times, *unknowns.blocks(theta))
    try:
        A = slopes_of(cov, cross)
        right = np.asarray(np.linalg.solve(cov, weights), np.float64)
    except np.linalg.LinAlgError:
        return np.zeros((1, len(theta))), np.array([np.inf])
    rows = derivative(data.times, A, right, unknowns)
    residual = ((data.slopes - A) @ weights).reshape(-1)
    prior, shift = _priors(theta, unknowns, source, target)
    return np.concatenate([rows, prior]), np.concatenate([residual, shift])


def _priors(
    theta: FloatArray, unknowns: Unknowns, source: End, target: End | None
) -> tuple[FloatArray, FloatArray]:
    """Rows of sqrt(n / 2) L^-1 (S_sample - S) L^-T for sampled ends (Wishart's information)."""
    rows, shifts = [np.empty((0, unknowns.size))], [np.empty(0)]
    spread = None
    for which, end in ((0, source), (2, target)):
        if end is None or end.exact:
            continue
        spread = unknowns.spread() if spread is None else spread
        d = unknowns.dim
        values, vectors = np.linalg.eigh(end.cov)
        inverse = (vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1]))).T
        both = np.kron(inverse, inverse) * np.sqrt(end.count / 2)
        rows.append(both @ spread[which * d * d : (which + 1) * d * d])
        shifts.append(both @ (end.cov - unknowns.blocks(theta)[which]).reshape(-1))
    return np.concatenate(rows), np.concatenate(shifts)


def _factored(rows: FloatArray, times: FloatArray) -> FloatArray:
    """Return R^-1, R' R = rows' rows, or say that the times do not determine the unknowns.

    By Cholesky's factor where the normal equations are good for it, else Householder's.
    """
    scale = np.linalg.norm(rows, axis=0)
    scale[scale == 0] = 1
    scaled = rows / scale
    try:
        lower = np.linalg.cholesky(scaled.T @ scaled)
        inverse = np.linalg.inv(lower).T
        if np.linalg.norm(inverse) * np.linalg.norm(lower) < GOOD:
            return np.asarray(inverse / scale[:, None], np.float64)
    except np.linalg.LinAlgError:
        pass
    if len(rows) < rows.shape[1]:
        _refuse(times, len(rows), rows.shape[1])
    r = np.linalg.qr(scaled, mode="r")
    s = np.linalg.svd(r, compute_uv=False)
    if not s[-1] > UNDETERMINED * s[0]:
        _refuse(times, int(np.sum(s > UNDETERMINED * s[0])), len(s))
    return np.asarray(np.linalg.inv(r) / scale[:, None], np.float64)


def _least_squares(rows: FloatArray, inverse: FloatArray, right: FloatArray) -> FloatArray:
    """Solve by the seminormal equations, corrected (Bjorck 1987).

    As good as orthogonal factors up to the condition number that UNDETERMINED lets through.
    """
    found = np.zeros(rows.shape[1])
    for _ in range(3):
        found += inverse @ (inverse.T @ (rows.T @ (right - rows @ found)))
    return found


def _refuse(times: FloatArray, rank: int, size: int) -> None:
    shown = ", ".join(f"{t:.4g}" for t in times[:6]) + (", ..." if len(times) > 6 else "")
    raise ValueError(
        f"times must determine the plan: the field at {shown} fixes {rank} of {size} unknowns; "
        "give more times, or the target"
    )


def _feasible(
    theta: FloatArray, rows: FloatArray, unknowns: Unknowns
) -> tuple[FloatArray, float, tuple[float, int]]:
    """Return the closest theta, in the fit's metric, with a positive semidefinite joint covariance.

    Alternating directions: a quadratic in theta, a projection of the whitened joint covariance.
    """
    d = unknowns.dim
    cov00, cov01, cov11 = unknowns.blocks(theta)
    root0, root1 = _root(cov00), _root(cov11)
    correlation = _whiten(root0, _whiten(root1, cov01.T).T)
    singular = np.linalg.svd(correlation, compute_uv=False)
    indefinite = min(np.linalg.eigvalsh(S)[0] / np.abs(S).max() for S in (cov00, cov11)) < -1e-12
    excess = float(singular[0] - 1)
    violated = int(np.sum(singular > 1 + INSIDE))
    if not violated and not indefinite:
        return theta, excess, (0.0, 0)
    whitener = np.zeros((2 * d, 2 * d))
    whitener[:d, :d], whitener[d:, d:] = np.linalg.inv(root0), np.linalg.inv(root1)
    columns = []
    base = np.zeros(unknowns.size)
    zero = _joint(*unknowns.blocks(base))
    for k in range(unknowns.size):
        base[k] = 1
        change = _joint(*unknowns.blocks(base)) - zero
        columns.append((whitener @ change @ whitener.T).reshape(-1))
        base[k] = 0
    G = np.array(columns).T
    constant = (whitener @ zero @ whitener.T).reshape(-1)
    H = rows.T @ rows
    rho = np.trace(H) / np.trace(G.T @ G)
    solve = np.linalg.inv(H / rho + G.T @ G)
    pull = H @ theta / rho
    y = G @ theta + constant
    dual = np.zeros_like(y)
    best = theta
    for _ in range(3000):
        values, vectors = np.linalg.eigh(_symmetrised(y + dual, 2 * d))
        z = ((vectors * np.maximum(values, 0)) @ vectors.T).reshape(-1)
        before, best = best, solve @ (pull + G.T @ (z - dual - constant))
        y = G @ best + constant
        dual += y - z
        if np.linalg.norm(y - z) < 1e-10 and np.linalg.norm(G @ (best - before)) < 1e-10:
            break
    gap = rows @ (best - theta)
    return best, excess, (float(gap @ gap), max(violated, 1))


def nearest_feasible(
    cov00: FloatArray, symmetric: FloatArray, cov11: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the blocks of a plan with this symmetric part of C and the least antisymmetric part.

    Where none has, the blocks nearest to it.
    """
    d = len(cov00)
    values = np.linalg.eigvalsh(_joint(cov00, symmetric, cov11))
    if values[0] >= 0:
        return cov00, symmetric, cov11
    unknowns = Unknowns(d, True, True, cov00, cov11)
    # Metric: 1 on everything but the antisymmetric part, which is almost free.
    spread = unknowns.spread().reshape(3, d, d, unknowns.size)
    parts = [
        spread[0],
        spread[2],
        (spread[1] + spread[1].swapaxes(0, 1)) / 2,
        1e-3 * (spread[1] - spread[1].swapaxes(0, 1)) / 2,
    ]
    rows = np.concatenate([part.reshape(d * d, -1) for part in parts])
    theta = unknowns.vector(cov00, symmetric, cov11)
    found, _, _ = _feasible(theta, rows, unknowns)
    return _clip(*unknowns.blocks(found))


def _joint(cov00: FloatArray, cov01: FloatArray, cov11: FloatArray) -> FloatArray:
    return np.block([[cov00, cov01], [cov01.T, cov11]])


def _symmetrised(flat: FloatArray, n: int) -> FloatArray:
    square = flat.reshape(n, n)
    out: FloatArray = (square + square.T) / 2
    return out


def _root(cov: FloatArray) -> FloatArray:
    """Return an invertible L with L L' = cov up to a floor on the eigenvalues."""
    values, vectors = np.linalg.eigh((cov + cov.T) / 2)
    out: FloatArray = vectors * np.sqrt(np.maximum(values, 1e-13 * np.abs(values).max()))
    return out


def _whiten(root: FloatArray, matrix: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.solve(root, matrix), np.float64)


def _clip(
    cov00: FloatArray, cov01: FloatArray, cov11: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the blocks with canonical correlations cut at 1: what rounding left over."""
    cov00, cov11 = (cov00 + cov00.T) / 2, (cov11 + cov11.T) / 2
    joint = _joint(cov00, cov01, cov11)
    if np.linalg.eigvalsh(joint)[0] >= 0:
        return cov00, cov01, cov11
    roots = []
    for cov in (cov00, cov11):
        values, vectors = np.linalg.eigh(cov)
        values = np.where(values > 1e-14 * values[-1], values, 0.0)
        roots.append((vectors * np.sqrt(values), values, vectors))
    (root0, values0, vectors0), (root1, values1, vectors1) = roots
    cov00, cov11 = root0 @ root0.T, root1 @ root1.T
    inverse = [
        (vectors * np.where(values > 0, 1 / np.sqrt(np.where(values > 0, values, 1)), 0)).T
        for values, vectors in ((values0, vectors0), (values1, vectors1))
    ]
    u, s, vt = np.linalg.svd(inverse[0] @ cov01 @ inverse[1].T)
    clipped: FloatArray = root0 @ (u * np.minimum(s, 1)) @ vt @ root1.T
    return cov00, clipped, cov11


def _means(
    data: AffineData, A: FloatArray, source: End, target: End | None
) -> tuple[FloatArray, FloatArray, FloatArray, float, int]:
    """Fit m0 and m1 to the field's values at the centres: v + A (m_t - x) = m1 - m0."""
    d, T = data.dim, len(data.times)
    t, eye = data.times[:, None, None], np.eye(d)
    weight = (np.sqrt(data.counts) / data.noise)[:, None, None]
    rows = np.concatenate([-(eye + (1 - t) * A), eye - t * A], axis=2) * weight
    moved = data.values - (A @ data.centres[:, :, None])[:, :, 0]
    right = (moved[:, :, None] * weight).reshape(-1)
    rows = rows.reshape(T * d, 2 * d)
    unknown = np.zeros(2 * d, bool)
    known = np.zeros(2 * d)
    dof = T * d
    for part, end in ((slice(0, d), source), (slice(d, 2 * d), target)):
        if end is not None and end.exact:
            known[part] = end.mean
            continue
        unknown[part] = True
        dof -= d
        if end is not None:
            values, vectors = np.linalg.eigh(end.cov / end.count)
            inverse = (vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1]))).T
            prior = np.zeros((d, 2 * d))
            prior[:, part] = inverse
            rows = np.concatenate([rows, prior])
            right = np.concatenate([right, inverse @ end.mean])
            dof += d
    right = right - rows @ known
    cov = np.zeros((2 * d, 2 * d))
    if unknown.any():
        free = rows[:, unknown]
        inverse = _factored(free, data.times)
        known[unknown] = _least_squares(free, inverse, right)
        right = right - free @ known[unknown]
        cov[np.ix_(unknown, unknown)] = inverse @ inverse.T
    return known[:d], known[d:], cov, float(right @ right), dof
