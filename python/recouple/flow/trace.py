"""How a flow map follows points: one call of the compiled core, and what to make of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple import _core
from recouple.arguments import FloatArray, generator, real_array, thread_count
from recouple.field import VelocityField
from recouple.flow.solution import Flow, FlowStatus
from recouple.plan.base import Points
from recouple.progress import Progress, progress_callback

if TYPE_CHECKING:
    from recouple.flow.map import FlowMap

__all__ = ["trace"]

_METHODS = _core.Method.__members__
_DOUBLE, _SINGLE = 6e-6, 5e-3  # steps of differences: cube roots of eps, for each precision
_NO_TIMES = np.empty(0)


def trace(
    flow_map: FlowMap,
    x0: ArrayLike,
    *,
    t_eval: ArrayLike | None,
    dense: bool,
    log_density: bool | str,
    jacobian: bool,
    throw: bool,
    rng: int | np.random.Generator | None,
    num_threads: int | None,
    progress: Progress,
) -> Flow:
    """Integrate; :func:`recouple.integrate` says what the arguments mean."""
    field, dim = flow_map.field, flow_map.field.dim
    points = Points("x0", x0, dim, finite=False)
    times = _NO_TIMES if t_eval is None else real_array("t_eval", t_eval, ndim=1, empty=True)
    if not (isinstance(log_density, bool) or log_density == "hutchinson"):
        raise ValueError(f"log_density must be True, False or 'hutchinson', got {log_density!r}")
    carried, difference, seed = _core.Carried.nothing, _DOUBLE, 0
    if jacobian or log_density:
        carried = _core.Carried.jacobian if jacobian else _core.Carried.log_det
        seed = 0 if rng is None else int(generator(rng).integers(2**63))
        if not field.native and len(points):
            difference = _difference_step(field, points.rows, flow_map.t0)
    callback = progress_callback(progress, "integrate")
    threads = thread_count(num_threads)

    def solve(rows: FloatArray, end: float, at: FloatArray, what: Any, keep: bool) -> Any:
        return _core.integrate(
            field._core,
            rows,
            flow_map.t0,
            end,
            at,
            _METHODS[flow_map.method],
            flow_map.rtol or 1.0,
            flow_map.atol or 0.0,
            flow_map.max_steps,
            flow_map.steps or 0,
            what,
            difference,
            log_density == "hutchinson",
            seed,
            keep,
            threads,
            callback,
        )

    solved = solve(points.rows, flow_map.t1, times, carried, dense)
    end, along, reached, status, taken, rejected, evaluations, at, along_at, kept, ok, error = (
        solved
    )
    x, x_reached = (end if t_eval is None else at), end
    along = along if t_eval is None else along_at
    if not ok:
        crossed = status == FlowStatus.crossed
        late: NDArray[np.bool_] = np.zeros(0, dtype=bool)
        if crossed.any():
            meet, places = _locate_crossing(solve, points.rows, crossed, flow_map)
            x_reached = end.copy()
            reached[crossed], x_reached[crossed] = meet, places
            late = (times - meet) * (flow_map.t1 - flow_map.t0) > 0
        if t_eval is None:
            x = end.copy()
            x[status != 0] = along[status != 0] = np.nan
        else:
            x[np.ix_(late, crossed)] = along[np.ix_(late, crossed)] = np.nan

    per_point = np.shape(points.restore(reached, rank=0))

    def shaped(values: NDArray[Any], rank: int) -> Any:
        if t_eval is None:
            return _sealed(points.restore(values, rank=rank))
        one = points.restore(np.empty((len(points),) + (dim,) * rank), rank=rank)
        return _sealed(values.reshape(times.shape + one.shape).astype(one.dtype, copy=False))

    log_det = matrix = None
    if jacobian:
        matrix = shaped(along, 2)
        with np.errstate(divide="ignore"):  # log 0 where the map has collapsed
            dets = np.linalg.slogdet(along.reshape(*along.shape[:-1], dim, dim))[1]
        log_det = shaped(dets, 0)
    elif log_density:
        log_det = shaped(along, 0)
    flow = Flow(
        x=shaped(x, 1),
        t=flow_map.t1 if t_eval is None else _sealed(times.copy()),
        log_det=log_det,
        jacobian=matrix,
        status=_sealed(status.reshape(per_point)),
        steps=_sealed(taken.reshape(per_point)),
        rejected=_sealed(rejected.reshape(per_point)),
        evaluations=_sealed(evaluations.reshape(per_point)),
        t_reached=_sealed(reached.reshape(per_point)),
        x_reached=_sealed(points.restore(x_reached)),
        error=error,
        map=flow_map,
        _dense=kept,
    )
    if error is not None and throw:
        _attach(error, flow)
        raise error
    return flow


def _attach(error: BaseException, flow: Flow) -> None:
    try:
        error.flow = flow  # type: ignore[attr-defined]
    except AttributeError:  # an exception with no room for attributes surfaces without the state
        return


def _sealed(array: Any) -> Any:
    if isinstance(array, np.ndarray):
        array.setflags(write=False)
    return array


def _difference_step(field: VelocityField, rows: FloatArray, t: float) -> float:
    """Step of differences that suits the precision of the callable: it is asked at one point."""
    function = field._origin[0]
    first = rows[:1, 0] if field.dim == 1 else rows[:1]
    try:
        dtype = str(getattr(function(t, first.copy()), "dtype", ""))
    except Exception:  # it will be raised, with the state, by the integration
        return _DOUBLE
    return _SINGLE if dtype.endswith("float32") else _DOUBLE


def _locate_crossing(
    solve: Callable[..., Any], rows: FloatArray, crossed: NDArray[np.bool_], flow_map: FlowMap
) -> tuple[float, FloatArray]:
    """Find the time before the first crossing, to 1/4096 of the interval, and the places then."""
    chosen = np.flatnonzero(crossed)
    chosen = chosen[np.argsort(rows[chosen, 0], kind="stable")]
    if chosen.size > 1024:  # neighbours in each stretch are enough to see when it happens
        chosen = chosen[np.linspace(0, chosen.size - 1, 1024).astype(int)]
    low, high = flow_map.t0, flow_map.t1
    for _ in range(2):
        times = np.linspace(low, high, 65)
        paths = solve(rows[chosen], high, times, _core.Carried.nothing, False)[7][:, :, 0]
        turned = (np.diff(paths, axis=1) < 0).any(axis=1)
        k = max(1, int(np.argmax(turned)))
        low, high = float(times[k - 1]), float(times[k])
    places = solve(rows[crossed], low, _NO_TIMES, _core.Carried.nothing, False)[0]
    return low, places
