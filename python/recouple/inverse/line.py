"""Recovery on the line from a velocity field: trace points of every p_t to both ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, frozen, real_number, whole_number
from recouple.field import VelocityField, velocity_field
from recouple.flow import integrate
from recouple.interpolant import LINEAR
from recouple.inverse.dual import (
    FAR,
    LARGEST_GRID,
    LOOSE,
    NODES,
    Options,
    Problem,
    Stage,
    decrement_for,
    density_on,
    descend,
    features_of,
    grid_masses,
    knots_over,
    read_law,
    smooth_law,
)
from recouple.inverse.moment import MixedMoments, bernstein_fits
from recouple.inverse.noise import unit_shifts
from recouple.inverse.recovery import (
    TAILS,
    Recovery,
    finish,
    grid_plan,
    settings_of,
    verdict_of,
)
from recouple.inverse.reference import CdfFit, fit_mixture_to_cdfs, reference_of, schroedinger
from recouple.marginal import Marginal
from recouple.plan import GridPlan, MixturePlan, Plan
from recouple.progress import Progress, progress_callback

LAMBDA_FIRST, LAMBDA_LAST, LAMBDA_STEP = 10**-2.5, 1e-9, 10**-0.5
LEAST_UNIT = 1e-2  # of the penalty, where the field's error does not reach: at a known end
# Beyond these the field is not a flow-matching field of these ends: badly trained networks stay
# below 0.1 in field consistency, swapped arguments or wrong laws start at 0.4. A field that is
# small beside X1 - X0, whose mean it is, is learned with an error that is a share of the latter.
INCONSISTENT_FIELD, INCONSISTENT_SHARE, INCONSISTENT_ENDS = 0.3, 0.1, 0.1
NOTICED = 0.02  # field consistency above which a plan that misses the field is worth a word
GRID, MOST_GRID = 96, 256  # points a side by default, and at most for a narrow plan
NO_GRID = "no grid resolves it: family='graph' or 'gaussian' may"
NARROWEST = 1e-6  # 1 - correlation
REFERENCES = ("auto", "product", "schroedinger", "mixture")
EXACT = 1e-8  # error of the cdfs of a field without noise
MOST_MOMENTS = 8  # order of the mixed moments kept: the conditioning doubles with every order
LEVELS = (np.arange(200) + 0.5) / 200  # of the trajectories on which fields are compared


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

    start, end = _trajectories(velocity, law0, options, steps)
    ends1 = end[6:8] if law1 is None else law1.ppf(np.array([options.tail, 1 - options.tail]))
    needed = _points_across(velocity, start, end, ends1)
    if grid is None and needed > GRID:
        options = Options.checked(min(needed, MOST_GRID), *choices, grid_per_spline=2)
    layout = _layout(start, end, ends1, options)
    data = _data(velocity, law0, law1, layout, options, steps)
    paths, speeds = _along(velocity, start[8:], layout, options, steps)
    shifts, closing = unit_shifts(
        layout.times,
        paths,
        speeds,
        LEVELS,
        layout.nodes,
        layout.features,
        options.degree,
        two_sided=law1 is not None,
    )
    size = float(np.sqrt(np.mean(np.sum(closing**2, axis=0))))
    level = noise
    if level is None and data.mismatch is not None and size > 0:
        level = data.mismatch / size
    errors = _Errors.of(shifts, level or 0.0)

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
    solution = _solve_from(reference, problem, data, layout, options, errors, callback)
    problem, history = solution.problem, solution.history
    ended, message = solution.status, solution.message
    found = errors.level if noise is not None else solution.level
    problem = replace(problem, shifts=frozen(found * shifts))
    verdict, reason = verdict_of([given0, end[:6] if given1 is None else given1])
    recovered = grid_plan(problem)
    consistency = _field_consistency(recovered, paths, speeds, layout)
    sound = _consistent(consistency, speeds, recovered, data.mismatch)
    torn = data.mismatch is not None and data.mismatch > INCONSISTENT_ENDS
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
    chosen = {
        "steps": steps,
        "target": "given" if given1 is not None else "from the flow",
        "reference": solution.reference,
        "noise": found,
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
    order = min(MOST_MOMENTS, len(layout.times) - 1)
    fits = bernstein_fits(layout.times, layout.nodes, data.cdf, order)
    told = "given" if noise is not None else "told by the two ends" if level else "by the residual"
    warning = ""
    if consistency > max(NOTICED, FAR * found):
        warning = f": more than {FAR:g} times the error above, no plan near this one fits the field"
    evidence = (
        *solution.evidence,
        f"relative error of the field about {found:.1e}, {told}",
        f"the plan's own field differs by {consistency:.1e} of the field's size{warning}",
        f"correlation {_bernstein_correlation(fits):.5g} by the moments of X_t alone",
    )
    return replace(rec, evidence=evidence, mixture=solution.mixture, mixed_moments=fits)


@dataclass(frozen=True)
class _Errors:
    """What an error of the field does to the moments, and what is known of its size."""

    shifts: FloatArray  # of the moments, at the relative error 1
    level: float  # relative error of the field that the caller or the two ends tell; 0 if neither
    units: FloatArray  # the penalty's unit for each moment

    @classmethod
    def of(cls, shifts: FloatArray, level: float) -> _Errors:
        """Return them with units in proportion to the variances: what the field tells well counts.

        At an end whose law is known the field's error does not matter; the floor is for that.
        """
        variance = np.sum(shifts**2, axis=0)
        mean = float(variance.mean())
        if not mean > 0:
            return cls(shifts, level, np.ones(len(variance)))
        return cls(shifts, level, frozen(np.maximum(variance / mean, LEAST_UNIT)))

    @property
    def error(self) -> float:
        """Root mean square error of the moments, in square roots of their units."""
        return self.level * float(np.sqrt(np.mean(np.sum(self.shifts**2, axis=0) / self.units)))

    def left_by(self, problem: Problem) -> float:
        """Return the relative error of the field that would leave the residual that was left.

        An error dg of the moments changes theta by H^-1 dg and so the residual by lambda H^-1 dg.
        """
        if not problem.earlier:
            return 0.0
        answers = problem.dual().responses(self.shifts, problem.penalty, problem.threads)
        weight = problem.penalty**2 / self.units
        size = float(np.sum(weight * answers.reshape(self.shifts.shape) ** 2))
        return float(np.sqrt(np.sum(weight * problem.theta**2) / size)) if size > 0 else 0.0


@dataclass(frozen=True)
class _Solution:
    """The dual solved from one reference, and why from that one."""

    problem: Problem
    history: tuple[Stage, ...]
    status: str
    message: str
    reference: str
    level: float  # relative error of the field that its residual tells
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
            return stage.divergence + 0.5 * float(penalty @ dual.theta**2)
        return p.divergence + 0.5 * float(penalty @ p.theta**2)


def _solve_from(
    reference: str | Plan,
    problem: Problem,
    data: _Data,
    layout: _Layout,
    options: Options,
    errors: _Errors,
    progress: Callable[[int, int], None] | None,
) -> _Solution:
    path, automatic = _path(options.regularization)

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
        return _Solution(*found, name, max(errors.level, errors.left_by(found[0])))

    if isinstance(reference, Plan):
        masses = density_on(reference, problem) + 1e-12 * problem.reference
        return solve(repr(reference), masses, path, automatic)
    if reference == "schroedinger":
        fits = bernstein_fits(layout.times, layout.nodes, data.cdf, 2)
        masses = schroedinger(data.mass0, data.mass1, _bernstein_correlation(fits))
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
            (lambda reached: errors.left_by(reached) <= product.level) if automatic else None,
        )
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
        level=product.level,
        message=product.message if chosen is mixture else chosen.message,
        evidence=(*lines, f"reference: {chosen.reference}"),
        mixture=fit.plan,
    )


def _mixture_of(
    layout: _Layout, data: _Data, near: GridPlan, misfit: float, moments: int
) -> CdfFit:
    """Return the Gaussian mixture fitted to the cdfs, at every third of their nodes."""
    places = [x[::3] for x in layout.nodes]
    return fit_mixture_to_cdfs(
        np.repeat(layout.times, [len(x) for x in places]),
        np.concatenate(places),
        np.concatenate([f[::3] for f in data.cdf]),
        (near.x0, near.x1, near.mass),
        misfit,
        data=moments,
    )


def _points_across(
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


def _bernstein_correlation(fits: MixedMoments) -> float:
    m = fits.value
    covariance = m[1, 1] - m[1, 0] * m[0, 1]
    spread = np.sqrt((m[2, 0] - m[1, 0] ** 2) * (m[0, 2] - m[0, 1] ** 2))
    return float(covariance / spread)


def _along(
    field: VelocityField, x: FloatArray, layout: _Layout, options: Options, steps: int
) -> tuple[FloatArray, FloatArray]:
    """Return the trajectories from x at the layout's times, and the field along them."""
    paths, speeds = [], []
    for before, t in zip([0.0, *layout.times[:-1]], layout.times, strict=True):
        if t > before:
            x = _sweep(field, np.array([before, t]), [x, x[:0]], steps, options.threads)[0]
        paths.append(x)
        speeds.append(field(float(t), x))
    return np.array(paths), np.array(speeds)


