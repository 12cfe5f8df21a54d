"""Fields made of other people's callables: functions, torch modules, jax functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from recouple import _core
from recouple.arguments import FloatArray, real_array, whole_number
from recouple.field.base import VelocityField

__all__ = ["FieldReport", "as_field", "check_field"]

_ORDERS = ("auto", "tx", "xt", "kw", "rows")
_TIMES = ("auto", "scalar", "points", "column")
_TIME_NAMES = ("t", "time", "times", "timestep", "timesteps", "s")
_POINT_NAMES = (
    ("x", "xt", "x_t", "xs", "y", "z", "points", "input", "inputs", "state")
    + ("sample", "latents", "hidden_states")  # as diffusers names them
)


@dataclass(frozen=True, slots=True)
class FieldReport:
    """What :func:`check_field` found out about a callable."""

    order: str
    times: str
    kind: str
    dtype: str
    finite: bool
    deterministic: bool
    pointwise: bool
    tried: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the callable behaves as a velocity field."""
        return self.finite and self.deterministic and self.pointwise

    def summary(self) -> str:
        """Say it in a sentence a line."""
        calls = {
            "tx": "f(t, x)",
            "xt": "f(x, t)",
            "kw": "f(x=..., t=...)",
            "rows": "f(rows (x, t))",
        }[self.order]
        shapes = {"scalar": "a number", "points": "shape (n,)", "column": "shape (n, 1)"}[
            self.times
        ]
        lines = [
            f"called as {calls} with {self.kind} arrays, t as {shapes}; values are {self.dtype}",
            "values are finite" if self.finite else "some values are not finite",
            "the same call gives the same values"
            if self.deterministic
            else "the same call gives different values (dropout in training mode?)",
            "each value depends on its own point"
            if self.pointwise
            else "values depend on the other points of the batch (batch normalisation?)",
        ]
        return "\n".join(lines)


class _Adapter:
    """v(t, x) on NumPy arrays from a callable of another convention."""

    __slots__ = ("dim", "function", "kind", "names", "order", "times")

    def __init__(self, function: Any, dim: int, order: str, times: str, kind: str, names: Any):
        self.function = function
        self.dim = dim
        self.order = order
        self.times = times
        self.kind = kind
        self.names = names

    def __call__(self, t: Any, x: Any) -> Any:
        if self.times == "scalar" and np.ndim(t):
            pieces = np.empty_like(x)
            for time in np.unique(t):
                pieces[t == time] = self(float(time), x[t == time])
            return pieces
        at: Any = t
        if self.times != "scalar" or self.order == "rows":
            at = np.array(np.broadcast_to(np.asarray(t, dtype=np.float64), (len(x),)))
            at = at[:, None] if self.times == "column" else at
        if self.order == "rows":
            given: tuple[Any, ...] = (np.column_stack([x, at]),)
        elif self.kind == "torch":
            given = (x.reshape(-1, self.dim), at)
        else:
            given = (x, at)
        if self.kind == "torch":
            return self._torch(given).reshape(x.shape)
        values = _numbers(self._call(*given))
        return values.reshape(x.shape) if values.shape == (*x.shape, 1) else values

    def _call(self, x: Any, *t: Any) -> Any:
        if self.order == "kw":
            return self.function(**{self.names[0]: x, self.names[1]: t[0]})
        return self.function(*t, x) if self.order == "tx" else self.function(x, *t)

    def _torch(self, given: tuple[Any, ...]) -> Any:
        import torch

        parameter = next(iter(self.function.parameters()), None)
        like = {} if parameter is None else {"dtype": parameter.dtype, "device": parameter.device}
        like = like or {"dtype": torch.float64}
        with torch.no_grad(), _evaluating(self.function):
            values = self._call(*(torch.as_tensor(array, **like) for array in given))
        if isinstance(values, Mapping):  # diffusers wraps what it returns
            values = next(iter(values.values()))
        elif isinstance(values, tuple | list):
            values = values[0]
        return values.detach().to("cpu", torch.float64).numpy()


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Evaluation mode, each part of the module back in its own mode afterwards."""
    training = [part for part in module.modules() if part.training]
    for part in training:  # not eval(), which programs read from files refuse
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


class _Plain:
    """A callable of this package's convention."""

    __slots__ = ("function",)

    def __init__(self, function: Any):
        self.function = function

    def __call__(self, t: Any, x: Any) -> Any:
        return _numbers(self.function(t, x))


def _numbers(values: Any) -> FloatArray:
    """Return what a callable gave as numbers, a tensor's without their gradient."""
    if type(values) is np.ndarray and values.dtype == np.float64:
        return values
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        values = values.detach().cpu()
    return real_array("field's values", values, finite=False, empty=True)


