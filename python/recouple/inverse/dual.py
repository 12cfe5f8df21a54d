"""The dual problem in Python's hands: its data, its way down the regularisation, its error bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import (
    FloatArray,
    real_array,
    real_number,
    thread_count,
    whole_number,
)
from recouple.marginal import Empirical, Marginal, NormalMixture, as_marginal
from recouple.progress import Progress, progress_callback

CORNER = 0.25  # d log(residual) / d log(lambda) below which a smaller lambda only fits the error
NODES = 6  # Gauss-Legendre nodes per knot interval: exact for the splines against a quintic cdf


@dataclass(frozen=True)
class ErrorBar:
    """A functional of the recovered plan and how far to trust it.

    ``error`` combines what the noise of the data moves with what the last step of the
    regularisation moved; ``resolved`` is the part of the functional's variance under the plan that
    the data see at this regularisation (1: all of it; what is missing was filled in by the
    reference measure).
    """

    value: float
    error: float
    resolved: float

    def __str__(self) -> str:
        return f"{self.value:.5g} +- {self.error:.1g} (resolved {self.resolved:.3f})"


@dataclass(frozen=True)
class Stage:
    """One solve of the dual: its regularisation, how it ended and what it left."""

    regularization: float
    status: str
    iterations: int
    residual: float
    divergence: float


@dataclass(frozen=True)
class Options:
    """The discretisation, checked."""

    grid: int
    times: int
    splines_or_none: int | None
    degree: int
    regularization: float | None
    tail: float
    num_threads: int | None

    def __post_init__(self) -> None:
        whole_number("grid", self.grid, minimum=16)
        whole_number("times", self.times, minimum=2)
        whole_number("degree", self.degree, minimum=1)
        if self.degree > 7:
            raise ValueError(f"degree must be at most 7, got {self.degree}")
        if self.splines_or_none is not None:
            whole_number("splines", self.splines_or_none, minimum=self.degree + 2)
        if self.regularization is not None:
            real_number("regularization", self.regularization, positive=True)
        real_number("tail", self.tail, minimum=1e-12, maximum=0.01)
        thread_count(self.num_threads)

    @property
    def splines(self) -> int:
        """Splines per time."""
        default = max(self.degree + 2, self.grid // 2)
        return default if self.splines_or_none is None else self.splines_or_none

    @property
    def threads(self) -> int:
        """The thread argument of the core."""
        return thread_count(self.num_threads)


@dataclass(frozen=True)
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
    noise: FloatArray
    theta: FloatArray
    theta_before: FloatArray

    @classmethod
    def of(
        cls,
        x0: FloatArray,
        x1: FloatArray,
        reference: FloatArray,
        times: FloatArray,
        knots: FloatArray,
        degree: int,
        moments: FloatArray,
        noise: FloatArray,
    ) -> Problem:
        """Return the unsolved problem; the reference is normalised."""
        zero, one = np.zeros(moments.size), np.ones(moments.size)
        mass = np.ascontiguousarray(reference / reference.sum())
        return cls(x0, x1, mass, times, knots, degree, moments, one, noise, zero, zero)

    def dual(self) -> _core.EntropicDual:
        """Return the core's solver, at this problem's theta."""
        dual = _core.EntropicDual(
            self.x0, self.x1, self.reference, features_of(self.times, self.knots), self.degree
        )
        dual.theta = self.theta
        return dual


def knots_over(
    times: FloatArray, ends0: FloatArray, ends1: FloatArray, options: Options
) -> FloatArray:
    """Return first knot, spacing and number of intervals at each time, over the grid's range."""
    intervals = options.splines - options.degree
    lows, highs = ((1 - times) * a + times * b for a, b in zip(ends0, ends1, strict=True))
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
    threads: int,
    progress: Progress,
    label: str,
) -> tuple[Problem, tuple[Stage, ...], str, str]:
    """Follow lambda = path[0], path[1], ... with warm starts; stop at the corner if ``automatic``.

    Returns the problem with the last good theta, the stages, a status and a message.
    """
    dual = problem.dual()
    callback = progress_callback(progress, label)
    history: list[Stage] = []
    theta, before, penalty, kept = problem.theta, problem.theta, path[0] * units, 1
    status, message = "converged", "the regularisation reached the end of its path"
    for i, value in enumerate(path):
        try:
            if callback is not None:
                callback(i, len(path))
            final = i == len(path) - 1
            stage = dual.solve(
                problem.moments, value * units, 1e-9 if final else 1e-6, 60, threads, None
            )
        except KeyboardInterrupt:
            if not history:
                raise
            status, message = "interrupted", f"stopped on request after {i} of {len(path)} stages"
            break
        history.append(
            Stage(float(value), stage.status, stage.iterations, stage.residual, stage.divergence)
        )
        if stage.status != "converged" and i > 0:
            status = "stalled"
            message = (
                f"Newton's method {stage.status} at lambda = {value:.1e}; "
                f"the plan is that of lambda = {path[i - 1]:.1e}"
            )
            break
        if automatic and i > 0:
            slope = np.log(history[-2].residual / stage.residual) / np.log(path[i - 1] / value)
            if slope < CORNER:
                message = (
                    f"the residual {stage.residual:.1e} stopped following lambda below "
                    f"{path[i - 1]:.1e}: what is left is error of the data"
                )
                break
        before, theta, penalty, kept = theta, dual.theta, value * units, i + 1
    if callback is not None:
        callback(len(path), len(path))
    if history[0].status != "converged":
        status, message = "failed", f"Newton's method {history[0].status} at the first stage"
    solved = replace(problem, theta=theta, theta_before=before, penalty=penalty)
    return solved, tuple(history[:kept]), status, message