def _consistent(field: float, speeds: FloatArray, plan: GridPlan, mismatch: float | None) -> bool:
    """Whether the misfit is one that an imperfect teacher of the right problem shows."""
    moved = (plan.x1[None, :] - plan.x0[:, None]) ** 2
    share = field * np.sqrt(np.mean(speeds**2) / np.sum(plan.mass * moved))
    near = field < INCONSISTENT_FIELD or share < INCONSISTENT_SHARE
    return bool(near and (mismatch is None or mismatch < INCONSISTENT_ENDS))


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


@dataclass(frozen=True)
class _Layout:
    """Where the problem is discretised: the grid, the times, and the knots at each time."""

    x0: FloatArray
    x1: FloatArray
    times: FloatArray
    knots: FloatArray
    features: list[_core.SplineFeatures]
    nodes: list[FloatArray]  # abscissae of each time's cdf


@dataclass(frozen=True)
class _Data:
    """What the flow of v tells: the end masses and the moments of every p_t."""

    mass0: FloatArray
    mass1: FloatArray
    moments: FloatArray
    cdf: list[FloatArray]  # of X_t at the nodes, both readings together
    mismatch: float | None


def _sweep(
    field: VelocityField,
    times: FloatArray,
    groups: Sequence[FloatArray],
    steps: int,
    threads: int,
) -> list[FloatArray]:
    """Carry the points of each time along the flow to the last of ``times``.

    All points in flight share their time, so a step is one call of the field.
    """
    moving = groups[0]
    for before, after, joining in zip(times[:-1], times[1:], groups[1:], strict=True):
        some = max(1, int(np.ceil(steps * abs(after - before) - 1e-9)))
        moving = integrate(
            field, moving, before, after, method="rk4", steps=some, num_threads=threads or None
        ).x
        if not np.isfinite(moving).all():
            raise ValueError(
                "field must carry points to finite places: a trajectory leaves the numbers "
                f"between t = {min(before, after):.4g} and t = {max(before, after):.4g}"
            )
        moving = np.concatenate([moving, joining])
    sizes = np.cumsum([len(g) for g in groups])[:-1]
    return np.split(moving, sizes)


