"""Fields from fields: time reversed, another interpolant; what a velocity says of the ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import real_array, real_number
from recouple.field.adapter import as_field
from recouple.field.base import VelocityField
from recouple.interpolant import LINEAR, Interpolant

__all__ = [
    "change_interpolant",
    "expected_ends",
    "reversed_time",
    "score_from_velocity",
    "velocity_from_denoiser",
    "velocity_from_score",
]


def reversed_time(field: Any, dim: int = 1) -> VelocityField:
    """Field of the same paths run backwards: -v(1 - t, x).

    Turns a field of the convention with data at t = 0 into this package's, and back.

    Parameters
    ----------
    field : VelocityField or callable v(t, x)
    dim : int
        Dimension D of a callable.

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 2.0)
    >>> rc.reversed_time(rc.velocity_field(plan))(0.0, [1.0, 3.0])
    array([-1. , -2.5])
    >>> rc.velocity_field(plan.reverse())(0.0, [1.0, 3.0])
    array([-1. , -2.5])
    """
    given = as_field(field, dim)
    collisions = given._collisions
    side = {"raise": "raise", "before": "after", "after": "before"}[given._at_collision]
    return VelocityField(
        _core.reversed_time(given._core),
        reversed_time,
        given,
        collisions=None if collisions is None else 1 - collisions,
        at_collision=side,  # type: ignore[arg-type]
        t_range=(1 - given.t_range[1], 1 - given.t_range[0]),
    )


def change_interpolant(
    field: Any, to: Interpolant, from_: Interpolant = LINEAR, dim: int = 1
) -> VelocityField:
    r"""Field that the plan behind a field has under another interpolant.

    Both X_t are multiples of X0 cos(w) + X1 sin(w), so that at equal angles w = atan2(b, a) one is
    a multiple of the other, y = c x:

    .. math:: v_{to}(t, y) = \frac{\dot c}{c} y + c \dot\tau\, v_{from}(\tau(t), y / c)

    Parameters
    ----------
    field : VelocityField or callable v(t, x)
        A field of the interpolant ``from_``.
    to, from_ : Interpolant
    dim : int
        Dimension D of a callable.

    Notes
    -----
    Exact to rounding; no plan is needed. Where ``from_`` is at rest (at both of COSINE's ends) the
    time change has no rate, and values are not finite there.

    Source: Albergo & Vanden-Eijnden (2023), the reparametrisation of interpolants.

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 2.0)
    >>> field = rc.change_interpolant(rc.velocity_field(plan), rc.TRIGONOMETRIC)
    >>> exact = rc.velocity_field(plan, rc.TRIGONOMETRIC)
    >>> bool(abs(field(0.3, 2.0) - exact(0.3, 2.0)) < 1e-14)
    True
    """
    given = as_field(field, dim)
    collisions = given._collisions
    if collisions is not None and collisions.size:
        collisions = np.array([to.time_of(*_core.coefficients(from_, t)[:2]) for t in collisions])
    return VelocityField(
        _core.change_interpolant(given._core, from_, to),
        change_interpolant,
        given,
        to,
        from_,
        collisions=collisions,
        at_collision=given._at_collision,
    )


def _at(t: Any, x: ArrayLike, other: ArrayLike, name: str, interpolant: Interpolant) -> Any:
    points, values = real_array("x", x), real_array(name, other)
    if points.shape != values.shape:
        raise ValueError(f"{name} must have the shape {points.shape} of x, got {values.shape}")
    return points, values, *_core.coefficients(interpolant, real_number("t", t))


def expected_ends(
    t: float, x: ArrayLike, v: ArrayLike, interpolant: Interpolant = LINEAR
) -> tuple[Any, Any]:
    """Conditional means (E[X0 | X_t = x], E[X1 | X_t = x]) that a velocity implies, for any plan.

    Solves a E0 + b E1 = x, a' E0 + b' E1 = v. E1 is the denoiser (the "x-prediction"), E0 the
    noise prediction.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.expected_ends(0.5, [1.0], [2.0])
    (array([0.]), array([2.]))
    """
    points, values, a, b, da, db = _at(t, x, v, "v", interpolant)
    turning = a * db - da * b
    return (db * points - b * values) / turning, (a * values - da * points) / turning


def velocity_from_denoiser(
    t: float, x: ArrayLike, denoised: ArrayLike, interpolant: Interpolant = LINEAR
) -> Any:
    """Velocity from E[X1 | X_t = x], for any plan; t must not be 1.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.velocity_from_denoiser(0.5, [1.0], [2.0])
    array([2.])
    """
    points, values, a, b, da, db = _at(t, x, denoised, "denoised", interpolant)
    if a == 0:
        raise ValueError(f"t must be before 1, where X_t says nothing of X0, got {t:g}")
    return da * (points - b * values) / a + db * values


def score_from_velocity(
    t: float, x: ArrayLike, v: ArrayLike, std: float = 1.0, interpolant: Interpolant = LINEAR
) -> Any:
    """Gradient of log p_t from the velocity, for X0 ~ N(0, std^2 I) independent of X1; t < 1.

    score = -E[X0 | X_t = x] / (a std^2) (Tweedie's formula: Robbins 1956).

    Examples
    --------
    >>> import recouple as rc
    >>> rc.score_from_velocity(0.0, [2.0], [-2.0])
    array([-2.])
    """
    noise, _ = expected_ends(t, x, v, interpolant)
    a = _core.coefficients(interpolant, real_number("t", t))[0]
    if a == 0:
        raise ValueError(f"t must be before 1, where there is no noise, got {t:g}")
    return -noise / (a * real_number("std", std, positive=True) ** 2)


def velocity_from_score(
    t: float, x: ArrayLike, score: ArrayLike, std: float = 1.0, interpolant: Interpolant = LINEAR
) -> Any:
    """Velocity from the gradient of log p_t, for X0 ~ N(0, std^2 I) independent of X1; t > 0.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.velocity_from_score(0.5, [1.0], [-2.0])  # one Gaussian onto itself
    array([0.])
    """
    points, values, a, b, da, db = _at(t, x, score, "score", interpolant)
    if b == 0:
        raise ValueError(f"t must be after 0, where the score says nothing of X1, got {t:g}")
    noise = -a * real_number("std", std, positive=True) ** 2 * values
    return da * noise + db * (points - a * noise) / b
