"""What a field tells: trajectories, the laws of X_t by tracing edges, and their moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recouple import _core
from recouple.arguments import FloatArray
from recouple.field import VelocityField, velocity_field
from recouple.flow import integrate
from recouple.interpolant import LINEAR
from recouple.inverse.breakdown import breakdown
from recouple.inverse.dual import (
    NODES,
    Options,
    features_of,
    grid_masses,
    knots_over,
)
from recouple.inverse.recovery import (
    TAILS,
)
from recouple.marginal import Marginal
from recouple.plan import GridPlan

FINER = 1.5  # change of the ratio of the spreads after which the steps are laid out anew
MOST_SWEEPS = 4
LEVELS = (np.arange(200) + 0.5) / 200  # of the trajectories on which fields are compared


@dataclass(frozen=True)
class Layout:
    """Where the problem is discretised: the grid, the times, and the knots at each time."""

    x0: FloatArray
    x1: FloatArray
    times: FloatArray
    knots: FloatArray
    features: list[_core.SplineFeatures]
    nodes: list[FloatArray]  # abscissae of each time's cdf


@dataclass(frozen=True)
class Data:
    """What the flow of v tells: the end masses and the moments of every p_t."""

    mass0: FloatArray
    mass1: FloatArray
    moments: FloatArray
    cdf: list[FloatArray]  # of X_t at the nodes, both readings together
    mismatch: float | None


def trajectories(
    field: VelocityField, source: Marginal, options: Options, steps: int
) -> tuple[FloatArray, FloatArray]:
    """Return the source's quantiles at LEVELS and its tails, at time 0 and carried to time 1."""
    levels = np.concatenate([TAILS, 1 - TAILS, [options.tail, 1 - options.tail], LEVELS])
    start = source.ppf(levels)
    _check_values(field, np.zeros(1), [start])
    ratio, times = 1.0, np.array([0.0, 1.0])
    for _ in range(MOST_SWEEPS):
        groups = [start] + [start[:0]] * (len(times) - 1)
        end = _sweep(field, times, groups, steps, options.threads, len(times) - 1)[0]
        before, ratio = ratio, float(np.std(end[8:]) / np.std(start[8:]))
        # Of unlike spreads most of the path lies in a corner of [0, 1], where the steps must be.
        if ratio == 0 or 1 / FINER < ratio / before < FINER:
            break
        times = even_times(options.times, ratio)
    return start, end


def even_times(count: int, ratio: float) -> FloatArray:
    """Return times at equal angles of view, for ``ratio`` the spread of X1 over that of X0.

    X_t looks at the standardised plan along 1 - t : t ratio.
    """
    angle = np.linspace(0, np.pi / 2, count)
    times: FloatArray = np.sin(angle) / (np.sin(angle) + np.cos(angle) * ratio)
    times[0], times[-1] = 0.0, 1.0
    return times


def layout_of(start: FloatArray, end: FloatArray, ends1: FloatArray, options: Options) -> Layout:
    """Return where the problem is discretised, from the reach of both ends."""
    ends0 = start[6:8]
    if not ends0[1] > ends0[0] or not ends1[1] > ends1[0]:
        raise ValueError(
            f"source and target must spread over an interval, got {ends0.tolist()} at time 0 and "
            f"{ends1.tolist()} at time 1"
        )
    x0, x1 = (np.linspace(lo, hi, options.grid) for lo, hi in (ends0, ends1))
    times = even_times(options.times, float(np.std(end[8:]) / np.std(start[8:])))
    knots = knots_over(times, ends0, ends1, options)
    features = features_of(times, knots)
    return Layout(
        x0, x1, times, knots, features, [_core.moment_abscissae(f, NODES) for f in features]
    )


def data_of(
    field: VelocityField,
    source: Marginal,
    target: Marginal | None,
    layout: Layout,
    options: Options,
    steps: int,
) -> Data:
    """Return the laws of X_t at all times, by tracing their edges to both ends."""
    times, nodes, threads = layout.times, layout.nodes, options.threads
    _check_values(field, times, nodes)

    # Cells of the grid around x1 go along with the nodes of time 1: they give p_1 if need be.
    half = 0.5 * (layout.x1[1] - layout.x1[0])
    edges = np.concatenate([layout.x1 - half, [layout.x1[-1] + half]])
    last = np.concatenate([nodes[-1], edges])
    at0 = _sweep(field, times[::-1], [last, *nodes[-2::-1]], steps, threads, len(times) - 1)[::-1]
    at0[-1], edges = np.split(at0[-1], [len(nodes[-1])])
    cdf0 = [source.cdf(x) for x in at0]
    from0 = moments_of(layout, options, cdf0)
    mass0 = grid_masses("source", source, layout.x0)
    if target is None:
        mass1 = _cell_masses(source.cdf(edges), source.sf(edges))
        return Data(mass0, mass1, from0, cdf0, None)

    cdf1 = [target.cdf(x) for x in _sweep(field, times, nodes, steps, threads, len(times) - 1)]
    # Errors grow along the way: each end counts by the other's squared distance, for which the
    # angle stands at which X_t looks at the standardised plan.
    share = np.cos(np.linspace(0, np.pi / 2, len(times))) ** 2
    both = [w * f0 + (1 - w) * f1 for w, f0, f1 in zip(share, cdf0, cdf1, strict=True)]
    # The gap belongs to a trajectory, whatever its time: averaged over what mass goes there.
    gap, weight = 0.0, 0.0
    for x, f0, f1, f in zip(nodes, cdf0, cdf1, both, strict=True):
        w = np.gradient(f, x)
        gap, weight = gap + float(w @ (f0 - f1) ** 2), weight + float(w.sum())
    return Data(
        mass0,
        grid_masses("target", target, layout.x1),
        moments_of(layout, options, both),
        both,
        float(np.sqrt(gap / weight)),
    )