def _trajectories(
    field: VelocityField, source: Marginal, options: Options, steps: int
) -> tuple[FloatArray, FloatArray]:
    """Return the source's quantiles at LEVELS and its tails, at time 0 and carried to time 1."""
    levels = np.concatenate([TAILS, 1 - TAILS, [options.tail, 1 - options.tail], LEVELS])
    start = source.ppf(levels)
    _check_values(field, np.zeros(1), [start])
    times = np.array([0.0, 1.0])
    return start, _sweep(field, times, [start, start[:0]], steps, options.threads)[0]


def _layout(start: FloatArray, end: FloatArray, ends1: FloatArray, options: Options) -> _Layout:
    ends0 = start[6:8]
    if not ends0[1] > ends0[0] or not ends1[1] > ends1[0]:
        raise ValueError(
            f"source and target must spread over an interval, got {ends0.tolist()} at time 0 and "
            f"{ends1.tolist()} at time 1"
        )
    x0, x1 = (np.linspace(lo, hi, options.grid) for lo, hi in (ends0, ends1))
    # Equal angles of view: X_t looks at the standardised plan along (1-t) s0 : t s1.
    scale0, scale1 = np.std(start[8:]), np.std(end[8:])
    angle = np.linspace(0, np.pi / 2, options.times)
    times = np.sin(angle) * scale0 / (np.sin(angle) * scale0 + np.cos(angle) * scale1)
    times[0], times[-1] = 0.0, 1.0
    knots = knots_over(times, ends0, ends1, options)
    features = features_of(times, knots)
    return _Layout(
        x0, x1, times, knots, features, [_core.moment_abscissae(f, NODES) for f in features]
    )


