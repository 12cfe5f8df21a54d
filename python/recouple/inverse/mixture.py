"""Gaussian-mixture plans in any dimension: EM on the path, then least squares on the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recouple import _core
from recouple.arguments import (
    FloatArray,
    frozen,
    generator,
    thread_count,
    whole_number,
)
from recouple.field import VelocityField, as_field
from recouple.inverse.affine import fit_gaussian
from recouple.inverse.end import dimension_of
from recouple.inverse.gaussian import regress
from recouple.inverse.readings import Readings, read_field, whiteness
from recouple.plan import MixturePlan
from recouple.progress import Progress, progress_callback

EXACT = 1e-9  # relative residual of a field that is fitted to rounding
CLOSE = 1e-6  # relative residual from which orthogonal factors take over
WHITE = 1e-4  # p-value of a residual without structure below which the fit is not the best one
EM_STEPS = 60
REFINEMENTS = 30
MET = 4  # starts that end at the same fit before it is taken for the best


@dataclass(frozen=True, eq=False)
class Mixture:
    """Weights (K,), means (K, 2 D) and Cholesky factors (K, 2 D, 2 D) of the joint covariances."""

    weights: FloatArray
    means: FloatArray
    factors: FloatArray

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means and factors, as the core takes them."""
        return self.weights, self.means, self.factors

    @property
    def covs(self) -> FloatArray:
        """Joint covariances."""
        return self.factors @ self.factors.swapaxes(1, 2)

    @classmethod
    def of(cls, weights: FloatArray, means: FloatArray, covs: FloatArray) -> Mixture:
        """Return the mixture with these covariances; LinAlgError if one is not definite."""
        return cls(weights, means, np.asarray(np.linalg.cholesky(covs), np.float64))

    def moved(self, step: FloatArray) -> Mixture:
        """Return the mixture a step away: log weights, means, rows of L with logs on diagonals."""
        K, w = self.means.shape
        step = step.reshape(K, -1)
        weights = self.weights * np.exp(step[:, 0] - step[:, 0].max())
        factors = self.factors.copy()
        row, column = np.tril_indices(w)
        change = step[:, 1 + w :]
        diagonal = row == column
        factors[:, row, column] += np.where(diagonal, 0.0, change)
        factors[:, np.arange(w), np.arange(w)] *= np.exp(change[:, diagonal])
        return Mixture(weights / weights.sum(), self.means + step[:, 1 : 1 + w], factors)


@dataclass(frozen=True, eq=False)
class MixtureFit:
    """A Gaussian-mixture plan fitted to a field.

    ``residual``: root mean square misfit of the field, relative to its size; ``white``: p-value of
    a residual without structure (1 if there is none); ``bic``: Bayesian information criterion of
    field and path together, less is better.
    """

    plan: MixturePlan
    residual: float
    bic: float
    white: float
    log_likelihood: float
    attempts: int
    mixture: Mixture = dataclass_field(repr=False)
    residuals: FloatArray = dataclass_field(repr=False)  # v - v_plan at the points, relative
    covariance: FloatArray = dataclass_field(repr=False)  # of the parameters' estimate

    @property
    def certified(self) -> bool:
        """Whether what is left of the field is rounding, or noise without structure."""
        return self.residual <= EXACT or self.white >= WHITE


