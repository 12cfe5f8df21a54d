"""Recovery on the line from snapshots: samples or laws of X_t at several times."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, real_array, whole_number
from recouple.inverse.atom import AMBIGUOUS, atoms_recovery, find_lines
from recouple.inverse.dual import (
    Options,
    Problem,
    Stage,
    density_on,
    descend,
    features_of,
    grid_masses,
    knots_over,
    read_law,
    smooth_law,
)
from recouple.inverse.end import dimension_of
from recouple.inverse.gaussian_data import recover_gaussian_from_snapshots
from recouple.inverse.held_out import (
    FOLDS,
    NEAR,
    SHARES,
    beside,
    doubted,
    held_out_scores,
    mixture_of,
    replicas_of,
    snapshot_moments,
)
from recouple.inverse.profile import (
    Binned,
    Counts,
    effective_size,
    is_pair,
    law_of,
    variance_of,
    without_gaps,
)
from recouple.inverse.recovery import Recovery, finish, grid_plan, settings_of
from recouple.inverse.reference import (
    schroedinger,
)
from recouple.inverse.spread import contradiction, crosschecked, mixed_moments, paths_of
from recouple.marginal import (
    Empirical,
    Histogram,
    Marginal,
    NormalMixture,
)
from recouple.plan import MixturePlan, Plan
from recouple.progress import Progress, Tell, progress_callback

MOST_TIME = 10.0
INCONSISTENT = 5.0  # standard errors, in the mean over a snapshot's moments
MOST_CORRELATION = 0.98  # of a reference
REFERENCES = ("auto", "product", "schroedinger", "mixture")
RANGE = 100 / np.sqrt(80)  # of errors over ten standard deviations, of a variance
TORN = 1e-2  # standard error of a moment, where the snapshots contradict each other
MARGIN = 0.01  # of the held-out error that a mixture must save: the coupling is the simpler of both
FEWEST = 5  # snapshots, for a mixture to be tried
DESCENT = 6  # stages of cross-validation that one descent takes as long as, about
STOPPED = "the best so far, with error bars that lack the reference's part and the bootstrap"
ANALYTIC = "error bars are those of the noise by its propagation alone"


def recover_plan_from_snapshots(
    times: ArrayLike,
    snapshots: Sequence[Marginal | ArrayLike],
    *,
    source: Marginal | ArrayLike | None = None,
    target: Marginal | ArrayLike | None = None,
    grid: int = 96,
    splines: int | None = None,
    degree: int = 5,
    reference: str | Plan = "auto",
    regularization: float | None = None,
    noise: ArrayLike | None = None,
    family: str = "auto",
    bootstrap: int = 8,
    tail: float = 1e-6,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Recovery:
    r"""Recover a plan from snapshots: samples or laws of X_t at several times.

    In R^D a Gaussian plan, from the means and covariances of the snapshots: its cross-covariance
    C = Cov(X0, X1) up to the antisymmetric part, of which p_t says nothing. What follows, and the
    options below ``target``, are for the line.

    The same dual as :func:`recover_plan`, with moments averaged over samples and the penalty
    :math:`\lambda_{km} = \mu\, \mathrm{Var}(g_{km})`; the multiple :math:`\mu` is the one that
    best predicts the half of each snapshot that was held out.

    Parameters
    ----------
    times : array of shape (K,)
        Distinct times, at least two. Times outside [0, 1] see more of the plan; use them.
    snapshots : sequence of K arrays of samples, laws on the line, or histograms
        ``snapshots[k]`` are draws of X at ``times[k]``, or its law, taken as exact, or a pair
        ``(edges, mass)`` of a profile with one more edge than masses, in either order. Masses that
        are whole numbers with a sum above 1 are counts of samples; others, like a law, are exact
        unless ``noise`` says how far they are off; a density's are those of its bins.
    source, target : law or samples, optional
        Law of X0 and X1, used for the reference measure; by default from the snapshots at times 0
        and 1, or normal with the mean and variance that the other times extrapolate to.
    regularization : float, optional
        The multiple mu. Default: chosen between 1 and 10^4 by cross-validation.
    reference : {"auto", "schroedinger", "mixture", "product"} or plan
        What fills in where the data say nothing: the Schroedinger coupling of the ends with the
        correlation that the variances of X_t show; a Gaussian mixture fitted to the samples; or
        the product of the ends. "auto": of the first two the one that better predicts the half of
        each snapshot that was held out, from five snapshots on.
    noise : float or array of shape (K,), optional
        Standard error of the mass that one spline sees, for each snapshot, on top of sampling. It
        is not an error of the positions: that adds its variance to Var X_t and so to Cov(X0, X1).
    family : {"auto", "atoms", "line"}
        "atoms": the same few particles at every time, paired along straight lines, each with its
        weight; "auto" looks for such lines first where all snapshots are samples of at most 512,
        and takes them if chance does not explain them and hardly any other lines fit.
    bootstrap : int
        How often samples are drawn anew from the plan found and fitted, for the error bars
        (not with laws alone).
    grid, splines, degree, tail, num_threads, progress
        As in :func:`recover_plan`; ``splines`` defaults to N/3.

    Returns
    -------
    Recovery
        With verdict "representative": finitely many times never determine a plan. Status
        "inconsistent" names the snapshots that fit no plan together with the others, before any
        fit where it is their means or variances; "interrupted": Ctrl-C, and the best so far.

    Raises
    ------
    ValueError
        If there are fewer than two times, a time repeats or is not finite, or a snapshot is empty
        or not finite.

    Notes
    -----
    Accuracy: total variation from 17 snapshots of 10^4 samples: 0.02 for correlated normals, 0.01
    to 0.1 for mixtures, 0.02 to 0.2 for crossing ridges. Cost: some 10 s there on one core, half of
    which goes into the mixtures; 2 s with ``reference="schroedinger"``.

    Examples
    --------
    >>> import numpy as np, recouple as rc
    >>> rng = np.random.default_rng(0)
    >>> x0 = rng.normal(size=4000)
    >>> x1 = 0.6 * x0 + 0.8 * rng.normal(size=4000)
    >>> t = np.linspace(0, 1, 9)
    >>> rec = rc.recover_plan_from_snapshots(t, [(1 - s) * x0 + s * x1 for s in t], grid=48)
    >>> abs(rec.plan.correlation - 0.6) < 0.05
    True
    """
    t = real_array("times", times, ndim=1)
    if not isinstance(snapshots, Sequence | np.ndarray):
        raise ValueError(
            f"snapshots must be a sequence of samples or laws, got {type(snapshots).__name__}"
        )
    if len(snapshots) > 0 and not is_pair(snapshots[0]) and dimension_of(snapshots[0]) > 1:
        return recover_gaussian_from_snapshots(times, snapshots, source=source, target=target)
    if len(np.unique(t)) != len(t) or len(t) < 2:
        raise ValueError(
            f"times must hold at least two different times, each once, got {t.tolist()}"
        )
    if np.abs(t).max() > MOST_TIME:
        raise ValueError(
            f"times must lie within {MOST_TIME:g} of 0, got {t.min():g} to {t.max():g}"
        )
    if family not in ("auto", "atoms", "line"):
        raise ValueError(f"family must be 'auto', 'atoms' or 'line', got {family!r}")
    if not (isinstance(reference, Plan) or reference in REFERENCES):
        raise ValueError(
            f"reference must be one of {', '.join(map(repr, REFERENCES))} or a plan, "
            f"got {reference!r}"
        )
    bootstrap = whole_number("bootstrap", bootstrap, minimum=0, maximum=1000)
    if len(snapshots) != len(t):
        raise ValueError(f"snapshots must have {len(t)} entries like times, got {len(snapshots)}")
    options = Options.checked(
        grid, len(t), splines, degree, regularization, tail, num_threads, grid_per_spline=3
    )
    order = np.argsort(t)
    t = t[order]
    extra = np.zeros(len(t))
    if noise is not None:
        extra = real_array("noise", noise)
        if extra.ndim and extra.shape != t.shape:
            raise ValueError(
                f"noise must be one number or {len(t)}, one for each of times, got shape "
                f"{extra.shape}"
            )
        extra = np.broadcast_to(extra, t.shape)[order]
        if extra.min() < 0:
            raise ValueError(f"noise must not be negative, got {extra.min():g}")
    laws: list[Marginal] = []
    for k in order:
        try:
            laws.append(law_of(snapshots[k]))
        except ValueError as error:
            raise ValueError(f"snapshots[{k}]: {error}") from None

    if family != "line":
        lines = find_lines(t, laws)
        if lines is not None and lines.ambiguous <= AMBIGUOUS:
            given = {
                "source": source is not None,
                "target": target is not None,
                "reference": reference != "auto",
                "regularization": regularization is not None,
                "noise": noise is not None,
            }
            return atoms_recovery(lines, t, [name for name, told in given.items() if told])
        if family == "atoms":
            found = "these lie on none that hold them all and that chance does not explain"
            if lines is not None:
                found = f"other lines fit {lines.ambiguous:.0%} of the mass of these as well"
            raise ValueError(
                "family 'atoms' needs at least five snapshots of the same few particles, each on a "
                f"straight line of its own; {found}"
            )

    ends = [_end_law(end, given, t, laws) for end, given in ((0, source), (1, target))]
    box0, box1 = (law.ppf(np.array([options.tail, 1 - options.tail])) for law in ends)
    x0, x1 = (np.linspace(lo, hi, options.grid) for lo, hi in (box0, box1))
    masses = np.outer(grid_masses("source", ends[0], x0), grid_masses("target", ends[1], x1))
    knots = knots_over(t, box0, box1, options)
    moments, variance = snapshot_moments(features_of(t, knots), options.degree, laws)
    shape = np.array([law.error if isinstance(law, Binned) else 0.0 for law in laws])
    variance = variance + np.repeat(extra**2 + shape**2, options.splines)
    problem = Problem.of(x0, x1, masses, t, knots, options, moments, variance)
    # Few snapshots may agree with a wrong reference; each more leaves it half the room.
    problem = replace(problem, least_tilt=2.0 ** (2 - len(t)))
    paths = paths_of(order, t, laws, extra * np.sqrt(options.splines))
    # Errors of the mass in a range of ten standard deviations, which those of samples are not.
    spread = extra * np.sqrt(options.splines) * RANGE * max(float(law.std()) ** 2 for law in laws)
    correlation, doubt = _correlation(t, laws, spread)
    alone = mixed_moments(t, laws)
    tied = _tied(problem, masses, correlation)
    if isinstance(reference, Plan):
        problem = replace(problem, reference=frozen(density_on(reference, problem)))
    elif reference != "product":
        problem = tied
    floor = np.repeat([_floor(law) for law in laws], options.splines)
    torn = contradiction(paths)
    if torn is not None:
        floor = np.maximum(floor, TORN**2)

    sampled = any(effective_size(law) for law in laws)
    chosen = sampled and regularization is None
    fits = reference == "mixture" or (reference == "auto" and chosen and len(t) >= FEWEST)
    trials = (1 + len(SHARES) if fits else 1) * 2 * len(FOLDS) if chosen else 0
    replicas = bootstrap if sampled else 0
    bar = _Bar(progress_callback(progress, "recover_plan_from_snapshots"), trials, replicas)
    path = FOLDS
    named = "product" if reference == "product" else repr(reference)
    named = "schroedinger" if reference in ("auto", "schroedinger", "mixture") else named
    evidence: tuple[str, ...] = ()
    mixture: MixturePlan | None = None
    share = SHARES[0]
    exact = noise is None and any(type(law) in (Binned, Histogram) for law in laws)
    stopped = ""  # where the work was, when it was stopped with a plan at hand
    if options.regularization is not None:
        above = FOLDS[options.regularization < FOLDS]
        first = above if above.size else [10 * options.regularization]
        path = np.append(first, options.regularization)
    elif sampled:
        table, cut = held_out_scores(problem, laws, floor, bar.part(trials), mixture=fits)
        plain, *mixed = table
        scores = plain
        stopped = "in cross-validation" if cut else ""
        fits = fits and not cut
        if fits:
            share, best = min(zip(SHARES, mixed, strict=True), key=lambda pair: pair[1].min())
            evidence = (
                f"held-out error in standard errors: {_per_moment(plain, problem):.4f} from the "
                f"Schroedinger coupling, {_per_moment(best, problem):.4f} from a mixture with the "
                f"share {share:g} of it",
            )
            fits = reference == "mixture" or bool(best.min() < (1 - MARGIN) * plain.min())
            scores = best if fits else plain
        path = FOLDS[: max(2, int(np.argmin(scores)) + 1)]
    begun: tuple[Problem, tuple[Stage, ...], str, str] | None = None
    if fits:
        try:
            near, stages, ended, word = descend(
                problem, FOLDS[: NEAR + 1], variance + floor, False, bar.part(DESCENT)
            )
            begun = near, stages, ended, word
            if ended == "converged":
                stopped = "while a mixture was fitted"
                mixture = mixture_of(t, laws, grid_plan(near))
                stopped, begun = "", None
                problem, named = beside(problem, mixture, share), "mixture"
        except KeyboardInterrupt:
            if not chosen and begun is None:
                raise
            stopped = stopped or "on the way to a mixture"
    if begun is None:
        told = None if stopped else bar.part(DESCENT)
        try:
            begun = descend(problem, path, variance + floor, False, told)
        except KeyboardInterrupt:
            if not chosen:
                raise
            stopped = "before the chosen penalty was reached"
            begun = descend(problem, path[:2], variance + floor, False, None)
    problem, history, status, message = begun
    if chosen and status == "converged":
        penalised = f"a penalty of {history[-1].regularization:.3g} sampling variances"
        message = f"cross-validation chose {penalised}"
    if stopped and status == "converged":
        status, message = "interrupted", f"stopped on request {stopped}: {STOPPED}"
    if named in ("schroedinger", "mixture") and len(history) > 1 and status == "converged":
        # The reference is read off the data: so is its error.
        away = 1.0 if correlation < 0 else -1.0
        if mixture is not None and mixture.correlation != correlation:
            away = float(np.sign(correlation - mixture.correlation))
        far = np.clip(correlation + away * doubt, -MOST_CORRELATION, MOST_CORRELATION)
        try:
            other = _tied(problem, masses, float(far))
            rival, _, ended, _ = descend(
                other, path[-2:], variance + floor, False, bar.part(DESCENT)
            )
        except KeyboardInterrupt:
            ended = "interrupted"
        if ended == "interrupted" and status == "converged":
            status, message = ended, "stopped on request: error bars lack the reference's part"
        elif ended == "converged":
            problem = replace(problem, rival=rival, rival_share=1.0)
    if chosen and status == "converged":
        tried = trials > 2 * len(FOLDS) and mixture is None
        try:
            problem = doubted(problem, path[-2:], variance + floor, t, laws if tried else None)
        except KeyboardInterrupt:
            status = "interrupted"
            message = f"{message}; stopped on request: error bars lack that of the regularisation"
    if torn is not None:
        ended = "" if status == "converged" else f" ({message})"
        status = "interrupted" if status == "interrupted" else "inconsistent"
        message = f"no plan fits all snapshots: {torn}; the plan is the nearest{ended}"
    elif status == "converged" and (sampled or exact):
        status, message = _consistency(problem, floor, message)
    if sampled and bootstrap and status == "converged":
        sizes = [effective_size(law) for law in laws]
        try:
            drawn = replicas_of(problem, floor, sizes, extra, bootstrap, bar.part(replicas))
            problem = replace(problem, replicas=drawn)
        except KeyboardInterrupt:
            status = "interrupted"
            message = f"{message}; stopped on request in the bootstrap: {ANALYTIC}"
    reason = (
        f"{len(t)} times fix the mixed moments E[X0^i X1^j] up to order {len(t) - 1} and no plan: "
        "the rest is that of the reference"
    )
    if exact and status not in ("converged", "interrupted"):
        message = (
            f"{message}; the masses of histograms that are no counts were taken as exact: if they "
            "are of samples give the counts, or their standard error as noise="
        )
    rest: dict[str, Any] = {
        "settings": settings_of(options, problem, history, samples=sampled, reference=named),
        "verdict": "representative",
        "reason": reason,
    }
    try:
        rec = finish(problem, history, status, message, **rest)
    except KeyboardInterrupt:
        problem = replace(problem, replicas=None, rival=None)
        message = f"{message}; stopped on request: {ANALYTIC}"
        rec = finish(problem, history, "interrupted", message, **rest)
    bars = rec.error_bars
    if torn is None:
        bars, finding = crosschecked(bars, alone, correlation, doubt, bool(extra.any()))
        evidence += (finding,) if finding else ()
    bar.end(rec.status)
    return replace(rec, evidence=evidence, mixture=mixture, mixed_moments=alone, error_bars=bars)


class _Bar:
    """Progress over all of the work: so many trials, three descents, so many replicas."""

    def __init__(self, told: Tell | None, trials: int, replicas: int) -> None:
        self.told = told
        self.total = trials + 3 * DESCENT + replicas
        self.begun = 0

    def part(self, share: int) -> Tell | None:
        """Return the callback of the next part of the work."""
        told, begun, last = self.told, self.begun, self.total - 1
        self.begun += share
        if told is None:
            return None

        def tell(done: int, total: int, note: str = "", /) -> None:
            # The last step is told when all is done.
            told(min(begun + share * done // total, last), last + 1, note)

        return tell

    def end(self, status: str) -> None:
        """Tell that all is done: too late to stop it."""
        if self.told is not None and status != "interrupted":
            with contextlib.suppress(KeyboardInterrupt):
                self.told(self.total, self.total)


def _tied(problem: Problem, masses: FloatArray, correlation: float) -> Problem:
    """Return the problem with the Schroedinger coupling of this correlation for a reference."""
    within = float(np.clip(correlation, -MOST_CORRELATION, MOST_CORRELATION))
    tied = schroedinger(masses.sum(axis=1), masses.sum(axis=0), within)
    return replace(problem, reference=frozen(np.ascontiguousarray(tied / tied.sum())))


def _per_moment(scores: FloatArray, problem: Problem) -> float:
    """Root mean square of the best held-out error, a moment."""
    return float(np.sqrt(scores.min() / (2 * problem.moments.size)))


def _correlation(
    t: FloatArray, laws: Sequence[Marginal], spread: FloatArray
) -> tuple[float, float]:
    """Correlation of the ends from the variances of X_t, and its standard error.

    Var X_t = (1-t)^2 Var X0 + 2 t (1-t) Cov(X0, X1) + t^2 Var X1, by least squares weighted by the
    sampling error of each variance, and by ``spread``, what other errors it has: for normal plans
    as good as any estimator. Fewer than three times tell nothing: 0 with an error of 1.
    """
    if len(t) < 3:
        return 0.0, 1.0
    found = [variance_of(law) for law in laws]
    variance = np.array([v for v, _ in found])
    error = np.hypot([e for _, e in found], spread)
    scale = np.maximum(error, 1e-3 * max(error.max(), 1e-9 * variance.max()))
    basis = np.column_stack([(1 - t) ** 2, 2 * t * (1 - t), t**2]) / scale[:, None]

    def of(path: FloatArray) -> float:
        v0, c, v1 = np.linalg.lstsq(basis, path / scale, rcond=None)[0]
        return float(c / np.sqrt(v0 * v1)) if min(v0, v1) > 0 else 0.0

    rng = np.random.default_rng(0)  # of the draws, not of the data: fixed, so that results repeat
    drawn = variance + error * rng.normal(size=(200, len(t)))
    doubt = min(1.0, float(np.std([of(path) for path in drawn])))
    return of(variance), doubt


def _consistency(problem: Problem, floor: FloatArray, message: str) -> tuple[str, str]:
    """Return the status, by how far each snapshot is from what the plan says of it."""
    misfit = problem.dual().moments(problem.threads) - problem.moments
    scaled = (misfit**2 / (problem.noise + floor)).reshape(len(problem.times), -1)
    off = np.sqrt(scaled.mean(axis=1))
    k = int(np.argmax(off))
    if off[k] < INCONSISTENT:
        return "converged", message
    return "inconsistent", (
        f"no plan fits all snapshots: that at t = {problem.times[k]:.4g} is off by {off[k]:.1f} "
        f"standard errors in the mean over its moments, the others by {np.median(off):.1f}"
    )


def _floor(law: Marginal) -> float:
    """Smallest variance credited to a moment: that of a feature which no sample met, or 1e-10."""
    if isinstance(law, Empirical):
        return float(np.sum(law.weights**2) ** 2)
    size = effective_size(law)
    return 1e-10 if size is None else 1 / size**2


def _end_law(
    end: int, given: Marginal | ArrayLike | None, t: FloatArray, laws: Sequence[Marginal]
) -> Marginal:
    """Return the law of X0 (end 0) or X1 (end 1) for the reference measure."""
    if given is not None:
        name = "source" if end == 0 else "target"
        return smooth_law(name, read_law(name, given))
    at = np.flatnonzero(t == end)
    if at.size:
        law = laws[at[0]]
        if isinstance(law, Counts) or (isinstance(law, Histogram) and not law.mass.all()):
            return without_gaps(law)
        return smooth_law(f"the snapshot at t = {end}", law)
    # E X_t is linear in t and Var X_t quadratic: fit and extrapolate.
    means = np.array([float(law.mean()) for law in laws])
    variances = np.array([float(law.std()) ** 2 for law in laws])
    mean = np.polyval(np.polyfit(t, means, 1), end)
    if not variances.max() > 0:
        raise ValueError("snapshots must spread: each of them is a single point")
    variance = np.polyval(np.polyfit(t, variances, min(2, len(t) - 1)), end)
    spread = np.sqrt(variance if variance > 0 else variances.max())
    return NormalMixture(np.ones(1), np.array([mean]), np.array([spread]))
