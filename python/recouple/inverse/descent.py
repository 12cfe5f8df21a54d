"""Recovery on the line on large grids: a coarse plan refined by mirror descent, and when to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, real_number, whole_number
from recouple.field import VelocityField
from recouple.inverse.binned import Binned, starts_of
from recouple.inverse.cell import Weights, cell_weights
from recouple.inverse.dual import Options, Problem, Stage, read_law, smooth_law
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.line import (
    GRID,
    INCONSISTENT_ENDS,
    MOST_GRID,
    consistent,
    points_across,
    recover_on_line,
)
from recouple.inverse.recovery import Recovery, aperture_of, verdict_of
from recouple.inverse.tracing import (
    LEVELS,
    along,
    field_consistency,
    layout_of,
    trajectories,
)
from recouple.marginal import Marginal
from recouple.plan import GridPlan, Plan
from recouple.progress import Progress, Tell, progress_callback

SOLVERS = ("newton", "descent")
LARGEST_DUAL = 0.8e9  # bytes: beyond, Newton's method also takes minutes
COARSE_GRID, COARSE_TIMES = 128, 17  # of the dual that the descent begins from
MOST_REFINED = 1024  # points a side, at most, for a narrow plan
PATH: FloatArray = np.logspace(1, -8, 10)  # lambdas
NOISY = 100.0  # times the squared relative error of the field: the least lambda that it allows
# d log(misfit) / d log(lambda) below which, past its peak, a smaller lambda only fits the error.
CORNER = 0.1
LOOSE, TIGHT = 5e-3, 1e-3  # share of the objective that 50 more iterations may save
MOST_ITERATIONS = 600, 3000  # on the way, and at the end
NAN = float("nan")


def recover_on_grid(
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
    solver: str | None = None,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Recovery:
    """Recover a plan on the line on a grid, by the solver asked for or the one that its size needs.

    See ``recover_plan``.
    """
    if solver is not None and solver not in SOLVERS:
        raise ValueError(f"solver must be 'newton', 'descent' or None, got {solver!r}")
    choices: Any = (times, splines, degree, regularization, tail, num_threads)
    options = Options.checked(MOST_GRID if grid is None else grid, *choices, grid_per_spline=2)
    usual = replace(options, grid=GRID, splines=splines or GRID // 2)
    size = dual_bytes(usual if grid is None else options)
    others: dict[str, Any] = {
        "splines": splines,
        "degree": degree,
        "reference": reference,
        "noise": noise,
        "tail": tail,
        "steps": steps,
        "num_threads": num_threads,
    }
    if solver == "newton" or (solver is None and size <= LARGEST_DUAL):
        rec = recover_on_line(
            velocity,
            source,
            target,
            grid=grid,
            times=times,
            regularization=regularization,
            progress=progress,
            **others,
        )
        return replace(rec, settings=rec.settings | {"solver": "newton"})

    law0 = smooth_law("source", read_law("source", source))
    law1 = None if target is None else smooth_law("target", read_law("target", target))
    if noise is not None:
        real_number("noise", noise, minimum=0.0)
    steps = whole_number("steps", steps, minimum=1)
    start, end = trajectories(velocity, law0, options, steps)
    ends1 = end[6:8] if law1 is None else law1.ppf(np.array([options.tail, 1 - options.tail]))
    if grid is None:
        points = min(max(points_across(velocity, start, end, ends1), GRID), MOST_REFINED)
        options = replace(options, grid=points)
    told = progress_callback(progress, "recover_plan")
    coarse = _coarse_plan(velocity, source, target, options, others, told)
    if coarse is not None and _final(coarse):
        settings = coarse.settings | {"solver": "newton, on a coarse grid"}
        return replace(coarse, settings=settings)

    layout = layout_of(start, end, ends1, options)
    try:
        paths, speeds = along(velocity, start[8:], layout, options, steps)
        gap = None if law1 is None else law1.cdf(end[8:]) - LEVELS
        flow = paths, speeds, gap
        corrected = noise is not None
        problem = Binned.of(velocity, law0, law1, layout, options, steps, flow, corrected=corrected)
        starts = starts_of(problem, velocity, coarse)
    except KeyboardInterrupt:
        if coarse is None:
            raise
        message = "stopped on request before the descent: the plan of the coarse grid"
        return replace(coarse, status="interrupted", message=message)
    level = problem.level if noise is None else noise
    path = _path(regularization, level)
    found = _descend(problem, starts, path, regularization is None, told)
    plan = GridPlan(layout.x0, layout.x1, found.mass)
    off = field_consistency(plan, paths, speeds, layout)
    mismatch = problem.data.mismatch
    if coarse is not None:
        verdict, reason = coarse.verdict, coarse.reason
    if coarse is None or coarse.status != "converged":
        verdict, reason = verdict_of([law0, end[:6] if law1 is None else law1])
    status, message = found.status, found.message
    if status == "converged" and not consistent(off, speeds, plan, mismatch):
        status, verdict = "inconsistent", "representative"
        reason = "no plan near this one has the field that was given"
        message = (
            "the field and the laws fit no plan on this grid: the plan's own field is off by "
            f"{off:.2g} of the field's size; use a larger grid, or look at the order of arguments "
            "v(t, x), the direction of time, the interpolant and the laws of the ends"
        )
    elif status != "converged":
        verdict, reason = "representative", "the work ended before the plan that fits was found"
    estimator = Refined(plan, frozen(layout.times), _problem_of(coarse))
    asked = "asked for" if solver else f"Newton's method would need {size / 1e9:.1f} GB"
    bars = (
        f"error bars: of the dual on the grid of {coarse.settings['grid']}, and what refining moved"
        if coarse is not None and estimator.coarse is not None
        else "error bars: none, no dual on a coarse grid was consistent with the field"
    )
    return Recovery(
        plan=plan,
        family="line",
        verdict=verdict,
        reason=reason,
        status=status,
        message=message,
        residuals=problem.residuals(found.mass, off),
        error_bars=estimator.named(),
        settings={
            "grid": options.grid,
            "times": options.times,
            "solver": "descent",
            "regularization": found.history[-1].regularization,
            "tail": options.tail,
            "steps": steps,
            "target": "given" if law1 is not None else "from the flow",
            "reference": found.start,
            "noise": coarse.settings["noise"]
            if coarse is not None and estimator.coarse
            else level or None,
        },
        history=found.history,
        estimator=estimator,
        evidence=(
            f"solver: mirror descent on {options.grid} x {options.grid} points, {asked}",
            *found.evidence,
            bars,
            f"the plan's own field differs by {off:.1e} of the field's size",
        ),
        mixture=None if coarse is None else coarse.mixture,
        mixed_moments=None if coarse is None else coarse.mixed_moments,
        aperture=aperture_of(plan, layout.times),
    )


def dual_bytes(options: Options) -> float:
    """Return about what Newton's method on the dual needs, in bytes.

    Two tables of the splines' values at the grid points, and two matrices as large as the Hessian.
    """
    unknowns = options.times * options.splines
    return 2.0 * 68 * options.grid**2 * options.times + 16.0 * unknowns**2


@dataclass(frozen=True)
class Refined:
    """Estimates functionals of a refined plan; error bars are those of the coarse dual, if any."""

    plan: GridPlan
    times: FloatArray
    coarse: Problem | None

    def expectations(
        self, functions: Sequence[Callable[[FloatArray, FloatArray], ArrayLike]]
    ) -> list[ErrorBar]:
        """Return the expectation of each function; what refining moved is part of its error."""
        mass = self.plan.mass.ravel()
        values = [float(cell_weights(f, self.plan.x0, self.plan.x1)[0] @ mass) for f in functions]
        bars = None if self.coarse is None else self.coarse.expectations(functions)
        return self._moved(values, bars)

    def products(self, factors: Sequence[tuple[Weights, Weights]]) -> list[ErrorBar]:
        """Return E[a(X0) b(X1)] for each pair of weights of functions of one variable."""
        plan = self.plan
        values = [float(a(plan.x0) @ plan.mass @ b(plan.x1)) for a, b in factors]
        return self._moved(values, None if self.coarse is None else self.coarse.products(factors))

    def bars(self, values: FloatArray) -> list[ErrorBar]:
        """Return the error bars of functionals given by their values at the grid points, flat."""
        means = [float(m) for m in values @ self.plan.mass.ravel()]
        if self.coarse is None:
            return self._moved(means, None)
        nearest = [
            np.rint(np.linspace(0, len(x) - 1, len(y))).astype(int)
            for x, y in (
                (self.plan.x0, self.coarse.x0),
                (self.plan.x1, self.coarse.x1),
            )
        ]
        fine = values.reshape(len(values), *self.plan.mass.shape)
        rows = np.ascontiguousarray(fine[:, nearest[0][:, None], nearest[1]])
        return self._moved(means, self.coarse.bars(rows.reshape(len(values), -1)))

    def named(self) -> dict[str, ErrorBar]:
        """Return the correlation and mixed moments."""
        mean, cov = self.plan.mean, np.sqrt(np.diag(self.plan.cov))
        rho = float(self.plan.correlation)

        def influence(x: FloatArray, y: FloatArray) -> FloatArray:
            u, v = (x - mean[0]) / cov[0], (y - mean[1]) / cov[1]
            values: FloatArray = u * v - 0.5 * rho * (u**2 + v**2)
            return values

        first, *bars = self.expectations(
            [influence, lambda x, y: x * y, lambda x, y: x * x * y, lambda x, y: x * y * y]
        )
        names = ("E[X0 X1]", "E[X0^2 X1]", "E[X0 X1^2]")
        return {"correlation": replace(first, value=rho), **dict(zip(names, bars, strict=True))}

    @staticmethod
    def _moved(values: Sequence[float], bars: list[ErrorBar] | None) -> list[ErrorBar]:
        if bars is None:
            return [ErrorBar(value, NAN, NAN, NAN) for value in values]
        return [
            replace(bar, value=value, error=float(np.hypot(bar.error, bar.value - value)))
            for value, bar in zip(values, bars, strict=True)
        ]


def _coarse_plan(
    velocity: VelocityField,
    source: Marginal | ArrayLike,
    target: Marginal | ArrayLike | None,
    options: Options,
    others: dict[str, Any],
    told: Tell | None,
) -> Recovery | None:
    """Return the dual's solution on a coarse grid, None if that does not resolve the ends."""
    most, grid, splines = 0, min(options.grid, COARSE_GRID), others["splines"]

    def half(done: int, total: int, note: str) -> None:
        nonlocal most
        most = max(most, 50 * done // max(total, 1))
        if told is not None:
            told(most, 100, note)

    try:
        return recover_on_line(
            velocity,
            source,
            target,
            grid=grid,
            times=min(options.times, COARSE_TIMES),
            progress=None if told is None else half,
            **others | {"splines": None if splines is None else min(splines, grid // 2)},
        )
    except ValueError as error:
        if "grid must resolve" not in str(error):
            raise
        return None


def _final(coarse: Recovery) -> bool:
    """Whether no finer grid would help: stopped on request, or two ends that disagree."""
    mismatch = coarse.residuals.mismatch
    torn = mismatch is not None and mismatch > INCONSISTENT_ENDS
    return coarse.status == "interrupted" or torn


def _problem_of(coarse: Recovery | None) -> Problem | None:
    """Return the coarse dual if its error bars mean something."""
    if coarse is None or coarse.status != "converged":
        return None
    return coarse.estimator if isinstance(coarse.estimator, Problem) else None


def _path(regularization: float | None, level: float) -> FloatArray:
    """Return the lambdas to follow: to the one asked for, or as far as the field's error allows."""
    if regularization is None:
        return PATH[: max(1, int(np.sum(NOISY * level**2 <= PATH)))]
    lambdas: FloatArray = np.append(PATH[regularization * 1.5 < PATH], regularization)
    return lambdas


@dataclass(frozen=True)
class _Found:
    """The plan that the descent ended at, and how."""

    mass: FloatArray
    start: str
    history: tuple[Stage, ...]
    status: str
    message: str
    evidence: tuple[str, ...]


def _descend(
    problem: Binned,
    starts: dict[str, FloatArray],
    path: FloatArray,
    automatic: bool,
    told: Tell | None,
) -> _Found:
    """Follow lambda downwards from the start of least misfit, to the path's end or its corner."""
    misfits = {}
    for name, masses in starts.items():
        descent = problem.descent(masses)
        misfits[name] = float(descent.misfit(descent.mass(problem.threads), problem.threads)[0])
    start = min(misfits, key=lambda name: misfits[name])
    descent = problem.descent(starts[start])
    history: list[Stage] = []
    slopes: list[float] = []
    best, misfit = descent.theta, misfits[start]
    status, message = "converged", "the regularisation reached the end of its path"

    def solve(value: float, tolerance: float, most: int) -> Stage:
        nonlocal misfit
        found = descent.solve(value, tolerance, most, problem.threads, None)
        left = float(np.sqrt(2 * max(found.misfit, 0.0)))
        count = len(found.objective) - 1 + found.restarts
        misfit = found.misfit
        return Stage(value, found.status, count, left, found.divergence)

    try:
        for i, value in enumerate(map(float, path)):
            if told is not None:
                told(50 + 50 * i // len(path), 100, history[-1].note if history else "")
            before = misfit
            stage = solve(value, LOOSE, MOST_ITERATIONS[0])
            if stage.status == "stalled":
                status = "stalled"
                message = f"no step goes down at lambda = {value:.0e}"
                break
            if i > 0:
                slopes.append(float(np.log(before / misfit) / np.log(path[i - 1] / value)))
            if automatic and i > 1 and slopes[-1] < min(CORNER, max(slopes[:-1])):
                message = (
                    f"the misfit {misfit:.1e} stopped following lambda below {path[i - 1]:.0e}: "
                    "what is left is error of the data"
                )
                break
            history.append(stage)
            best = descent.theta
        if status == "converged":
            descent.theta = best
            last = solve(history[-1].regularization, TIGHT, MOST_ITERATIONS[1])
            history[-1] = replace(last, iterations=last.iterations + history[-1].iterations)
            best = descent.theta
            if last.status != "converged":
                status = "stalled"
                end = f"{path[len(history) - 1]:.1e} ({last.status})"
                message = f"the descent stopped short at lambda = {end}"
        if told is not None:
            told(100, 100, history[-1].note if history else "")
    except KeyboardInterrupt:
        status = "interrupted"
        message = f"stopped on request after {len(history)} of {len(path)} stages of the descent"
    history = history or [Stage(float(path[0]), status, 0, float(np.sqrt(2 * misfit)), 0.0)]
    descent.theta = best
    shape = len(problem.layout.x0), len(problem.layout.x1)
    return _Found(
        descent.mass(problem.threads).reshape(shape),
        start,
        tuple(history),
        status,
        message,
        (
            "misfit in nats before the descent: "
            + ", ".join(f"{value:.1e} from {name}" for name, value in sorted(misfits.items())),
            f"reference: {start}; {sum(s.iterations for s in history)} iterations",
        ),
    )