def fit_mixture(
    velocity: VelocityField | Callable[[Any, Any], Any],
    source: Any,
    components: int,
    *,
    times: int = 12,
    points: int = 3000,
    steps: int = 32,
    restarts: int = 12,
    rng: int | np.random.Generator | None = 0,
    num_threads: int | None = None,
    progress: Progress = None,
) -> MixtureFit:
    """Fit a mixture of Gaussians on R^(2D), as a plan, to a field; for any D, the line included.

    Parameters
    ----------
    velocity : VelocityField or callable
    source : law, (mean, covariance) or samples
        Where the points come from.
    components : int
        Number of Gaussians.
    times, points : int
        Chebyshev times in [0, 1], and points over all of them: each has its own trajectory.
    steps : int
        Steps of RK4 across [0, 1].
    restarts : int
        Starts at most; the first whose residual is rounding, or white noise, ends the search.

    Returns
    -------
    MixtureFit
        With ``plan``, ``residual`` and ``bic``.

    Raises
    ------
    ValueError
        If an argument is out of range, a trajectory leaves the numbers, or every start loses a
        component.

    Notes
    -----
    Accuracy: parameters to 1e-13 from exact fields (D = 2, 4; 2 to 4 components), where the source
    is a law with a density; under 5% noise the field is met to a tenth of the noise. Cost: seconds;
    an iteration is O(n D P^2) for n points and P parameters, P = K (1 + 2 D + D (2 D + 1)).

    Source: Dempster, Laird & Rubin (1977) for EM; Marquardt (1963) for the least squares.

    Examples
    --------
    >>> import numpy as np, recouple as rc
    >>> plan = rc.MixturePlan([0.5, 0.5], [[-2.0, 1.0], [2.0, 0.0]], [np.eye(2) / 4] * 2)
    >>> fit = rc.fit_mixture(rc.velocity_field(plan), plan.source, 2, points=600)
    >>> fit.certified, fit.plan.weights.round(9)
    (True, array([0.5, 0.5]))
    """
    generate = generator(rng)
    field = as_field(velocity, dimension_of(source))
    readings = read_field(field, source, times, points, steps, generate, thread_count(num_threads))
    count = whole_number("components", components, minimum=1, maximum=64)
    tries = whole_number("restarts", restarts, minimum=1)
    callback = progress_callback(progress, "fit_mixture")
    return search(readings, count, tries, generate, callback)


