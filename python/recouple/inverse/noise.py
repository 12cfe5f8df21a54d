"""What a relative error of the field does to the moments read from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recouple import _core
from recouple.arguments import FloatArray

# Lengths of the error of a trained network: in standard deviations of X_t, and in time.
LENGTH, DURATION = 0.5, 0.3
WAVES = 60


def unit_shifts(
    times: FloatArray,
    paths: FloatArray,
    velocities: FloatArray,
    levels: FloatArray,
    nodes: Sequence[FloatArray],
    features: Sequence[_core.SplineFeatures],
    degree: int,
    *,
    two_sided: bool,
) -> tuple[FloatArray, FloatArray]:
    r"""Return how random smooth errors of the field, of relative size 1, shift the moments.

    An error dv moves the cdf by :math:`\delta F_t = -\int_0^t p_s\,dv_s\,ds` along the trajectory
    that keeps the level F, and, read from the far end, by :math:`\int_t^1`. The error is
    dv = v xi, xi a stationary Gaussian field with lengths ``LENGTH`` in standard deviations
    of X_t and ``DURATION`` in time, a sum of waves with independent normal amplitudes.

    Parameters
    ----------
    paths, velocities : arrays (K, U)
        Trajectories of the levels, and the field along them, at ``times``.

    Returns
    -------
    shifts : array (2 WAVES, features)
        Independent columns of the moments' covariance at relative size 1.
    closing : array (2 WAVES, U)
        The difference between the two readings of the cdf, one row a column.
    """
    rng = np.random.default_rng(0)  # the waves, not the data: fixed, so that results repeat
    waves = rng.normal(size=(WAVES, 2)) / np.array([DURATION, LENGTH])
    spread = paths.std(axis=1, keepdims=True)
    place = (paths - paths.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    angle = waves[:, :1, None] * times[:, None] + waves[:, 1:, None] * place
    xi = np.concatenate([np.cos(angle), np.sin(angle)]) / np.sqrt(WAVES)
    with np.errstate(divide="ignore", invalid="ignore"):
        density = 1 / np.gradient(paths, levels, axis=1)
    density[~np.isfinite(density) | (density < 0)] = 0.0
    flux = xi * (density * velocities)
    pieces = 0.5 * (flux[:, 1:] + flux[:, :-1]) * np.diff(times)[:, None]
    so_far = np.concatenate([np.zeros_like(flux[:, :1]), np.cumsum(pieces, axis=1)], axis=1)
    closing = so_far[:, -1]
    change = -so_far
    if two_sided:
        near = (1 - times) ** 2 / ((1 - times) ** 2 + times**2)
        change = change + (1 - near)[:, None] * closing[:, None, :]
    rows = []
    for k, (x, f) in enumerate(zip(nodes, features, strict=True)):
        zero = _core.spline_moments_of_cdf(f, degree, len(x) // f.intervals, np.zeros(len(x)))
        for row in change[:, k]:
            moved = np.interp(x, paths[k], row, left=0.0, right=0.0)
            rows.append(_core.spline_moments_of_cdf(f, degree, len(x) // f.intervals, moved) - zero)
    shifts = np.array(rows).reshape(len(nodes), len(xi), -1).swapaxes(0, 1)
    return np.ascontiguousarray(shifts.reshape(len(xi), -1)), closing
