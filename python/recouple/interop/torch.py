"""Distances that torch differentiates, and fields from files that torch wrote."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from functools import cache, reduce
from pathlib import Path
from typing import Any, TypeAlias

from recouple.arguments import FloatArray, real_array
from recouple.field import VelocityField, as_field
from recouple.wasserstein import sliced_wasserstein as _sliced
from recouple.wasserstein import sliced_wasserstein_grad as _sliced_grad
from recouple.wasserstein import wasserstein_1d as _line
from recouple.wasserstein import wasserstein_1d_grad as _line_grad

__all__ = ["load_field", "sliced_wasserstein", "wasserstein_1d"]

Tensor: TypeAlias = Any  # torch is not there when this module is imported
Value = tuple[Any, list[FloatArray]]


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError(
            "recouple.interop.torch needs torch: pip install torch (pytorch.org has builds without "
            "CUDA)"
        ) from None
    return torch


def wasserstein_1d(
    u_values: Tensor,
    v_values: Tensor,
    u_weights: Tensor | None = None,
    v_weights: Tensor | None = None,
    p: float = 1,
    *,
    axis: int = -1,
    power: bool = False,
    num_threads: int | None = None,
) -> Tensor:
    """Wasserstein distance on the line that torch differentiates.

    The value and its gradients by all four tensors come from one native pass over the sorted
    atoms; see :func:`recouple.wasserstein_1d` and :func:`recouple.wasserstein_1d_grad`, whose
    formulas, conventions at kinks and costs these are.

    Parameters
    ----------
    u_values, v_values : Tensor
        Atoms of the two laws along ``axis``, n and m of them, on the CPU; the other dimensions
        broadcast. Units of length.
    u_weights, v_weights : Tensor, optional
        Weights, of the shape of the values or of length n (m); normalised to sum 1, and
        differentiated through that.
    p : float
        Order, at least 1; finite where a gradient is asked for.
    axis : int
        Axis of the values (and of weights that have their shape) that runs over atoms.
    power : bool
        Return W_p^p instead of W_p.
    num_threads : int, optional
        Threads; the result does not depend on them.

    Returns
    -------
    Tensor
        The distances, of the broadcast shape; float32 if all inputs are, computed in float64.

    Raises
    ------
    ImportError
        If torch is not installed.
    ValueError
        As :func:`recouple.wasserstein_1d`, and for tensors that are not on the CPU.

    Examples
    --------
    >>> import torch
    >>> import recouple as rc
    >>> x = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    >>> loss = rc.interop.torch.wasserstein_1d(x, torch.tensor([3.0, 5.0]), p=2, power=True)
    >>> loss.backward()
    >>> x.grad.tolist()
    [-3.0, -4.0]
    """
    tensors = [
        _tensor(name, value)
        for name, value in (
            ("u_values", u_values),
            ("v_values", v_values),
            ("u_weights", u_weights),
            ("v_weights", v_weights),
        )
    ]
    for side in (0, 1):
        values, weights = tensors[side], tensors[side + 2]
        name = "uv"[side] + "_values"
        if values is None or values.ndim == 0:
            raise ValueError(f"{name} must have at least one dimension, got {values}")
        if not -values.ndim <= axis < values.ndim:
            raise ValueError(f"axis must be an axis of {name}, got {axis} for {values.ndim}")
        if weights is not None and weights.shape == values.shape:
            tensors[side + 2] = weights.movedim(axis, -1)
        tensors[side] = values.movedim(axis, -1)

    def value(u: Any, v: Any, a: Any, b: Any) -> Any:
        return _line(u, v, a, b, p, power=power, num_threads=num_threads)

    def gradients(u: Any, v: Any, a: Any, b: Any) -> Value:
        found = _line_grad(u, v, a, b, p, power=power, num_threads=num_threads)
        return found.distance, [found.u_values, found.v_values, found.u_weights, found.v_weights]

    return _differentiable(tensors, value, gradients)


def sliced_wasserstein(
    X: Tensor,
    Y: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    p: float = 2,
    n_projections: int = 100,
    projections: Any = None,
    directions: str = "gaussian",
    rng: Any = None,
    power: bool = False,
    num_threads: int | None = None,
) -> Tensor:
    """Sliced Wasserstein distance between weighted points that torch differentiates.

    SW_p(X, Y)^p = mean_theta W_p(<theta, X>, <theta, Y>)^p, with its gradients by points and
    weights from one native pass, the directions theta held fixed; see
    :func:`recouple.sliced_wasserstein` and :func:`recouple.sliced_wasserstein_grad`.

    Parameters
    ----------
    X, Y : Tensor, shapes (n, D) and (m, D)
        Points on the CPU; n and m may differ. Units of length.
    a, b : Tensor, shapes (n,) and (m,), optional
        Weights, normalised to sum 1 and differentiated through that; equal by default.
    p : float
        Order, at least 1 and finite.
    n_projections : int
        Number of directions drawn.
    projections : Tensor or array, shape (L, D), optional
        Directions to use instead; they are not differentiated.
    directions : {"gaussian", "orthogonal", "quasi"}
        How directions are drawn.
    rng : int, numpy Generator, torch Generator or None
        Seed of the directions. None draws others at each call, by torch's own generator:
        ``torch.manual_seed`` makes a training run repeatable.
    power : bool
        Return SW_p^p.
    num_threads : int, optional
        Threads; the result does not depend on them.

    Returns
    -------
    Tensor
        The distance, without dimensions; float32 if all inputs are, computed in float64.

    Raises
    ------
    ImportError
        If torch is not installed.
    ValueError
        As :func:`recouple.sliced_wasserstein`, and for tensors that are not on the CPU.

    Examples
    --------
    >>> import torch
    >>> import recouple as rc
    >>> X = torch.zeros(1, 2, requires_grad=True)
    >>> Y = torch.tensor([[3.0, 0.0]])
    >>> loss = rc.interop.torch.sliced_wasserstein(X, Y, projections=[[1, 0]])
    >>> loss.backward()
    >>> loss.item(), X.grad.tolist()
    (3.0, [[-1.0, 0.0]])
    """
    torch = _torch()
    tensors = [_tensor(name, value) for name, value in (("X", X), ("Y", Y), ("a", a), ("b", b))]
    if rng is None or isinstance(rng, torch.Generator):
        rng = int(torch.randint(2**63 - 1, (), generator=rng))
    if projections is not None:
        projections = _numbers(_tensor("projections", projections))
    options: dict[str, Any] = {
        "p": p,
        "n_projections": n_projections,
        "projections": projections,
        "directions": directions,
        "rng": rng,
        "power": power,
        "num_threads": num_threads,
    }

    def gradients(*arrays: Any) -> Value:
        found = _sliced_grad(*arrays, **options)
        return found.distance, [found.X, found.Y, found.a, found.b]

    return _differentiable(tensors, lambda *arrays: float(_sliced(*arrays, **options)), gradients)


def _tensor(name: str, value: Any) -> Tensor:
    """Return a real tensor on the CPU, or None for None."""
    torch = _torch()
    if value is None:
        return None
    if not isinstance(value, torch.Tensor):
        value = torch.tensor(real_array(name, value, finite=False))
    if value.device.type != "cpu":
        raise ValueError(
            f"{name} must be on the CPU, got a tensor on {value.device}: give {name}.cpu(), "
            "through which torch differentiates"
        )
    if value.is_complex():
        raise ValueError(f"{name} must hold real numbers, got dtype {value.dtype}")
    return value


def _numbers(tensor: Tensor) -> Any:
    """Return the tensor's numbers: its own memory in single and double precision."""
    torch = _torch()
    plain = tensor.detach()
    if plain.dtype not in (torch.float32, torch.float64):
        plain = plain.to(torch.float64)
    return plain.numpy()