def search(
    readings: Readings,
    components: int,
    restarts: int,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> MixtureFit:
    """Start from EM several times, polish each, keep the best.

    Stops at a fit that is certified, or when several starts have ended at the best one.
    """
    if components == 1:
        single = _single(readings)
        if single is not None:
            return single
    best: MixtureFit | None = None
    met = 0  # starts that ended at the best fit
    tries = 1 if components == 1 else restarts
    for attempt in range(tries):
        if progress is not None:
            progress(attempt, tries)
        started = _start(readings, components, attempt, best, rng)
        if started is None:
            continue
        found = replace(_polished(started, readings), attempts=attempt + 1)
        met = 1 if best is None or found.bic < best.bic - 1 else met + (found.bic < best.bic + 1)
        if best is None or found.bic < best.bic:
            best = found
        if best.certified or met >= MET:
            break
    if best is None:
        raise ValueError(
            f"components must suit the field: EM lost one of {components} in every one of {tries} "
            "starts; ask for fewer, or give more points"
        )
    if progress is not None:
        progress(tries, tries)
    return best


def _single(readings: Readings) -> MixtureFit | None:
    """Return the one Gaussian plan: its field is affine and leaves a scale that the source has."""
    size = int(np.diff(readings.first.astype(np.int64)).min())
    groups = np.stack([np.arange(int(a), int(a) + size) for a in readings.first[:-1]])
    data, _, _ = regress(readings.times, readings.x[groups], readings.v[groups])
    fit = fit_gaussian(data, readings.source, None)
    mean = np.concatenate([fit.mean0, fit.mean1])
    try:
        mixture = Mixture.of(np.ones(1), mean[None], fit.joint[None])
    except np.linalg.LinAlgError:
        return None
    now = _evaluated(mixture, readings, derivatives=True)
    return None if now is None else _finished(now, readings)


def _start(
    readings: Readings,
    components: int,
    attempt: int,
    known: MixtureFit | None,
    rng: np.random.Generator,
) -> Mixture | None:
    """Return the likeliest of three EM runs, with the antisymmetric parts of the field.

    Every other start moves a component of the best fit ``known`` to where its misfit is.
    """
    best, score = None, -np.inf
    relocate = known is not None and attempt % 2 == 1
    for run in range(3):
        if relocate and known is not None:
            mixture = _relocated(known, readings, rng)
        else:
            mixture = _seed(readings, components, crossed=(attempt + run) % 2 == 1, rng=rng)
        found = _em(mixture, readings)
        if found is not None and found[1] > score:
            best, score = found
    return None if best is None else _turned(best, readings)


def _seed(
    readings: Readings, components: int, *, crossed: bool, rng: np.random.Generator
) -> Mixture:
    """Clusters of (x0, phi_1(x0)); ``crossed``: clusters of either end, paired at random."""
    d = readings.x.shape[1]
    ends = np.concatenate([readings.start, readings.end], axis=1)
    if crossed:
        parts = []
        for part in (ends[:, :d], ends[:, d:]):
            labels = _clusters(part, components, rng)
            order = rng.permutation(components)
            parts.append([part[labels == k] for k in order])
        means = np.array(
            [np.concatenate([a.mean(0), b.mean(0)]) for a, b in zip(*parts, strict=True)]
        )
        spread = [np.cov(p.T).reshape(p.shape[1], -1) for p in (ends[:, :d], ends[:, d:])]
        cov = np.zeros((2 * d, 2 * d))
        cov[:d, :d], cov[d:, d:] = spread[0] / components, spread[1] / components
        covs = np.repeat(cov[None], components, axis=0)
        weights = np.full(components, 1 / components)
    else:
        labels = _clusters(ends, components, rng)
        groups = [ends[labels == k] for k in range(components)]
        means = np.array([g.mean(axis=0) for g in groups])
        whole = np.cov(ends.T)
        within = sum((g - g.mean(0)).T @ (g - g.mean(0)) for g in groups) / len(ends)
        covs = np.repeat((within + 0.05 * np.diag(np.diag(whole)))[None], components, axis=0)
        weights = np.array([len(g) for g in groups]) / len(ends)
    return Mixture.of(weights, means, covs)


def _relocated(known: MixtureFit, readings: Readings, rng: np.random.Generator) -> Mixture:
    """Drop a component and split the one that is responsible where the field is missed."""
    mixture = known.mixture
    misfit = np.sum(known.residuals**2, axis=1)
    at = int(rng.choice(len(misfit), p=misfit / misfit.sum()))
    shares, _ = _core.mixture_posterior(*readings.layout, *mixture.arrays, readings.threads)
    split = int(shares[at].argmax())
    others = [k for k in range(len(mixture.weights)) if k != split]
    weights, means = mixture.weights.copy(), mixture.means.copy()
    factors = mixture.factors.copy()
    drop = int(rng.choice(others))
    direction = mixture.factors[split] @ rng.standard_normal(means.shape[1])
    weights[others] += weights[drop] * weights[others] / weights[others].sum()
    weights[[split, drop]] = weights[split] / 2
    means[drop], means[split] = means[split] + direction, means[split] - direction
    factors[drop] = factors[split]
    return Mixture(weights / weights.sum(), means, factors)


def _clusters(points: FloatArray, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """k-means++ and Lloyd's iterations (Arthur & Vassilvitskii 2007); no cluster is empty."""
    scaled = points / np.maximum(points.std(axis=0), 1e-300)
    centres = scaled[rng.integers(len(scaled))][None]
    for _ in range(count - 1):
        distance = np.min(((scaled[:, None] - centres) ** 2).sum(axis=2), axis=1)
        total = distance.sum()
        p = distance / total if total > 0 else np.full(len(scaled), 1 / len(scaled))
        centres = np.concatenate([centres, scaled[rng.choice(len(scaled), p=p)][None]])
    labels = np.zeros(len(scaled), np.intp)
    for _ in range(20):
        apart = ((scaled[:, None] - centres) ** 2).sum(axis=2)
        labels = apart.argmin(axis=1)
        for k in range(count):
            if not (labels == k).any():
                labels[int(rng.integers(len(scaled)))] = k
        centres = np.array([scaled[labels == k].mean(axis=0) for k in range(count)])
    for k in range(count):
        if not (labels == k).any():
            labels[k] = k
    return labels


def _em(mixture: Mixture, readings: Readings) -> tuple[Mixture, float] | None:
    """Expectation maximisation on (t, x_t), which see (x0, x1) through [(1-t) I, t I]."""
    floor = 1e-5 * float(np.mean(readings.x.var(axis=0)))
    before = -np.inf
    for _ in range(EM_STEPS):
        weights, means, covs, value, good = _core.mixture_em_step(
            *readings.layout, *mixture.arrays, floor, readings.threads
        )
        if not good:
            return None
        mixture = Mixture.of(weights, means, covs)
        if value - before < 1e-5 * len(readings.x):
            return mixture, value
        before = value
    return mixture, before


def _turned(mixture: Mixture, readings: Readings) -> Mixture:
    """Return the mixture with the antisymmetric parts W_k that the field asks for.

    A change of C_k by W moves v by -r_k W S_k^-1 (x - m_k): a linear problem, ridge regularised.
    """
    d = readings.x.shape[1]
    if d == 1:
        return mixture
    K, n = len(mixture.weights), len(readings.x)
    v, _, _, _ = _core.mixture_jacobian(*readings.layout, *mixture.arrays, False, readings.threads)
    _, pulls = _core.mixture_posterior(*readings.layout, *mixture.arrays, readings.threads)
    i, j = np.triu_indices(d, 1)
    columns = np.zeros((n, d, K, len(i)))
    for p, (a, b) in enumerate(zip(i, j, strict=True)):
        columns[:, a, :, p] -= pulls[:, :, b]
        columns[:, b, :, p] += pulls[:, :, a]
    rows = columns.reshape(n * d, -1)
    gram = rows.T @ rows
    gram[np.diag_indices(len(gram))] *= 1 + 1e-3
    gram[np.diag_indices(len(gram))] += 1e-12 * np.trace(gram)
    found = np.linalg.solve(gram, rows.T @ (readings.v - v).reshape(-1)).reshape(K, -1)
    covs = mixture.covs
    for k in range(K):
        turn = np.zeros((d, d))
        turn[i, j] = found[k]
        turn -= turn.T
        for share in (1.0, 0.7, 0.4, 0.2, 0.0):
            trial = covs[k].copy()
            trial[:d, d:] += share * turn
            trial[d:, :d] += share * turn.T
            if np.linalg.eigvalsh(trial)[0] > 1e-4 * np.linalg.eigvalsh(covs[k])[0]:
                covs[k] = trial
                break
    return Mixture.of(mixture.weights, mixture.means, covs)


@dataclass(frozen=True, eq=False)
class _Step:
    """The state of the least squares: mixture, misfit, log likelihood, derivatives."""

    mixture: Mixture
    misfit: FloatArray
    log_likelihood: float
    jacobian: FloatArray
    scores: FloatArray

    @property
    def square(self) -> float:
        return float(np.mean(self.misfit**2))


def _evaluated(mixture: Mixture, readings: Readings, *, derivatives: bool) -> _Step | None:
    try:
        v, logs, jacobian, scores = _core.mixture_jacobian(
            *readings.layout, *mixture.arrays, derivatives, readings.threads
        )
    except ValueError:
        return None
    misfit = (readings.v - v).reshape(-1)
    total = float(logs.sum())
    if not (np.isfinite(misfit).all() and np.isfinite(total)):
        return None
    return _Step(mixture, misfit, total, jacobian, scores)


def _polished(mixture: Mixture, readings: Readings, iterations: int = 80) -> MixtureFit:
    """Levenberg-Marquardt on |v - v_plan|^2 / (2 s^2) - log p_t, with s the misfit so far."""
    now = _evaluated(mixture, readings, derivatives=True)
    assert now is not None
    floor, enough = (1e-12 * readings.scale) ** 2, (CLOSE * readings.scale) ** 2
    damping = 1e-2
    for _ in range(iterations):
        variance = max(now.square, floor)
        gradient = now.jacobian.T @ now.misfit / variance + now.scores.sum(axis=0)
        hessian = now.jacobian.T @ now.jacobian / variance + now.scores.T @ now.scores
        diagonal = np.diag(hessian).copy()
        diagonal = np.maximum(diagonal, 1e-12 * diagonal.max())
        value = now.misfit @ now.misfit / (2 * variance) - now.log_likelihood
        accepted = None
        for _ in range(12):
            damped = hessian + np.diag(damping * diagonal)
            try:
                scale = 1 / np.sqrt(diagonal)
                step = scale * np.linalg.solve(damped * scale[:, None] * scale, scale * gradient)
            except np.linalg.LinAlgError:
                damping *= 10
                continue
            if np.abs(step).max() > 50 or not np.isfinite(step).all():
                damping *= 10
                continue
            trial = _evaluated(now.mixture.moved(step), readings, derivatives=False)
            if trial is not None:
                gain = value - (trial.misfit @ trial.misfit / (2 * variance) - trial.log_likelihood)
                if gain > 0:
                    accepted = trial
                    damping = max(damping / 8, 1e-13)
                    break
            damping *= 6
        if accepted is None:
            break
        fresh = _evaluated(accepted.mixture, readings, derivatives=True)
        assert fresh is not None
        now = fresh
        if now.square <= enough or gain < 1e-4:  # gain: of log likelihood
            break
    if now.square <= enough:
        now = _refined(now, readings)
    return _finished(now, readings)


def _refined(now: _Step, readings: Readings) -> _Step:
    """Levenberg-Marquardt by orthogonal factors, on the field and on the source's log density.

    The normal equations lose what the field hardly sees: weights and scales of components that do
    not overlap. The source, where its density is known, has them.
    """
    known = _source_density(readings)
    at = np.zeros(1), np.array([0, len(readings.start)], np.uintp), readings.start

    def whole(step: _Step) -> tuple[FloatArray, FloatArray] | None:
        if known is None:
            return step.misfit, step.jacobian
        try:
            _, logs, _, scores = _core.mixture_jacobian(
                *at, *step.mixture.arrays, True, readings.threads
            )
        except ValueError:
            return None
        gap = readings.scale * (known - logs)
        return (
            np.concatenate([step.misfit, gap]),
            np.concatenate([step.jacobian, readings.scale * scores]),
        )

    system = whole(now)
    damping = 1e-6
    for _ in range(REFINEMENTS):
        if system is None:
            break
        misfit, rows = system
        scale = np.linalg.norm(rows, axis=0)
        scale[scale == 0] = 1
        q, r = np.linalg.qr(rows / scale)
        u, s, vt = np.linalg.svd(r)
        inner = u.T @ (q.T @ misfit)
        kept = s > 1e-12 * s[0]  # log weights have a null direction: their sum
        value = misfit @ misfit
        better = None
        for _ in range(10):
            filtered = np.where(kept, s, 0) / (s**2 + (damping * s[0]) ** 2 + 1e-300)
            step = vt.T @ (filtered * inner) / scale
            if np.abs(step).max() < 20:
                trial = _evaluated(now.mixture.moved(step), readings, derivatives=True)
                found = None if trial is None else whole(trial)
                if trial is not None and found is not None and found[0] @ found[0] < value:
                    better = trial, found
                    damping /= 30
                    break
            damping = max(10 * damping, 1e-14)
        if better is None:
            break
        now, system = better
        if system[0] @ system[0] > 0.5 * value and value < 1e-24 * readings.scale**2 * len(misfit):
            break
    return now


def _source_density(readings: Readings) -> FloatArray | None:
    """Log density of the source at its points, where it is known and finite."""
    if readings.source.logpdf is None:
        return None
    try:
        logs = np.asarray(readings.source.logpdf(readings.start), np.float64).reshape(-1)
    except ValueError:
        return None
    return logs if logs.shape == (len(readings.start),) and np.isfinite(logs).all() else None


def _finished(now: _Step, readings: Readings) -> MixtureFit:
    n, d = readings.x.shape
    K = len(now.mixture.weights)
    size = now.jacobian.shape[1] - 1
    residual = float(np.sqrt(now.square)) / readings.scale
    variance = max(now.square, (EXACT * readings.scale) ** 2)
    bic = n * d * np.log(variance) - 2 * now.log_likelihood + size * np.log(n * (d + 1))
    hessian = now.jacobian.T @ now.jacobian / variance + now.scores.T @ now.scores
    relative = now.misfit.reshape(n, d) / readings.scale
    order = np.argsort(-now.mixture.weights)
    mixture = Mixture(*(array[order] for array in now.mixture.arrays))
    each = hessian.shape[0] // K
    places = (order[:, None] * each + np.arange(each)).reshape(-1)
    return MixtureFit(
        plan=MixturePlan(mixture.weights, mixture.means, mixture.covs),
        mixture=mixture,
        residual=residual,
        bic=float(bic),
        white=1.0 if residual <= EXACT else whiteness(readings, relative),
        log_likelihood=now.log_likelihood,
        attempts=1,
        residuals=frozen(relative),
        covariance=frozen(
            np.linalg.pinv(hessian[np.ix_(places, places)], rcond=1e-12, hermitian=True)
        ),
    )
