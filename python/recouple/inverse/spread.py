"""What the moments of X_t say by themselves: of the plan, and of snapshots that fit none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recouple.arguments import FloatArray, frozen
from recouple.inverse.crosscheck import POWERS, reaching, said_by
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.moment import MixedMoments, fit_path
from recouple.inverse.profile import Binned, effective_size, variance_of
from recouple.marginal import Empirical, Marginal, Normal

REFUTED = 6.0  # standard errors, beyond which a snapshot fits no plan together with the others
ALIKE = 0.8  # of the largest deviation, from which a snapshot is named beside the worst
FEWEST_SAMPLES = 50  # from which a variance's sampling error is known well enough to refute
EXACT = 2e-4  # relative error of the moments of a law that counts as exact
HIGHEST = 8  # order of the moments that are read
PANELS = 4000  # of the normal scores of a law, for its moments
REACH = 7.5  # of these scores
ALLOWED = 2.0  # standard errors of a moment, up to which a plan's may differ from it
NAMED = 4  # snapshots, at most, that a message names


@dataclass(frozen=True, eq=False)
class Paths:
    """Mean and variance of X at each time, with their standard errors."""

    index: NDArray[np.intp]  # of each snapshot among those given
    times: FloatArray
    mean: FloatArray
    mean_error: FloatArray
    variance: FloatArray
    variance_error: FloatArray


def contradiction(paths: Paths) -> str | None:
    """Return what no plan allows of these means and variances, or None.

    E X_t is linear in t, Var X_t = (1-t)^2 V0 + 2 t (1-t) C + t^2 V1 with C^2 <= V0 V1.
    """
    t = paths.times
    linear = np.column_stack([1 - t, t])
    square = np.column_stack([(1 - t) ** 2, 2 * t * (1 - t), t**2])
    for name, curve, basis, path, error in (
        ("mean", "a straight line in t", linear, paths.mean, paths.mean_error),
        ("variance", "a parabola in t", square, paths.variance, paths.variance_error),
    ):
        off, said = _left_out(basis, path, error)
        if off.size and off.max() > REFUTED:
            worst = np.argsort(-off)[:NAMED]
            chosen = np.sort(worst[off[worst] > ALIKE * off.max()])
            which = _named(paths, chosen)
            given = ", ".join(f"{path[k]:.4g}" for k in chosen)
            others = ", ".join(f"{said[k]:.4g}" for k in chosen)
            return (
                f"the {name} of X_t is {curve} on every plan, but {which}, of {name} {given}, "
                f"where the others say {others} ({off[chosen].max():.3g} standard errors)"
            )
    return _too_far_apart(paths, square)


def _left_out(
    basis: FloatArray, path: FloatArray, error: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return how far each value is from what the others say, in standard errors, and what."""
    k, n = basis.shape
    if k <= n:
        return np.zeros(0), np.zeros(0)
    off, said = np.zeros(k), path.copy()
    for i in range(k):
        rest = np.arange(k) != i
        scale = error[rest]
        design = basis[rest] / scale[:, None]
        found = np.linalg.lstsq(design, path[rest] / scale, rcond=None)[0]
        reach = np.linalg.lstsq(design.T, basis[i], rcond=None)[0]  # the weights of the others
        said[i] = basis[i] @ found
        off[i] = abs(path[i] - said[i]) / np.sqrt(error[i] ** 2 + reach @ reach)
    return off, said


def _too_far_apart(paths: Paths, basis: FloatArray) -> str | None:
    """Say where variances ask for more covariance than any pair of ends with theirs has."""
    if len(basis) < 3:
        return None
    scale = paths.variance_error
    design = basis / scale[:, None]
    inverse = np.linalg.pinv(design)
    v0, c, v1 = inverse @ (paths.variance / scale)
    spread = inverse @ inverse.T
    most = float(np.sqrt(max(v0, 0.0) * max(v1, 0.0)))
    sign = 1.0 if c > 0 else -1.0
    # Where an end has no variance left, its own error is that of the bound.
    slope = np.array([np.sqrt(v1 / v0), np.sqrt(v0 / v1)]) if most > 0 else np.zeros(2)
    gradient = np.array([-0.5 * slope[0], sign, -0.5 * slope[1]])
    error = float(np.sqrt(gradient @ spread @ gradient))
    low = min(v0 / np.sqrt(spread[0, 0]), v1 / np.sqrt(spread[2, 2]))
    excess = abs(c) - most
    if low > -REFUTED and excess <= REFUTED * error:
        return None
    t = paths.times
    s0, s1 = np.sqrt(max(v0, 0.0)), np.sqrt(max(v1, 0.0))
    bound = np.sort(np.abs(np.stack([(1 - t) * s0 - t * s1, (1 - t) * s0 + t * s1])), axis=0)
    beyond = np.maximum(paths.variance - bound[1] ** 2, bound[0] ** 2 - paths.variance)
    k = int(np.argmax(beyond / scale))
    which = _named(paths, [k])
    return (
        f"|Cov(X0, X1)| is at most sqrt(Var X0 Var X1) on every plan, but the variances of the "
        f"snapshots make it {c:.4g} where that is {most:.4g} ({excess / max(error, 1e-300):.3g} "
        f"standard errors): {which}, of standard deviation {np.sqrt(paths.variance[k]):.4g}, "
        f"where the ends allow {bound[0, k]:.3f} to {bound[1, k]:.4g}"
    )


