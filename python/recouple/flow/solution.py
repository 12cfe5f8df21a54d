"""What an integration returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple import _core
from recouple.arguments import real_array, thread_count

if TYPE_CHECKING:
    from recouple.flow.map import FlowMap

__all__ = ["Flow", "FlowStatus"]


class FlowStatus(IntEnum):
    """How a trajectory ended."""

    ok = 0
    step_too_small = 1
    too_many_steps = 2
    non_finite = 3
    stopped = 4
    collision = 5

    @property
    def reason(self) -> str:
        """The same in words."""
        return _REASONS[self]


_REASONS = {
    FlowStatus.ok: "reached the end",
    FlowStatus.step_too_small: (
        "the error stays too large however small the step: the field has a pole or a jump there"
    ),
    FlowStatus.too_many_steps: "took max_steps steps and was not at the end",
    FlowStatus.non_finite: "the field is not finite there",
    FlowStatus.stopped: "stopped before the end, because the field failed",
    FlowStatus.collision: "trajectories meet there, where the field has a pole",
}


@dataclass(frozen=True, eq=False, repr=False)
class Flow:
    r"""Where trajectories went, and how. Made by :func:`integrate`.

    On the line "(n,)" below is the shape of ``x0``; in R^D points have shape (n, D), or (D,) for a
    single one, and what belongs to a trajectory has shape (n,), or ().

    Attributes
    ----------
    x : array, shaped like ``x0``, or (T,) + that shape with ``t_eval``
        Points at ``t``. NaN where the trajectory did not get there, or past a collision.
    t : float, or array of shape (T,)
        ``t1``, or ``t_eval``.
    log_det : array or None
        log \|det d phi / d x0\| of the flow map phi: x0 -> x, so that
        log p_t(x) = log p_t0(x0) - log_det. Like ``x`` without the last axis.
    jacobian : array or None
        d phi / d x0: a number for each point on the line, (n, D, D) otherwise.
    status : array of uint8, (n,)
        A :class:`FlowStatus` for each trajectory, 0 where all is well.
    steps, rejected, evaluations : arrays of int32, (n,)
        Steps taken, steps refused, and evaluations of the field.
    t_reached, x_reached : arrays, (n,) and shaped like ``x0``
        How far each trajectory got, and where that is: ``t1`` and ``x`` there if all is well.
    error : exception or None
        What the field's callable raised, with ``throw=False``.
    map : FlowMap
        The flow map, to apply to other points, to laws, backwards.
    """

    x: Any
    t: Any
    log_det: Any
    jacobian: Any
    status: NDArray[np.uint8]
    steps: NDArray[np.int32]
    rejected: NDArray[np.int32]
    evaluations: NDArray[np.int32]
    t_reached: Any
    x_reached: Any
    error: BaseException | None
    map: FlowMap
    _dense: _core.DenseFlow | None

    @property
    def ok(self) -> bool:
        """Whether all trajectories reached the end."""
        return not np.any(self.status)

    def __call__(self, t: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Points of all trajectories at any time between the ends; needs ``dense=True``.

        Parameters
        ----------
        t : float or array of shape (T,)
            Times between ``t0`` and ``t1``, in any order.

        Returns
        -------
        array
            Shaped like ``x0``, or (T,) + that shape. NaN beyond where a trajectory stopped. The
            error is of the order of the tolerance.
        """
        if self._dense is None:
            raise ValueError("dense output was not kept: integrate(..., dense=True) keeps it")
        times = real_array("t", t)
        if times.ndim > 1:
            raise ValueError(f"t must be a number or have shape (T,), got shape {times.shape}")
        points = self._dense(np.ravel(times), thread_count(num_threads))
        shaped = points.reshape(times.shape + np.shape(self.x_reached))
        return shaped.astype(np.asarray(self.x_reached).dtype, copy=False)[()]

    def summary(self) -> str:
        """Say in words how the trajectories fared."""
        status = np.ravel(self.status)
        work = np.ravel(self.evaluations)
        lines = [
            f"Flow of {status.size} point(s) from t = {self.map.t0:g} to {self.map.t1:g} "
            f"by {self.map.method}"
        ]
        if status.size:
            lines.append(
                f"  steps {_range(self.steps)}, rejected {_range(self.rejected)}, evaluations "
                f"{_range(self.evaluations)}, {int(work.sum(dtype=np.int64))} in all"
            )
        for value in np.unique(status):
            which = np.flatnonzero(status == value)
            kind = FlowStatus(value)
            line = f"  {kind.name}: {which.size}"
            if kind is not FlowStatus.ok:
                i = int(which[0])
                place = np.asarray(self.x_reached).reshape(status.size, -1)[i]
                at = ", ".join(f"{c:g}" for c in place[:4]) + (", ..." if place.size > 4 else "")
                line += (
                    f" ({kind.reason}); the first is point {i}, "
                    f"at t = {np.ravel(self.t_reached)[i]:.6g}, x = {at}"
                )
            lines.append(line)
        if self.error is not None:
            lines.append(f"  the field raised {self.error!r}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        n = np.size(self.status)
        failed = int(np.count_nonzero(self.status))
        state = "ok" if failed == 0 else f"{failed} not ok"
        span = f"t = {self.map.t0:g} to {self.map.t1:g}"
        return f"Flow({n} point(s), {span}, {self.map.method}, {state})"


def made(parts: dict[str, Any]) -> Flow:
    """Return ``Flow(**parts)`` without the two microseconds that takes."""
    flow = object.__new__(Flow)
    object.__setattr__(flow, "__dict__", parts)
    return flow


def _range(counts: NDArray[np.int32]) -> str:
    low, high = int(np.min(counts)), int(np.max(counts))
    return str(low) if low == high else f"{low} to {high}"