class _Batched:
    """A callable given no more than so many points at once."""

    __slots__ = ("function", "most")

    def __init__(self, function: Any, most: int):
        self.function = function
        self.most = most

    def __call__(self, t: Any, x: Any) -> Any:
        if len(x) <= self.most:
            return self.function(t, x)
        parts = [slice(first, first + self.most) for first in range(0, len(x), self.most)]
        return np.concatenate([self.function(t[p] if np.ndim(t) else t, x[p]) for p in parts])


def _kind(function: Any) -> str:
    module = any(kind.__module__.startswith("torch.nn") for kind in type(function).__mro__)
    return "torch" if module else "numpy"


def _names(function: Any) -> list[str]:
    target = function.forward if _kind(function) == "torch" else function
    if hasattr(target, "schema"):  # TorchScript keeps the names there, self first
        return [argument.name for argument in target.schema.arguments][1:]
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_POSITIONAL]


def _likely_order(names: list[str]) -> list[str]:
    """Orders of arguments to try, the one their names suggest first."""
    lead = [name.lower() for name in names]
    if lead and lead[0] in _POINT_NAMES and any(name in _TIME_NAMES for name in lead[1:]):
        return ["xt", "kw", "tx", "rows"]
    return ["tx", "xt", "kw", "rows"]


def _keywords(names: list[str]) -> tuple[str, str]:
    points = [name for name in names if name.lower() in _POINT_NAMES]
    times = [name for name in names if name.lower() in _TIME_NAMES]
    return (points[0] if points else "x"), (times[0] if times else "t")


def _probe(adapter: _Adapter, dim: int) -> str:
    """Why the adapter does not give a field's values, or nothing."""
    x = np.random.default_rng(0).standard_normal((5, dim))
    x = x.ravel() if dim == 1 else x
    try:
        values = [np.asarray(adapter(time, x)) for time in (0.25, np.full(5, 0.25))]
    except Exception as error:  # whatever the callable raises: the next convention may suit it
        return f"{type(error).__name__}: {error}".splitlines()[0]
    for value in values:
        if value.shape != x.shape:
            return f"gives shape {value.shape} for x of shape {x.shape}"
    return ""


def _adapt(function: Any, dim: int, order: str, times: str) -> tuple[_Adapter, tuple[str, ...]]:
    names = _names(function)
    kind = _kind(function)
    orders = _likely_order(names) if order == "auto" else [order]
    if times == "auto":
        several = ["points", "scalar", "column"]
        shapes = ["column", "points", "scalar"] if kind == "torch" else several
    else:
        shapes = [times]
    tried: list[str] = []
    for each in orders:
        for shape in shapes:
            adapter = _Adapter(function, dim, each, shape, kind, _keywords(names))
            fault = _probe(adapter, dim)
            if not fault:
                return adapter, tuple(tried)
            tried.append(f"{each}, t {shape}: {fault}")
    raise ValueError(
        "field must give values shaped like x in some common convention; tried:\n  "
        + "\n  ".join(tried)
    )


