"""Recovery of a Gaussian-mixture plan: how many components, and what the answer is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import (
    FloatArray,
    frozen,
    generator,
    real_array,
    thread_count,
    whole_number,
)
from recouple.field import VelocityField
from recouple.inverse.end import read_end
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.mixture import EXACT, Mixture, MixtureFit, search
from recouple.inverse.readings import Readings, read_field
from recouple.inverse.recovery import Recovery, Residuals
from recouple.plan import MixturePlan
from recouple.progress import Progress, progress_callback

TOO_ROUGH = 0.3  # relative residual, with structure, beyond which the fit is none
TWINS = 1e-6  # relative difference of two components' identified parameters that counts as none
REPLICAS = 40  # of the parameters, for the errors of functionals
DRAWS = 2048  # from each component, for expectations


def recover_mixture(
    velocity: VelocityField,
    source: Any,
    target: Any = None,
    *,
    components: int | None = None,
    max_components: int = 6,
    times: int = 12,
    points: int = 3000,
    steps: int = 32,
    restarts: int = 12,
    rng: int | np.random.Generator | None = 0,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Recovery:
    """Recover a mixture of Gaussians in any dimension; see ``recover_plan``.

    Parameters
    ----------
    components : int, optional
        Number of Gaussians on R^(2D). Default: the one of least BIC up to ``max_components``.
    times, points, steps : int
        Where the field is read: Chebyshev times, points over all of them, steps of RK4.
    restarts : int
        Starts at most for each number of components.
    rng : int, Generator or None
        Draws the points and the starts.
    """
    generate = generator(rng)
    threads = thread_count(num_threads)
    readings = read_field(velocity, source, times, points, steps, generate, threads)
    tries = whole_number("restarts", restarts, minimum=1)
    callback = progress_callback(progress, "recover_plan")
    if components is not None:
        count = whole_number("components", components, minimum=1, maximum=64)
        fits = [search(readings, count, tries, generate, callback)]
    else:
        most = whole_number("max_components", max_components, minimum=1, maximum=64)
        fits = choose(readings, most, tries, generate, callback)
    best = min(fits, key=lambda fit: fit.bic)
    mismatch = None
    if target is not None:
        end = read_end("target", target, velocity.dim, regular=False)
        d = velocity.dim
        cov = best.plan.cov[d:, d:]
        shift = np.sum((best.plan.mean[d:] - end.mean) ** 2) + np.sum((cov - end.cov) ** 2)
        mismatch = float(np.sqrt(shift / (np.sum(end.mean**2) + np.sum(end.cov**2))))
    settings = {
        "components": len(best.plan.weights),
        "times": len(readings.times),
        "points": len(readings.x),
        "steps": steps,
        "restarts": tries,
    }
    return _finish(best, fits, readings, mismatch, settings)


def choose(
    readings: Readings,
    most: int,
    restarts: int,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> list[MixtureFit]:
    """Fit 1, 2, ... components until one more is worse by BIC, or the field is met to rounding."""
    fits: list[MixtureFit] = []
    worse = 0
    for count in range(1, most + 1):
        if progress is not None:
            progress(count - 1, most)
        try:
            fits.append(search(readings, count, min(restarts, 6), rng))
        except ValueError:
            break
        if fits[-1].residual <= EXACT:
            break
        best = min(fits, key=lambda fit: fit.bic)
        worse = 0 if fits[-1] is best else worse + 1
        if worse and (best.certified or worse > 1):
            break
    best = min(fits, key=lambda fit: fit.bic)
    if not best.certified and restarts > 6:
        fits.append(search(readings, len(best.plan.weights), restarts, rng))
    if progress is not None:
        progress(most, most)
    return fits


def twins(plan: MixturePlan) -> list[tuple[int, int]]:
    """Pairs of components that differ in nothing but the antisymmetric part of C, if at all.

    The field cannot tell how their antisymmetric parts are shared out. Mixtures without such pairs
    are identified among finite mixtures.
    """
    d = plan.dim
    H = (plan.covs[:, :d, d:] + plan.covs[:, d:, :d]) / 2
    seen = [
        np.concatenate([m, c[:d, :d].ravel(), c[d:, d:].ravel(), h.ravel()])
        for m, c, h in zip(plan.means, plan.covs, H, strict=True)
    ]
    scale = max(float(np.abs(s).max()) for s in seen)
    return [
        (j, k)
        for k in range(len(seen))
        for j in range(k)
        if np.abs(seen[j] - seen[k]).max() <= TWINS * scale
    ]


def _finish(
    best: MixtureFit,
    fits: list[MixtureFit],
    readings: Readings,
    mismatch: float | None,
    settings: dict[str, Any],
) -> Recovery:
    plan = best.plan
    K = len(plan.weights)
    verdict, reason = _verdict(plan)
    relative = np.sqrt(np.mean(best.residuals**2, axis=1))
    per_time = np.array(
        [
            np.sqrt(np.mean(relative[int(a) : int(b)] ** 2))
            for a, b in zip(readings.first[:-1], readings.first[1:], strict=True)
        ]
    )
    if best.certified:
        status = "converged"
        left = "rounding" if best.residual <= EXACT else "noise without structure"
        message = f"what is left of the field, {best.residual:.1e} of it, is {left}"
    elif best.residual < TOO_ROUGH:
        status = "stalled"
        message = (
            f"what is left of the field, {best.residual:.1e} of it, has structure: the field is "
            f"not exactly that of {K} components, or the best fit was missed"
        )
        verdict, reason = "representative", "the fit leaves a structured residual"
    else:
        status = "inconsistent"
        message = f"no mixture of {K} components was found near the field"
        verdict, reason = "representative", "the fit leaves most of the field"
    evidence = [
        f"{len(fit.plan.weights)} components: BIC {fit.bic:.6g}, residual {fit.residual:.2g}, "
        f"unstructured p = {fit.white:.2g}, {fit.attempts} starts"
        for fit in fits
    ]
    estimator = MixtureEstimator(best.mixture, best.covariance)
    return Recovery(
        plan=plan,
        family="mixture",
        verdict=verdict,
        reason=reason,
        status=status,
        message=message,
        residuals=Residuals(
            moments=best.residual, per_time=frozen(per_time), field=best.residual, mismatch=mismatch
        ),
        error_bars=estimator.bars(),
        settings=settings,
        history=(),
        estimator=estimator,
        evidence=tuple(evidence),
        p_values={"unstructured residual": best.white},
    )


def _verdict(plan: MixturePlan) -> tuple[str, str]:
    K = len(plan.weights)
    if plan.dim == 1:
        return "unique", "on the line the field and the source determine the plan"
    pairs = twins(plan)
    if pairs:
        return "representative", (
            f"components {pairs[0][0]} and {pairs[0][1]} share means, end covariances and the "
            "symmetric part of C: the field cannot tell their antisymmetric parts apart"
        )
    return "unique in family", (
        f"unique among mixtures of {K} components: no two share means, end covariances and the "
        "symmetric part of C; splitting a component by its antisymmetric part changes no field"
    )


@dataclass(frozen=True, eq=False)
class MixtureEstimator:
    """Expectations under a mixture, and their spread over replicas of its parameters."""

    mixture: Mixture
    covariance: FloatArray

    def replicas(self) -> list[Mixture]:
        """Return mixtures with parameters drawn from the fit's covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))
        draws = np.random.default_rng(0).standard_normal((REPLICAS, len(root))) @ root.T
        return [self.mixture.moved(np.clip(step, -20, 20)) for step in draws]

    def bars(self) -> dict[str, ErrorBar]:
        """Return error bars of the mixture's parameters and of its cross-covariance."""

        def cross(m: Mixture) -> FloatArray:
            w, d = m.weights, m.means.shape[1] // 2
            centred = m.means - w @ m.means
            cov = np.tensordot(w, m.covs, 1) + (w[:, None] * centred).T @ centred
            return np.asarray(cov[:d, d:])

        parts: dict[str, Callable[[Mixture], FloatArray]] = {
            "cov01": cross,
            "weights": lambda m: m.weights,
            "means": lambda m: m.means,
            "covs": lambda m: m.covs,
        }
        copies = self.replicas()
        out = {}
        for name, part in parts.items():
            value = part(self.mixture)
            error = np.sqrt(np.mean([(part(m) - value) ** 2 for m in copies], axis=0))
            out[name] = ErrorBar(frozen(value), frozen(error), 1.0, 0.0)
        return out

    def expectations(
        self, functions: Sequence[Callable[[FloatArray, FloatArray], ArrayLike]]
    ) -> list[ErrorBar]:
        """Return E[f(X0, X1)] for each function."""
        w = self.mixture.means.shape[1]
        half = np.random.default_rng(1).standard_normal((DRAWS // 2, w))
        z = np.concatenate([half, -half])

        def averages(m: Mixture) -> tuple[FloatArray, FloatArray]:
            pairs = (m.means[:, None] + z @ m.factors.swapaxes(1, 2)).reshape(-1, w)
            d = w // 2
            ends = (pairs[:, 0], pairs[:, 1]) if d == 1 else (pairs[:, :d], pairs[:, d:])
            values = np.array(
                [real_array("function(x0, x1)", f(*ends), shape=(len(pairs),)) for f in functions]
            ).reshape(len(functions), len(m.weights), len(z))
            spread = (m.weights**2 * values.var(axis=2)).sum(axis=1) / len(z)
            return values.mean(axis=2) @ m.weights, spread

        mean, drawn = averages(self.mixture)
        moved = np.array([averages(m)[0] for m in self.replicas()])
        error = np.sqrt(np.mean((moved - mean) ** 2, axis=0) + drawn)
        return [ErrorBar(float(m), float(e), 1.0, 0.0) for m, e in zip(mean, error, strict=True)]