def _named(paths: Paths, chosen: Sequence[int] | NDArray[np.intp]) -> str:
    some = (f"snapshots[{paths.index[k]}] (t = {paths.times[k]:.4g})" for k in chosen)
    return f"not with {', '.join(some)}"


def mixed_moments(times: FloatArray, laws: Sequence[Marginal]) -> MixedMoments:
    """Return E[X0^i X1^j] from the moments of the snapshots, with the errors of their sampling.

    Of laws alone the errors are those of the fit's residuals.
    """
    order = min(HIGHEST, len(times) - 1)
    powers = np.arange(order + 1)
    # About the line of the means, where no digits cancel.
    slope, start = np.polyfit(times, [float(law.mean()) for law in laws], 1)
    scales = [float(laws[k].std()) or 1.0 for k in (0, -1)]
    frame = (start, start + slope), (scales[0], scales[1])
    path, covs = [], []
    for t, law in zip(times, laws, strict=True):
        if isinstance(law, Empirical):
            values, mass = law.values, law.weights
        else:
            # Even steps of the normal score: as fine in heavy tails as in the middle.
            score = np.linspace(-REACH, REACH, PANELS + 1)
            values, mass = law.ppf(Normal(0.0, 1.0).cdf(score)), np.exp(-0.5 * score**2)
            mass = mass / mass.sum()
        raised = (values - start - slope * t)[:, None] ** powers
        path.append(mass @ raised)
        off = raised - path[-1]
        size = effective_size(law)
        covs.append(0.0 * powers if size is None else (off.T * mass) @ off / max(size - 1, 1))
    fitted = fit_path(times, np.array(path), *frame)
    if not any(effective_size(law) for law in laws):
        return fitted
    variance = np.zeros_like(fitted.error)
    for k, cov in enumerate(covs):
        if cov.ndim < 2:
            continue
        weights = []  # of this time's moments in the fit, which is linear in them
        for n in powers:
            unit = np.zeros((len(times), order + 1))
            unit[k, n] = 1.0
            weights.append(fit_path(times, unit, *frame).value)
        variance += np.einsum("nij,nm,mij->ij", weights, cov, weights)
    return replace(fitted, error=frozen(np.sqrt(variance)))


def crosschecked(
    bars: dict[str, ErrorBar],
    mixed: MixedMoments,
    correlation: float,
    doubt: float,
    noisy: bool,
) -> tuple[dict[str, ErrorBar], str]:
    """Return error bars that reach what the moments say beyond their own errors, and a finding.

    Of masses with a noise of their own (``noisy``) only the correlation's error is known.
    """
    said = said_by(mixed) | {"correlation": correlation}
    if "E[X0 X1]" not in said:
        return bars, ""
    errors = {name: float(mixed.error[POWERS[name]]) for name in said if name in POWERS}
    errors["correlation"] = doubt
    words = ", ".join(
        f"{name} {value:.4g}" + (f" +- {errors[name]:.1g}" if np.isfinite(errors[name]) else "")
        for name, value in said.items()
    )
    allowed = {name: ALLOWED * error for name, error in errors.items()}
    if noisy:
        said = {"correlation": correlation}
        words = f"correlation {correlation:.4g} +- {doubt:.1g}"
    return reaching(bars, said, allowed), f"by the moments of X_t alone: {words}"


def paths_of(
    order: NDArray[np.intp], t: FloatArray, laws: Sequence[Marginal], extra: FloatArray
) -> Paths:
    """Return means and variances with their errors: of sampling, of ``noise``, of a law's bins.

    ``extra``: the standard error of all the mass in a range of splines.
    """
    mean = np.array([float(law.mean()) for law in laws])
    variance, sampling = np.array([variance_of(law) for law in laws]).T
    std = np.sqrt(variance.max())
    # A sample that came out narrow says too little of its error: no less than the usual share.
    drawn = sampling > 0
    if drawn.any():
        usual = float(np.median(sampling[drawn] / variance[drawn]))
        sampling[drawn] = np.maximum(sampling[drawn], usual * variance[drawn])
    errors = np.zeros((2, len(laws)))
    for k, law in enumerate(laws):
        size = effective_size(law)
        bin_width = law.width if isinstance(law, Binned) else 0.0
        if size is not None and size < FEWEST_SAMPLES:
            errors[:, k] = np.inf
            continue
        # A smooth density falls across a bin: its mean is off by up to a tenth of it, its variance
        # by a sixth of its square (Sheppard's correction, twice).
        own = 0.0 if size is None else np.sqrt(variance[k] / size)
        errors[0, k] = np.sqrt(own**2 + (EXACT * std) ** 2 + (0.1 * bin_width) ** 2)
        errors[1, k] = np.sqrt(sampling[k] ** 2 + (EXACT * std**2) ** 2 + bin_width**4 / 36)
    # Of independent errors of the mass over a range of ten standard deviations.
    errors += extra * np.array([[10 / np.sqrt(12) * std], [100 / np.sqrt(80) * std**2]])
    known = np.isfinite(errors[0])
    return Paths(
        order[known], t[known], mean[known], errors[0][known], variance[known], errors[1][known]
    )
