"""What every plan is: a frozen value with a path of marginals, a velocity field and samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple import _core
from recouple.arguments import (
    FloatArray,
    frozen,
    real_array,
    real_number,
    thread_count,
    whole_number,
)
from recouple.interpolant import LINEAR, Interpolant
from recouple.plan.estimate import Estimate, loss_floor, plan_distance
from recouple.plan.pointwise import derivative

__all__ = ["LAYOUT", "Law", "Plan", "Points", "Rng", "Side", "below", "evaluate", "pack", "rows"]

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


Side: TypeAlias = Literal["raise", "before", "after"]
_NEAR = 1e-12  # times this close to a collision count as it
_STEP = 2.0**-20  # from a collision to the times its one-sided limit is taken from


def evaluate(
    core: _core.Field,
    t: ArrayLike,
    x: ArrayLike,
    num_threads: int | None,
    collisions: FloatArray | None = None,
    at_collision: Side = "raise",
) -> Any:
    """Evaluate a compiled field at one time, or a time for each point.

    At a collision time the field is refused, or the limit from one side taken: linear extrapolation
    of the values at two times nearby, infinite where those grow like 1 / distance.
    """
    if (
        isinstance(t, float)
        and type(x) is np.ndarray
        and x.dtype == np.float64
        and x.flags.c_contiguous
        and x.ndim == 1 + (core.dim > 1)
        and (x.ndim == 1 or x.shape[1] == core.dim)
        and (collisions is None or collisions.size == 0)
        and abs(t) < np.inf
    ):  # what loops over small batches send, and the rest would not change
        return core(t, x, 0 if num_threads is None else thread_count(num_threads))
    points = Points("x", x, core.dim, finite=False)
    times = real_array("t", t)
    if times.ndim > 1 or times.size not in (1, len(points)):
        raise ValueError(
            f"t must be a number or have shape ({len(points)},), got shape {times.shape}"
        )
    times, threads = np.ravel(times), thread_count(num_threads)
    if collisions is None or collisions.size == 0:
        return points.restore(core(times, points.rows, threads))
    hit = np.abs(times[:, None] - collisions).min(axis=1) <= _NEAR
    if not hit.any():
        return points.restore(core(times, points.rows, threads))
    at = times[int(np.argmax(hit))]
    if at_collision == "raise":
        raise ValueError(
            f"X_t is singular at t = {at:g}, where paths collide and the velocity is not defined "
            'everywhere; at_collision="before" or "after" gives its limit from one side'
        )
    side = -1 if at_collision == "before" else 1
    if not _STEP < at + side * 3 * _STEP < 1:
        raise ValueError(
            f'at_collision must be the side inside [0, 1] at t = {at:g}, got "{at_collision}"'
        )
    near = core(np.where(hit, times + side * _STEP, times), points.rows, threads)
    far = core(np.where(hit, times + side * 2 * _STEP, times), points.rows, threads)
    grows = (np.abs(near) >= 1.5 * np.abs(far)) & (np.abs(near) > 1)
    limit = np.where(grows, np.copysign(np.inf, near), 2 * near - far)
    return points.restore(np.where(hit[:, None], limit, near))


def _differences(field: Callable[[FloatArray], FloatArray], x: FloatArray) -> FloatArray:
    """Jacobian of a field that does not know it, by fourth-order central differences."""
    jac = np.empty((*x.shape, x.shape[1]))
    for c in range(x.shape[1]):

        def moved(step: FloatArray, axis: int = c) -> FloatArray:
            at = x.copy()
            at[:, axis] += step[:, 0]
            return field(at)

        jac[:, :, c] = derivative(moved, 1e-3 * (1 + np.abs(x[:, c, None])))
    return jac


def pack(name: str, value: Any, arrays: dict[str, Any]) -> None:
    """Store a plan, a law or an argument of one under ``name``: its kind and its parts below it."""
    if isinstance(value, np.ndarray | float | int | bool):
        arrays[name] = value
        return
    parts: dict[Any, Any]
    if isinstance(value, tuple):
        kind, parts = "tuple", dict(enumerate(value))
    elif isinstance(value, Plan):
        kind, parts = type(value).__name__, {f: getattr(value, f) for f in value._fields}
    else:
        maker, arguments = value.__reduce__()[:2]
        if not isinstance(maker, type):
            raise ValueError(f"{value!r} cannot be saved: pickle the plan instead")
        kind, parts = maker.__name__, dict(enumerate(arguments))
    arrays[below(name, "kind")] = kind
    for part, content in parts.items():
        pack(below(name, part), content, arrays)


def below(name: str, part: Any) -> str:
    """Name of a part of what is stored under ``name``; the plan itself has no name."""
    return f"{name}.{part}" if name else str(part)


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
        at_collision: Side = "raise",
        num_threads: int | None = None,
    ) -> Any:
        """Velocity v(t, x) = E[dX_t/dt | X_t = x]; :func:`velocity_field` says more."""
        return evaluate(
            self._field(interpolant),
            t,
            x,
            num_threads,
            self.collision_times(interpolant),
            at_collision,
        )

    def jacobian(self, t: float, x: ArrayLike, interpolant: Interpolant = LINEAR) -> Any:
        """Jacobian of v(t, .) at x: a number for each point on the line, (n, D, D) otherwise."""
        points = Points("x", x, self.dim)
        at, core = self._regular(t, interpolant), self._field(interpolant)
        if core.differentiable:
            jac = core.jacobian(at, points.rows, 0)
        else:
            jac = _differences(lambda y: core(np.array([at]), y, 0), points.rows)
        return points.restore(jac, rank=2 if self.dim > 1 else 0)

    def divergence(self, t: float, x: ArrayLike, interpolant: Interpolant = LINEAR) -> Any:
        """Divergence of v(t, .) at x: a number for each point."""
        points = Points("x", x, self.dim)
        at, core = self._regular(t, interpolant), self._field(interpolant)
        if core.differentiable:
            _, div = core.divergence(at, points.rows, 0)
        else:
            jac = _differences(lambda y: core(np.array([at]), y, 0), points.rows)
            div = np.trace(jac, axis1=1, axis2=2)
        return points.restore(div, rank=0)

    def log_density(self, t: float, x: ArrayLike, interpolant: Interpolant = LINEAR) -> Any:
        """Log density of X_t at x: a number for each point."""
        points = Points("x", x, self.dim)
        at = self._regular(t, interpolant)
        return points.restore(self._log_density(at, points.rows, interpolant), rank=0)

    def _log_density(self, t: float, x: FloatArray, interpolant: Interpolant) -> FloatArray:
        at = x.ravel() if self.dim == 1 else x
        logs: FloatArray = self.marginal(t, interpolant).logpdf(at)
        return logs

    def score(self, t: float, x: ArrayLike, interpolant: Interpolant = LINEAR) -> Any:
        """Gradient of log p_t at x, shaped like x."""
        points = Points("x", x, self.dim)
        return points.restore(
            self._local(self._regular(t, interpolant), points.rows, interpolant)[0]
        )

    def conditional_covariance(
        self, t: float, x: ArrayLike, interpolant: Interpolant = LINEAR
    ) -> Any:
        """Cov(dX_t/dt | X_t = x): a variance for each point on the line, (n, D, D) otherwise.

        The mean of its trace over X_t and t is the :meth:`floor` of the flow-matching loss.
        """
        points = Points("x", x, self.dim)
        cov = self._local(self._regular(t, interpolant), points.rows, interpolant)[1]
        return points.restore(cov, rank=2 if self.dim > 1 else 0)

    def floor(
        self, interpolant: Interpolant = LINEAR, *, samples: int = 20000, rng: Rng = 0
    ) -> Estimate:
        """Least value of the flow-matching loss: the time average of E tr Cov(dX_t/dt | X_t).

        Adaptive quadrature in t, and in x on the line; of a Gaussian plan the covariance does not
        depend on x. Other plans in R^D: ``samples`` draws of X_t at 16 Gauss-Legendre times.

        Examples
        --------
        >>> import recouple as rc
        >>> rc.GaussianPlan(0.0, 0.0, 1.0, 0.0, 1.0).floor()  # pi / 2
        Estimate(1.5708, error 1e-12)
        """
        return loss_floor(self, interpolant, samples, rng)

    def collision_times(self, interpolant: Interpolant = LINEAR) -> FloatArray:
        """Times in [0, 1] at which X_t is more singular than around them: paths collide there."""
        return np.empty(0)

    def distance(
        self, other: Plan, *, projections: int = 200, samples: int = 4000, rng: Rng = 0
    ) -> Estimate:
        """Wasserstein distance W2 between this plan and another, as laws on R^(2D).

        Exact between atomic plans of at most 2000 pairs each (needs POT). Otherwise the sliced
        distance, the root mean square of W2 over random directions, from samples.

        Returns
        -------
        Estimate
            ``error`` is 0 when exact, the standard error over the directions otherwise; the
            sampling error is not in it (two samples of n points are about n^(-1/2) apart).
        """
        return plan_distance(self, other, projections, samples, rng)

    def _regular(self, t: float, interpolant: Interpolant) -> float:
        at = real_number("t", t)
        times = self.collision_times(interpolant)
        if times.size and np.abs(times - at).min() <= _NEAR:
            raise ValueError(f"X_t is singular at t = {at:g}, where paths collide")
        return at

    @abstractmethod
    def _local(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[FloatArray, FloatArray]:
        """Score (n, D) and Cov(dX_t/dt | X_t = x) (n, D, D) at rows x."""

    def save(self, path: Any) -> None:
        """Write the plan to a ``.npz`` file that :func:`load_plan` reads."""
        arrays: dict[str, Any] = {}
        pack("", self, arrays)
        np.savez(path, version=LAYOUT, **arrays)
