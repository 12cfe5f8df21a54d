"""Laws on the line, under the method names of SciPy's distributions.

Every law has ``pdf logpdf cdf logcdf sf logsf ppf isf rvs mean std var median support``. Where a
law is wanted, ``as_marginal`` takes SciPy distributions, old and new, and arrays of samples too.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple import _core
from recouple.arguments import FloatArray, frozen, generator, real_array, real_number, thread_count

__all__ = ["Empirical", "Marginal", "Normal", "NormalMixture", "as_marginal"]


class Marginal:
    """A law on the line. The kinds are its subclasses; ``as_marginal`` makes one of anything.

    Every curve takes a number or an array of any shape and returns the same; float32 gives float32,
    with the arithmetic in float64. NaN is refused, and so are probabilities outside [0, 1]
    (ValueError). ``num_threads`` bounds the threads of one call; results do not depend on it.
    """

    __slots__ = ("_core",)
    _core: Any
    has_density: ClassVar[bool] = True

    def pdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Density at x."""
        self._require_density("pdf")
        return self._evaluate(self._core.pdf, "x", x, num_threads)

    def logpdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Logarithm of the density at x, without underflow."""
        self._require_density("logpdf")
        return self._evaluate(self._core.logpdf, "x", x, num_threads)

    def cdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """P(X <= x), accurate relative to itself."""
        return self._evaluate(self._core.cdf, "x", x, num_threads)

    def logcdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Logarithm of P(X <= x), accurate in both tails."""
        return self._evaluate(self._core.logcdf, "x", x, num_threads)

    def sf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """P(X > x), accurate relative to itself."""
        return self._evaluate(self._core.sf, "x", x, num_threads)

    def logsf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Logarithm of P(X > x), accurate in both tails."""
        return self._evaluate(self._core.logsf, "x", x, num_threads)

    def ppf(self, u: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Quantile: the least x with P(X <= x) >= u."""
        return self._evaluate(self._core.ppf, "u", u, num_threads)

    def isf(self, u: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Upper quantile, the x with P(X > x) = u: keeps its accuracy where 1 - u would round."""
        return self._evaluate(self._core.isf, "u", u, num_threads)

    def rvs(
        self,
        size: int | tuple[int, ...] | None = None,
        rng: int | np.random.Generator | None = None,
        *,
        num_threads: int | None = None,
    ) -> Any:
        """Independent draws, by inversion: one uniform each, so that draws are increasing in it.

        ``size=None`` gives one number. The thread count changes no bit.
        """
        u = generator(rng).random(size)
        return self.ppf(np.maximum(u, 2.0**-54), num_threads=num_threads)

    def mean(self) -> float:
        """Mean."""
        return float(self._core.mean())

    def std(self) -> float:
        """Standard deviation."""
        return float(self._core.std())

    def var(self) -> float:
        """Variance."""
        return self.std() ** 2

    def median(self) -> float:
        """Quantile of one half."""
        return float(self.ppf(0.5))

    def support(self) -> tuple[float, float]:
        """The least interval that holds the law."""
        lower, upper = self._core.support()
        return float(lower), float(upper)

    def _evaluate(self, curve: Any, name: str, value: Any, num_threads: int | None) -> Any:
        threads = 0 if num_threads is None else thread_count(num_threads)
        kind = type(value)
        if kind is float:
            return curve(value)
        if kind is np.ndarray and value.dtype == np.float64 and value.flags.c_contiguous:
            return curve(value, threads) if value.ndim else curve(float(value))
        given = np.asarray(value)
        points = real_array(name, given, finite=False, empty=True)
        if given.ndim == 0:
            y = curve(float(points))
            return np.float32(y) if given.dtype == np.float32 else y
        y = curve(points, threads)
        return y.astype(np.float32) if given.dtype == np.float32 else y

    def _require_density(self, curve: str) -> None:
        if not self.has_density:
            raise ValueError(f"{curve} needs a law with a density, got {self!r}")


class Normal(Marginal):
    """The normal law N(mean, std^2), std > 0.

    ``ppf`` is Wichura's quotient form (1988, AS 241) with minimax coefficients: relative error at
    most 3 eps of (x - mean) / std.

    Examples
    --------
    >>> law = Normal(1.0, 2.0)
    >>> law.cdf(1.0), law.ppf([0.5])
    (0.5, array([1.]))
    """

    __slots__ = ()

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        self._core = _core.normal(real_number("mean", mean), real_number("std", std, positive=True))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.mean(), self.std())

    def __repr__(self) -> str:
        return f"Normal(mean={self.mean():g}, std={self.std():g})"


class NormalMixture(Marginal):
    """A mixture of normal laws: sum_k weights[k] N(means[k], stds[k]^2).

    Weights are normalised; components of weight zero are dropped.

    Examples
    --------
    >>> law = NormalMixture([1, 1], [-2, 2], [0.5, 0.5])
    >>> law.cdf(0.0), law.mean()
    (0.5, 0.0)
    """

    __slots__ = ()

    def __init__(self, weights: ArrayLike, means: ArrayLike, stds: ArrayLike) -> None:
        self._core = _core.normal_mixture(
            real_array("weights", weights, ndim=1),
            real_array("means", means, ndim=1),
            real_array("stds", stds, ndim=1),
        )

    @property
    def weights(self) -> FloatArray:
        """Weights of the components, summing to 1."""
        return frozen(self._core.mixture()[0])

    @property
    def means(self) -> FloatArray:
        """Means of the components."""
        return frozen(self._core.mixture()[1])

    @property
    def stds(self) -> FloatArray:
        """Standard deviations of the components."""
        return frozen(self._core.mixture()[2])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(np.asarray(a) for a in self._core.mixture())

    def __repr__(self) -> str:
        weights, means, stds = (np.array2string(a, threshold=4) for a in self._core.mixture())
        return f"NormalMixture({weights}, {means}, {stds})".replace("\n", "")


class Empirical(Marginal):
    """The law of finitely many values: mass ``weights[i]`` at ``values[i]``, or equal masses.

    ``ppf`` is the standard quantile, the least value with cdf >= u (NumPy's ``inverted_cdf``).
    There is no density.

    Examples
    --------
    >>> law = Empirical([3, 1, 2, 2])
    >>> law.cdf(2.0), law.ppf(0.75)
    (0.75, 2.0)
    """

    __slots__ = ()
    has_density = False

    def __init__(self, values: ArrayLike, weights: ArrayLike | None = None) -> None:
        v = real_array("values", values, ndim=1)
        if weights is None:
            self._core = _core.empirical(np.sort(v), np.empty(0))
            return
        w = real_array("weights", weights, shape=(v.size,))
        order = np.argsort(v, kind="stable")
        self._core = _core.empirical(v[order], w[order])

    @property
    def values(self) -> FloatArray:
        """The values, increasing, ties kept."""
        return frozen(self._core.atoms()[0])

    @property
    def weights(self) -> FloatArray:
        """The mass of each of ``values``, summing to 1."""
        values, weights = self._core.atoms()
        return frozen(weights if weights.size else np.full(values.size, 1 / values.size))

    def __reduce__(self) -> tuple[Any, ...]:
        values, weights = self._core.atoms()
        return type(self), (values, weights if weights.size else None)

    def __repr__(self) -> str:
        lower, upper = self.support()
        return f"Empirical({self._core.atoms()[0].size} values in [{lower:g}, {upper:g}])"


class _Foreign(Marginal):
    """A distribution of another library behind our names."""

    __slots__ = ("_law", "_names")

    def __init__(self, law: Any, names: dict[str, str], mean: float, std: float) -> None:
        self._law, self._names = law, names
        lower, upper = law.support()
        self._core = _core.python_marginal(self._call, mean, std, float(lower), float(upper))

    def _call(self, curve: str, x: FloatArray) -> NDArray[Any]:
        return np.asarray(getattr(self._law, self._names[curve])(x), dtype=np.float64)

    def __reduce__(self) -> tuple[Any, ...]:
        return as_marginal, (self._law,)

    def __repr__(self) -> str:
        return f"Marginal of {self._law!r}"


_CURVES = ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf")
_OLD_NAMES = {curve: curve for curve in _CURVES}
_NEW_NAMES = _OLD_NAMES | {"sf": "ccdf", "logsf": "logccdf", "ppf": "icdf", "isf": "iccdf"}


def as_marginal(obj: Any, *, name: str = "law") -> Marginal:
    """Return the law that ``obj`` stands for.

    Parameters
    ----------
    obj : Marginal, SciPy distribution or array
        A law of this package is returned as it is; a frozen ``scipy.stats`` distribution or one of
        SciPy's new distributions is wrapped (a normal one becomes a ``Normal``); an array (n,) of
        samples becomes an ``Empirical``.
    name : str
        What error messages call the argument.

    Raises
    ------
    ValueError
        If ``obj`` is none of these, or a discrete distribution.

    Examples
    --------
    >>> as_marginal([2.0, 1.0]).support()
    (1.0, 2.0)
    """
    if isinstance(obj, Marginal):
        return obj
    if hasattr(obj, "dist") and hasattr(obj, "args") and hasattr(obj, "ppf"):
        return _from_frozen(obj, name)
    if callable(getattr(obj, "icdf", None)) and callable(getattr(obj, "ccdf", None)):
        return _from_new(obj)
    if callable(obj) or obj is None or isinstance(obj, str):
        raise ValueError(
            f"{name} must be a law, a SciPy distribution or an array of samples, got {obj!r}"
        )
    return Empirical(real_array(name, obj, ndim=1))


def _from_frozen(obj: Any, name: str) -> Marginal:
    if not hasattr(obj, "pdf") or not hasattr(obj.dist, "pdf"):
        raise ValueError(f"{name} must be a continuous distribution, got {obj.dist.name}")
    if obj.dist.name == "norm":
        return Normal(float(obj.mean()), float(obj.std()))
    return _Foreign(obj, _OLD_NAMES, float(obj.mean()), float(obj.std()))


def _from_new(obj: Any) -> Marginal:
    mean, std = float(obj.mean()), float(obj.standard_deviation())
    if type(obj).__name__ in ("Normal", "StandardNormal"):
        return Normal(mean, std)
    return _Foreign(obj, _NEW_NAMES, mean, std)
