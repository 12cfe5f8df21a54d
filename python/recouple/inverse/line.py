"""Recovery on the line from a velocity field: trace points of every p_t to both ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, real_number, whole_number
from recouple.field import VelocityField
from recouple.inverse.crosscheck import finding, reaching, said_by
from recouple.inverse.dual import (
    FAR,
    LARGEST_GRID,
    LOOSE,
    UNRESOLVED,
    Options,
    Problem,
    Stage,
    decrement_for,
    density_on,
    descend,
    read_law,
    smooth_law,
)
from recouple.inverse.moment import bernstein_fits
from recouple.inverse.noise import Level, freedom, told_by_ends, unit_shifts
from recouple.inverse.recovery import (
    Recovery,
    finish,
    grid_plan,
    settings_of,
    verdict_of,
)
from recouple.inverse.reference import (
    CdfFit,
    fit_mixture_to_cdfs,
    reference_error,
    reference_of,
    schroedinger,
    told_by_fit,
    too_narrow,
)
from recouple.inverse.tracing import (
    LEVELS,
    Data,
    Layout,
    along,
    data_of,
    field_consistency,
    layout_of,
    moments_of,
    trajectories,
)
from recouple.marginal import Marginal
from recouple.plan import GridPlan, MixturePlan, Plan
from recouple.progress import Progress, Tell, progress_callback

LAMBDA_FIRST, LAMBDA_LAST, LAMBDA_STEP = 10**-2.5, 1e-9, 10**-0.5
LEAST_UNIT = 1e-2  # of the penalty, where the field's error does not reach: at a known end
# Beyond these the field is not a flow-matching field of these ends: badly trained networks stay
# below 0.1 in field consistency, swapped arguments or wrong laws start at 0.4. A field that is
# small beside X1 - X0, whose mean it is, is learned with an error that is a share of the latter.
INCONSISTENT_FIELD, INCONSISTENT_SHARE, INCONSISTENT_ENDS = 0.3, 0.1, 0.1
DOUBTFUL = 0.1  # field consistency above which a result says that a network's would be smaller
SHOWN_WEIGHT = 0.01  # of components that the grid widens, above which that is said
NOTICED = 0.02  # field consistency above which a plan that misses the field is worth a word
GRID, MOST_GRID, COARSER = 96, 256, 16  # points a side by default, and at most for a narrow plan
NO_GRID = "no grid resolves it: family='graph' or 'gaussian' may"
NARROWEST = 1e-6  # 1 - correlation
REFERENCES = ("auto", "product", "schroedinger", "mixture")
SHARED = 100.0  # the penalty of the field's error, in variances: a nat against 100 of chi^2 / 2
APART = 0.1  # of the penalty: how far its diagonal goes down beside that of the field's error
THINNED = 3  # one node in so many of the cdfs is one that a mixture is fitted to
EXACT = 1e-8  # error of the cdfs of a field without noise
MOST_MOMENTS = 8  # order of the mixed moments kept: the conditioning doubles with every order


def recover_on_line(
    velocity: VelocityField,
    source: Marginal | ArrayLike,
    target: Marginal | ArrayLike | None = None,
    *,
    grid: int | None = None,
    times: int = 17,
    splines: int | None = None,
    degree: int = 5,
    reference: str | Plan = "product",
    regularization: float | None = None,
    noise: float | None = None,
    tail: float = 1e-6,
    steps: int = 96,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Recovery:
    """Recover a plan on the line on a grid, by the entropic dual; see ``recover_plan``."""
    choices: Any = (times, splines, degree, regularization, tail, num_threads)
    whole_number("times", times, minimum=3)  # two show the ends alone
    options = Options.checked(GRID if grid is None else grid, *choices, grid_per_spline=2)
    steps = whole_number("steps", steps, minimum=1)
    if noise is not None:
        noise = real_number("noise", noise, minimum=0.0)
    if not (isinstance(reference, Plan) or reference in REFERENCES):
        raise ValueError(
            f"reference must be one of {', '.join(map(repr, REFERENCES))} or a plan, "
            f"got {reference!r}"
        )
    given0 = read_law("source", source)
    given1 = None if target is None else read_law("target", target)
    law0 = smooth_law("source", given0)
    law1 = None if given1 is None else smooth_law("target", given1)
    callback = progress_callback(progress, "recover_plan")

    start, end = trajectories(velocity, law0, options, steps)
    ends1 = end[6:8] if law1 is None else law1.ppf(np.array([options.tail, 1 - options.tail]))
    needed = points_across(velocity, start, end, ends1)
    if grid is None:
        finest = resolving(law0, start[6:8]), GRID if law1 is None else resolving(law1, ends1)
        points = min(max(needed, *finest), MOST_GRID)
        options = Options.checked(max(points, GRID), *choices, grid_per_spline=2)
    layout = layout_of(start, end, ends1, options)
    data = data_of(velocity, law0, law1, layout, options, steps)
    paths, speeds = along(velocity, start[8:], layout, options, steps)
    waves, closing = unit_shifts(
        layout.times, paths, speeds, LEVELS, layout.nodes, two_sided=law1 is not None
    )
    still = moments_of(layout, options, [np.zeros_like(x) for x in layout.nodes])
    rows = [moments_of(layout, options, wave) - still for wave in zip(*waves, strict=True)]
    shifts = left = np.array(rows)
    size = float(np.sqrt(np.mean(np.sum(closing**2, axis=0))))
    told = Level(noise or 0.0, "by the residual" if noise is None else "given")
    torn = data.mismatch is not None and data.mismatch > INCONSISTENT_ENDS
    if noise is not None and law1 is not None and size > 0 and not torn:
        amplitudes, root = told_by_ends(closing, law1.cdf(end[8:]) - LEVELS)
        cdf = [f - amplitudes @ w for f, w in zip(data.cdf, waves, strict=True)]
        data = replace(data, cdf=cdf, moments=data.moments - amplitudes @ shifts)
        left, waves = root @ shifts, [root @ w for w in waves]
    if noise is None and data.mismatch is not None and size > 0:
        told = Level(data.mismatch / size, "told by the two ends", freedom(closing))
    errors = replace(_Errors.of(shifts, told, waves), shifts=left)

    problem = Problem.of(
        layout.x0,
        layout.x1,
        np.outer(data.mass0, data.mass1),
        layout.times,
        layout.knots,
        options,
        data.moments,
        np.zeros(data.moments.size),
    )
    # Few times may agree with a wrong reference; each more leaves it half the room.
    problem = replace(problem, least_tilt=2.0 ** (2 - len(layout.times)))
    if noise:
        problem = replace(problem, common=frozen(np.sqrt(SHARED) * errors.level * left))
    solution = _solve_from(reference, problem, data, layout, options, errors, callback)
    problem, history = solution.problem, solution.history
    ended, message = solution.status, solution.message
    told = errors.told if noise is not None else solution.told
    problem = problem.at_level(told.allowed, left)
    verdict, reason = verdict_of([given0, end[:6] if given1 is None else given1])
    recovered = grid_plan(problem)
    consistency = field_consistency(recovered, paths, speeds, layout)
    sound = consistent(consistency, speeds, recovered, data.mismatch)
    if ended != "interrupted" and (torn or (ended == "converged" and not sound)):
        ended, verdict = "inconsistent", "representative"
        reason = "no plan near this one has the field that was given"
        gap = "" if data.mismatch is None else f", the two ends by {data.mismatch:.2g} in cdf"
        message = (
            "the field and the laws fit no plan: the plan's own field is off by "
            f"{consistency:.2g} of the field's size{gap}; look at the order of arguments v(t, x), "
            "the direction of time, the interpolant and the laws of the ends"
        )
        if needed > options.grid and not torn:
            reason = "the grid is too coarse for the plan that has this field"
            advice = f"use grid={needed} or more" if needed <= LARGEST_GRID else NO_GRID
            message = (
                f"the plan is narrower than the grid of {options.grid} points resolves: its own "
                f"field is off by {consistency:.2g} of the field's size; {advice}"
            )
    elif ended != "converged":
        verdict, reason = "representative", "the work ended before the plan that fits was found"
    if ended in ("converged", "stalled", "failed") and consistency > DOUBTFUL:
        message += f"; {_doubt(consistency, 2 * needed > options.grid)}"
    hidden = 0.0 if solution.mixture is None else too_narrow(solution.mixture, problem)
    if ended == "converged" and solution.reference == "mixture" and hidden > SHOWN_WEIGHT:
        message += (
            f"; of the mixture fitted, in `mixture`, components that hold {hidden:.2g} of the mass "
            f"are narrower than a grid of {options.grid} points shows: the plan has them wider"
        )
    # What is known of a field is known beside the X1 - X0 that it is the mean of.
    scale = 1.0 if noise is not None else min(1.0, _share(speeds, recovered) / INCONSISTENT_SHARE)
    shown = told.value if noise is not None else min(1.0, told.value * scale)
    chosen = {
        "steps": steps,
        "target": "given" if given1 is not None else "from the flow",
        "reference": solution.reference,
        "noise": shown,
    }
    rec = finish(
        problem,
        history,
        ended,
        message,
        settings_of(options, problem, history, **chosen),
        verdict=verdict,
        reason=reason,
        field=consistency,
        mismatch=data.mismatch,
    )
    order = min(MOST_MOMENTS, len(layout.times) - 1)  # as many times as coefficients
    fits = bernstein_fits(layout.times, layout.nodes, data.cdf, order)
    warning = ""
    if consistency * scale > max(NOTICED, FAR * shown):
        warning = (
            f": more than {FAR:g} times the error above, the field is not quite that of a plan"
        )
        if 2 * needed > options.grid:
            warning = f": a grid of {options.grid} points resolves the plan no better"
    whose = "the field" if scale == 1 else "the field, beside a tenth of X1 - X0,"
    evidence = (
        *solution.evidence,
        f"relative error of {whose} about {shown:.1e}{' or more' * (shown == 1)}, {told.by}",
        f"the plan's own field differs by {consistency:.1e} of the field's size{warning}",
        *finding(fits.correlation, rec.error_bars["correlation"]),
    )
    bars = reaching(rec.error_bars, said_by(fits))
    return replace(
        rec, evidence=evidence, mixture=solution.mixture, mixed_moments=fits, error_bars=bars
    )


def _doubt(consistency: float, narrow: bool) -> str:
    cause = "at the grid, too" if narrow else "at the laws of the ends, and at the field"
    return (
        f"the plan's own field is off by {consistency:.2g} of the field's size, that of a "
        f"well-trained network by less than {DOUBTFUL:g}: look {cause}"
    )


@dataclass(frozen=True)
class _Errors:
    """What an error of the field does to the moments, and what is known of its size."""

    shifts: FloatArray  # of the moments, at the relative error 1
    told: Level  # that of the field, by the caller or the two ends; 0 if neither
    units: FloatArray  # the penalty's unit for each moment
    waves: Sequence[FloatArray]  # what it does to the cdfs at their nodes, at each time

    @classmethod
    def of(cls, shifts: FloatArray, told: Level, waves: Sequence[FloatArray]) -> _Errors:
        """Return them with units in proportion to the variances: what the field tells well counts.

        At an end whose law is known the field's error does not matter; the floor is for that.
        """
        variance = np.sum(shifts**2, axis=0)
        mean = float(variance.mean())
        if not mean > 0:
            return cls(shifts, told, np.ones(len(variance)), waves)
        return cls(shifts, told, frozen(np.maximum(variance / mean, LEAST_UNIT)), waves)

    @property
    def level(self) -> float:
        """That relative error of the field."""
        return self.told.value

    @property
    def variance(self) -> float:
        """Mean square error of the moments."""
        return self.level**2 * float(np.mean(np.sum(self.shifts**2, axis=0)))

    @property
    def error(self) -> float:
        """Root mean square error of the moments, in square roots of their units."""
        return self.level * float(np.sqrt(np.mean(np.sum(self.shifts**2, axis=0) / self.units)))

    def left_by(self, problem: Problem) -> Level:
        """Return the relative error of the field that would leave the residual that was left.

        An error dg of the moments changes theta by H^-1 dg and so the residual by lambda H^-1 dg.
        """
        if not problem.earlier:
            return Level(0.0, "by the residual")
        answers = problem.dual().responses(self.shifts, problem.penalty, problem.threads)
        weight = problem.penalty / np.sqrt(self.units)
        columns = weight * answers.reshape(self.shifts.shape)
        left, size = np.linalg.norm(weight * problem.theta), np.linalg.norm(columns)
        value = float(left / size) if size > 0 else 0.0
        return Level(value, "by the residual", freedom(columns))


@dataclass(frozen=True)
class _Solution:
    """The dual solved from one reference, and why from that one."""

    problem: Problem
    history: tuple[Stage, ...]
    status: str
    message: str
    reference: str
    told: Level  # relative error of the field, by its residual too
    evidence: tuple[str, ...] = ()
    mixture: MixturePlan | None = None

    @property
    def regularization(self) -> float:
        """The last lambda."""
        return self.history[-1].regularization

    def cost(self, regularization: float, units: FloatArray) -> float:
        """Return what the data cost at a lambda: divergence from the reference plus penalty, nats.

        Infinite where Newton's method does not get there from this solution.
        """
        p = self.problem
        dual, penalty = p.dual(), regularization * units
        if regularization != self.regularization:
            decrement = decrement_for(dual.theta, penalty, LOOSE)
            stage = dual.solve(p.moments, penalty, decrement, 60, p.threads, None)
            if stage.status != "converged":
                return float("inf")
            return stage.divergence + 0.5 * float(dual.theta @ p.penalised(dual.theta, penalty))
        return p.divergence + 0.5 * float(p.theta @ p.penalised(p.theta, penalty))


def _solve_from(
    reference: str | Plan,
    problem: Problem,
    data: Data,
    layout: Layout,
    options: Options,
    errors: _Errors,
    progress: Tell | None,
) -> _Solution:
    path, automatic = _path(options.regularization)
    if automatic and problem.common is not None:  # to where the field's error is the penalty by far
        path = path[: max(2, np.count_nonzero(path > APART * SHARED * errors.variance))]

    def solve(
        name: str,
        masses: FloatArray,
        path: FloatArray,
        automatic: bool,
        enough: Callable[[Problem], bool] | None = None,
    ) -> _Solution:
        masses = np.ascontiguousarray(masses / masses.sum())
        changed = replace(problem, reference=frozen(masses))
        found = descend(changed, path, errors.units, automatic, progress, errors.error, enough)
        return _Solution(*found, name, max(errors.told, errors.left_by(found[0])))

    if isinstance(reference, Plan):
        masses = density_on(reference, problem) + 1e-12 * problem.reference
        return solve(repr(reference), masses, path, automatic)
    if reference == "schroedinger":
        fits = bernstein_fits(layout.times, layout.nodes, data.cdf, 2)
        masses = schroedinger(data.mass0, data.mass1, fits.correlation)
        return solve("schroedinger", masses, path, automatic)
    product = solve("product", problem.reference, path, automatic)
    broken = data.mismatch is not None and data.mismatch > INCONSISTENT_ENDS
    if reference == "product" or product.status != "converged" or broken:
        return product

    approximate = grid_plan(product.problem)
    rough = errors.level * float(np.sqrt(np.mean(np.sum(errors.shifts**2, axis=0))))
    misfit = max(EXACT, rough, product.history[-1].residual if automatic else 0.0)
    # A moment is a difference of the cdf over a spline's width, a fraction of its length.
    if product.history[-1].regularization < 2 * LAMBDA_LAST and not rough:
        misfit = EXACT
    stopped = replace(
        product,
        status="interrupted",
        message="stopped on request while a mixture was fitted: the plan from the product of ends",
    )
    end = product.regularization
    try:
        fit = _mixture_of(layout, data, approximate, misfit, problem.moments.size)
        # A mixture that is all but right needs little correction: what the data ask for, no more.
        mixture = solve(
            "mixture",
            reference_of(fit.plan, problem),
            _down_to(end) if automatic else np.array([10 * end, end]),
            False,
            (lambda reached: errors.left_by(reached) <= product.told) if automatic else None,
        )
        shifts = np.concatenate([w[:, ::THINNED] for w in errors.waves], axis=1)
        seen = told_by_fit(fit, *_places(layout), shifts)
        told = product.told
        if mixture.status == "converged":
            # A few parameters do not fit an error away: they bound it. What the product's dual
            # leaves beyond that is its own, where a field is small or the grid coarse.
            told = max(errors.told, min(told, seen.times(FAR)))
            corrected = reference_error(
                fit, *_places(layout), shifts, told.value, problem, mixture.problem
            )
            mixture = replace(mixture, problem=corrected, told=told)
        # Both at one lambda: that of the mixture may be larger, and nats fall with it.
        costs = product.cost(end, errors.units), mixture.cost(end, errors.units)
    except KeyboardInterrupt:
        return stopped
    if mixture.status == "interrupted":
        return stopped
    count = len(fit.plan.weights)
    lines = (
        f"Gaussian mixture of {count} fitted to the cdfs: misfit {fit.residual:.1e}, "
        f"BIC {fit.bic:.0f}",
        f"nats to fit the data: {costs[0]:.2g} from the product of the ends, "
        f"{costs[1]:.2g} from the mixture",
    )
    better = mixture.status == "converged" and costs[1] < costs[0]
    if reference == "mixture":
        better = mixture.status == "converged"
    chosen, other = (mixture, product) if better else (product, mixture)
    least, most = sorted(max(cost, 0.0) for cost in costs)
    share = float(np.sqrt(least / most)) if 0 < most < np.inf else 1.0
    solved = chosen.problem
    if other.status == "converged":
        solved = replace(solved, rival=other.problem, rival_share=share)
    return replace(
        chosen,
        problem=solved,
        message=product.message if chosen is mixture else chosen.message,
        evidence=(*lines, f"reference: {chosen.reference}"),
        mixture=fit.plan,
    )


def _mixture_of(layout: Layout, data: Data, near: GridPlan, misfit: float, moments: int) -> CdfFit:
    """Return the Gaussian mixture fitted to the cdfs, at some of their nodes."""
    return fit_mixture_to_cdfs(
        *_places(layout),
        np.concatenate([f[::THINNED] for f in data.cdf]),
        (near.x0, near.x1, near.mass),
        misfit,
        data=moments,
    )


def resolving(law: Marginal, ends: FloatArray) -> int:
    """Return how many points between its ends resolve a law's density; ``GRID`` if none do."""
    for points in range(GRID, MOST_GRID + 1, COARSER):
        x = np.linspace(ends[0], ends[1], points)
        h = x[1] - x[0]
        p, between = law.pdf(x), law.pdf(x[1:-2] + 0.5 * h)
        cubic = (9 * (p[1:-2] + p[2:-1]) - p[:-3] - p[3:]) / 16
        # The sum alone may be right by accident, where peaks lie between the points.
        if max(abs(p.sum() * h - 1), np.abs(between - cubic).sum() * h) < UNRESOLVED:
            return points
    return GRID


