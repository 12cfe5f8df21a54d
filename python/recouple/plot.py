"""Pictures, with matplotlib (the extra ``plot``). Every function takes ``ax`` and returns it."""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray
from recouple.plan import GridPlan

__all__ = ["comparison", "difference", "formats", "marginal_path", "plan", "recovery"]


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'recouple[plot]'") from None
    return pyplot


def formats() -> set[str]:
    """Return the endings of the picture files that can be written.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    _pyplot()
    from matplotlib.backend_bases import FigureCanvasBase

    return set(FigureCanvasBase.get_supported_filetypes())


def _axes(ax: Any) -> Any:
    return _pyplot().subplots(layout="constrained")[1] if ax is None else ax


def _density(grid: GridPlan) -> FloatArray:
    density: FloatArray = grid.mass.T / ((grid.x0[1] - grid.x0[0]) * (grid.x1[1] - grid.x1[0]))
    return density


def _on_grid(name: str, some_plan: Any, like: GridPlan | None) -> GridPlan:
    """Return the plan, or that of a recovery, on the grid of ``like`` or on one of its own."""
    some_plan = getattr(some_plan, "plan", some_plan)
    if not hasattr(some_plan, "on_grid"):
        raise ValueError(
            f"{name} must be a plan on the line with a density, got {type(some_plan).__name__}; "
            "atoms have one once smoothed(bandwidth)"
        )
    if like is None:
        grid = some_plan if isinstance(some_plan, GridPlan) else some_plan.on_grid()
    else:
        grid = some_plan.on_grid(like.x0, like.x1)
    return cast(GridPlan, grid)


def plan(some_plan: Any, ax: Any = None, *, vmax: float | None = None) -> Any:
    """Draw the joint density of a plan on the line, with its colour scale.

    Parameters
    ----------
    some_plan : GridPlan, MixturePlan or GaussianPlan
    ax : matplotlib Axes, optional
    vmax : float, optional
        Upper end of the colour scale, to compare pictures.
    """
    ax = _axes(ax)
    grid = _on_grid("some_plan", some_plan, None)
    image = ax.pcolormesh(
        grid.x0,
        grid.x1,
        _density(grid),
        cmap="magma_r",
        vmin=0,
        vmax=vmax,
        shading="nearest",
        rasterized=True,
    )
    ax.figure.colorbar(image, ax=ax, label="density")
    ax.set(xlabel="$x_0$", ylabel="$x_1$")
    return ax


def difference(recovered: GridPlan, truth: Any, ax: Any = None) -> Any:
    """Draw the recovered density less the true one, on the recovered plan's grid."""
    ax = _axes(ax)
    recovered = _on_grid("recovered", recovered, None)
    delta = _density(recovered) - _density(_on_grid("truth", truth, recovered))
    most = float(np.abs(delta).max()) or 1.0
    image = ax.pcolormesh(
        recovered.x0,
        recovered.x1,
        delta,
        cmap="PuOr",
        vmin=-most,
        vmax=most,
        shading="nearest",
        rasterized=True,
    )
    ax.figure.colorbar(image, ax=ax, label="difference of density")
    ax.set(xlabel="$x_0$", ylabel="$x_1$")
    return ax


def marginal_path(some_plan: Any, ax: Any = None, *, x: ArrayLike | None = None) -> Any:
    """Draw the density of X_t over time, the marginal path p_t.

    Parameters
    ----------
    some_plan : plan on the line
    ax : matplotlib Axes, optional
    x : array, optional
        Where; by default over the central 99.9% of both ends.
    """
    ax = _axes(ax)
    if x is None:
        tails = np.array([5e-4, 1 - 5e-4])
        ends = np.concatenate([some_plan.source.ppf(tails), some_plan.target.ppf(tails)])
        x = np.linspace(ends.min(), ends.max(), 200)
    points = np.asarray(x, dtype=float)
    times = np.linspace(0, 1, 101)
    densities = np.stack([some_plan.marginal(float(t)).pdf(points) for t in times], axis=1)
    image = ax.pcolormesh(
        times, points, densities, cmap="magma_r", vmin=0, shading="nearest", rasterized=True
    )
    ax.figure.colorbar(image, ax=ax, label="density of $X_t$")
    ax.set(xlabel="time $t$", ylabel="$x$")
    return ax


def comparison(
    recovered: GridPlan, truth: Any, *, names: tuple[str, str] = ("$x_0$", "$x_1$")
) -> Any:
    """Draw four panels: true plan, recovered plan, their difference, the marginal path.

    Returns the array of Axes; ``axes[0, 0].figure`` is the figure.
    """
    recovered = _on_grid("recovered", recovered, None)
    _, axes = _pyplot().subplots(2, 2, figsize=(9.6, 7.6), layout="constrained")
    exact = _on_grid("truth", truth, recovered)
    vmax = float(_density(exact).max())
    plan(exact, axes[0, 0], vmax=vmax).set_title("true plan")
    plan(recovered, axes[0, 1], vmax=vmax).set_title("recovered from the field alone")
    difference(recovered, exact, axes[1, 0]).set_title("recovered less true")
    marginal_path(recovered, axes[1, 1]).set_title("marginal path of the recovered plan")
    for ax in axes.flat[:3]:
        ax.set(xlabel=names[0], ylabel=names[1])
    return axes


def recovery(
    rec: Any,
    quantity: Literal["plan", "resolved", "residuals", "history", "all"] = "plan",
    ax: Any = None,
) -> Any:
    """Draw a recovery: its plan, what the data resolve of it, and what they leave.

    Parameters
    ----------
    rec : Recovery
        On a grid, but for "plan".
    quantity : {"plan", "resolved", "residuals", "history", "all"}
        The plan's density; at each place, the part of the local mass's variance that the data
        resolve; the moment residual at each time; the residual at each stage of the
        regularisation; or all four with the marginals, in a figure of its own.
    ax : matplotlib Axes, optional
        Not with "all".

    Returns
    -------
    Axes, or an array of Axes for "all".
    """
    panels = {
        "plan": lambda rec, ax: plan(rec.plan, ax),
        "resolved": _resolved,
        "residuals": _residuals,
        "history": _history,
    }
    if quantity in panels:
        return panels[quantity](rec, _axes(ax))
    if quantity != "all":
        names = ", ".join(map(repr, panels))
        raise ValueError(f"quantity must be one of {names}, 'all', got {quantity!r}")
    if ax is not None:
        raise ValueError("ax must not be given with quantity 'all', which has a figure of its own")
    figure, axes = _pyplot().subplots(2, 2, figsize=(9.6, 7.6), layout="constrained")
    for one, name in zip(axes.flat, panels, strict=True):
        panels[name](rec, one)
    _with_marginals(rec.plan, axes[0, 0])
    figure.suptitle(f"{rec.verdict}, {rec.status}")
    return axes


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


def _grid_of(rec: Any) -> GridPlan:
    grid = getattr(rec, "plan", None)
    if not isinstance(grid, GridPlan) or not rec.history:
        raise ValueError(f"rec must be a recovery on a grid, got one of {type(grid).__name__}")
    return grid