def moments_of(layout: Layout, options: Options, cdfs: Sequence[FloatArray]) -> FloatArray:
    """Return the moments of all times, one after the other, from the cdfs at their nodes."""
    if not layout.features:  # the nodes are edges of bins
        return np.zeros(0)
    return np.concatenate(
        [
            _core.spline_moments_of_cdf(f, options.degree, NODES, cdf)
            for f, cdf in zip(layout.features, cdfs, strict=True)
        ]
    )


def _sweep(
    field: VelocityField,
    times: FloatArray,
    groups: Sequence[FloatArray],
    steps: int,
    threads: int,
    views: int,
) -> list[FloatArray]:
    """Carry the points of each time along the flow to the last of ``times``.

    All points in flight share their time, so a step is one call of the field. Steps are shared by
    length, but no interval of ``views`` gets fewer than the shortest for ends of equal spread:
    where the spreads differ most of the turn is in short ones.
    """
    moving = groups[0]
    for before, after, joining in zip(times[:-1], times[1:], groups[1:], strict=True):
        share = max(abs(after - before), np.pi / 4 / views)
        some = max(1, int(np.ceil(steps * share - 1e-9)))
        left = moving
        moving = integrate(
            field, moving, before, after, method="rk4", steps=some, num_threads=threads or None
        ).x
        if not np.isfinite(moving).all():
            raise ValueError(breakdown(field, left, before, after, some))
        moving = np.concatenate([moving, joining])
    sizes = np.cumsum([len(g) for g in groups])[:-1]
    return np.split(moving, sizes)


def along(
    field: VelocityField, x: FloatArray, layout: Layout, options: Options, steps: int
) -> tuple[FloatArray, FloatArray]:
    """Return the trajectories from x at the layout's times, and the field along them."""
    paths, speeds = [], []
    views = len(layout.times) - 1
    for before, t in zip([0.0, *layout.times[:-1]], layout.times, strict=True):
        if t > before:
            span = np.array([before, t])
            x = _sweep(field, span, [x, x[:0]], steps, options.threads, views)[0]
        paths.append(x)
        speeds.append(field(float(t), x))
    return np.array(paths), np.array(speeds)


def field_consistency(
    plan: GridPlan, paths: FloatArray, speeds: FloatArray, layout: Layout
) -> float:
    """Return sqrt(E|v_plan - v|^2 / Var v) along the trajectories of v.

    About the mean of v at each time: what moves all points alike is no sign of a plan.
    """
    recovered = velocity_field(plan, LINEAR)
    gaps = [recovered(float(t), x) - v for t, x, v in zip(layout.times, paths, speeds, strict=True)]
    total = float(np.sum((speeds - speeds.mean(axis=1, keepdims=True)) ** 2))
    return float(np.sqrt(np.sum(np.square(gaps)) / total)) if total > 0 else 0.0


def _check_values(field: VelocityField, times: FloatArray, groups: Sequence[FloatArray]) -> None:
    for t, x in zip(times, groups, strict=True):
        v = field(float(t), x)
        bad = np.flatnonzero(~np.isfinite(v))
        if bad.size:
            i = bad[0]
            raise ValueError(f"field must be finite, got {v[i]} at t = {t:.6g}, x = {x[i]:.6g}")


def _cell_masses(cdf: FloatArray, sf: FloatArray) -> FloatArray:
    """Point masses h p(x_j) from the cdf at the cell edges, to fourth order.

    Differences are taken of the cdf below the median and of the survival function above, so that
    neither tail cancels.
    """
    cells = np.where(cdf[1:] < 0.5, np.diff(cdf), -np.diff(sf))
    padded = np.concatenate([[0.0], cells, [0.0]])
    points: FloatArray = cells - (padded[2:] - 2 * cells + padded[:-2]) / 24
    return np.where(points > 0, points, np.maximum(cells, 0.0))
