"""Plans of no family in R^D: the member of the fibre closest to independence, as weighted pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import (
    FloatArray,
    frozen,
    generator,
    real_array,
    real_number,
    thread_count,
    whole_number,
)
from recouple.field import VelocityField
from recouple.inverse.breakdown import breakdown
from recouple.inverse.candidates import along_curve, balanced_draw, even_pairing
from recouple.inverse.dual import Stage
from recouple.inverse.end import read_end
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.readings import carry, values_at
from recouple.inverse.recovery import Recovery, Residuals
from recouple.plan import AtomicPlan
from recouple.progress import Progress, progress_callback

FIRST, LAST, STEP = 1.0, 1e-3, 10**-0.5  # the continuation
CORNER = 0.1  # d log(residual) / d log(lambda) below which only sampling error is fitted
SCALES = (0.1, 2.5)  # lengths of the test functions, in standard deviations of X_t
TICKS = 10  # of progress in a stage
MISSED = 0.1  # of the moments, which are of order 1, beyond which no weights fit
COLLAPSED = 0.01  # share of the candidates below which the effective sample size is too small


def recover_free(
    velocity: VelocityField,
    source: Any,
    target: Any = None,
    *,
    candidates: int = 8000,
    times: int = 8,
    frequencies: int | None = None,
    regularization: float | None = None,
    steps: int = 32,
    rng: int | np.random.Generator | None = 0,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Recovery:
    r"""Recover a representative of the fibre in R^D; see ``recover_plan``.

    A plan has the field v and the source if, and only if, its source is right and
    :math:`E[(X_1 - X_0 - v_t(X_t)) k(X_t)] = 0` for all t and k. Weights p on candidate pairs
    (x0 of the source, ODE endpoint of another x0) minimise

    .. math:: KL(p \,\|\, uniform) + |F p - g|^2 / (2 \lambda)

    with features (1, x1 - x0) times cos and sin of :math:`\xi \cdot x_t`, and the products of X0
    and X1, whose mean the field determines.

    Parameters
    ----------
    candidates : int
        Pairs: each end balanced among eight times as many draws, and paired evenly.
    times : int
        Times at which the features look, equally spaced from 0 to 1.
    frequencies : int, optional
        Directions xi at each time. Default: as many as give about 1500 features.
    regularization : float, optional
        Final lambda. Default: from 1 down in steps of sqrt(10), warm started, stopped where the
        residual no longer follows.
    steps : int
        Steps of RK4 across [0, 1].
    rng : int, Generator or None
        Draws the candidates and the frequencies.
    """
    dim = velocity.dim
    end = read_end("source", source, dim, regular=True)
    n = whole_number("candidates", candidates, minimum=100, maximum=200_000)
    count = whole_number("times", times, minimum=2, maximum=100)
    if frequencies is None:
        frequencies = max(4, round(1536 / (2 * (dim + 1) * count)))
    waves = whole_number("frequencies", frequencies, minimum=1)
    final = (
        LAST
        if regularization is None
        else real_number("regularization", regularization, positive=True, maximum=FIRST)
    )
    some = whole_number("steps", steps, minimum=1)
    threads = thread_count(num_threads)
    callback = progress_callback(progress, "recover_plan")
    generate = generator(rng)

    stages = 1 + max(0, int(np.ceil(np.log(final / FIRST) / np.log(STEP) - 1e-9)))
    path = np.geomspace(FIRST, final, stages) if stages > 1 else np.array([final])

    history: list[Stage] = []

    def tell(stage: int, done: int = 0) -> None:  # stage 0 is the reading of the field
        if callback is not None:
            last = history[-1].note if history else ""
            callback(min(TICKS * stage + done, TICKS * (stage + 1) - 1), TICKS * (stages + 1), last)

    tell(0)
    start = balanced_draw(end.draw, n, generate)
    t = np.linspace(0, 1, count)
    clouds, followed = carry(velocity, start, t, some, num_threads)
    if not followed:
        otherwise = "field must carry points to places apart from each other"
        raise ValueError(breakdown(velocity, start, 0.0, 1.0, some, otherwise))
    ends = clouds[-1]
    if target is not None:
        ends = balanced_draw(read_end("target", target, dim, regular=False).draw, n, generate)
    x1 = np.ascontiguousarray(ends[along_curve(ends)][even_pairing(n, generate)])
    values = [values_at(velocity, s, x) for s, x in zip(t, clouds, strict=True)]

    waves_at, held_at = (
        [_frequencies(x, waves, generate) for x in clouds],
        [_frequencies(x, 16, generate) for x in clouds],
    )
    speed = float(np.sqrt(np.mean(np.square(values)))) or 1.0
    features, moments = _features(t, start, x1, clouds, values, waves_at, speed)
    products, crossed = _products(start, x1, clouds, values)
    features, moments = np.concatenate([features, products]), np.concatenate([moments, crossed])
    reference = np.full(n, 1 / n)
    dual = _core.EntropicDual(reference, features)
    thetas: list[FloatArray] = []
    status, message = "converged", "the penalty reached its end"
    try:
        for k, value in enumerate(map(float, path)):
            tell(k + 1)
            found = dual.solve(
                moments,
                np.full(len(moments), value),
                1e-4,
                60,
                threads,
                lambda done, _, k=k: tell(k + 1, done),
            )
            stage = Stage(value, found.status, found.iterations, found.residual, found.divergence)
            if found.status != "converged":
                status = "stalled"
                message = f"Newton's method stopped short at lambda = {value:.1e} ({found.status})"
                break
            if regularization is None and history:
                slope = np.log(history[-1].residual / stage.residual) / np.log(path[k - 1] / value)
                if slope < CORNER:
                    message = (
                        f"the residual {stage.residual:.1e} stopped following lambda below "
                        f"{path[k - 1]:.1e}: what is left is sampling error"
                    )
                    break
            history.append(stage)
            thetas.append(dual.theta)
    except KeyboardInterrupt:
        if not thetas:
            raise
        status, message = "interrupted", f"stopped on request after {len(thetas)} stages"
    if callback is not None:
        callback(TICKS * (stages + 1), TICKS * (stages + 1), history[-1].note if history else "")
    if thetas:
        dual.set_theta(thetas[-1], threads)
    mass = dual.mass()
    total = float(mass.sum())
    if not thetas or not (np.isfinite(total) and total > 0):
        status, message, mass = "failed", "the dual could not be solved", reference
    mass = mass / mass.sum()
    effective = 1 / float(np.sum(mass**2))
    if effective < COLLAPSED * n:
        status = "collapsed"
        message = (
            f"only {effective:.0f} of {n} pairs carry the weight: the candidates do not cover the "
            "plan; give more, or a larger regularization"
        )
    misfit = features @ mass - moments
    left = float(np.sqrt(np.mean(misfit**2)))
    off = float(np.sqrt(np.mean(misfit[-len(crossed) :] ** 2)))
    if status == "converged" and left > MISSED:
        status = "inconsistent"
        message = f"no weights on the candidates fit the field: moments are {left:.2g} off"
    elif status == "converged" and off > MISSED:
        status = "collapsed"
        message = (
            f"the candidates miss the correlations of X0 and X1, which the field determines, by "
            f"{off:.2g}: give more of them, or a smaller regularization"
        )
    plan = AtomicPlan(start[:, 0], x1[:, 0], mass) if dim == 1 else AtomicPlan(start, x1, mass)
    del features
    fresh, expected = _features(t, start, x1, clouds, values, held_at, speed)
    held = float(np.sqrt(np.mean((fresh @ mass - expected) ** 2)))
    independent = float(np.sqrt(np.mean((fresh @ reference - expected) ** 2)))
    per_time = np.sqrt(np.mean(misfit[: -len(crossed)].reshape(count, -1) ** 2, axis=1))
    problem = CandidateProblem(frozen(start), frozen(x1), frozen(mass))
    return Recovery(
        plan=plan,
        family="free",
        verdict="representative",
        reason=(
            "many plans pass these tests of the field at finitely many times, and for D > 1 many "
            "have the field itself: this one is the closest to independence that fits"
        ),
        status=status,
        message=message,
        residuals=Residuals(
            moments=left,
            per_time=frozen(per_time),
            field=None,
            mismatch=None,
        ),
        error_bars=problem.bars(),
        settings={
            "candidates": n,
            "times": count,
            "frequencies": waves,
            "regularization": history[-1].regularization if history else float(path[0]),
            "steps": some,
            "effective sample size": effective,
        },
        history=tuple(history),
        estimator=problem,
        evidence=(
            f"effective sample size {effective:.0f} of {n}",
            f"moments not fitted: {held:.2e} off, {independent:.2e} at independence, "
            f"{effective**-0.5:.1e} in a sample of that size",
        ),
    )


def _frequencies(x: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Return xi, (count, D): normal directions over lengths between SCALES deviations of x."""
    low, high = np.log(SCALES)
    length = np.exp(rng.uniform(low, high, size=(count, 1)))
    drawn: FloatArray = rng.standard_normal((count, x.shape[1])) / (length * x.std(axis=0))
    return drawn


