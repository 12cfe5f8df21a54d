"""What every plan is: a frozen value with a path of marginals, a velocity field and samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple import _core
from recouple.arguments import FloatArray, frozen, real_array, thread_count, whole_number
from recouple.interpolant import LINEAR, Interpolant

__all__ = ["LAYOUT", "Law", "Plan", "Points", "Rng", "evaluate", "rows"]

LAYOUT = 1  # of saved plans: the constructor's arguments by name, `kind` and `version`

Rng: TypeAlias = int | np.random.Generator | None


class Law(Protocol):
    """A law of one variable, on the line or in R^D."""

    def rvs(self, size: int = 1, rng: Rng = None) -> FloatArray:
        """Draw samples."""
        ...


class Points:
    """Points as the user gave them and as the mathematics wants them.

    ``rows`` is a C-contiguous float64 array of shape (n, D). ``restore`` gives a result with one
    entry (or one vector, or one matrix) per point the user's shape and precision.
    """

    __slots__ = ("_dtype", "_lead", "_vector", "rows")

    def __init__(self, name: str, value: ArrayLike, dim: int, *, finite: bool = True):
        dtype = getattr(value, "dtype", None)
        self._dtype = np.dtype(np.float32 if str(dtype).endswith("float32") else np.float64)
        array = real_array(name, value, finite=finite, empty=True)
        shape = array.shape
        line = dim == 1 and (array.ndim < 2 or (array.ndim == 2 and shape[1] == 1))
        space = dim > 1 and array.ndim in (1, 2) and shape[-1] == dim
        if not (line or space):
            need = "(n,)" if dim == 1 else f"(n, {dim})"
            raise ValueError(f"{name} must have shape {need}, got {shape}")
        self._vector = dim > 1 or array.ndim == 2
        self._lead = shape[:-1] if self._vector else shape
        self.rows: FloatArray = array.reshape(-1, dim)

    def __len__(self) -> int:
        return len(self.rows)

    def restore(self, result: NDArray[Any], *, rank: int = 1) -> Any:
        """Shape ``result``: rank 0 a number per point, 1 a vector like the point, 2 a matrix."""
        dim = self.rows.shape[1]
        tail = (dim,) * rank if self._vector else ()
        shaped = result.reshape(self._lead + tail).astype(self._dtype, copy=False)
        return shaped if shaped.ndim else shaped[()]


def rows(name: str, value: ArrayLike, dim: int | None = None) -> FloatArray:
    """Return points as (n, D); a one-dimensional array holds points on the line."""
    array = real_array(name, value)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or (dim is not None and array.shape[1] != dim):
        need = "(n,) or (n, D)" if dim is None else ("(n,)" if dim == 1 else f"(n, {dim})")
        raise ValueError(f"{name} must have shape {need}, got {np.shape(value)}")
    return array


def evaluate(core: _core.Field, t: ArrayLike, x: ArrayLike, num_threads: int | None) -> Any:
    """Evaluate a compiled field at one time, or a time for each point."""
    points = Points("x", x, core.dim, finite=False)
    times = real_array("t", t)
    if times.ndim > 1 or times.size not in (1, len(points)):
        raise ValueError(
            f"t must be a number or have shape ({len(points)},), got shape {times.shape}"
        )
    return points.restore(core(np.ravel(times), points.rows, thread_count(num_threads)))


class Plan(ABC):
    """A plan (coupling): the joint law of (X0, X1) on R^D x R^D.

    Plans are immutable values: they pickle, compare by content and save to ``.npz``. On the line
    (D = 1) points are arrays of shape (n,), otherwise (n, D). With an interpolant,
    X_t = a(t) X0 + b(t) X1.
    """

    dim: int
    """Dimension D of X0 and of X1."""

    _fields: tuple[str, ...] = ()  # the constructor's arguments, under which the plan stores them

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            kept = frozen(value) if isinstance(value, np.ndarray) else value
            object.__setattr__(self, name, kept)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot set {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot delete {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, name) for name in self._fields)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in self._fields
        )

    __hash__ = None  # type: ignore[assignment]

    # What each plan says for itself.

    @property
    @abstractmethod
    def mean(self) -> FloatArray:
        """Mean of (X0, X1), shape (2 D,)."""

    @property
    @abstractmethod
    def cov(self) -> FloatArray:
        """Covariance of (X0, X1), shape (2 D, 2 D)."""

    @abstractmethod
    def marginal(self, t: float, interpolant: Interpolant = LINEAR) -> Any:
        """Law of X_t: on the line a law with SciPy's methods, otherwise one in R^D."""

    @abstractmethod
    def sample(self, n: int, rng: Rng = None) -> tuple[FloatArray, FloatArray]:
        """Draw n independent pairs: x0 and x1, each of shape (n,) on the line, (n, D) otherwise."""

    @abstractmethod
    def conditional(self, x0: ArrayLike) -> Any:
        """Law of X1 given X0 = x0."""

    @abstractmethod
    def sample_conditional(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """Draw one X1 given each X0 = x0[i]; shaped like x0."""

    @abstractmethod
    def reverse(self) -> Plan:
        """Return the plan of (X1, X0)."""

    @abstractmethod
    def _moment(self, powers: tuple[int, ...]) -> float: ...

    @abstractmethod
    def _field(self, interpolant: Interpolant) -> _core.Field: ...

    # What follows from it.

    @property
    def source(self) -> Any:
        """Law of X0."""
        return self.marginal(0.0)

    @property
    def target(self) -> Any:
        """Law of X1."""
        return self.marginal(1.0)

    @property
    def mean0(self) -> Any:
        """Mean of X0: a number on the line, (D,) otherwise."""
        return self._part(self.mean[: self.dim])

    @property
    def mean1(self) -> Any:
        """Mean of X1."""
        return self._part(self.mean[self.dim :])

    @property
    def cov00(self) -> Any:
        """Covariance of X0: the variance on the line, (D, D) otherwise."""
        return self._part(self.cov[: self.dim, : self.dim])

    @property
    def cov01(self) -> Any:
        """Covariance of X0 (rows) with X1 (columns)."""
        return self._part(self.cov[: self.dim, self.dim :])

    @property
    def cov11(self) -> Any:
        """Covariance of X1."""
        return self._part(self.cov[self.dim :, self.dim :])

    def _part(self, block: FloatArray) -> Any:
        if self.dim == 1:
            return float(block.reshape(()))
        return frozen(block)

    @property
    def correlation(self) -> Any:
        """Correlation of X0 and X1: a number on the line, otherwise (D, D), X0 along rows.

        NaN where a coordinate is constant.
        """
        variance = np.diag(self.cov)
        with np.errstate(invalid="ignore", divide="ignore"):
            matrix = self.cov / np.sqrt(np.outer(variance, variance))
        return self._part(matrix[: self.dim, self.dim :])

    def moment(self, i: int | Sequence[int], j: int | Sequence[int]) -> float:
        """Mixed moment E[X0^i X1^j].

        Parameters
        ----------
        i, j : int, or sequence of D ints
            Powers of X0 and X1; in R^D one power per coordinate.

        Returns
        -------
        float
        """
        powers: list[int] = []
        for name, value in (("i", i), ("j", j)):
            given = [value] if isinstance(value, int | np.integer) else list(value)
            if len(given) != self.dim:
                raise ValueError(f"{name} must hold {self.dim} power(s), got {len(given)}")
            powers += [whole_number(name, power) for power in given]
        return self._moment(tuple(powers))

    def velocity(
        self,
        t: ArrayLike,
        x: ArrayLike,
        interpolant: Interpolant = LINEAR,
        *,
        num_threads: int | None = None,
    ) -> Any:
        """Velocity v(t, x) = E[dX_t/dt | X_t = x]; :func:`velocity_field` says more."""
        return evaluate(self._field(interpolant), t, x, num_threads)

    def save(self, path: Any) -> None:
        """Write the plan to a ``.npz`` file that :func:`load_plan` reads."""
        arrays = {name: getattr(self, name) for name in self._fields}
        np.savez(path, kind=type(self).__name__, version=LAYOUT, **arrays)
