"""Snapshots judged by snapshots: penalties and references by what one half says of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recouple import _core
from recouple.arguments import FloatArray, frozen
from recouple.inverse.dual import (
    LOOSE,
    NODES,
    TIGHT,
    Problem,
    decrement_for,
    descend,
    features_of,
)
from recouple.inverse.profile import Counts, effective_size
from recouple.inverse.recovery import grid_plan
from recouple.inverse.reference import (
    NARROW,
    SUFFICIENT,
    fit_mixture_to_cdfs,
    reference_of,
    widened,
)
from recouple.marginal import Empirical, Marginal
from recouple.plan import GridPlan, MixturePlan
from recouple.progress import Tell

FOLDS = np.logspace(4, 0, 9)  # penalties tried, in units of the sampling variance
NEAR = 4  # of FOLDS, at which a plan is near enough to start a mixture from
GIVEN_UP = 1.5  # times the least held-out error: smaller penalties only fit the noise more
SHARES = (1e-6, 0.3)  # of the Schroedinger coupling beside a mixture, tried both
LEVELS = (np.arange(60) + 0.5) / 60  # of the quantiles that a mixture is fitted to
WIDTHS = np.arange(1, 17) / 2  # least width of a component, in grid spacings, from narrow to wide
MOST_SPLIT = 10**9  # counts that are split into halves of one size
PARTS = 4  # of a bin, for the variance of its samples' moments
UNDER = 316.0  # times smaller: a penalty that shows what the chosen one holds back
RESOLVED = 20  # directions, about, that a snapshot resolves


def held_out_scores(
    problem: Problem,
    laws: Sequence[Marginal],
    floor: FloatArray,
    progress: Tell | None,
    *,
    mixture: bool,
) -> tuple[FloatArray, bool]:
    """Squared error, for each penalty of FOLDS, of predicting one half of the data by the other.

    From the problem's reference; and, if asked, from a mixture fitted to the same half, with each
    of SHARES of that reference: one row each. And whether it was stopped before its end: then the
    errors of what was solved till then, if anything was, infinite elsewhere.
    """
    halves: list[list[Marginal]] = [[], []]
    rng = np.random.default_rng(0)  # the split, not the data: fixed, so that results repeat
    for law in laws:
        if isinstance(law, Counts) and law.total > 3:
            if law.total < MOST_SPLIT:
                half = law.total // 2
                first = rng.multivariate_hypergeometric(law.counts, half, method="marginals")
            else:
                first = rng.binomial(law.counts, 0.5)
            halves[0].append(Counts(law.bins, first))
            halves[1].append(Counts(law.bins, law.counts - first))
            continue
        if not isinstance(law, Empirical) or len(law.values) < 4:
            halves[0].append(law)
            halves[1].append(law)
            continue
        side = rng.permutation(len(law.values)) % 2
        for half in (0, 1):
            chosen = side == half
            halves[half].append(Empirical(law.values[chosen], law.weights[chosen]))
    features = features_of(problem.times, problem.knots)
    data = [snapshot_moments(features, problem.degree, half) for half in halves]
    rounds = 1 + len(SHARES) if mixture else 1
    errors = np.full((2, rounds, len(FOLDS)), np.nan)
    try:
        for fitted, held in ((0, 1), (1, 0)):
            moments, variance = data[fitted]
            start = problem
            near = grid_plan(problem)
            for which in range(rounds):
                if which == 1:
                    found = mixture_of(problem.times, halves[fitted], near)
                if which > 0:
                    start = beside(problem, found, SHARES[which - 1])
                dual = start.dual()
                least = np.inf
                for i, multiple in enumerate(FOLDS):
                    if progress is not None:
                        done = (fitted * rounds + which) * len(FOLDS) + i
                        progress(done, errors.size, f"trying a penalty of {multiple:.3g}")
                    penalty = multiple * (variance + floor)
                    decrement = decrement_for(dual.theta, penalty, TIGHT)
                    stage = dual.solve(moments, penalty, decrement, 60, problem.threads, None)
                    misfit = dual.moments(problem.threads) - data[held][0]
                    error = float(np.sum(misfit**2 / (data[held][1] + floor)))
                    error = error if stage.status == "converged" else np.inf
                    errors[fitted, which, i] = error
                    if which == 0 and i <= NEAR:
                        near = grid_plan(replace(start, theta=dual.theta))
                    if error < least:
                        least = error
                    elif error > GIVEN_UP * least:
                        errors[fitted, which, i + 1 :] = np.inf
                        break
        if progress is not None:
            progress(errors.size, errors.size)
    except KeyboardInterrupt:
        if not np.isfinite(errors).any():
            raise
        seen = errors[0]
        seen[1:][np.isnan(seen[1:]).any(axis=1)] = np.inf  # half a round is no comparison
        if np.isnan(errors[1]).any():
            return np.where(np.isnan(seen), np.inf, seen), True
    return errors.sum(axis=0), False


def mixture_of(t: FloatArray, laws: Sequence[Marginal], start: GridPlan) -> MixturePlan:
    """Return a Gaussian mixture fitted to quantiles of the snapshots, from a plan near it.

    Where a component runs along the diagonal, the likelihood may not bound its width from below,
    and the best fit has none at all: then it is the widest of the mixtures that fit as well.
    """
    sizes = np.array([effective_size(law) or np.inf for law in laws])
    # The mean of F (1 - F) over levels is 1/6.
    error = float(np.sqrt(np.mean(1 / sizes) / 6))
    places, data = [law.ppf(LEVELS) for law in laws], RESOLVED * len(t)
    plan = fit_mixture_to_cdfs(
        np.repeat(t, len(LEVELS)),
        np.concatenate(places),
        np.tile(LEVELS, len(t)),
        (start.x0, start.x1, start.mass),
        error / SUFFICIENT,
        data=data,
    ).plan
    spacing = np.array([x[1] - x[0] for x in (start.x0, start.x1)])
    flat = np.linalg.eigvalsh(plan.covs / np.outer(spacing, spacing))[:, :1, None] <= NARROW**2
    if not flat.any():
        return plan
    found, least = plan, np.inf
    for width in WIDTHS:
        covs = np.where(flat, widened(plan, width * spacing).covs, plan.covs)
        wide = MixturePlan(plan.weights, plan.means, covs)
        cdfs = [wide.marginal(float(s)).cdf(x) for s, x in zip(t, places, strict=True)]
        misfit = float(np.mean(np.square(np.array(cdfs) - LEVELS)))
        least = min(least, misfit)
        if misfit > least * (1 + 1 / data):  # one unit of the likelihood ratio
            break
        found = wide
    return found


def beside(problem: Problem, mixture: MixturePlan, share: float) -> Problem:
    """Return the problem with a mixture for a reference, and a share of the one it had."""
    return replace(problem, reference=frozen(reference_of(mixture, problem, share)))


def snapshot_moments(
    features: Sequence[_core.SplineFeatures], degree: int, laws: Sequence[Marginal]
) -> tuple[FloatArray, FloatArray]:
    """Return the moments of all snapshots and the variances of their sampling."""
    means, variances = [], []
    for f, law in zip(features, laws, strict=True):
        if isinstance(law, Empirical):
            values = np.ascontiguousarray(law.values)
            mean, variance = _core.spline_moments_of_samples(
                f, degree, values, np.ascontiguousarray(law.weights)
            )
        else:
            cdf = law.cdf(_core.moment_abscissae(f, NODES))
            mean = _core.spline_moments_of_cdf(f, degree, NODES, cdf)
            variance = np.zeros_like(mean)
            if isinstance(law, Counts):
                variance = _multinomial(f, degree, law)
        means.append(mean)
        variances.append(variance)
    return np.concatenate(means), np.concatenate(variances)


def _multinomial(f: _core.SplineFeatures, degree: int, law: Counts) -> FloatArray:
    """Return the variance of the moments of counts: of samples spread evenly over their bins."""
    filled = law.mass > 0
    left, width = law.edges[:-1][filled], np.diff(law.edges)[filled]
    share = (np.arange(PARTS) + 0.5) / PARTS
    values = (left[:, None] + width[:, None] * share).ravel()
    weights = np.repeat(law.mass[filled] / PARTS, PARTS)
    _, variance = _core.spline_moments_of_samples(f, degree, values, weights)
    # The core divides by the effective number of values: here it is that of the samples.
    scaled: FloatArray = variance / (float(np.sum(weights**2)) * law.total)
    return scaled


def doubted(
    problem: Problem,
    path: FloatArray,
    units: FloatArray,
    t: FloatArray,
    laws: Sequence[Marginal] | None,
) -> Problem:
    """Return the problem with what cross-validation cannot see of its choice in the error bars.

    Marginals are predicted as well by plans that lean far more on the reference than the data
    ask for. What a penalty UNDER times smaller moves, the tilt of the reference it shows, and what
    a mixture for a reference makes of the data, where ``laws`` are given, are errors.
    """
    others: list[Problem] = []
    dual = problem.dual()
    penalty = problem.penalty / UNDER
    decrement = decrement_for(problem.theta, penalty, TIGHT)
    stage = dual.solve(problem.moments, penalty, decrement, 60, problem.threads, None)
    least = problem.least_tilt
    if stage.status == "converged":
        free = replace(
            problem,
            theta=frozen(dual.theta),
            penalty=frozen(penalty),
            divergence=stage.divergence,
            rival=None,
        )
        least = max(least, free.tilt)
        others.append(free)
    if laws is not None:
        start = replace(problem, theta=frozen(np.zeros_like(problem.theta)), rival=None)
        start = beside(start, mixture_of(t, laws, grid_plan(problem)), SHARES[1])
        mixed, _, ended, _ = descend(start, path, units, False, None)
        if ended == "converged":
            others.append(mixed)
    return replace(problem, others=tuple(others), least_tilt=least)


def replicas_of(
    problem: Problem,
    floor: FloatArray,
    sizes: Sequence[int | None],
    extra: FloatArray,
    count: int,
    progress: Tell | None = None,
) -> FloatArray:
    """Return theta fitted to snapshots drawn anew from the plan found: a parametric bootstrap."""
    dual = problem.dual()
    mass = dual.mass()
    exact = dual.moments(problem.threads).reshape(len(sizes), -1)
    x, y = (v.ravel() for v in np.meshgrid(problem.x0, problem.x1, indexing="ij"))
    features = features_of(problem.times, problem.knots)
    rng = np.random.default_rng(0)  # of the draws, not of the data: fixed, so that results repeat
    found = []
    for i in range(count):
        if progress is not None:
            progress(i, count, f"replica {i + 1}")
        drawn = exact.copy()
        for k, (t, f, n) in enumerate(zip(problem.times, features, sizes, strict=True)):
            if n is not None:
                counts = rng.multinomial(n, mass / mass.sum())
                hit = counts > 0
                drawn[k], _ = _core.spline_moments_of_samples(
                    f, problem.degree, (1 - t) * x[hit] + t * y[hit], counts[hit] / n
                )
            drawn[k] += extra[k] * rng.normal(size=exact.shape[1])
        dual.set_theta(problem.theta, problem.threads)
        decrement = decrement_for(problem.theta, problem.penalty, LOOSE)
        dual.solve(
            np.ascontiguousarray(drawn.ravel()),
            problem.penalty,
            decrement,
            60,
            problem.threads,
            None,
        )
        found.append(dual.theta)
    return frozen(np.array(found))