def _differentiable(
    tensors: list[Tensor], value: Callable[..., Any], gradients: Callable[..., Value]
) -> Tensor:
    """Return ``value`` of the tensors' arrays as a tensor whose backward pass is ``gradients``."""
    torch = _torch()
    dtype = reduce(torch.promote_types, (t.dtype for t in tensors if t is not None))
    dtype = dtype if dtype.is_floating_point else torch.float64
    if not torch.is_grad_enabled() or not any(t is not None and t.requires_grad for t in tensors):
        arrays = (None if t is None else _numbers(t) for t in tensors)
        return torch.tensor(value(*arrays), dtype=dtype)
    return _native().apply(gradients, dtype, *tensors)[0]


@cache
def _native() -> Any:
    """Return the autograd function, which can only be defined once torch is there."""
    torch = _torch()

    class Native(torch.autograd.Function):  # type: ignore[misc,name-defined]
        """A value and its gradients found in one pass; the way back is a product."""

        @staticmethod
        def forward(gradients: Callable[..., Value], dtype: Any, *tensors: Tensor) -> Any:
            found, by = gradients(*(None if t is None else _numbers(t) for t in tensors))
            kept = [
                None
                if t is None
                else torch.tensor(g, dtype=t.dtype if t.is_floating_point() else dtype)
                for t, g in zip(tensors, by, strict=True)
            ]
            return torch.tensor(found, dtype=dtype), *kept

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.shapes = [None if t is None else t.shape for t in inputs[2:]]
            kept = [g for g in output[1:] if g is not None]
            ctx.mark_non_differentiable(*kept)
            ctx.save_for_backward(*output[1:])

        @staticmethod
        @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, outer: Tensor, *_: Any) -> Any:
            products: list[Any] = []
            needed = ctx.needs_input_grad[2:]
            for need, g, shape in zip(needed, ctx.saved_tensors, ctx.shapes, strict=True):
                if not need:
                    products.append(None)
                    continue
                spread = outer.reshape(outer.shape + (1,) * (g.ndim - outer.ndim)).to(g.dtype)
                products.append((spread * g).sum_to_size(shape))  # back over what was broadcast
            return None, None, *products

    return Native


