"""How a flow map follows points: one call of the compiled core, and what to make of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple import _core
from recouple.arguments import FloatArray, generator, real_array, thread_count
from recouple.field import VelocityField
from recouple.flow.solution import Flow, FlowStatus, made
from recouple.progress import Progress, progress_callback

if TYPE_CHECKING:
    from recouple.flow.map import FlowMap

__all__ = ["trace"]

_METHODS = _core.Method.__members__
_DOUBLE, _SINGLE = 6e-6, 5e-3  # steps of differences: cube roots of eps, for each precision
_NOTHING = _core.Carried.nothing


def trace(
    flow_map: FlowMap,
    x0: ArrayLike,
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
    field = flow_map.field
    x, single = _points(x0, field.dim)
    times = None if t_eval is None else real_array("t_eval", t_eval, ndim=1, empty=True)
    carried, difference, seed = _NOTHING, _DOUBLE, 0
    if jacobian or log_density is not False:
        if not (log_density is True or log_density in (False, "hutchinson")):
            raise ValueError(
                f"log_density must be True, False or 'hutchinson', got {log_density!r}"
            )
        carried = _core.Carried.jacobian if jacobian else _core.Carried.log_det
        seed = 0 if rng is None else int(generator(rng).integers(2**63))
        if not field.native and x.size:
            difference = _difference_step(field, x, flow_map.t0)
    callback = None if progress is None else progress_callback(progress, "integrate")
    threads = 0 if num_threads is None else thread_count(num_threads)

    def solve(points: FloatArray, end: float, at: Any, what: Any, keep: bool) -> Any:
        return _core.integrate(
            field._core,
            points,
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
            field._collisions,
            keep,
            threads,
            callback,
        )

    solved = solve(x, flow_map.t1, times, carried, dense)
    end, along, reached, status, taken, rejected, evaluations, at, along_at, kept, ok, error = (
        solved
    )
    end_x = end
    if not ok:
        end, along, reached, end_x, at, along_at = _without_lost(solved, x, times, solve, flow_map)
    if times is not None:
        end, along = at, along_at
        times = times.copy()
        times.setflags(write=False)

    log_det = matrix = None
    if jacobian:
        matrix = along
        log_det = _log_det(along) if field.dim > 1 else np.log(np.abs(along))
    elif log_density:
        log_det = along
    if single:
        end, end_x, reached = (a.astype(np.float32) for a in (end, end_x, reached))
        log_det = None if log_det is None else log_det.astype(np.float32)
        matrix = None if matrix is None else matrix.astype(np.float32)
    if single or jacobian or not ok:
        for array in (end, log_det, matrix, reached, end_x):
            if array is not None:
                array.setflags(write=False)
    if not reached.ndim:  # one trajectory: numbers, not arrays without axes
        end, end_x, reached = end[()], end_x[()], reached[()]
        log_det = None if log_det is None else log_det[()]
        matrix = None if matrix is None else matrix[()]
    flow = made(
        {
            "x": end,
            "t": flow_map.t1 if times is None else times,
            "log_det": log_det,
            "jacobian": matrix,
            "status": status,
            "steps": taken,
            "rejected": rejected,
            "evaluations": evaluations,
            "t_reached": reached,
            "x_reached": end_x,
            "error": error,
            "map": flow_map,
            "_dense": kept,
        }
    )
    if error is not None and throw:
        _attach(error, flow)
        raise error
    return flow


def _points(x0: ArrayLike, dim: int) -> tuple[FloatArray, bool]:
    """Return the points as float64, in the shape they came in, and whether they were float32."""
    array: Any = x0
    single = False
    if type(x0) is float:
        array = np.array(x0)
    elif type(x0) is not np.ndarray or x0.dtype != np.float64 or not x0.flags.carray:
        single = str(getattr(x0, "dtype", "")).endswith("float32")
        array = real_array("x0", x0, finite=False, empty=True)
    rank = array.ndim
    if dim == 1:
        fits = rank < 2 or (rank == 2 and array.shape[1] == 1)
    else:
        fits = rank in (1, 2) and array.shape[-1] == dim
    if not fits:
        need = "(n,)" if dim == 1 else f"(n, {dim})"
        raise ValueError(f"x0 must have shape {need}, got {array.shape}")
    return array, single


def _without_lost(
    solved: tuple[Any, ...],
    x: FloatArray,
    times: FloatArray | None,
    solve: Callable[..., Any],
    flow_map: FlowMap,
) -> tuple[Any, ...]:
    """NaN where trajectories did not get, and collisions located; copies of what changes."""
    end, along, reached, status, *_, at, along_at, _, _, _ = solved
    place = end
    # Those that leapt over a collision are known by their order at the end.
    crossed = (status.reshape(-1) == FlowStatus.collision) & (reached.reshape(-1) == flow_map.t1)
    if crossed.any():
        meet, places = _locate_crossing(solve, x.reshape(-1), crossed, flow_map)
        reached, place = reached.copy(), end.copy()
        reached.reshape(-1)[crossed] = meet
        place.reshape(-1)[crossed] = places
        if times is not None:
            at = at.copy()
            along_at = None if along_at is None else along_at.copy()
            late = (times - meet) * (flow_map.t1 - flow_map.t0) > 0
            for values in (at, along_at):
                if values is not None:
                    values.reshape(len(times), -1)[np.ix_(late, crossed)] = np.nan
    lost = status != 0
    end = end.copy()
    end[lost] = np.nan
    if along is not None:
        along = along.copy()
        along[lost] = np.nan
    return end, along, reached, place, at, along_at


def _log_det(jacobian: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):  # log 0 where the map has collapsed
        log_det: FloatArray = np.asarray(np.linalg.slogdet(jacobian)[1])
    return log_det


def _attach(error: BaseException, flow: Flow) -> None:
    try:
        error.flow = flow  # type: ignore[attr-defined]
    except AttributeError:  # an exception with no room for attributes surfaces without the state
        return


def _difference_step(field: VelocityField, x: FloatArray, t: float) -> float:
    """Step of differences that suits the precision of the callable: it is asked at one point."""
    function = field._origin[0]
    if callable(getattr(function, "parameters", None)):  # a torch module
        weights = next(iter(function.parameters()), None)
        return _SINGLE if str(getattr(weights, "dtype", "")).endswith("float32") else _DOUBLE
    first = x.reshape(-1)[:1] if field.dim == 1 else x.reshape(-1, field.dim)[:1]
    try:
        dtype = str(getattr(function(t, first.copy()), "dtype", ""))
    except Exception:  # it will be raised, with the state, by the integration
        return _DOUBLE
    return _SINGLE if dtype.endswith("float32") else _DOUBLE


def _locate_crossing(
    solve: Callable[..., Any], x: FloatArray, crossed: NDArray[np.bool_], flow_map: FlowMap
) -> tuple[float, FloatArray]:
    """Find the time before the first crossing, to 1/4096 of the interval, and the places then."""
    chosen = np.sort(x[crossed])
    if chosen.size > 1024:  # neighbours in each stretch are enough to see when it happens
        chosen = chosen[np.linspace(0, chosen.size - 1, 1024).astype(int)]
    low, high = flow_map.t0, flow_map.t1
    for _ in range(2):
        times = np.linspace(low, high, 65)
        paths = solve(chosen, high, times, _NOTHING, False)[7]
        turned = (np.diff(paths, axis=1) < 0).any(axis=1)
        k = max(1, int(np.argmax(turned)))
        low, high = float(times[k - 1]), float(times[k])
    return low, solve(x[crossed], low, None, _NOTHING, False)[0]
