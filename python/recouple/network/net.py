"""The two-layer ReLU network in the neural-tangent parametrisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from recouple import _core
from recouple.arguments import (
    FloatArray,
    frozen,
    generator,
    real_array,
    real_number,
    thread_count,
    whole_number,
)
from recouple.field import VelocityField
from recouple.plan.base import Points, Rng

__all__ = ["ReluNetwork"]

_LAYOUT = 1  # of saved networks


class ReluNetwork(VelocityField):
    r"""Two-layer ReLU network as a velocity field.

    .. math:: f_j(t, x) = m^{-1/2} \sum_r a_{rj}(t)\, \max(w_r \cdot z, 0),\qquad z = (x, c\,t, b)

    Parameters
    ----------
    dim, width : int
        Dimension D of x and number m of neurons.
    time_scale, bias : float
        c and b. With ``times`` c is 0 unless given.
    times : array of shape (K,), optional
        Increasing times, each with a head a of its own on the shared hidden layer; between them
        the heads are interpolated linearly, beyond them constant. None: one head for all times.
    train_outputs : bool
        Whether training moves the output weights a as well as the hidden w.
    antisymmetric : bool
        Start from neurons in pairs (w, a), (w, -a), so that f = 0; the width must be even.
    dtype : float64 or float32
        Precision of the weights and of training.
    rng : int, Generator or None
        Seed of the start: w_r ~ N(0, I), a_rj = +-1 with even odds.

    Raises
    ------
    ValueError
        On a zero dimension or width, an odd antisymmetric width, times that do not increase.

    Notes
    -----
    The neural-tangent parametrisation of Jacot, Gabriel & Hongler (2018), with the fixed signs of
    Du, Zhai, Poczos & Singh (2019) unless ``train_outputs``. A native field: velocity, divergence
    and Jacobian in O(m D), O(m D) and O(m D^2) a point. float32 points are evaluated in float32
    when the network is; everything else in float64.

    Examples
    --------
    >>> import recouple as rc
    >>> net = rc.ReluNetwork(2, 64, antisymmetric=True, rng=0)
    >>> net
    ReluNetwork(dim=2, width=64)
    >>> net(0.5, [[1.0, -1.0]]).shape
    (1, 2)
    """

    __slots__ = ("_net", "bias", "dtype", "hidden", "outputs", "time_scale", "times",
                 "train_outputs")  # fmt: skip

    hidden: NDArray[Any]
    outputs: NDArray[Any]

    def __init__(
        self,
        dim: int,
        width: int,
        *,
        time_scale: float | None = None,
        bias: float = 1.0,
        times: ArrayLike | None = None,
        train_outputs: bool = False,
        antisymmetric: bool = False,
        dtype: DTypeLike = np.float64,
        rng: Rng = None,
    ):
        d = whole_number("dim", dim, minimum=1)
        m = whole_number("width", width, minimum=1)
        if antisymmetric and m % 2:
            raise ValueError(f"width must be even for an antisymmetric start, got {m}")
        draw = generator(rng)
        drawn = m // 2 if antisymmetric else m
        hidden = draw.standard_normal((drawn, d + 2))
        signs = draw.choice([-1.0, 1.0], size=(drawn, d))
        if antisymmetric:
            hidden, signs = np.concatenate([hidden, hidden]), np.concatenate([signs, -signs])
        heads = signs[None] if times is None else np.repeat(signs[None], np.size(times), axis=0)
        self._build(hidden, heads, time_scale, bias, times, train_outputs, dtype)

    def _build(
        self,
        hidden: ArrayLike,
        heads: ArrayLike,
        time_scale: float | None,
        bias: float,
        times: ArrayLike | None,
        train_outputs: bool,
        dtype: DTypeLike,
    ) -> None:
        kind = np.dtype(dtype)
        if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"dtype must be float32 or float64, got {kind}")
        if not isinstance(train_outputs, bool | np.bool_):
            raise ValueError(f"train_outputs must be True or False, got {train_outputs!r}")
        at = np.empty(0) if times is None else real_array("times", times, ndim=1)
        if (np.diff(at) <= 0).any():
            raise ValueError(f"times must increase, got {at}")
        scale = (0.0 if at.size else 1.0) if time_scale is None else time_scale
        a = np.asarray(heads).astype(kind).astype(np.float64)
        w = np.asarray(hidden).astype(kind).astype(np.float64)
        net = _core.ReluNetwork(
            w, a, real_number("time_scale", scale), real_number("bias", bias), at
        )
        super().__init__(net.field(), type(self))
        self._net = net
        self.hidden = frozen(w.astype(kind))
        self.outputs = frozen(a.astype(kind) if at.size else a[0].astype(kind))
        self.time_scale = float(scale)
        self.bias = float(bias)
        self.times: FloatArray | None = frozen(at) if at.size else None
        self.train_outputs = bool(train_outputs)
        self.dtype = kind

    @classmethod
    def from_arrays(
        cls,
        hidden: ArrayLike,
        outputs: ArrayLike,
        *,
        time_scale: float | None = None,
        bias: float = 1.0,
        times: ArrayLike | None = None,
        train_outputs: bool = False,
        dtype: DTypeLike = np.float64,
    ) -> ReluNetwork:
        """Make the network of given weights.

        Parameters
        ----------
        hidden : array of shape (m, D + 2)
            Rows w_r, on (x, c t, b).
        outputs : array of shape (m, D), or (K, m, D) with K times
            a.
        time_scale, bias, times, train_outputs, dtype
            As in :class:`ReluNetwork`.

        Returns
        -------
        ReluNetwork
        """
        w = real_array("hidden", hidden, ndim=2)
        count = None if times is None else np.size(times)
        if w.shape[1] < 3:
            raise ValueError(f"hidden must have shape (m, D + 2) with D >= 1, got {w.shape}")
        shape = (len(w), w.shape[1] - 2)
        a = real_array("outputs", outputs, shape=shape if count is None else (count, *shape))
        net = cls.__new__(cls)
        net._build(
            w, a[None] if count is None else a, time_scale, bias, times, train_outputs, dtype
        )
        return net

    @property
    def width(self) -> int:
        """Number m of neurons."""
        return len(self.hidden)

    def __call__(self, t: ArrayLike, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Evaluate the network: as every field; in float32 if it and x are."""
        if self.dtype == np.float32 and getattr(x, "dtype", None) == np.float32:
            points = Points("x", x, self.dim, finite=False)
            times = real_array("t", t)
            if times.ndim <= 1 and times.size in (1, len(points)):
                at = np.ascontiguousarray(np.asarray(x).reshape(-1, self.dim))
                single = self._net.single(np.ravel(times), at, thread_count(num_threads))
                return points.restore(single)
        return super().__call__(t, x, num_threads=num_threads)

    def inputs(self, t: ArrayLike, x: ArrayLike) -> FloatArray:
        """Return what the hidden layer sees: rows z = (x, c t, b), shape (n, D + 2)."""
        rows = Points("x", x, self.dim).rows
        times = real_array("t", t)
        if times.ndim > 1 or times.size not in (1, len(rows)):
            raise ValueError(f"t must be a number or have shape ({len(rows)},), got {times.shape}")
        ends = np.empty((len(rows), 2))
        ends[:, 0] = self.time_scale * times
        ends[:, 1] = self.bias
        return np.concatenate([rows, ends], axis=1)

    def kinks(self, t: float) -> tuple[FloatArray, FloatArray]:
        """Return where f(t, .) bends, on the line, and its slopes between: shapes (k,), (k + 1,).

        Exact up to rounding; O(m log m). ValueError unless dim is 1.
        """
        self._require_line()
        places, slopes = self._net.kinks(real_number("t", t))
        return places, slopes

    def slopes(self, t0: float, t1: float | None = None) -> tuple[float, float]:
        """Return bounds of the slope of f(t, .), on the line, over all x and all t in [t0, t1].

        At a single time (t1 left out) they are attained. Each neuron's kink moves monotonically in
        t, so counting its slope wherever it may be active, if that helps the bound, and only where
        it must be, if that hurts, is certain; the bounds close in as t1 - t0 falls. O(m log m).
        ValueError unless dim is 1, and if heads vary on [t0, t1].
        """
        self._require_line()
        low = real_number("t0", t0)
        high = low if t1 is None else real_number("t1", t1, minimum=low)
        least, most = self._net.slopes(low, high)
        return least, most

    def _require_line(self) -> None:
        if self.dim != 1:
            raise ValueError(f"dim must be 1: slopes are known on the line, got {self.dim}")

    def loss_gradient(
        self, t: ArrayLike, x0: ArrayLike, x1: ArrayLike
    ) -> tuple[float, NDArray[Any], NDArray[Any]]:
        """Return the loss of rows (t, x0, x1) and its gradient, as training computes them.

        The mean of |f(t, X_t) - (x1 - x0)|^2 along straight paths; gradients are shaped like
        ``hidden`` and ``outputs``. With ``times``, each row belongs to the head nearest in time.
        """
        a, b = Points("x0", x0, self.dim).rows, Points("x1", x1, self.dim).rows
        times = real_array("t", t, shape=(len(a),))
        if len(b) != len(a):
            raise ValueError(f"x1 must be shaped like x0, got {b.shape} and {a.shape}")
        options = _core.TrainOptions(
            False, True, 1.0, 0.0, (0.9, 0.999), 1e-8, 0, False, 0, _core.Interpolant.linear, 0
        )
        loss, (hidden, heads) = self._trainer(options).gradient(times, a, b, True)
        kind = self.dtype
        return (
            loss,
            hidden.astype(kind),
            (heads if self.times is not None else heads[0]).astype(kind),
        )

    def _trainer(self, options: Any) -> Any:
        single = self.dtype == np.float32
        return (_core.TrainerSingle if single else _core.TrainerDouble)(self._net, options)

    def _with(self, net: _core.ReluNetwork) -> ReluNetwork:
        """Return the network of the core's weights, otherwise like this one."""
        hidden, heads = net.arrays()
        return _rebuild(hidden, heads, *self._settings())

    def _settings(self) -> tuple[Any, ...]:
        return self.time_scale, self.bias, self.times, self.train_outputs, self.dtype.str

    def save(self, path: Any) -> None:
        """Write the network to a ``.npz`` file that :meth:`load` reads."""
        times = np.empty(0) if self.times is None else self.times
        np.savez(
            path, kind="ReluNetwork", version=_LAYOUT, hidden=self.hidden, outputs=self.outputs,
            time_scale=self.time_scale, bias=self.bias, times=times,
            train_outputs=self.train_outputs,
        )  # fmt: skip

    @classmethod
    def load(cls, path: Any) -> ReluNetwork:
        """Read a network that :meth:`save` wrote; ValueError if the file holds none."""
        with np.load(path, allow_pickle=False) as file:
            if "kind" not in file or str(file["kind"]) != "ReluNetwork":
                raise ValueError(f"path must be a file written by ReluNetwork.save, got {path}")
            if int(file["version"]) > _LAYOUT:
                raise ValueError(f"path must hold layout {_LAYOUT}, got {int(file['version'])}")
            times = file["times"]
            return cls.from_arrays(
                file["hidden"], file["outputs"], time_scale=float(file["time_scale"]),
                bias=float(file["bias"]), times=times if times.size else None,
                train_outputs=bool(file["train_outputs"]), dtype=file["hidden"].dtype,
            )  # fmt: skip

    def to_torch(self) -> Any:
        """Return an equal torch module: Sequential(Linear, ReLU, Linear) on rows (x, t).

        c and b are multiplied into the first layer, 1 / sqrt(m) into the second. ValueError with
        one head per time.
        """
        import torch

        if self.times is not None:
            raise ValueError("times must be None: a torch module here has one head for all times")
        kind = torch.float32 if self.dtype == np.float32 else torch.float64
        first = torch.nn.Linear(self.dim + 1, self.width, dtype=kind)
        second = torch.nn.Linear(self.width, self.dim, bias=False, dtype=kind)
        scaled = np.array(self.hidden[:, :-1])
        scaled[:, -1] *= self.time_scale
        with torch.no_grad():
            first.weight.copy_(torch.from_numpy(scaled))
            first.bias.copy_(torch.from_numpy(np.array(self.hidden[:, -1] * self.bias)))
            second.weight.copy_(torch.from_numpy(self.outputs.T / np.sqrt(self.width)))
        return torch.nn.Sequential(first, torch.nn.ReLU(), second)

    @classmethod
    def from_torch(cls, module: Any, *, train_outputs: bool = False) -> ReluNetwork:
        """Make a network (c = b = 1) of Sequential(Linear(D + 1, m), ReLU, Linear(m, D)).

        Its rows are (x, t); the second layer must have no bias, the precision is kept.
        """
        import torch

        layers: list[Any] = list(module) if isinstance(module, torch.nn.Sequential) else []
        fits = (
            len(layers) == 3
            and isinstance(layers[0], torch.nn.Linear)
            and isinstance(layers[1], torch.nn.ReLU)
            and isinstance(layers[2], torch.nn.Linear)
            and layers[2].bias is None
            and layers[0].in_features == layers[2].out_features + 1
        )
        if not fits:
            raise ValueError(
                "module must be Sequential(Linear(D + 1, m), ReLU(), Linear(m, D, bias=False)), "
                f"got {module!r}"
            )
        first, second = layers[0], layers[2]
        weight = first.weight.detach().cpu().numpy()
        bias = np.zeros(len(weight)) if first.bias is None else first.bias.detach().cpu().numpy()
        return cls.from_arrays(
            np.column_stack([weight, bias]),
            second.weight.detach().cpu().numpy().T * np.sqrt(len(weight)),
            train_outputs=train_outputs,
            dtype=np.float32 if weight.dtype == np.float32 else np.float64,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        heads = self.outputs if self.times is not None else self.outputs[None]
        return _rebuild, (self.hidden, heads, *self._settings())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReluNetwork):
            return NotImplemented
        same = (self.time_scale, self.bias, self.train_outputs, self.dtype) == (
            other.time_scale, other.bias, other.train_outputs, other.dtype
        )  # fmt: skip
        return (
            same
            and np.array_equal(self.hidden, other.hidden)
            and np.array_equal(self.outputs, other.outputs)
            and (self.times is None) == (other.times is None)
            and (self.times is None or np.array_equal(self.times, other.times))  # type: ignore[arg-type]
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parts = [f"dim={self.dim}", f"width={self.width}"]
        if self.times is not None:
            parts.append(f"{len(self.times)} heads")
        if self.train_outputs:
            parts.append("outputs trained")
        if self.dtype == np.float32:
            parts.append("float32")
        return f"ReluNetwork({', '.join(parts)})"


def _rebuild(
    hidden: Any, heads: Any, time_scale: Any, bias: Any, times: Any, train: Any, dtype: Any
) -> ReluNetwork:
    net = ReluNetwork.__new__(ReluNetwork)
    net._build(hidden, heads, time_scale, bias, times, train, dtype)
    return net