def _features(
    times: FloatArray,
    x0: FloatArray,
    x1: FloatArray,
    clouds: FloatArray,
    values: Sequence[FloatArray],
    waves: Sequence[FloatArray],
    speed: float,
) -> tuple[FloatArray, FloatArray]:
    """Return features (rows, pairs) and their moments under (p_t, v)."""
    rows, moments = [], []
    displacement = (x1 - x0).T / speed
    for t, cloud, v, xi in zip(times, clouds, values, waves, strict=True):
        phase = xi @ ((1 - t) * x0 + t * x1).T
        seen = xi @ cloud.T
        for wave in (np.cos, np.sin):
            at, there = wave(phase), wave(seen)
            rows.append(at)
            moments.append(there.mean(axis=1))
            for component, rate in zip(displacement, v.T / speed, strict=True):
                rows.append(at * component)
                moments.append(there @ rate / len(cloud))
    return np.concatenate(rows), np.concatenate(moments)


def _products(
    x0: FloatArray, x1: FloatArray, clouds: FloatArray, values: Sequence[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Return the standardised products x0_i x1_j as features, and their moments from the field.

    Cov(X0, X1) is determined: Cov(v_0, X_0) = C' - S0 and Cov(v_1, X_1) = S1 - C.
    """
    first, last = clouds[0], clouds[-1]
    centred0, centred1 = first - first.mean(axis=0), last - last.mean(axis=0)
    n = len(first)
    early = (values[0].T @ centred0 / n).T + centred0.T @ centred0 / n
    late = centred1.T @ centred1 / n - values[-1].T @ centred1 / n
    scale = np.outer(first.std(axis=0), last.std(axis=0))
    left, right = x0 - first.mean(axis=0), x1 - last.mean(axis=0)
    rows = (left[:, :, None] * right[:, None, :] / scale).reshape(len(x0), -1).T
    return np.ascontiguousarray(rows), ((early + late) / (2 * scale)).reshape(-1)


@dataclass(frozen=True, eq=False)
class CandidateProblem:
    """Weighted candidate pairs, for expectations.

    Errors are those of a sample of the effective size; how far the fibre reaches is not in them.
    """

    x0: FloatArray
    x1: FloatArray
    mass: FloatArray

    def bars(self) -> dict[str, ErrorBar]:
        """Return the cross-covariance, which the field determines, with its error."""
        d = self.x0.shape[1]
        centred = [x - self.mass @ x for x in (self.x0, self.x1)]
        products = centred[0][:, :, None] * centred[1][:, None, :]
        value = np.tensordot(self.mass, products, 1)
        error = np.sqrt(np.tensordot(self.mass**2, (products - value) ** 2, 1))
        if d == 1:
            return {"cov01": ErrorBar(float(value[0, 0]), float(error[0, 0]), 1.0, 0.0)}
        return {"cov01": ErrorBar(frozen(value), frozen(error), 1.0, 0.0)}

    def expectations(
        self, functions: Sequence[Callable[[FloatArray, FloatArray], ArrayLike]]
    ) -> list[ErrorBar]:
        """Return E[f(X0, X1)] for each function."""
        line = self.x0.shape[1] == 1
        ends = (self.x0[:, 0], self.x1[:, 0]) if line else (self.x0, self.x1)
        bars = []
        for f in functions:
            values = real_array("function(x0, x1)", f(*ends), shape=(len(self.mass),))
            mean = float(self.mass @ values)
            error = float(np.sqrt(self.mass**2 @ (values - mean) ** 2))
            spread = float(np.sqrt(self.mass @ (values - mean) ** 2))
            bars.append(ErrorBar(mean, error, 0.0, spread))
        return bars
