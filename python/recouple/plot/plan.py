"""Pictures of plans and of what was recovered."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray
from recouple.plan import AtomicPlan, GridPlan, MonotonePlan
from recouple.plot.axes import axes_of, pyplot

__all__ = ["comparison", "difference", "marginal_path", "plan"]


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


def plan(
    some_plan: Any, ax: Any = None, *, vmax: float | None = None, marginals: bool = False
) -> Any:
    """Draw the joint density of a plan on the line, with its colour scale.

    Plans without a density are drawn as what they are: atoms by points, of areas in proportion to
    their weights, a monotone plan by its curve.

    Parameters
    ----------
    some_plan : GridPlan, MixturePlan, GaussianPlan, AtomicPlan or MonotonePlan
    ax : matplotlib Axes, optional
    vmax : float, optional
        Upper end of the colour scale, to compare pictures.
    marginals : bool
        Draw the densities of X0 and X1 along the upper and the right edge.
    """
    bare = getattr(some_plan, "plan", some_plan)
    if isinstance(bare, AtomicPlan | MonotonePlan) and bare.dim == 1:
        return _draw_support(bare, axes_of(ax))
    ax = axes_of(ax, (5.6, 6.4) if marginals else None)
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
    if marginals:
        _draw_marginals(grid, ax)
    ax.figure.colorbar(image, ax=ax, label="density", location="bottom" if marginals else "right")
    ax.set(xlabel="$x_0$", ylabel="$x_1$")
    return ax


def _draw_support(some_plan: AtomicPlan | MonotonePlan, ax: Any) -> Any:
    if isinstance(some_plan, AtomicPlan):
        area = 20 * some_plan.weights / some_plan.weights.max()
        ax.scatter(some_plan.x0, some_plan.x1, s=area, color="k", lw=0)
    else:
        x0 = some_plan.source.ppf(np.linspace(0.001, 0.999, 999))
        ax.plot(x0, some_plan.transport(x0), "k")
    ax.set(xlabel="$x_0$", ylabel="$x_1$")
    return ax


def _draw_marginals(grid: GridPlan, ax: Any) -> None:
    """Draw both marginal densities outside the axes, on the scales of its edges."""
    h0, h1 = grid.x0[1] - grid.x0[0], grid.x1[1] - grid.x1[0]
    p0, p1 = grid.mass.sum(axis=1) / h0, grid.mass.sum(axis=0) / h1
    above = ax.inset_axes((0.0, 1.03, 1.0, 0.2), sharex=ax)
    above.fill_between(grid.x0, p0, color="0.8", lw=0)
    above.plot(grid.x0, p0, color="k", lw=1)
    above.set(ylim=(0, None), ylabel="$p_0$")
    beside = ax.inset_axes((1.03, 0.0, 0.2, 1.0), sharey=ax)
    beside.fill_betweenx(grid.x1, p1, color="0.8", lw=0)
    beside.plot(p1, grid.x1, color="k", lw=1)
    beside.set(xlim=(0, None), xlabel="$p_1$")
    for side, hidden in ((above, "labelbottom"), (beside, "labelleft")):
        side.tick_params(**{hidden: False})
        side.spines[["top", "right"]].set_visible(False)
    above.set_yticks([])
    beside.set_xticks([])


def difference(recovered: GridPlan, truth: Any, ax: Any = None) -> Any:
    """Draw the recovered density less the true one, on the recovered plan's grid."""
    ax = axes_of(ax)
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
    ax.contour(  # negative levels are dashed: the sign without colour
        recovered.x0, recovered.x1, delta, [-most / 2, most / 2], colors="k", linewidths=0.7
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
    ax = axes_of(ax)
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
    _, axes = pyplot().subplots(2, 2, figsize=(9.6, 7.6), layout="constrained")
    exact = _on_grid("truth", truth, recovered)
    vmax = float(_density(exact).max())
    plan(exact, axes[0, 0], vmax=vmax).set_title("true plan")
    plan(recovered, axes[0, 1], vmax=vmax).set_title("recovered from the field alone")
    difference(recovered, exact, axes[1, 0]).set_title("recovered less true")
    marginal_path(recovered, axes[1, 1]).set_title("marginal path of the recovered plan")
    for ax in axes.flat[:3]:
        ax.set(xlabel=names[0], ylabel=names[1])
    return axes
