"""The dual problem in Python's hands: its data and its way down the regularisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import (
    FloatArray,
    frozen,
    real_number,
    thread_count,
    whole_number,
)
from recouple.inverse.cell import Weights, cell_weights
from recouple.inverse.errorbar import ErrorBar, combine
from recouple.marginal import Empirical, Marginal, as_marginal, smoothed
from recouple.plan import Plan
from recouple.progress import Tell

CORNER = 0.25  # d log(residual) / d log(lambda) below which a smaller lambda only fits the error
FAR = 3.0  # multiple of the known error of the data above which no corner is believed
UNRESOLVED = 0.05  # mass by which a density's sum over the grid may miss 1
# Newton decrements in units of the penalty term: on the way, and for the stage that is kept.
LOOSE, TIGHT = 0.1, 1e-3
LARGEST_GRID = 2048
LARGEST_BLOCK = 2**24  # values of functionals on the grid at one time
MOST_SPLINES = 80  # by default: finer than any data resolves, and the cost is cubic
FEWEST_INTERVALS = 8  # between knots, by default: quadrature on fewer sees the cdfs to 1e-3 only
NODES = 6  # Gauss-Legendre nodes per knot interval: exact for the splines against a quintic cdf


@dataclass(frozen=True)
class Stage:
    """One solve of the dual: its regularisation, how it ended and what it left."""

    regularization: float
    status: str
    iterations: int
    residual: float
    divergence: float

    @property
    def note(self) -> str:
        """What progress tells of it."""
        return f"lambda {self.regularization:.1e}, residual {self.residual:.1e}"


@dataclass(frozen=True)
class Options:
    """The discretisation, checked."""

    grid: int
    times: int
    splines: int
    degree: int
    regularization: float | None
    tail: float
    threads: int

    @classmethod
    def checked(
        cls,
        grid: int,
        times: int,
        splines: int | None,
        degree: int,
        regularization: float | None,
        tail: float,
        num_threads: int | None,
        *,
        grid_per_spline: int,
    ) -> Options:
        """Return the options, or say which one is out of range."""
        grid = whole_number("grid", grid, minimum=16, maximum=LARGEST_GRID)
        degree = whole_number("degree", degree, minimum=1, maximum=7)
        if splines is None:
            splines = max(degree + FEWEST_INTERVALS, min(grid // grid_per_spline, MOST_SPLINES))
        return cls(
            grid=grid,
            times=whole_number("times", times, minimum=2, maximum=1000),
            splines=whole_number("splines", splines, minimum=degree + 2, maximum=2048),
            degree=degree,
            regularization=None
            if regularization is None
            else real_number("regularization", regularization, positive=True),
            tail=real_number("tail", tail, minimum=1e-12, maximum=0.01),
            threads=thread_count(num_threads),
        )


@dataclass(frozen=True, repr=False)
class Problem:
    """The discretised problem: grid, reference, features of each time, data, and its solution."""

    x0: FloatArray
    x1: FloatArray
    reference: FloatArray
    times: FloatArray
    knots: FloatArray  # (K, 3): first, spacing, intervals
    degree: int
    moments: FloatArray
    penalty: FloatArray
    noise: FloatArray  # variance of each moment, independent of the others
    shifts: FloatArray  # (R, features): noise common to many moments, as independent columns
    theta: FloatArray
    earlier: tuple[FloatArray, ...]  # theta of the two stages before, the last first
    divergence: float  # of the solution from the reference
    cut: float  # probability that the grid leaves out
    threads: int
    common: FloatArray | None = None  # (R, features): rows U of the penalty diag(penalty) + U'U
    replicas: FloatArray | None = None  # theta fitted to data drawn anew from the solution
    rival: Problem | None = None  # the same data solved from another reference
    rival_share: float = 0.0  # of the difference to it that belongs into an error bar
    movable: FloatArray | None = None  # (q, points): change of the masses with the reference
    scatter: FloatArray | None = None  # (R, q): what the noise of ``shifts`` does to that
    others: tuple[Problem, ...] = ()  # the data solved otherwise: the differences are errors too
    least_tilt: float = 0.0  # where the data say too little to tell a typical tilt

    @classmethod
    def of(
        cls,
        x0: FloatArray,
        x1: FloatArray,
        reference: FloatArray,
        times: FloatArray,
        knots: FloatArray,
        options: Options,
        moments: FloatArray,
        noise: FloatArray,
    ) -> Problem:
        """Return the unsolved problem; the reference is normalised."""
        zero = frozen(np.zeros(moments.size))
        return cls(
            x0=frozen(x0),
            x1=frozen(x1),
            reference=frozen(np.ascontiguousarray(reference / reference.sum())),
            times=frozen(times),
            knots=frozen(knots),
            degree=options.degree,
            moments=frozen(moments),
            penalty=frozen(np.ones(moments.size)),
            noise=frozen(noise),
            shifts=frozen(np.zeros((0, moments.size))),
            theta=zero,
            earlier=(),
            divergence=0.0,
            cut=options.tail,
            threads=options.threads,
        )

    def __repr__(self) -> str:
        grid = f"{len(self.x0)} x {len(self.x1)} grid"
        return f"Problem({grid}, {self.moments.size} moments at {len(self.times)} times)"

    def dual(self) -> _core.EntropicDual:
        """Return the core's solver, at this problem's theta."""
        dual = _core.EntropicDual(
            self.x0, self.x1, self.reference, features_of(self.times, self.knots), self.degree
        )
        if self.common is not None:
            dual.set_common(self.common)
        dual.set_theta(self.theta, self.threads)
        return dual

    def penalised(self, theta: FloatArray, penalty: FloatArray) -> FloatArray:
        """Return the penalty's matrix times theta: at the solution the misfit of the moments."""
        product: FloatArray = penalty * theta
        return product if self.common is None else product + (self.common @ theta) @ self.common

    def expectations(
        self, functions: Sequence[Callable[[FloatArray, FloatArray], ArrayLike]]
    ) -> list[ErrorBar]:
        """Return the expectation of each function under the solved plan, with its error bar.

        Functions are integrated against the plan's density within the cells, so that jumps count
        where they are, to the distance of the points at which the function is evaluated.
        """
        found = [cell_weights(f, self.x0, self.x1) for f in functions]
        missed = self.means(np.stack([errors for _, errors in found]))
        bars = zip(self.bars(np.stack([weights for weights, _ in found])), missed, strict=True)
        return [replace(bar, error=float(np.hypot(bar.error, gap))) for bar, gap in bars]

    def products(self, factors: Sequence[tuple[Weights, Weights]]) -> list[ErrorBar]:
        """Return E[a(X0) b(X1)] for each pair of weights of functions of one variable."""
        rows = max(1, LARGEST_BLOCK // self.reference.size)
        bars: list[ErrorBar] = []
        for start in range(0, len(factors), rows):
            block = [np.outer(a(self.x0), b(self.x1)).ravel() for a, b in factors[start:][:rows]]
            bars += self.bars(np.stack(block))
        return bars

    def bars(self, values: FloatArray) -> list[ErrorBar]:
        """Return the error bars of functionals given by their values at the grid points, flat."""
        dual = self.dual()
        rows, sensitivity = dual.uncertainty(values, self.penalty, self.noise, self.threads)
        moved = sensitivity @ self.shifts.T
        if self.movable is not None and self.scatter is not None:
            moved += (values @ self.movable.T) @ self.scatter.T
        common = np.sum(moved**2, axis=1)
        means = [rows[:, 0]]
        for theta in self.earlier:
            dual.set_theta(theta, self.threads)
            means.append(self._means(values, dual.mass()))
        noise = np.sqrt(rows[:, 1] ** 2 + common)
        if self.replicas is not None:
            drawn = []
            for theta in self.replicas:
                dual.set_theta(theta, self.threads)
                drawn.append(self._means(values, dual.mass()))
            # What a fit of the plan's own data misses of the plan, and its spread.
            noise = np.maximum(noise, np.sqrt(np.mean((np.array(drawn) - rows[:, 0]) ** 2, axis=0)))
        other = None if self.rival is None else self.rival.means(values)
        cut = self.cut * np.abs(values - rows[:, :1]).max(axis=1)
        noise = np.sqrt(noise**2 + sum((p.means(values) - rows[:, 0]) ** 2 for p in self.others))
        return combine(
            rows,
            noise,
            means,
            0.0 if other is None else self.rival_share * np.abs(other - rows[:, 0]),
            cut,
            self.tilt,
        )

    def tangents(self, scores: FloatArray) -> FloatArray:
        """Return the change of the solved plan with log-densities added to the reference.

        theta answers so that the data are fitted as before: the change is pi (s - E s) less its
        regression on the features, which is the derivative of pi along the answer of theta.
        """
        dual = self.dual()
        _, answers = dual.uncertainty(scores, self.penalty, self.noise, self.threads)
        mass = dual.mass() / dual.mass().sum()
        changes: FloatArray = mass * (scores - (scores @ mass)[:, None])
        for j, answer in enumerate(answers):
            size = 1e-4 / max(1.0, float(np.abs(answer).max()))
            either = []
            for step in (size, -size):
                dual.set_theta(self.theta + step * answer, self.threads)
                either.append(dual.mass() / dual.mass().sum())
            changes[j] -= (either[0] - either[1]) / (2 * size)
        return changes

    def at_level(self, level: float, shifts: FloatArray) -> Problem:
        """Return the problem with data whose error is this multiple of ``shifts``."""
        scatter = None if self.scatter is None else frozen(level * self.scatter)
        return replace(self, shifts=frozen(level * shifts), scatter=scatter)

    def means(self, values: FloatArray) -> FloatArray:
        """Return the expectations alone."""
        return self._means(values, self.dual().mass())

    @staticmethod
    def _means(values: FloatArray, mass: FloatArray) -> FloatArray:
        means: FloatArray = values @ mass / mass.sum()
        return means

    @property
    def tilt(self) -> float:
        """Typical size of the tilt of the reference along one direction that the data resolve."""
        typical = float(np.sqrt(2 * max(self.divergence, 0.0) / self.resolved_directions))
        return max(typical, self.least_tilt)

    @cached_property
    def resolved_directions(self) -> float:
        """How many directions the data resolve: trace of H^-1 (H - lambda), from random probes."""
        probes = np.random.default_rng(0).choice([-1.0, 1.0], (4, self.moments.size))
        scaled = probes * np.sqrt(self.penalty)
        if self.common is not None:
            signs = np.random.default_rng(1).choice([-1.0, 1.0], (len(probes), len(self.common)))
            scaled = scaled + signs @ self.common
        answers = self.dual().responses(scaled, self.penalty, self.threads).reshape(scaled.shape)
        return max(1.0, self.moments.size - float(np.sum(scaled * answers)) / len(probes))


def density_on(plan: Plan, problem: Problem) -> FloatArray:
    """Return the masses of a plan on the grid of a problem."""
    if plan.dim != 1 or not hasattr(plan, "pdf"):
        raise ValueError(f"reference must be a plan on the line with a density, got {plan!r}")
    x, y = np.meshgrid(problem.x0, problem.x1, indexing="ij")
    density: FloatArray = np.asarray(plan.pdf(x, y))
    if not density.sum() > 0:
        raise ValueError(f"reference must have mass on the grid, got {plan!r}")
    density /= density.sum()
    return density


def knots_over(
    times: FloatArray, ends0: FloatArray, ends1: FloatArray, options: Options
) -> FloatArray:
    """Return first knot, spacing and number of intervals at each time, over the grid's range."""
    intervals = options.splines - options.degree
    corners = np.stack([(1 - times) * a + times * b for a in ends0 for b in ends1])
    lows, highs = corners.min(axis=0), corners.max(axis=0)
    return np.stack([lows, (highs - lows) / intervals, np.full(len(times), intervals)], axis=1)


def features_of(times: FloatArray, knots: FloatArray) -> list[_core.SplineFeatures]:
    """Return the core's features, one entry per time."""
    return [
        _core.SplineFeatures(1 - t, t, first, spacing, int(intervals))
        for t, (first, spacing, intervals) in zip(times, knots, strict=True)
    ]


def descend(
    problem: Problem,
    path: FloatArray,
    units: FloatArray,
    automatic: bool,
    progress: Tell | None,
    error: float = 0.0,
    enough: Callable[[Problem], bool] | None = None,
) -> tuple[Problem, tuple[Stage, ...], str, str]:
    """Follow lambda = path[0], path[1], ... with warm starts; stop at the corner if ``automatic``.

    The corner: the residual no longer follows lambda, and is not far above ``error``, the root mean
    square error of the moments where that is known, both in square roots of ``units``. With
    ``enough``, the path ends at the first stage that this says explains the data.

    The path has at least two stages: what the last one moved is part of every error bar. Returns
    the problem with the last good theta, the stages up to it, a status and a message.
    """
    dual = problem.dual()
    history: list[Stage] = []
    thetas: list[FloatArray] = []
    misfits: list[float] = []  # of each stage, in square roots of the units
    status, message = "converged", "the regularisation reached the end of its path"

    def reached() -> Problem:
        return replace(
            problem,
            theta=frozen(thetas[-1]),
            earlier=tuple(frozen(theta) for theta in thetas[-2:-4:-1]),
            divergence=history[-1].divergence,
            penalty=frozen(history[-1].regularization * units),
        )

    def solve(value: float, share: float) -> Stage:
        penalty = value * units
        decrement = decrement_for(dual.theta, penalty, share)
        found = dual.solve(problem.moments, penalty, decrement, 60, problem.threads, None)
        # The misfit as it is at the solution: Newton's method settles that first.
        residual = float(np.sqrt(np.mean(problem.penalised(dual.theta, penalty) ** 2)))
        return Stage(value, found.status, found.iterations, residual, found.divergence)

    try:
        for i, value in enumerate(map(float, path)):
            if progress is not None:
                progress(i, len(path), history[-1].note if history else "")
            stage = solve(value, LOOSE)
            if stage.status != "converged":
                status = "stalled"
                message = f"Newton's method stopped short at lambda = {value:.1e} ({stage.status})"
                break
            misfits.append(value * float(np.sqrt(np.mean(units * dual.theta**2))))
            if automatic and i > 1:
                slope = np.log(misfits[-2] / misfits[-1]) / np.log(path[i - 1] / value)
                if slope < CORNER and (not error or misfits[-1] < FAR * error):
                    message = (
                        f"the residual {stage.residual:.1e} stopped following lambda below "
                        f"{path[i - 1]:.1e}: what is left is error of the data"
                    )
                    break
            history.append(stage)
            thetas.append(dual.theta)
            if i > 0 and enough is not None and enough(reached()):
                message = "what is left of the misfit is the error of the data"
                break
        if len(history) > 1:  # the stage that is kept, now to the last digit
            dual.set_theta(thetas[-1], problem.threads)
            last = solve(history[-1].regularization, TIGHT)
            if last.status == "converged":
                history[-1] = replace(last, iterations=last.iterations + history[-1].iterations)
                thetas[-1] = dual.theta
        if progress is not None:
            progress(len(path), len(path), history[-1].note if history else "")
    except KeyboardInterrupt:
        if len(history) < 2:
            raise
        status = "interrupted"
        message = f"stopped on request after {len(history)} of {len(path)} stages"
    if len(history) < 2:
        status = "failed"
        thetas = [problem.theta] * (2 - len(thetas)) + thetas
        history = history or [stage]
    return reached(), tuple(history), status, message


def decrement_for(theta: FloatArray, penalty: FloatArray, share: float) -> float:
    """Return the Newton decrement to stop at: a share of the penalty term, or 1e-2 nats at first.

    That term is all that the regularisation moves, and it falls with it: so should the tolerance.
    """
    term = 0.5 * float(penalty @ theta**2)
    return max(1e-12, share * term) if term > 0 else 1e-2


def read_law(name: str, law: Marginal | ArrayLike) -> Marginal:
    """Return the law on the line that ``law`` stands for, or say that it stands for none."""
    if isinstance(law, tuple) and len(law) == 2 and not any(map(np.ndim, law)):
        raise ValueError(
            f"{name} must be a law or samples, got two numbers: a normal law is Normal(mean, std)"
        )
    try:
        return as_marginal(law)
    except ValueError as error:
        raise ValueError(f"{name} must be a law on the line or samples of one: {error}") from None


def smooth_law(name: str, law: Marginal) -> Marginal:
    """Return a law with a density: samples become Gaussian kernels that keep mean and variance.

    The bandwidth is Silverman's, 0.9 min(std, IQR / 1.34) n^(-1/5); the centres are drawn towards
    the mean so that the variance stays that of the sample.
    """
    if not isinstance(law, Empirical):
        return law
    mean, std = float(law.mean()), float(law.std())
    if not std > 0:
        raise ValueError(f"{name} must have at least two different samples, got one value {mean}")
    quartiles = law.ppf(np.array([0.25, 0.75]))
    spread = min(std, float(quartiles[1] - quartiles[0]) / 1.34) or std
    bandwidth = 0.9 * spread * float(np.sum(law.weights**2)) ** 0.2
    shrink = float(np.sqrt(max(0.0, 1 - (bandwidth / std) ** 2)))
    centres = mean + shrink * (law.values - mean)
    return smoothed(centres, law.weights, bandwidth=bandwidth)


def grid_masses(name: str, law: Marginal, x: FloatArray) -> FloatArray:
    """Return h p(x) at the grid points, or say that the grid is too coarse for the law."""
    masses: FloatArray = law.pdf(x) * (x[1] - x[0])
    if abs(masses.sum() - 1) > UNRESOLVED:
        raise ValueError(
            f"grid must resolve the {name}: on {len(x)} points its density sums to "
            f"{masses.sum():.4g} instead of 1; use a larger grid or a smoother law"
        )
    return masses