def expectations(
    problem: Problem, functions: Sequence[Callable[[FloatArray, FloatArray], ArrayLike]]
) -> list[ErrorBar]:
    """Return the expectation of each function under the solved plan, with its error bar."""
    x, y = np.meshgrid(problem.x0, problem.x1, indexing="ij")
    values = np.stack(
        [real_array("function(x0, x1)", f(x, y), shape=x.shape).reshape(-1) for f in functions]
    )
    dual = problem.dual()
    rows = dual.uncertainty(values, problem.penalty, problem.noise, 0)
    dual.theta = problem.theta_before
    earlier = values @ dual.mass()
    return [
        ErrorBar(float(mean), float(np.hypot(error, mean - before)), float(resolved))
        for (mean, error, resolved, _), before in zip(rows, earlier, strict=True)
    ]


def smooth_law(name: str, law: Marginal | ArrayLike) -> Marginal:
    """Return a law with a density: samples become Gaussian kernels that keep mean and variance.

    The bandwidth is Silverman's, 0.9 min(std, IQR / 1.34) n^(-1/5); the centres are drawn towards
    the mean so that the variance stays that of the sample.
    """
    try:
        marginal = as_marginal(law)
    except ValueError as error:
        raise ValueError(f"{name} must be a law on the line or samples of one: {error}") from None
    if not isinstance(marginal, Empirical):
        return marginal
    values, weights = marginal.values, marginal.weights
    mean, std = float(marginal.mean()), float(marginal.std())
    if not std > 0:
        raise ValueError(f"{name} must have at least two different samples, got one value {mean}")
    quartiles = marginal.ppf(np.array([0.25, 0.75]))
    spread = min(std, float(quartiles[1] - quartiles[0]) / 1.34) or std
    bandwidth = 0.9 * spread * float(np.sum(weights**2)) ** 0.2
    shrink = np.sqrt(max(0.0, 1 - (bandwidth / std) ** 2))
    centres = mean + shrink * (values - mean)
    return NormalMixture(weights, centres, np.full(centres.size, bandwidth))