def _data(
    field: VelocityField,
    source: Marginal,
    target: Marginal | None,
    layout: _Layout,
    options: Options,
    steps: int,
) -> _Data:
    times, nodes, threads = layout.times, layout.nodes, options.threads
    _check_values(field, times, nodes)

    # Cells of the grid around x1 go along with the nodes of time 1: they give p_1 if need be.
    half = 0.5 * (layout.x1[1] - layout.x1[0])
    edges = np.concatenate([layout.x1 - half, [layout.x1[-1] + half]])
    last = np.concatenate([nodes[-1], edges])
    at0 = _sweep(field, times[::-1], [last, *nodes[-2::-1]], steps, threads)[::-1]
    at0[-1], edges = np.split(at0[-1], [len(nodes[-1])])
    cdf0 = [source.cdf(x) for x in at0]
    from0 = _moments(layout, options, cdf0)
    mass0 = grid_masses("source", source, layout.x0)
    if target is None:
        mass1 = _cell_masses(source.cdf(edges), source.sf(edges))
        return _Data(mass0, mass1, from0, cdf0, None)

    cdf1 = [target.cdf(x) for x in _sweep(field, times, nodes, steps, threads)]
    # Errors grow along the way: each end counts by the other's squared distance.
    share = (1 - times) ** 2 / ((1 - times) ** 2 + times**2)
    both = [w * f0 + (1 - w) * f1 for w, f0, f1 in zip(share, cdf0, cdf1, strict=True)]
    # The gap belongs to a trajectory, whatever its time: averaged over what mass goes there.
    gap, weight = 0.0, 0.0
    for x, f0, f1, f in zip(nodes, cdf0, cdf1, both, strict=True):
        w = np.gradient(f, x)
        gap, weight = gap + float(w @ (f0 - f1) ** 2), weight + float(w.sum())
    return _Data(
        mass0,
        grid_masses("target", target, layout.x1),
        _moments(layout, options, both),
        both,
        float(np.sqrt(gap / weight)),
    )


def _moments(layout: _Layout, options: Options, cdfs: Sequence[FloatArray]) -> FloatArray:
    return np.concatenate(
        [
            _core.spline_moments_of_cdf(f, options.degree, NODES, cdf)
            for f, cdf in zip(layout.features, cdfs, strict=True)
        ]
    )


def _check_values(field: VelocityField, times: FloatArray, groups: Sequence[FloatArray]) -> None:
    for t, x in zip(times, groups, strict=True):
        v = field(float(t), x)
        bad = np.flatnonzero(~np.isfinite(v))
        if bad.size:
            i = bad[0]
            raise ValueError(f"field must be finite, got {v[i]} at t = {t:.6g}, x = {x[i]:.6g}")


def _cell_masses(cdf: FloatArray, sf: FloatArray) -> FloatArray:
    """Point masses h p(x_j) from the cdf at the cell edges, to fourth order.

    Differences are taken of the cdf below the median and of the survival function above, so that
    neither tail cancels.
    """
    cells = np.where(cdf[1:] < 0.5, np.diff(cdf), -np.diff(sf))
    padded = np.concatenate([[0.0], cells, [0.0]])
    points: FloatArray = cells - (padded[2:] - 2 * cells + padded[:-2]) / 24
    return np.where(points > 0, points, np.maximum(cells, 0.0))


def _field_consistency(
    plan: GridPlan, paths: FloatArray, speeds: FloatArray, layout: _Layout
) -> float:
    """Return sqrt(E|v_plan - v|^2 / E|v|^2) along the trajectories of v."""
    recovered = velocity_field(plan, LINEAR)
    gaps = [recovered(float(t), x) - v for t, x, v in zip(layout.times, paths, speeds, strict=True)]
    total = float(np.sum(speeds**2))
    return float(np.sqrt(np.sum(np.square(gaps)) / total)) if total > 0 else 0.0