def _places(layout: Layout) -> tuple[FloatArray, FloatArray]:
    """Return times and places of the cdfs that a mixture is fitted to."""
    places = [x[::THINNED] for x in layout.nodes]
    return np.repeat(layout.times, [len(x) for x in places]), np.concatenate(places)


def points_across(
    field: VelocityField, start: FloatArray, end: FloatArray, ends1: FloatArray
) -> int:
    """Return how many grid points a side resolve the narrower axis of the plan's ellipse.

    Cov(X0, X1) = Var X0 + Cov(X0, v_0(X0)). Seen across its diagonal the grid is sqrt(2) finer, and
    the trapezoid rule is exact to 1e-6 for a Gaussian that is as wide as its spacing.
    """
    x, z = start[8:], end[8:]
    slope = float(np.cov(x, x + field(0.0, x))[0, 1] / np.var(x, ddof=1))
    correlation = abs(slope) * float(np.std(x) / np.std(z))
    if correlation > 1 - NARROWEST:  # a map, which no grid resolves, or no plan at all
        return 0
    spans = np.array([np.ptp(start[6:8]) / np.std(x), np.ptp(ends1) / np.std(z)])
    return 1 + int(np.ceil(float(spans.max()) / np.sqrt(2 * (1 - correlation))))


def consistent(field: float, speeds: FloatArray, plan: GridPlan, mismatch: float | None) -> bool:
    """Whether the misfit is one that an imperfect teacher of the right problem shows."""
    spread = speeds - speeds.mean(axis=1, keepdims=True)
    moved = plan.cov[0, 0] - 2 * plan.cov[0, 1] + plan.cov[1, 1]
    share = field * np.sqrt(np.mean(spread**2) / moved) if moved > 0 else 0.0
    near = field < INCONSISTENT_FIELD or share < INCONSISTENT_SHARE
    return bool(near and (mismatch is None or mismatch < INCONSISTENT_ENDS))


def _share(speeds: FloatArray, plan: GridPlan) -> float:
    """Return the size of the field beside that of X1 - X0 about its mean."""
    moved = plan.cov[0, 0] - 2 * plan.cov[0, 1] + plan.cov[1, 1]
    return float(np.sqrt(np.mean(speeds**2) / moved)) if moved > 0 else 1.0


def _path(regularization: float | None) -> tuple[FloatArray, bool]:
    """Return the lambdas to follow, at least two, and whether to stop at the corner."""
    if regularization is None:
        count = 1 + round(np.log(LAMBDA_LAST / LAMBDA_FIRST) / np.log(LAMBDA_STEP))
        return LAMBDA_FIRST * LAMBDA_STEP ** np.arange(count), True
    first = max(LAMBDA_FIRST, 10 * regularization)
    count = 1 + max(1, round(np.log(regularization / first) / np.log(LAMBDA_STEP)))
    return np.geomspace(first, regularization, count), False


def _down_to(end: float) -> FloatArray:
    """Return a coarse path of lambda that ends at ``end``."""
    count = max(2, 1 + int(np.ceil(np.log10(LAMBDA_FIRST / end))))
    return np.geomspace(end * 10.0 ** (count - 1), end, count)
