"""Velocity fields v(t, x) = E[dX_t/dt | X_t = x]: of plans, and of anything callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, real_array, thread_count, whole_number
from recouple.interpolant import LINEAR, Interpolant
from recouple.plan import Plan

__all__ = ["VelocityField", "as_field", "velocity_field"]


class VelocityField:
    """A velocity field ``v(t, x)``, time first.

    Made by :func:`velocity_field` (closed form, evaluated by the compiled core) or
    :func:`as_field` (a callable); ``native`` tells which. Immutable; pickles if what it was made
    from does.
    """

    __slots__ = ("_core", "_maker", "_origin")

    def __init__(self, core: _core.Field, maker: Callable[..., VelocityField], *origin: Any):
        self._core = core
        self._maker = maker
        self._origin = origin

    @property
    def dim(self) -> int:
        """Dimension D of the space the field lives on."""
        return self._core.dim

    @property
    def native(self) -> bool:
        """Whether the compiled core evaluates the field without Python."""
        return self._core.native

    def __call__(
        self, t: ArrayLike, x: ArrayLike, *, num_threads: int | None = None
    ) -> FloatArray:
        """Evaluate the field.

        Parameters
        ----------
        t : float or array of shape (n,)
            One time for all points, or one for each.
        x : array of shape (n,) on the line (or a scalar), (n, D) otherwise
            Where; in length units.
        num_threads : int, optional
            Threads of a native field; the result does not depend on it.

        Returns
        -------
        array shaped like x
            Velocities, in length per unit time.
        """
        points = real_array("x", x, finite=False, empty=True)
        flat = points.reshape(-1) if self.dim == 1 else points
        if self.dim == 1 and points.ndim > 1:
            raise ValueError(f"x must have shape (n,), got {points.shape}")
        if self.dim > 1 and (points.ndim != 2 or points.shape[1] != self.dim):
            raise ValueError(f"x must have shape (n, {self.dim}), got {points.shape}")
        times = real_array("t", t)
        if times.ndim > 1 or times.size not in (1, len(flat)):
            raise ValueError(
                f"t must be a number or have shape ({len(flat)},), got shape {times.shape}"
            )
        velocities = self._core(np.ravel(times), flat, thread_count(num_threads))
        return velocities.reshape(points.shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._maker, self._origin

    def __repr__(self) -> str:
        origin = ", ".join(repr(part) for part in self._origin)
        return f"{self._maker.__name__}({origin})"


def velocity_field(plan: Plan, interpolant: Interpolant = LINEAR) -> VelocityField:
    r"""Velocity field of a plan: the mean velocity among the paths through a point.

    .. math:: v(t, x) = E[a'(t) X_0 + b'(t) X_1 \mid a(t) X_0 + b(t) X_1 = x]

    Parameters
    ----------
    plan : GaussianPlan, MixturePlan or GridPlan
        Joint law of (X0, X1). An :class:`AtomicPlan` has a field only where X_t has atoms: give
        ``plan.smoothed(bandwidth)`` instead.
    interpolant : Interpolant
        ``LINEAR`` or ``TRIGONOMETRIC``.

    Returns
    -------
    VelocityField

    Raises
    ------
    ValueError
        If the plan is atomic.

    Notes
    -----
    Accuracy: mixtures are closed forms, to a few ulp of the largest term; a grid plan's field has
    the error of its spline density, O(h^4). Cost: O(n K) for n points and K components, O(n N) for
    a grid of N points a side.

    Source: Lipman et al. (2023), Albergo & Vanden-Eijnden (2023) for the conditional expectation;
    the Gaussian algebra is conditioning of joint normals.

    Examples
    --------
    >>> import recouple as rc
    >>> field = rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 2.0))
    >>> field(0.0, [0.0, 1.0])
    array([1. , 0.5])
    """
    return VelocityField(plan._field(interpolant), velocity_field, plan, interpolant)


def as_field(function: Callable[[Any, Any], Any] | VelocityField, dim: int = 1) -> VelocityField:
    """Turn a callable ``v(t, x)`` into a field.

    Parameters
    ----------
    function : callable
        Called with ``t`` (a float, or an array of shape (n,)) and ``x`` of shape (n,) on the line,
        (n, D) otherwise; returns an array shaped like ``x``. A :class:`VelocityField` is returned
        as it is.
    dim : int
        Dimension D.

    Returns
    -------
    VelocityField
        Runs on the caller's thread, on whole batches. Whatever the callable raises surfaces from
        the call that evaluated it.

    Raises
    ------
    ValueError
        If ``function`` is not callable or ``dim`` is not a positive whole number.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.as_field(lambda t, x: -x)(0.5, [1.0, 2.0])
    array([-1., -2.])
    """
    if isinstance(function, VelocityField):
        return function
    if not callable(function):
        raise ValueError(f"field must be callable as v(t, x), got {type(function).__name__}")
    core = _core.callable_field(function, whole_number("dim", dim, minimum=1))
    return VelocityField(core, as_field, function, dim)