def load_field(
    path: str | Path,
    dim: int = 1,
    *,
    order: str = "auto",
    times: str = "auto",
    batch: int | None = None,
) -> VelocityField:
    """Read a velocity field from a file of torch's: TorchScript or ``torch.export``.

    Parameters
    ----------
    path : str or Path
        A file of ``torch.export.save`` (``.pt2``) or ``torch.jit.save``; its content decides.
        Files of ``torch.save`` hold parameters without the program, and are refused.
    dim : int
        Dimension D of the points.
    order, times, batch
        As :func:`recouple.as_field`; by default the convention is found by trying.

    Returns
    -------
    VelocityField
        It does not pickle; read the file again instead.

    Raises
    ------
    ImportError
        If torch is not installed.
    ValueError
        If there is no such file, it holds no program, or the program is not a field in R^D: the
        message lists the conventions tried. One exported for a fixed number of points is none.

    Notes
    -----
    A file holds a program, which runs: load files that you trust.

    Examples
    --------
    >>> import torch
    >>> import recouple as rc
    >>> class Decay(torch.nn.Module):
    ...     def forward(self, t, x):
    ...         return -x * t.reshape(-1, 1)
    >>> example = torch.ones(2), torch.ones(2, 1)  # t (n,), x (n, D)
    >>> n = {0: torch.export.Dim("n")}
    >>> program = torch.export.export(Decay(), example, dynamic_shapes=(n, n))
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".pt2") as file:
    ...     torch.export.save(program, file.name)
    ...     field = rc.interop.torch.load_field(file.name)
    >>> field(0.5, [1.0, 2.0])
    array([-0.5, -1. ])
    """
    torch = _torch()
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"path must be a file, got {str(path)!r}, where there is none")
    kind = _content(file)
    try:
        if kind == "export":
            with file.open("rb") as stream:
                module = torch.export.load(stream).module()
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript as a whole is
                module = torch.jit.load(str(file), map_location="cpu")
    except Exception as error:  # torch raises many kinds for files it cannot use
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"path: torch cannot read {str(path)!r}: {first}") from error
    try:
        return as_field(module, dim, order=order, times=times, batch=batch)
    except ValueError as error:
        hint = ""
        if "Guard failed" in str(error) and "size()[0]" in str(error):
            hint = (
                "\nit was exported for a fixed number of points: give torch.export.export "
                'dynamic_shapes with {0: torch.export.Dim("n")} for x, and for t if it has n'
            )
        raise ValueError(f"path: {str(path)!r} is not a field on R^{dim}: {error}{hint}") from None


def _content(file: Path) -> str:
    """Tell a program of torch.export from one of TorchScript by what the archive holds."""
    want = (
        "path must be a file of torch.export.save or torch.jit.save, got "
        f"{str(file)!r}, which holds "
    )
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{want}neither")
    with zipfile.ZipFile(file) as archive:
        names = ["/" + name for name in archive.namelist()]
    if any("/models/" in name or "serialized_exported_program" in name for name in names):
        return "export"
    if any("/code/" in name for name in names):
        return "script"
    if any(name.endswith("/data.pkl") for name in names):
        raise ValueError(
            f"{want}parameters without the program: rebuild the module, load them, and save "
            "torch.export.export(module, example_inputs, dynamic_shapes=...)"
        )
    raise ValueError(f"{want}neither")
