"""Distances that jax differentiates, compiles and maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from recouple.arguments import FloatArray, thread_count
from recouple.wasserstein import sliced_wasserstein as _sliced
from recouple.wasserstein import sliced_wasserstein_grad as _sliced_grad
from recouple.wasserstein import wasserstein_1d as _line
from recouple.wasserstein import wasserstein_1d_grad as _line_grad

__all__ = ["sliced_wasserstein", "wasserstein_1d"]

Array: TypeAlias = Any  # jax is not there when this module is imported


def _jax() -> Any:
    try:
        import jax
    except ImportError:
        raise ImportError("recouple.interop.jax needs jax: pip install jax") from None
    return jax


def wasserstein_1d(
    u_values: Array,
    v_values: Array,
    u_weights: Array | None = None,
    v_weights: Array | None = None,
    p: float = 1,
    *,
    axis: int = -1,
    power: bool = False,
    num_threads: int | None = None,
) -> Array:
    """Wasserstein distance on the line for ``jax.grad``, ``jax.jit`` and ``jax.vmap``.

    The value and its gradients by all four arrays come from one native pass over the sorted atoms,
    called from compiled code on the host; see :func:`recouple.wasserstein_1d` and
    :func:`recouple.wasserstein_1d_grad`, whose formulas, conventions at kinks and costs these are.

    Parameters
    ----------
    u_values, v_values : array
        Atoms of the two laws along ``axis``, n and m of them; the other dimensions broadcast.
        Units of length.
    u_weights, v_weights : array, optional
        Weights, of the shape of the values or of length n (m); normalised to sum 1, and
        differentiated through that.
    p : float
        Order, at least 1 and finite; a Python number.
    axis : int
        Axis of the values (and of weights that have their shape) that runs over atoms.
    power : bool
        Return W_p^p instead of W_p.
    num_threads : int, optional
        Threads; the result does not depend on them.

    Returns
    -------
    jax.Array
        The distances, of the broadcast shape, in the precision of the inputs (float32 at least),
        computed in float64. Derivatives in reverse mode, once.

    Raises
    ------
    ImportError
        If jax is not installed.
    ValueError
        For shapes and orders as :func:`recouple.wasserstein_1d`. Values that are not finite and
        weights that are negative are seen when the compiled code runs, and raise jax's own error
        with the package's message.

    Examples
    --------
    >>> import jax
    >>> import recouple as rc
    >>> y = jax.numpy.array([3.0, 5.0])
    >>> loss = lambda x: rc.interop.jax.wasserstein_1d(x, y, p=2, power=True)
    >>> jax.jit(jax.grad(loss))(jax.numpy.array([0.0, 1.0])).tolist()
    [-3.0, -4.0]
    """
    jnp = _jax().numpy
    order = _order(p)
    u, v, uw, vw = _common(u_values, v_values, u_weights, v_weights)
    u, uw = _rows("u", u, uw, axis)
    v, vw = _rows("v", v, vw, axis)
    try:
        shape = np.broadcast_shapes(u.shape[:-1], v.shape[:-1])
    except ValueError:
        raise ValueError(
            "u_values and v_values must have shapes that broadcast but for the axis of atoms, "
            f"got {np.shape(u_values)} and {np.shape(v_values)}"
        ) from None
    u, uw, v, vw = (
        None if array is None else jnp.broadcast_to(array, (*shape, array.shape[-1]))
        for array in (u, uw, v, vw)
    )
    return _native()(_OnLine(order, bool(power), thread_count(num_threads)), u, v, uw, vw)


def sliced_wasserstein(
    X: Array,
    Y: Array,
    a: Array | None = None,
    b: Array | None = None,
    *,
    p: float = 2,
    n_projections: int = 100,
    projections: Array | None = None,
    directions: str = "gaussian",
    rng: Any = 0,
    power: bool = False,
    num_threads: int | None = None,
) -> Array:
    """Sliced Wasserstein distance between weighted points for ``jax.grad`` and ``jax.jit``.

    SW_p(X, Y)^p = mean_theta W_p(<theta, X>, <theta, Y>)^p, with its gradients by points and
    weights from one native pass, the directions theta held fixed; see
    :func:`recouple.sliced_wasserstein` and :func:`recouple.sliced_wasserstein_grad`.

    Parameters
    ----------
    X, Y : array, shapes (n, D) and (m, D)
        Points; n and m may differ. Units of length.
    a, b : array, shapes (n,) and (m,), optional
        Weights, normalised to sum 1 and differentiated through that; equal by default.
    p : float
        Order, at least 1 and finite; a Python number.
    n_projections : int
        Number of directions drawn.
    projections : array, shape (L, D), optional
        Directions to use instead; they are not differentiated.
    directions : {"gaussian", "orthogonal", "quasi"}
        How directions are drawn; with a key, "gaussian" alone.
    rng : jax key, int, numpy Generator or None
        A key draws where the compiled code runs: give each step its own. A seed gives the same
        directions at every call; a Generator or None draws when the function is traced.
    power : bool
        Return SW_p^p.
    num_threads : int, optional
        Threads; the result does not depend on them.

    Returns
    -------
    jax.Array
        The distance, without dimensions, in the precision of the inputs, computed in float64.
        Derivatives in reverse mode, once; ``jax.vmap`` calls one problem after the other.

    Raises
    ------
    ImportError
        If jax is not installed.
    ValueError
        For shapes and orders as :func:`recouple.sliced_wasserstein`; for values, see
        :func:`wasserstein_1d`.

    Examples
    --------
    >>> import jax
    >>> import recouple as rc
    >>> Y = jax.numpy.array([[3.0, 0.0]])
    >>> loss = lambda X: rc.interop.jax.sliced_wasserstein(X, Y, projections=[[1.0, 0.0]])
    >>> jax.grad(loss)(jax.numpy.zeros((1, 2))).tolist()
    [[-1.0, 0.0]]
    """
    jax = _jax()
    order = _order(p)
    x, y, wx, wy = _common(X, Y, a, b)
    for name, array in (("X", x), ("Y", y)):
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{name} must have shape (n, D), not empty, got {array.shape}")
    dim = x.shape[1]
    if y.shape[1] != dim:
        raise ValueError(f"Y must have shape (m, {dim}) as X, got {y.shape}")
    for name, weights, points in (("a", wx, x), ("b", wy, y)):
        if weights is not None and weights.shape != points.shape[:1]:
            raise ValueError(f"{name} must have shape ({len(points)},), got {weights.shape}")
    if projections is None and isinstance(rng, jax.Array):
        if directions != "gaussian":
            raise ValueError(f"directions must be 'gaussian' with a key as rng, got {directions!r}")
        theta = jax.random.normal(rng, (n_projections, dim), x.dtype)
    elif projections is None:
        origin = np.zeros((1, dim))  # the directions alone are wanted: of the least problem
        drawn = _sliced(
            origin,
            origin,
            n_projections=n_projections,
            directions=directions,  # type: ignore[arg-type]
            rng=rng,
        )
        theta = jax.numpy.asarray(drawn.projections, x.dtype)
    else:
        theta = jax.lax.stop_gradient(jax.numpy.asarray(projections, x.dtype))
        if theta.ndim != 2 or theta.shape[1] != dim:
            raise ValueError(f"projections must have shape (L, {dim}), got {theta.shape}")
    kind = _Sliced(order, bool(power), thread_count(num_threads))
    return _native()(kind, x, y, wx, wy, theta)


def _order(p: Any) -> float:
    order = float(p)
    if not 1 <= order < np.inf:
        raise ValueError(f"p must be at least 1 and finite, got {order:g}")
    return order


def _common(*arrays: Any) -> list[Any]:
    """Return the arrays in one precision, single at least."""
    jnp = _jax().numpy
    found = [None if array is None else jnp.asarray(array) for array in arrays]
    dtype = jnp.result_type(*(array for array in found if array is not None), jnp.float32)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"values and weights must be real numbers, got dtype {dtype}")
    return [None if array is None else array.astype(dtype) for array in found]


def _rows(side: str, values: Array, weights: Array | None, axis: int) -> tuple[Array, Any]:
    """Return the values, and weights of their shape if any, with the atoms along the last axis."""
    jnp = _jax().numpy
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"{side}_values must not be empty or a number, got shape {values.shape}")
    if not -values.ndim <= axis < values.ndim:
        raise ValueError(f"axis must be an axis of {side}_values, got {axis} for {values.shape}")
    rows = jnp.moveaxis(values, axis, -1)
    if weights is not None:
        if weights.shape == values.shape:
            weights = jnp.moveaxis(weights, axis, -1)
        elif weights.shape != rows.shape[-1:]:
            raise ValueError(
                f"{side}_weights must have the shape of {side}_values, {values.shape}, or "
                f"({rows.shape[-1]},), got {weights.shape}"
            )
        else:
            weights = jnp.broadcast_to(weights, rows.shape)
    return rows, weights


@dataclass(frozen=True)
class _OnLine:
    """What to compute on the host: distances of rows, with as many gradients as arrays."""

    p: float
    power: bool
    threads: int
    vmap_method = "broadcast_all"

    def value(self, u: Any, v: Any, a: Any, b: Any) -> Any:
        threads = self.threads or None
        return _line(u, v, a, b, self.p, power=self.power, num_threads=threads)

    def gradients(self, u: Any, v: Any, a: Any, b: Any) -> tuple[Any, list[FloatArray]]:
        threads = self.threads or None
        found = _line_grad(u, v, a, b, self.p, power=self.power, num_threads=threads)
        return found.distance, [found.u_values, found.v_values, found.u_weights, found.v_weights]

    def shape(self, arrays: Any) -> tuple[int, ...]:
        return tuple(arrays[0].shape[:-1])


@dataclass(frozen=True)
class _Sliced:
    """What to compute on the host: one sliced distance; the last array holds the directions."""

    p: float
    power: bool
    threads: int
    vmap_method = "sequential"

    def _options(self, theta: Any) -> dict[str, Any]:
        threads = self.threads or None
        return {"p": self.p, "power": self.power, "num_threads": threads, "projections": theta}

    def value(self, *arrays: Any) -> Any:
        return float(_sliced(*arrays[:4], **self._options(arrays[4])))

    def gradients(self, *arrays: Any) -> tuple[Any, list[FloatArray]]:
        found = _sliced_grad(*arrays[:4], **self._options(arrays[4]))
        by = [found.X, found.Y, found.a, found.b, np.zeros(arrays[4].shape)]
        return found.distance, by

    def shape(self, arrays: Any) -> tuple[int, ...]:
        del arrays
        return ()


@cache
def _native() -> Callable[..., Array]:
    """Return the function with its own derivative, which can only be defined once jax is there."""
    jax = _jax()

    def on_host(kind: _OnLine | _Sliced, shapes: Any, call: Callable[..., Any], arrays: Any) -> Any:
        def run(*given: Any) -> Any:
            numbers = (None if array is None else np.asarray(array) for array in given)
            return jax.tree.map(lambda s, x: np.asarray(x, s.dtype), shapes, call(*numbers))

        return jax.pure_callback(run, shapes, *arrays, vmap_method=kind.vmap_method)

    @partial(jax.custom_vjp, nondiff_argnums=(0,))
    def native(kind: _OnLine | _Sliced, *arrays: Any) -> Any:
        shape = jax.ShapeDtypeStruct(kind.shape(arrays), arrays[0].dtype)
        return on_host(kind, shape, kind.value, arrays)

    def forward(kind: _OnLine | _Sliced, *arrays: Any) -> Any:
        def call(*numbers: Any) -> Any:
            value, by = kind.gradients(*numbers)
            return value, [g for g, array in zip(by, arrays, strict=True) if array is not None]

        value = jax.ShapeDtypeStruct(kind.shape(arrays), arrays[0].dtype)
        by = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays if a is not None]
        found, gradients = on_host(kind, (value, by), call, arrays)
        rest = iter(gradients)
        return found, [None if array is None else next(rest) for array in arrays]

    def backward(kind: _OnLine | _Sliced, gradients: Any, outer: Any) -> Any:
        del kind
        return tuple(
            None if g is None else outer.reshape(outer.shape + (1,) * (g.ndim - outer.ndim)) * g
            for g in gradients
        )

    native.defvjp(forward, backward)
    return native  # type: ignore[no-any-return]
