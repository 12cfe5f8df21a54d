"""Functions on the cells of a grid: the weights that make their expectations of its masses.

Between the grid points a density is the cubic through the four next to it; beyond the grid it is 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, real_array

PARTS = 1024  # points a side, about, at which a function is evaluated within the cells
# Lagrange's cubics through -1, 0, 1, 2 on [0, 1]: coefficients of 1, u, u^2, u^3; one a row.
CUBICS = np.array([[0, -2, 3, -1], [6, -3, -6, 3], [0, 6, 3, -3], [0, -1, 0, 1]]) / 6

Weights = Callable[[FloatArray], FloatArray]  # of a function of one variable, on a grid of it


def cell_weights(
    function: Callable[[FloatArray, FloatArray], ArrayLike], x0: FloatArray, x1: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return w and e, flat: w @ mass is the expectation under the density, e @ mass its error.

    By the midpoint rule within the cells. A jump is missed by up to half the distance of its
    points, .3 of it in the root mean square: e is a sixth of the second differences, which add up
    to that. Of smooth functions these are four times the error of the rule.
    """
    fine0, spread0 = _spread(x0)
    fine1, spread1 = _spread(x1)
    x, y = np.meshgrid(fine0, fine1, indexing="ij")
    values = real_array("function(x0, x1)", function(x, y), shape=x.shape)
    rough = np.zeros_like(values)
    rough[1:-1] += np.abs(np.diff(values, 2, axis=0)) / 6
    rough[:, 1:-1] += np.abs(np.diff(values, 2, axis=1)) / 6
    weights, errors = (spread0 @ part @ spread1.T for part in (values, rough))
    return weights.reshape(-1), errors.reshape(-1)


def interval_weights(x: FloatArray, low: float, high: float) -> FloatArray:
    """Return w such that w @ mass is the probability of [low, high] on the line, exactly."""
    h = x[1] - x[0]
    cells = np.arange(-2, len(x) + 1)
    start, stop = (np.clip((end - x[0]) / h - cells, 0.0, 1.0) for end in (low, high))
    integrals = CUBICS / np.arange(1, 5)
    weights = np.zeros(len(x) + 6)
    for k, row in enumerate(integrals):
        for power, factor in enumerate(row, start=1):
            weights[cells + 2 + k] += factor * (stop**power - start**power)
    return weights[3:-3]


def _spread(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return points within the cells of a grid, and the weights that carry values to the grid."""
    each = max(2, PARTS // len(x))
    h = x[1] - x[0]
    offset = (np.arange(each) + 0.5) / each  # of the way from one point to the next
    cells = np.arange(-2, len(x) + 1)
    fine = np.clip((x[0] + h * (cells[:, None] + offset)).ravel(), x[0], x[-1])
    shares = CUBICS @ np.vander(offset, 4, increasing=True).T / each
    weights = np.zeros((len(x) + 6, len(fine)))
    for k, share in enumerate(shares):
        weights[np.repeat(cells, each) + 2 + k, np.arange(len(fine))] = np.tile(share, len(cells))
    return fine, weights[3:-3]
