"""Flows: the trajectories of dx/dt = v(t, x) from many starting points at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple import _core
from recouple.arguments import (
    FloatArray,
    frozen,
    real_array,
    real_number,
    thread_count,
    whole_number,
)
from recouple.field import VelocityField, as_field
from recouple.progress import Progress, progress_callback

__all__ = ["Flow", "integrate"]

STATUS = ("ok", "step_too_small", "too_many_steps", "non_finite", "stopped")
_FIXED = ("euler", "midpoint", "heun", "rk4")
_METHODS = {name: getattr(_core.Method, name) for name in _core.Method.__members__}


@dataclass(frozen=True, slots=True)
class Flow:
    """Where trajectories went, and how. Made by :func:`integrate`.

    Attributes
    ----------
    x : array
        Points at ``t``: shaped like ``x0``, or (T, n) or (T, n, D) with ``t_eval``. NaN where a
        trajectory did not get there.
    t : float or array of shape (T,)
        ``t1``, or ``t_eval``.
    log_det : array or None
        log |det d phi|, if asked for.
    status : array of uint8
        0 where all is well; ``Flow.messages`` words the others.
    steps, rejected, evaluations : arrays of int32
        Steps taken, steps refused and evaluations of the field, per trajectory.
    t_reached, x_reached : arrays
        How far each trajectory got, and where: ``t1`` and the point there if all is well.
    """

    x: FloatArray
    t: float | FloatArray
    log_det: FloatArray | None
    status: NDArray[np.uint8]
    steps: NDArray[np.int32]
    rejected: NDArray[np.int32]
    evaluations: NDArray[np.int32]
    t_reached: FloatArray
    x_reached: FloatArray

    @property
    def ok(self) -> bool:
        """Whether all trajectories reached the end."""
        return not self.status.any()


def integrate(
    field: VelocityField | Callable[[Any, Any], Any],
    x0: ArrayLike,
    t0: float = 0.0,
    t1: float = 1.0,
    *,
    method: str = "dopri5",
    rtol: float | None = None,
    atol: float | None = None,
    steps: int | None = None,
    max_steps: int = 100_000,
    t_eval: ArrayLike | None = None,
    log_density: bool = False,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Flow:
    """Solve dx/dt = v(t, x) from ``t0`` to ``t1``, forwards or backwards."""
    if log_density:
        raise ValueError("log_density is not available yet")
    points = real_array("x0", x0, empty=True)
    if not isinstance(field, VelocityField):
        field = as_field(field, dim=1 if points.ndim < 2 else points.shape[1])
    dim = field.dim
    if dim == 1 and points.ndim > 1:
        raise ValueError(f"x0 must have shape (n,), got {points.shape}")
    if dim > 1 and (points.ndim not in (1, 2) or points.shape[-1] != dim):
        raise ValueError(f"x0 must have shape (n, {dim}), got {points.shape}")
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(_METHODS)}, got {method!r}")
    if method in _FIXED:
        if rtol is not None or atol is not None:
            raise ValueError(f"{method} takes steps, not rtol or atol")
        if steps is None:
            raise ValueError(f"{method} takes equal steps: give steps, the number of them")
    elif steps is not None:
        raise ValueError(f"{method} chooses its own steps: give rtol and atol, not steps")
    relative = 1e-6 if rtol is None else real_number("rtol", rtol, positive=True)
    absolute = 1e-3 * relative if atol is None else real_number("atol", atol, minimum=0)
    grid = real_array("t_eval", [] if t_eval is None else t_eval, ndim=1, empty=True)
    batch = points.reshape(-1) if dim == 1 else points.reshape(-1, dim)
    end, reached, status, taken, rejected, evaluations, at = _core.integrate(
        field._core,
        batch,
        real_number("t0", t0),
        real_number("t1", t1),
        grid,
        _METHODS[method],
        relative,
        absolute,
        whole_number("max_steps", max_steps, minimum=1),
        1 if steps is None else whole_number("steps", steps, minimum=1),
        thread_count(num_threads),
        progress_callback(progress, "integrate"),
    )
    end = end.reshape(points.shape)
    per_point = points.shape if dim == 1 else points.shape[:-1]
    if t_eval is not None:
        x = at.reshape(grid.shape + points.shape)
    elif status.any():
        x = end.copy()
        x[status.reshape(per_point) != 0] = np.nan
    else:
        x = end
    for array in (x, end, reached, status, taken, rejected, evaluations):
        array.setflags(write=False)
    return Flow(
        x=x,
        t=float(t1) if t_eval is None else frozen(grid),
        log_det=None,
        status=status.reshape(per_point),
        steps=taken.reshape(per_point),
        rejected=rejected.reshape(per_point),
        evaluations=evaluations.reshape(per_point),
        t_reached=reached.reshape(per_point),
        x_reached=end,
    )
