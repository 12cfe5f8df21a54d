"""Functionals of a recovered plan on a grid, beyond expectations: by influence, with error bars.

A functional T moves by E[I] when the plan moves, I its influence function: the error bar of T is
that of the expectation of I (the delta method; von Mises 1947).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, real_array, real_number
from recouple.inverse.cell import Weights, interval_weights
from recouple.inverse.errorbar import ErrorBar
from recouple.plan import GridPlan, Plan
from recouple.plan.law import GridLaw

WINDOW = 0.25  # width of the window around x0, in standard deviations of X0


class Products(Protocol):
    """Estimates expectations of products a(X0) b(X1)."""

    def products(self, factors: Sequence[tuple[Weights, Weights]]) -> list[ErrorBar]:
        """Return E[a(X0) b(X1)] for each pair of weights, with its error bar."""


def probability(plan: Plan, estimator: Any, x0: ArrayLike, x1: ArrayLike) -> ErrorBar:
    """Return the probability of a rectangle; see ``Recovery.probability``."""
    _, source = _on_grid(plan, estimator)
    sides = [_interval(name, side) for name, side in (("x0", x0), ("x1", x1))]
    factors = tuple(partial(interval_weights, low=low, high=high) for low, high in sides)
    return source.products([(factors[0], factors[1])])[0]


def density(plan: Plan, estimator: Any, edges0: ArrayLike, edges1: ArrayLike) -> ErrorBar:
    """Return the mean density on each cell between edges; see ``Recovery.density``."""
    _, source = _on_grid(plan, estimator)
    edges = [_edges(name, e) for name, e in (("edges0", edges0), ("edges1", edges1))]
    sides = [
        [partial(interval_weights, low=low, high=high) for low, high in pairwise(e)] for e in edges
    ]
    bars = source.products([(a, b) for a in sides[0] for b in sides[1]])
    areas = np.outer(*map(np.diff, edges))
    whole = _joined(bars, areas.shape)
    return ErrorBar(
        whole.value / areas, whole.error / areas, whole.resolved, whole.unresolved / areas
    )


def conditional_mean(
    plan: Plan, estimator: Any, x0: ArrayLike, width: float | None = None
) -> ErrorBar:
    """Return E[X1 | X0 near x0]; see ``Recovery.conditional_mean``."""
    grid, source = _on_grid(plan, estimator)
    windows, shape = _windows(grid, x0, width)
    means, factors = [], []
    for window, share, masses in windows:
        mean = float(masses @ grid.x1 / share)

        def influence(y: FloatArray, mean: float = mean, share: float = share) -> FloatArray:
            return (y - mean) / share

        means.append(mean)
        factors.append((window, influence))
    return _joined(_at(means, source.products(factors)), shape)


def conditional_quantile(
    plan: Plan, estimator: Any, x0: ArrayLike, level: float, width: float | None = None
) -> ErrorBar:
    """Return the quantile of X1 given X0 near x0; see ``Recovery.conditional_quantile``."""
    grid, source = _on_grid(plan, estimator)
    level = real_number("level", level)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level:g}")
    windows, shape = _windows(grid, x0, width)
    laws = [GridLaw(grid.x1, np.maximum(masses, 0.0)) for _, _, masses in windows]
    values = [float(law.ppf(level)) for law in laws]
    factors = []
    for (window, share, _), value in zip(windows, values, strict=True):

        def influence(y: FloatArray, value: float = value, share: float = share) -> FloatArray:
            return (level - interval_weights(y, -np.inf, value)) / share

        factors.append((window, influence))
    bars = []
    # The error of the level, carried to the axis by the quantiles on either side: where the law
    # has a gap its slope says nothing.
    for law, bar in zip(laws, source.products(factors), strict=True):
        low, high = law.ppf(np.clip([level - bar.error, level + bar.error], 0.0, 1.0))
        error = float(high - low) / 2
        part = bar.unresolved / bar.error if bar.error > 0 else 0.0
        bars.append(ErrorBar(0.0, error, bar.resolved, error * part))
    return _joined(_at(values, bars), shape)


def _on_grid(plan: Plan, estimator: Any) -> tuple[GridPlan, Products]:
    if not isinstance(plan, GridPlan) or not hasattr(estimator, "products"):
        raise ValueError(
            f"the plan must be one on a grid for this, got {type(plan).__name__}: use its own "
            "conditional(x0), pdf or moment, and expectation() for error bars"
        )
    return plan, estimator


def _windows(
    plan: GridPlan, x0: ArrayLike, width: float | None
) -> tuple[list[tuple[Weights, float, FloatArray]], tuple[int, ...]]:
    """Return, for each x0, the window's weights, its probability, and its masses along x1."""
    at = real_array("x0", x0)
    if width is None:
        width = WINDOW * float(np.sqrt(plan.cov[0, 0]))
    half = real_number("width", width, positive=True) / 2
    windows: list[tuple[Weights, float, FloatArray]] = []
    for centre in at.ravel():
        window = partial(interval_weights, low=centre - half, high=centre + half)
        masses = window(plan.x0) @ plan.mass
        share = float(masses.sum())
        if not share > 0:
            raise ValueError(
                f"x0 must lie where the plan has mass, in [{plan.x0[0]:.4g}, {plan.x0[-1]:.4g}], "
                f"got {centre:.4g}"
            )
        windows.append((window, share, masses))
    return windows, at.shape


def _interval(name: str, side: ArrayLike) -> tuple[float, float]:
    ends = real_array(name, side, finite=False)
    if ends.shape != (2,) or not ends[0] < ends[1]:
        raise ValueError(f"{name} must be an interval (low, high) with low < high, got {side!r}")
    return float(ends[0]), float(ends[1])


def _edges(name: str, edges: ArrayLike) -> FloatArray:
    found = real_array(name, edges, ndim=1)
    if len(found) < 2 or not np.all(np.diff(found) > 0):
        raise ValueError(f"{name} must be at least two increasing edges, got {edges!r}")
    return found


def _at(values: Sequence[float], bars: Sequence[ErrorBar]) -> list[ErrorBar]:
    return [
        ErrorBar(value, bar.error, bar.resolved, bar.unresolved)
        for value, bar in zip(values, bars, strict=True)
    ]


def _joined(bars: Sequence[ErrorBar], shape: tuple[int, ...]) -> ErrorBar:
    """Return error bars as one over arrays, or the single one of a number."""
    if not shape:
        return bars[0]
    parts = [[b.value for b in bars], [b.error for b in bars]]
    parts += [[b.resolved for b in bars], [b.unresolved for b in bars]]
    return ErrorBar(*(np.reshape(np.array(part, np.float64), shape) for part in parts))
