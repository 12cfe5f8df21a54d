"""Velocity fields v(t, x) = E[dX_t/dt | X_t = x], and those of plans."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, real_number, thread_count
from recouple.interpolant import LINEAR, Interpolant
from recouple.plan import Plan
from recouple.plan.base import Points, Side, evaluate

__all__ = ["VelocityField", "velocity_field"]


class VelocityField:
    """A velocity field ``v(t, x)``, time first.

    Made by :func:`velocity_field` (closed form, evaluated by the compiled core) or
    :func:`as_field` (a callable); ``native`` tells which. Immutable; pickles if what it was made
    from does.
    """

    __slots__ = ("_at_collision", "_collisions", "_core", "_maker", "_origin", "_t_range")

    def __init__(
        self,
        core: _core.Field,
        maker: Callable[..., VelocityField],
        *origin: Any,
        collisions: FloatArray | None = None,
        at_collision: Side = "raise",
        t_range: tuple[float, float] = (-math.inf, math.inf),
    ):
        self._core = core
        self._t_range = t_range
        self._maker = maker
        self._origin = origin
        self._collisions = collisions
        self._at_collision = at_collision

    @property
    def dim(self) -> int:
        """Dimension D of the space the field lives on."""
        return self._core.dim

    @property
    def t_range(self) -> tuple[float, float]:
        """Times at which the field is known: [0, 1] for a plan's, all for a callable's."""
        return self._t_range

    @property
    def native(self) -> bool:
        """Whether the compiled core evaluates the field without Python."""
        return self._core.native

    def __call__(self, t: ArrayLike, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Evaluate the field.

        Parameters
        ----------
        t : float or array of shape (n,)
            One time for all points, or one for each.
        x : array of shape (n,) on the line (or a scalar), (n, D) otherwise
            Where; in length units. float32 gives float32, computed in float64.
        num_threads : int, optional
            Threads of a native field; the result does not depend on it.

        Returns
        -------
        array shaped like x
            Velocities, in length per unit time.
        """
        return evaluate(self._core, t, x, num_threads, self._collisions, self._at_collision)

    @property
    def differentiable(self) -> bool:
        """Whether :meth:`divergence` and :meth:`jacobian` are known; native fields are."""
        return self._core.differentiable

    def divergence(self, t: float, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Divergence of v(t, .) at x: a number for each point. ValueError for a callable."""
        points = Points("x", x, self.dim, finite=False)
        at = real_number("t", t)
        _, div = self._core.divergence(at, points.rows, thread_count(num_threads))
        return points.restore(div, rank=0)

    def jacobian(self, t: float, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Jacobian of v(t, .) at x: a number for each point on the line, (n, D, D) otherwise.

        Entry [i, r, c] is the derivative of v_r along x_c. ValueError for a callable.
        """
        points = Points("x", x, self.dim, finite=False)
        at = real_number("t", t)
        jac = self._core.jacobian(at, points.rows, thread_count(num_threads))
        return points.restore(jac, rank=2 if self.dim > 1 else 0)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._maker, self._origin

    def __repr__(self) -> str:
        origin = ", ".join(repr(part) for part in self._origin if not isinstance(part, str))
        return f"{self._maker.__name__.lstrip('_')}({origin})"


def velocity_field(
    plan: Plan, interpolant: Interpolant = LINEAR, *, at_collision: Side = "raise"
) -> VelocityField:
    r"""Velocity field of a plan: the mean velocity among the paths through a point.

    .. math:: v(t, x) = E[a'(t) X_0 + b'(t) X_1 \mid a(t) X_0 + b(t) X_1 = x]

    Parameters
    ----------
    plan : Plan
        Joint law of (X0, X1). An :class:`AtomicPlan` has a velocity at its atoms only: give
        ``plan.smoothed(bandwidth)`` instead.
    interpolant : Interpolant
        ``LINEAR``, ``TRIGONOMETRIC``, ``COSINE`` or one of :func:`custom_interpolant`.
    at_collision : "raise", "before" or "after"
        What a call of the field does at a time in ``plan.collision_times(interpolant)``, where X_t
        is singular (a data set at t = 1): raise, or give the limit from earlier or later times,
        which may be infinite. Integrators evaluate the compiled field, which takes no limits.

    Returns
    -------
    VelocityField

    Raises
    ------
    ValueError
        If the plan is atomic or no plan, or ``at_collision`` is none of the three.

    Notes
    -----
    Accuracy: Gaussians, mixtures and data sets are closed forms, to a few ulp of the largest term
    times the condition number of Cov(X_t); a grid plan's field has the error of its spline density,
    O(h^4); products and monotone plans say theirs. Cost for n points: O(n K D^2) with K components
    (and O(K D^3) for each new time), O(n m D) for a data set of m rows, O(n N) for a grid of N
    points a side.

    Source: Lipman et al. (2023), Albergo & Vanden-Eijnden (2023) for the conditional expectation;
    the Gaussian algebra is conditioning of joint normals.

    Examples
    --------
    >>> import recouple as rc
    >>> field = rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 2.0))
    >>> field(0.0, [0.0, 1.0])
    array([1. , 0.5])
    """
    if at_collision not in ("raise", "before", "after"):
        raise ValueError(f'at_collision must be "raise", "before" or "after", got {at_collision!r}')
    if not hasattr(plan, "_field"):
        raise ValueError(f"plan must be a plan, got {type(plan).__name__}")
    return VelocityField(
        plan._field(interpolant),
        _velocity_field,
        plan,
        interpolant,
        at_collision,
        collisions=plan.collision_times(interpolant),
        at_collision=at_collision,
        t_range=(0.0, 1.0),
    )


def _velocity_field(plan: Plan, interpolant: Interpolant, at_collision: Side) -> VelocityField:
    return velocity_field(plan, interpolant, at_collision=at_collision)
