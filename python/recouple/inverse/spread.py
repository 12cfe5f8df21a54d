"""What the means and variances of X_t must be on every plan, and which snapshots are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recouple.arguments import FloatArray

REFUTED = 6.0  # standard errors, beyond which a snapshot fits no plan together with the others
ALIKE = 0.8  # of the largest deviation, from which a snapshot is named beside the worst
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
                f"where the others say {others} ({off[chosen].max():.2g} standard errors)"
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
        f"snapshots make it {c:.4g} where that is {most:.4g} ({excess / max(error, 1e-300):.2g} "
        f"standard errors): {which}, of standard deviation {np.sqrt(paths.variance[k]):.4g}, "
        f"where the ends allow {bound[0, k]:.3f} to {bound[1, k]:.4g}"
    )


def _named(paths: Paths, chosen: Sequence[int] | NDArray[np.intp]) -> str:
    some = (f"snapshots[{paths.index[k]}] (t = {paths.times[k]:.4g})" for k in chosen)
    return f"not with {', '.join(some)}"
