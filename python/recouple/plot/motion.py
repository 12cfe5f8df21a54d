"""Pictures of motion: velocity fields and the trajectories they carry."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, generator, real_array, real_number, whole_number
from recouple.field import as_field, velocity_field
from recouple.flow import Flow, integrate
from recouple.marginal import as_marginal
from recouple.plan import Plan
from recouple.plot.axes import axes_of

__all__ = ["field", "trajectories"]

_TAILS = np.array([5e-4, 1 - 5e-4])


def _pale_diverging() -> Any:
    """Return a diverging colour map pale enough for black lines; lines tell the sign in grey."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["PuOr"](np.linspace(0.2, 0.8, 256)))


def trajectories(
    moving: Any,
    ax: Any = None,
    *,
    source: Any = None,
    target: Any = None,
    n: int = 25,
    rng: int | np.random.Generator | None = 0,
) -> Any:
    """Draw trajectories of a flow, with the marginals at both ends.

    On the line: x over t from quantiles of the source at equal steps, between the density of the
    source on the left and that of the target on the right; samples are drawn as histograms. In the
    plane: paths, with rings where they start and dots where they end.

    Parameters
    ----------
    moving : Plan, field or Flow
        A plan's own field, a field ``v(t, x)`` with its ``source``, or a flow with times
        (``integrate(..., t_eval=...)``), which is drawn as it is.
    ax : matplotlib Axes, optional
    source, target : law or array of samples, optional
        Laws at the ends; by default a plan's. Without a target the ends of 2000 trajectories stand
        for it, on the line.
    n : int
        Trajectories of a plan or a field.
    rng : int, Generator or None
        Seed of the source points, in the plane.

    Raises
    ------
    ValueError
        If a field comes without source, a flow without times, or the dimension is above 2.
    """
    count = whole_number("n", n, minimum=1)
    times = np.linspace(0.0, 1.0, 101)
    if isinstance(moving, Flow):
        if np.ndim(moving.t) == 0:
            raise ValueError("moving must hold times: integrate(..., t_eval=...), got one time")
        times, paths = np.asarray(moving.t), np.asarray(moving.x)
        dim = 1 if paths.ndim == 2 else paths.shape[-1]
        _require_drawable(dim)
    else:
        if isinstance(moving, Plan):
            source = moving.source if source is None else source
            target = moving.target if target is None else target
        dim = moving.dim if hasattr(moving, "dim") else _dim_of(source)
        _require_drawable(dim)
        if source is None:
            raise ValueError("source must be given with a field: the law of X0, got None")
        velocity = velocity_field(moving) if isinstance(moving, Plan) else as_field(moving, dim)
        if dim == 1:
            start = as_marginal(source, name="source").ppf((np.arange(count) + 0.5) / count)
        else:
            start = _points(source, count, rng)
        paths = np.asarray(integrate(velocity, start, t_eval=times).x)
        if target is None and dim == 1:
            levels = (np.arange(2000) + 0.5) / 2000
            many = as_marginal(source, name="source").ppf(levels)
            target = np.asarray(integrate(velocity, many).x)
    ax = axes_of(ax)
    if dim == 2:
        ax.plot(paths[..., 0], paths[..., 1], color="0.6", lw=0.8, zorder=1)
        ax.scatter(
            *paths[0].T, s=16, facecolors="w", edgecolors="k", lw=0.8, zorder=2, label="$X_0$"
        )
        ax.scatter(*paths[-1].T, s=16, color="k", lw=0, zorder=3, label="$X_1$")
        ax.set(xlabel="first coordinate", ylabel="second coordinate")
        ax.set_aspect("equal", adjustable="datalim")
        ax.legend(loc="best")
        return ax
    ax.plot(times, paths.reshape(len(times), -1), color="0.35", lw=0.8)
    span = times[-1] - times[0]
    for law, edge, side, name in (
        (source, times[0], -1, "source"),
        (target, times[-1], 1, "target"),
    ):
        if law is not None:
            x, p = _profile(law, name)
            ends = edge + side * span * (0.02 + 0.18 * p / p.max())
            top = float(x[p > 0.01 * p.max()][-1])
            ax.text(
                edge + side * span * 0.11, top, f"$p_{int(side > 0)}$", ha="center", va="bottom"
            )
            ax.fill_betweenx(x, edge + side * span * 0.02, ends, color="0.8", lw=0)
            ax.plot(ends, x, color="k", lw=1)
    ax.set(xlabel="time $t$", ylabel="$x$")
    ax.set_xticks(np.linspace(times[0], times[-1], 6))
    return ax


def field(
    velocity: Any,
    ax: Any = None,
    *,
    t: float | None = None,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    kind: Literal["streamlines", "arrows"] = "streamlines",
) -> Any:
    """Draw a velocity field: over (t, x) on the line, at one time in the plane.

    Parameters
    ----------
    velocity : Plan, VelocityField or callable
        A plan stands for its own field; a callable is one on the line, or in the plane if ``t`` is
        given.
    ax : matplotlib Axes, optional
    t : float
        The time of a picture in the plane.
    x, y : arrays, optional
        Where: ``x`` on the line, both coordinates' values in the plane. By default a plan's central
        99.9%; other fields need them.
    kind : {"streamlines", "arrows"}
        Curves along the field, or arrows as long as it is. On the line colour tells the velocity
        as well.

    Raises
    ------
    ValueError
        If the dimension is above 2, ``t`` is missing in the plane or given on the line, or a place
        is needed and none given.
    """
    if kind not in ("streamlines", "arrows"):
        raise ValueError(f"kind must be 'streamlines' or 'arrows', got {kind!r}")
    dim = velocity.dim if hasattr(velocity, "dim") else 1 if t is None else 2
    _require_drawable(dim)
    if (dim == 2) != (t is not None):
        need = "must be given in the plane" if dim == 2 else "must be left out on the line"
        raise ValueError(f"t {need}, got {t!r}")
    v = velocity_field(velocity) if isinstance(velocity, Plan) else as_field(velocity, dim)
    places = [_place(name, given) for name, given in (("x", x), ("y", y))[:dim]]
    for axis, given in enumerate(places):
        if given is None:
            if not isinstance(velocity, Plan):
                raise ValueError(f"{'xy'[axis]} must be given for a field that is not a plan's")
            places[axis] = _spread(velocity, axis, dim)
    ax = axes_of(ax)
    if dim == 1:
        return _over_time(v, places[0], kind, ax)
    time = real_number("t", t if t is not None else 0.0)
    return _in_plane(v, time, places[0], places[1], kind, ax)


