"""Pictures of a recovery: what it found, what the data resolve of it, what they leave."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from recouple.plan import GridPlan
from recouple.plot.axes import axes_of, pyplot
from recouple.plot.plan import plan

__all__ = ["recovery"]


def recovery(
    rec: Any,
    quantity: Literal["plan", "resolved", "residuals", "history", "all"] | None = None,
    ax: Any = None,
) -> Any:
    """Draw a recovery: its plan, what the data resolve of it, and what they leave.

    Parameters
    ----------
    rec : Recovery
        On a grid, but for "plan"; of a plan on the line.
    quantity : {"plan", "resolved", "residuals", "history", "all"}, optional
        The plan's density; at each place, the part of the local mass's variance that the data
        resolve; the moment residual at each time; the residual at each stage of the
        regularisation; or all four with the marginals, in a figure of its own. By default all
        four for a recovery on a grid if no ``ax`` is given, "plan" otherwise.
    ax : matplotlib Axes, optional
        Not with "all".

    Returns
    -------
    Axes: where nothing was chosen that of the plan, beside which its figure holds the others.
    For "all" an array (2, 2) of Axes.

    Raises
    ------
    ValueError
        If the recovery has no such quantity: all but "plan" belong to recoveries on a grid.
    """
    if not hasattr(rec, "plan"):
        raise ValueError(f"rec must be a recovery, got {type(rec).__name__}; plot.plan draws plans")
    panels = {
        "plan": lambda rec, ax: plan(rec.plan, ax),
        "resolved": _resolved,
        "residuals": _residuals,
        "history": _history,
    }
    if rec.plan.dim > 1:
        raise ValueError(
            f"rec must be of a plan on the line, got one in R^{rec.plan.dim}; plot.ellipses "
            "draws Gaussian plans in the plane"
        )
    chosen = quantity is not None
    if quantity is None:
        quantity = "all" if ax is None and _on_grid(rec) else "plan"
    if quantity in panels:
        return panels[quantity](rec, axes_of(ax))
    if quantity != "all":
        names = ", ".join(map(repr, panels))
        raise ValueError(f"quantity must be one of {names}, 'all', got {quantity!r}")
    if ax is not None:
        raise ValueError("ax must not be given with quantity 'all', which has a figure of its own")
    _grid_of(rec)
    figure, axes = pyplot().subplots(2, 2, figsize=(9.6, 7.6), layout="constrained")
    for one, name in zip(axes.flat, panels, strict=True):
        panels[name](rec, one)
    _with_marginals(rec.plan, axes[0, 0])
    figure.suptitle(f"{rec.verdict}, {rec.status}")
    return axes if chosen else axes[0, 0]


def _with_marginals(grid: GridPlan, ax: Any) -> None:
    """Draw both marginals along the inner edges of a plan's panel, a fifth of it high."""
    p0, p1 = grid.mass.sum(axis=1), grid.mass.sum(axis=0)
    height, width = grid.x1[-1] - grid.x1[0], grid.x0[-1] - grid.x0[0]
    ax.plot(grid.x0, grid.x1[0] + 0.2 * height * p0 / p0.max(), color="C0", lw=1)
    ax.plot(grid.x0[0] + 0.2 * width * p1 / p1.max(), grid.x1, color="C0", lw=1)


def _resolved(rec: Any, ax: Any) -> Any:
    """Draw, on 16 x 16 tiles, the part of each tile's mass that the data resolve."""
    grid = _grid_of(rec)
    edges = [np.linspace(x[0], x[-1], 17) for x in (grid.x0, grid.x1)]
    x, y = np.meshgrid(grid.x0, grid.x1, indexing="ij")
    i, j = (
        np.clip(np.searchsorted(e, v, side="right") - 1, 0, 15)
        for e, v in zip(edges, (x, y), strict=True)
    )
    tile = (16 * i + j).ravel()
    mass = np.bincount(tile, grid.mass.ravel(), 256)
    seen = np.flatnonzero(mass > 1e-4 * mass.max())
    bars = rec.estimator.bars(np.stack([(tile == k).astype(float) for k in seen]))
    share = np.full(256, np.nan)
    share[seen] = [bar.resolved for bar in bars]
    image = ax.pcolormesh(*edges, share.reshape(16, 16).T, cmap="viridis", vmin=0, vmax=1)
    ax.figure.colorbar(image, ax=ax, label="resolved fraction")
    ax.set(xlabel="$x_0$", ylabel="$x_1$")
    return ax


def _residuals(rec: Any, ax: Any) -> Any:
    _grid_of(rec)
    ax.semilogy(rec.estimator.times, rec.residuals.per_time, "o-k", ms=4)
    ax.set(xlabel="time $t$", ylabel="moment residual")
    return ax


def _history(rec: Any, ax: Any) -> Any:
    _grid_of(rec)
    ax.loglog(
        [s.regularization for s in rec.history], [s.residual for s in rec.history], "o-k", ms=4
    )
    ax.invert_xaxis()
    ax.set(xlabel="regularisation", ylabel="moment residual")
    return ax


def _on_grid(rec: Any) -> bool:
    return isinstance(rec.plan, GridPlan) and bool(getattr(rec, "history", ()))


def _grid_of(rec: Any) -> GridPlan:
    if not _on_grid(rec):
        raise ValueError(
            f"rec must be a recovery on a grid, got one of {type(rec.plan).__name__}; quantity "
            "'plan' draws that"
        )
    grid: GridPlan = rec.plan
    return grid
