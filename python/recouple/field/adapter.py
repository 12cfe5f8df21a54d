"""Fields made of other people's callables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recouple import _core
from recouple.arguments import whole_number
from recouple.field.base import VelocityField

__all__ = ["as_field"]


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