def _over_time(v: Any, x: Any, kind: str, ax: Any) -> Any:
    times = np.linspace(0.0, 1.0, 81)
    values = np.stack([v(float(t), x) for t in times], axis=1)
    most = float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0
    image = ax.pcolormesh(
        times,
        x,
        values,
        cmap=_pale_diverging(),
        vmin=-most,
        vmax=most,
        shading="nearest",
        rasterized=True,
    )
    ax.figure.colorbar(image, ax=ax, label="velocity $v(t, x)$")
    if kind == "streamlines":
        even = np.linspace(x.min(), x.max(), 81)
        slopes = np.stack([v(float(t), even) for t in times], axis=1)
        ax.streamplot(
            times,
            even,
            np.ones_like(slopes),
            slopes,
            color="k",
            linewidth=0.7,
            density=0.8,
            arrowsize=0.8,
        )
    else:
        some_t, some_x = times[2::8], np.linspace(x.min(), x.max(), 17)[1:-1]
        slopes = np.stack([v(float(t), some_x) for t in some_t], axis=1)
        ax.quiver(
            some_t,
            some_x,
            np.full_like(slopes, 0.06),
            0.06 * slopes,
            angles="xy",
            scale=1,
            scale_units="xy",
            width=0.003,
        )
    ax.set(xlabel="time $t$", ylabel="$x$", xlim=(0, 1), ylim=(x.min(), x.max()))
    return ax


def _in_plane(v: Any, t: float, x: Any, y: Any, kind: str, ax: Any) -> Any:
    count = 41 if kind == "streamlines" else 17
    x, y = (np.linspace(side.min(), side.max(), count) for side in (x, y))
    first, second = np.meshgrid(x, y)
    values = v(t, np.column_stack([first.ravel(), second.ravel()]))
    speed = np.hypot(values[:, 0], values[:, 1]).reshape(count, count)
    dx, dy = (values[:, k].reshape(count, count) for k in (0, 1))
    if kind == "streamlines":
        drawn = ax.streamplot(
            x, y, dx, dy, color=speed, cmap="viridis_r", linewidth=1, density=1.1, arrowsize=0.9
        ).lines
    else:
        drawn = ax.quiver(x, y, dx, dy, speed, cmap="viridis_r", angles="xy", pivot="middle")
    ax.set(xlabel="first coordinate", ylabel="second coordinate")
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), aspect="equal")
    beside = ax.inset_axes((1.04, 0.0, 0.05, 1.0))  # as high as the picture, whatever its shape
    ax.figure.colorbar(drawn, cax=beside, label=f"speed $|v({t:g}, x)|$")
    return ax


def _require_drawable(dim: int) -> None:
    if dim > 2:
        raise ValueError(f"pictures of motion are of the line and the plane, got dimension {dim}")


def _dim_of(source: Any) -> int:
    shape = np.shape(source) if isinstance(source, np.ndarray | list) else ()
    return int(getattr(source, "dim", shape[1] if len(shape) == 2 else 1))


def _points(source: Any, count: int, rng: Any) -> FloatArray:
    draw = generator(rng)
    if hasattr(source, "rvs"):
        drawn: FloatArray = np.asarray(source.rvs(count, rng=draw))
        return drawn
    cloud = real_array("source", source, shape=(None, 2))
    return cloud[draw.choice(len(cloud), count, replace=len(cloud) < count)]


def _profile(law: Any, name: str) -> tuple[FloatArray, FloatArray]:
    """Return a curve of the density; of samples, the outline of a histogram."""
    marginal = as_marginal(law, name=name)
    low, high = (float(q) for q in marginal.ppf(_TAILS))
    x = np.linspace(low, high, 201)
    try:
        return x, np.asarray(marginal.pdf(x))
    except (AttributeError, ValueError, NotImplementedError):  # atoms have no density
        levels = (np.arange(4000) + 0.5) / 4000
        mass, edges = np.histogram(marginal.ppf(levels), bins=30, density=True)
        return np.repeat(edges, 2)[1:-1], np.repeat(mass, 2)


def _place(name: str, given: Any) -> FloatArray | None:
    return None if given is None else np.sort(real_array(name, given, ndim=1))


def _spread(plan: Plan, axis: int, dim: int) -> FloatArray:
    """Return values over the central part of both ends of a plan along an axis."""
    if dim == 1:
        ends = np.concatenate([np.ravel(law.ppf(_TAILS)) for law in (plan.source, plan.target)])
    else:
        means = np.array([np.ravel(plan.mean0)[axis], np.ravel(plan.mean1)[axis]])
        reach = 3 * np.sqrt([plan.cov00[axis, axis], plan.cov11[axis, axis]])
        ends = np.concatenate([means - reach, means + reach])
    return np.linspace(ends.min(), ends.max(), 161)
