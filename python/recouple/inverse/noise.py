"""What a relative error of the field does to the laws of X_t read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recouple.arguments import FloatArray

# Lengths of the error of a trained network: in standard deviations of X_t, and in time.
LENGTH, DURATION = 0.5, 0.3
WAVES = 60
CRUDE = 0.1  # of the variance of the two readings' difference, which the waves do not describe


TAIL = 3.7  # 1 + z^2, at the z of a 90% interval


@dataclass(frozen=True, order=True)
class Level:
    """The relative error of a field, who told it, and by how many independent squares."""

    value: float
    by: str
    freedom: float = float("inf")

    def times(self, factor: float) -> Level:
        """Return a multiple of the level, by the same."""
        return replace(self, value=factor * self.value)

    @property
    def allowed(self) -> float:
        """The level for an error bar: larger where few squares told it, as Student's law is wider.

        By the first term of Cornish and Fisher's (1937) series of its quantiles.
        """
        return self.value * (1 + TAIL / (4 * self.freedom))


def freedom(columns: FloatArray) -> float:
    """Return how many independent squares the square of sum_r z_r columns[r] is worth.

    tr(C)^2 / tr(C^2), C its covariance: the chi-squared law with that mean and variance
    (Satterthwaite 1946).
    """
    gram = columns @ columns.T
    squares = float(np.sum(gram**2))
    return float(np.trace(gram)) ** 2 / squares if squares > 0 else float("inf")


def unit_shifts(
    times: FloatArray,
    paths: FloatArray,
    velocities: FloatArray,
    levels: FloatArray,
    nodes: Sequence[FloatArray],
    *,
    two_sided: bool,
) -> tuple[list[FloatArray], FloatArray]:
    r"""Return how random smooth errors of the field, of relative size 1, shift the cdfs.

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
    shifts : list of arrays (2 WAVES, nodes)
        Independent columns of the covariance of each time's cdf at its nodes, at relative size 1.
    closing : array (2 WAVES, U)
        The difference between the two readings of the cdf, that from time 1 less that from time 0.
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
        first, last = (1 - times) * spread[0, 0], times * spread[-1, 0]
        near = first**2 / (first**2 + last**2)  # as the two readings are blended
        change = change + (1 - near)[:, None] * closing[:, None, :]
    shifts = [
        np.array([np.interp(x, paths[k], row, left=0.0, right=0.0) for row in change[:, k]])
        for k, x in enumerate(nodes)
    ]
    return shifts, closing


def told_by_ends(closing: FloatArray, gap: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what the gap between the two readings tells of the waves, and what it leaves open.

    The gap is ``closing`` times the waves' amplitudes, which are normal: so they are given the gap.
    Returns their mean, and the symmetric root of their covariance in units of the one before.
    """
    covariance = closing.T @ closing
    covariance += CRUDE * np.mean(np.diag(covariance)) * np.eye(len(gap))
    left = np.eye(len(closing)) - closing @ np.linalg.solve(covariance, closing.T)
    values, vectors = np.linalg.eigh(left)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return closing @ np.linalg.solve(covariance, gap), root