def _require_conventions(order: str, times: str) -> None:
    for name, value, known in (("order", order, _ORDERS), ("times", times, _TIMES)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def as_field(
    function: Callable[..., Any] | VelocityField,
    dim: int = 1,
    *,
    order: str | None = None,
    times: str = "points",
    batch: int | None = None,
) -> VelocityField:
    """Turn a callable into a field.

    Parameters
    ----------
    function : callable
        By default ``v(t, x)`` on NumPy arrays: ``t`` a float or an array of shape (n,), ``x`` of
        shape (n,) on the line, (n, D) otherwise; returns an array shaped like ``x``. A torch module
        is called without gradients, in its parameters' precision, with x of shape (n, D) (also for
        D = 1). A function that gives tensors takes NumPy arrays; gradients the tensors carry are
        left. A jax function takes and gives NumPy arrays. A :class:`VelocityField` is returned as
        it is.
    dim : int
        Dimension D.
    order : "tx", "xt", "kw", "rows" or "auto", optional
        By default f(t, x), unless the function names its first arguments (x, t).
        Called as f(t, x), f(x, t), by keyword, with the names of its own arguments ("x" and "t"
        if it does not say), or with one array of rows (x, t), of shape (n, D + 1). "auto" tries
        what the names suggest first.
    times : "points", "scalar", "column" or "auto"
        t as a float or, for a batch of times, an array (n,); always a number (a batch of times is
        then cut by time); always of shape (n, 1). "auto" tries them.
    batch : int, optional
        The most points given to the callable at once, where memory is short; all by default.

    Returns
    -------
    VelocityField
        Runs on the caller's thread, on whole batches. Whatever the callable raises surfaces from
        the call that evaluated it.

    Notes
    -----
    A torch module runs in evaluation mode (no dropout, batch statistics as trained); each of its
    parts is in the mode it was in when the call returns. Points in float64 on the CPU reach it
    without a copy; its parameters decide the precision and the device.

    What common libraries train is found by itself: ``f(t, x)`` and modules on rows (x, t)
    (torchcfm), ``f(x, t)`` and ``f(x=..., t=...)`` (flow_matching), ``f(sample, timestep)`` that
    returns its values in a tuple or a mapping (diffusers). Where time runs from data to noise, see
    :func:`reversed_time`; where it runs to 1000, give ``lambda t, x: 1000 * f(1000 * t, x)``, or
    without the outer factor if the values are per unit of [0, 1] already.

    Raises
    ------
    ValueError
        If ``function`` is not callable, ``dim`` or ``batch`` is not a positive whole number, or
        with "auto" no convention suits; the message lists what was tried. From a call of the
        field, if the callable gives values that are not real numbers shaped like x.

    See Also
    --------
    check_field : says which convention "auto" finds, and whether the callable is a field at all.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.as_field(lambda t, x: -x)(0.5, [1.0, 2.0])
    array([-1., -2.])
    >>> rc.as_field(lambda x, t: t * x, order="auto")(0.5, [1.0, 2.0])
    array([0.5, 1. ])
    """
    if isinstance(function, VelocityField):
        return function
    if not callable(function):
        raise ValueError(f"field must be callable as v(t, x), got {type(function).__name__}")
    if order is None:
        order = "xt" if _likely_order(_names(function))[0] == "xt" else "tx"
    _require_conventions(order, times)
    side = whole_number("dim", dim, minimum=1)
    most = None if batch is None else whole_number("batch", batch, minimum=1)
    if _kind(function) == "torch" and times == "points":
        times = "auto"
    if _kind(function) == "torch" and order == "tx":
        order = "auto"
    call: Any = _Plain(function)
    if (order, times) != ("tx", "points"):
        if "auto" in (order, times):
            call, _ = _adapt(function, side, order, times)
        else:
            kind = _kind(function)
            call = _Adapter(function, side, order, times, kind, _keywords(_names(function)))
    if most is not None:
        # Not D points of R^D at a time: times of shape (D,) would multiply their coordinates.
        call = _Batched(call, most - 1 if most == side > 1 else most)
    core = _core.callable_field(call, side)
    return VelocityField(core, _as_field, function, side, order, times, most)


def _as_field(
    function: Any, dim: int, order: str, times: str, batch: int | None = None
) -> VelocityField:
    return as_field(function, dim, order=order, times=times, batch=batch)


def check_field(
    function: Callable[..., Any], dim: int = 1, *, order: str = "auto", times: str = "auto"
) -> FieldReport:
    """Find out how a callable wants to be called, and whether it behaves as a velocity field.

    Parameters are those of :func:`as_field`. It is called a few times on five points.

    Returns
    -------
    FieldReport
        The convention found, those that failed before it, and three checks: finite values, the same
        values twice, values that do not change when the batch does.

    Raises
    ------
    ValueError
        If no convention suits.

    Examples
    --------
    >>> import recouple as rc
    >>> report = rc.check_field(lambda x, t: t * x)
    >>> report.order, report.ok
    ('xt', True)
    """
    if not callable(function):
        raise ValueError(f"field must be callable as v(t, x), got {type(function).__name__}")
    _require_conventions(order, times)
    side = whole_number("dim", dim, minimum=1)
    if isinstance(function, VelocityField):
        order = "tx"
    adapter, tried = _adapt(function, side, order, times)
    x = np.random.default_rng(1).standard_normal((5, side))
    x = x.ravel() if side == 1 else x
    first, second = (np.asarray(adapter(0.4, x)) for _ in range(2))
    alone = np.asarray(adapter(0.4, x[:2]))
    # Products round differently for other batch sizes; 1e-4 is far above single precision's part.
    scale = 1e-4 * (1 + np.abs(first[np.isfinite(first)]).max(initial=0))
    return FieldReport(
        order=adapter.order,
        times=adapter.times,
        kind=adapter.kind,
        dtype=str(first.dtype),
        finite=bool(np.isfinite(first).all()),
        deterministic=bool(np.array_equal(first, second, equal_nan=True)),
        pointwise=bool(np.allclose(alone, first[:2], rtol=0, atol=scale, equal_nan=True)),
        tried=tried,
    )
