"""Laws on the line, under the method names of SciPy's distributions.

Every law has ``pdf logpdf cdf logcdf sf logsf ppf isf rvs mean std var median support``. Where a
law is wanted, ``as_marginal`` takes SciPy distributions, old and new, and arrays of samples too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple import _core
from recouple.arguments import FloatArray, frozen, generator, real_array, real_number, thread_count

__all__ = [
    "Empirical",
    "Histogram",
    "Marginal",
    "Normal",
    "NormalMixture",
    "affine",
    "as_marginal",
    "evaluate_rows",
    "smoothed",
    "truncated",
]


class Marginal:
    """A law on the line. The kinds are its subclasses; ``as_marginal`` makes one of anything.

    Every curve takes a number or an array of any shape and returns the same; float32 gives float32,
    with the arithmetic in float64. NaN is refused, and so are probabilities outside [0, 1]
    (ValueError). ``num_threads`` bounds the threads of one call; results do not depend on it.
    """

    __slots__ = ("_core",)
    _core: Any
    has_density: bool = True

    def pdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Density at x."""
        self._require_density("pdf")
        y = self._core.pdf(x, num_threads)
        return self._evaluate(self._core.pdf, "x", x, num_threads) if y is None else y

    def logpdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Logarithm of the density at x, without underflow."""
        self._require_density("logpdf")
        y = self._core.logpdf(x, num_threads)
        return self._evaluate(self._core.logpdf, "x", x, num_threads) if y is None else y

    def cdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """P(X <= x), accurate relative to itself."""
        y = self._core.cdf(x, num_threads)
        return self._evaluate(self._core.cdf, "x", x, num_threads) if y is None else y

    def logcdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Logarithm of P(X <= x), accurate in both tails."""
        y = self._core.logcdf(x, num_threads)
        return self._evaluate(self._core.logcdf, "x", x, num_threads) if y is None else y

    def sf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """P(X > x), accurate relative to itself."""
        y = self._core.sf(x, num_threads)
        return self._evaluate(self._core.sf, "x", x, num_threads) if y is None else y

    def logsf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Logarithm of P(X > x), accurate in both tails."""
        y = self._core.logsf(x, num_threads)
        return self._evaluate(self._core.logsf, "x", x, num_threads) if y is None else y

    def ppf(self, u: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Quantile: the least x with P(X <= x) >= u."""
        y = self._core.ppf(u, num_threads)
        return self._evaluate(self._core.ppf, "u", u, num_threads) if y is None else y

    def isf(self, u: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Upper quantile, the x with P(X > x) = u: keeps its accuracy where 1 - u would round."""
        y = self._core.isf(u, num_threads)
        return self._evaluate(self._core.isf, "u", u, num_threads) if y is None else y

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
        """Evaluate at what the core did not take as it came: settle its kind, or refuse it."""
        threads = thread_count(num_threads) or None
        given = np.asarray(value)
        y = curve(real_array(name, given, finite=False, empty=True), threads)
        if given.dtype != np.float32:
            return y
        return np.float32(y) if given.ndim == 0 else y.astype(np.float32)

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
    There is no density. ``interpolated()`` is the law whose quantiles join the values linearly.

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

    def interpolated(self) -> Histogram:
        """Return the law whose ppf joins the values linearly, as ``np.quantile`` does by default.

        Between neighbouring values lies half the mass of each, relative to the total of such
        masses; for equal weights ppf(u) is the value at position (n - 1) u.

        Raises
        ------
        ValueError
            If there is only one value.

        Examples
        --------
        >>> Empirical([1.0, 2.0, 4.0]).interpolated().ppf(0.75)
        3.0
        """
        values, weights = self.values, self.weights
        if values.size < 2:
            raise ValueError("interpolated needs at least 2 values, got 1")
        return Histogram._from_polygon(values, 0.5 * (weights[1:] + weights[:-1]))

    def __reduce__(self) -> tuple[Any, ...]:
        values, weights = self._core.atoms()
        return type(self), (values, weights if weights.size else None)

    def __repr__(self) -> str:
        lower, upper = self.support()
        return f"Empirical({self._core.atoms()[0].size} values in [{lower:g}, {upper:g}])"


class Histogram(Marginal):
    """Mass spread evenly over each bin: ``mass[i]`` on [edges[i], edges[i + 1]].

    Parameters
    ----------
    edges : array (n + 1,)
        Increasing.
    mass : array (n,)
        Not negative; normalised to sum to 1.

    Examples
    --------
    >>> law = Histogram([0, 1, 3], [1, 1])
    >>> law.ppf([0.25, 0.75]), law.pdf(2.0)
    (array([0.5, 2. ]), 0.25)
    """

    __slots__ = ()

    def __init__(self, edges: ArrayLike, mass: ArrayLike) -> None:
        e = real_array("edges", edges, ndim=1)
        rising = np.diff(e) > 0
        if not rising.all():
            k = int(np.argmin(rising))
            raise ValueError(f"edges must increase, got {e[k]:g} then {e[k + 1]:g} at index {k}")
        self._core = _core.histogram(e, real_array("mass", mass, ndim=1))

    @classmethod
    def _from_polygon(cls, edges: FloatArray, mass: FloatArray) -> Histogram:
        law = cls.__new__(cls)
        law._core = _core.histogram(np.array(edges), np.array(mass))
        return law

    @property
    def edges(self) -> FloatArray:
        """The n + 1 edges of the bins."""
        return frozen(_core.histogram_bins(self._core)[0])

    @property
    def mass(self) -> FloatArray:
        """The mass of each bin, summing to 1."""
        return frozen(_core.histogram_bins(self._core)[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._from_polygon, _core.histogram_bins(self._core)

    def __repr__(self) -> str:
        lower, upper = self.support()
        return f"Histogram({self.mass.size} bins in [{lower:g}, {upper:g}])"


class _Derived(Marginal):
    """A law made of another one; ``affine`` and ``truncated`` make them."""

    __slots__ = ("_arguments", "_make")

    def __init__(self, make: Any, law: Marginal, *arguments: float) -> None:
        self._make = make
        self._arguments: tuple[Any, ...] = (law, *arguments)
        self._core = getattr(_core, make.__name__)(law._core, *arguments)

    @property
    def has_density(self) -> bool:  # type: ignore[override]
        """Whether the law it is made of has a density."""
        return bool(self._arguments[0].has_density)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._make, self._arguments

    def __repr__(self) -> str:
        law, first, second = self._arguments
        return f"{self._make.__name__}({law!r}, {first:g}, {second:g})"


def affine(law: Any, shift: float = 0.0, scale: float = 1.0) -> Marginal:
    """Return the law of shift + scale X, for a scale of either sign but not zero.

    Examples
    --------
    >>> affine(Histogram([0, 1], [1]), 2, -4).support()
    (-2.0, 2.0)
    """
    a, b = real_number("shift", shift), real_number("scale", scale)
    law = as_marginal(law)
    if b == 0:
        raise ValueError("scale must not be zero, got 0")
    if isinstance(law, Normal):
        return Normal(a + b * law.mean(), abs(b) * law.std())
    if isinstance(law, NormalMixture):
        return NormalMixture(law.weights, a + b * law.means, abs(b) * law.stds)
    if isinstance(law, Empirical):
        return Empirical(a + b * law.values, law.weights)
    return _Derived(affine, law, a, b)


def truncated(law: Any, lower: float = -np.inf, upper: float = np.inf) -> Marginal:
    """Return the law of X given lower <= X <= upper.

    Its tails are differences of the law's own, taken in the tail the interval lies in, so that an
    interval far out keeps its relative accuracy; mean and std are by quadrature of the quantiles,
    relative error about 1e-13 for smooth densities.

    Raises
    ------
    ValueError
        Unless lower < upper and the law has mass between them.

    Examples
    --------
    >>> law = truncated(Normal(), 30.0)
    >>> round(law.mean(), 8)
    30.03325967
    """
    law = as_marginal(law)
    a, b = float(lower), float(upper)
    if not a < b:
        raise ValueError(f"lower must be less than upper, got {a:g} and {b:g}")
    if isinstance(law, Empirical):
        inside = (law.values >= a) & (law.values <= b)
        if not inside.any():
            raise ValueError(f"law must have mass between lower = {a:g} and upper = {b:g}")
        return Empirical(law.values[inside], law.weights[inside])
    return _Derived(truncated, law, a, b)


def smoothed(
    samples: ArrayLike, weights: ArrayLike | None = None, *, bandwidth: float | None = None
) -> NormalMixture:
    """Return samples smoothed by a normal kernel: a mixture with a component at each.

    Parameters
    ----------
    samples : array (n,)
    weights : array (n,), optional
        Of the samples; equal by default.
    bandwidth : float, optional
        Standard deviation of the kernel, in units of the samples. By default Silverman's rule
        (1986, eq. 3.31), 0.9 min(std, IQR / 1.34) n^(-1/5).

    Notes
    -----
    Cost: components are sorted and each point visits only those within about 10 bandwidths.

    Examples
    --------
    >>> smoothed([0.0, 1.0, 2.0], bandwidth=0.5).cdf(1.0)
    0.5
    """
    x = real_array("samples", samples, ndim=1)
    w = np.ones(x.size) if weights is None else real_array("weights", weights, shape=(x.size,))
    if bandwidth is None:
        law = Empirical(x, w)
        spread = min(law.std(), float(law.ppf(0.75) - law.ppf(0.25)) / 1.34) or law.std()
        if spread == 0:
            raise ValueError("bandwidth must be given when all samples are equal")
        bandwidth = 0.9 * spread * x.size**-0.2
    h = real_number("bandwidth", bandwidth, positive=True)
    return NormalMixture(w, x, np.full(x.size, h))


def evaluate_rows(
    laws: Sequence[Any], curve: str, values: ArrayLike, *, num_threads: int | None = None
) -> FloatArray:
    """Return one curve of many laws at once: row i of the result is that of ``laws[i]``.

    Parameters
    ----------
    laws : sequence of m laws
    curve : str
        "ppf", "cdf", ... ; any of the curves of a law.
    values : array (m, n) or (n,)
        Points or probabilities; (n,) serves every law.

    Examples
    --------
    >>> evaluate_rows([Normal(0, 1), Normal(5, 2)], "ppf", [0.5])
    array([[0.],
           [5.]])
    """
    rows = [as_marginal(law, name=f"laws[{i}]") for i, law in enumerate(laws)]
    if not rows:
        raise ValueError("laws must not be empty")
    given = real_array("values", values, finite=False, empty=True)
    if given.ndim == 1:
        given = np.ascontiguousarray(np.broadcast_to(given, (len(rows), given.size)))
    if given.ndim != 2 or given.shape[0] != len(rows):
        raise ValueError(f"values must have shape ({len(rows)}, n) or (n,), got {given.shape}")
    cores = [row._core for row in rows]
    result: FloatArray = _core.evaluate_rows(cores, curve, given, thread_count(num_threads))
    return result


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


class _FromCdf(Marginal):
    """A law known by its cdf, and perhaps its density."""

    __slots__ = ("_cdf", "_inverse", "_pdf", "_support")

    def __init__(self, cdf: Any, pdf: Any, support: tuple[float, float]) -> None:
        self._cdf, self._pdf, self._support = cdf, pdf, support
        self._inverse = _core.CdfInverse(cdf, *support)
        bare = _core.python_marginal(self._call, np.nan, np.nan, *support)
        self._core = _core.python_marginal(self._call, *_core.moments(bare), *support)

    @property
    def has_density(self) -> bool:  # type: ignore[override]
        """Whether a density was given."""
        return self._pdf is not None

    def _call(self, curve: str, x: FloatArray) -> NDArray[Any]:
        lower, upper = self._support
        if curve in ("ppf", "isf"):
            inverse: NDArray[Any] = self._inverse(x if curve == "ppf" else 1.0 - x)
            return inverse
        f = self._pdf if curve in ("pdf", "logpdf") else self._cdf
        inside = (x >= lower) & (x <= upper)
        y = np.asarray(f(np.clip(x, lower, upper)), dtype=np.float64)
        if f is self._pdf:
            y = np.where(inside, y, 0.0)
        else:
            y = np.where(x < lower, 0.0, np.where(x > upper, 1.0, y))
            y = y if curve.endswith("cdf") else 1.0 - y
        if curve.startswith("log"):
            with np.errstate(divide="ignore"):
                return np.log(y)
        return y

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._cdf, self._pdf, self._support)

    def __repr__(self) -> str:
        return f"Marginal of cdf {self._cdf!r} on [{self._support[0]:g}, {self._support[1]:g}]"


_CURVES = ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf")
_OLD_NAMES = {curve: curve for curve in _CURVES}
_NEW_NAMES = _OLD_NAMES | {"sf": "ccdf", "logsf": "logccdf", "ppf": "icdf", "isf": "iccdf"}


def as_marginal(
    obj: Any,
    *,
    support: tuple[float, float] | None = None,
    pdf: Callable[[FloatArray], Any] | None = None,
    name: str = "law",
) -> Marginal:
    """Return the law that ``obj`` stands for.

    Parameters
    ----------
    obj : Marginal, SciPy distribution, array or callable
        A law of this package is returned as it is; a frozen ``scipy.stats`` distribution or one of
        SciPy's new distributions is wrapped (a normal one becomes a ``Normal``); an array (n,) of
        samples becomes an ``Empirical``; a callable is a cdf, rising from 0 to 1 on ``support``.
    support : (float, float), optional
        With a cdf only, and then required; either end may be infinite.
    pdf : callable, optional
        With a cdf only: its density. Without one the law has none.
    name : str
        What error messages call the argument.

    Raises
    ------
    ValueError
        If ``obj`` is none of these, or a discrete distribution; if the support does not increase;
        if a cdf decreases, is not a number, or does not go from 0 to 1 on its support.

    Notes
    -----
    Quantiles of a cdf are found by bracketing and inverse quadratic interpolation, all points of a
    call together, some ten calls of the cdf in all, to 2 eps in probability or neighbouring floats.

    Examples
    --------
    >>> as_marginal([2.0, 1.0]).support()
    (1.0, 2.0)
    >>> round(as_marginal(lambda x: x**2, support=(0, 1)).ppf(0.25), 15)
    0.5
    """
    if isinstance(obj, Marginal):
        return obj
    if hasattr(obj, "dist") and hasattr(obj, "args") and hasattr(obj, "ppf"):
        return _from_frozen(obj, name)
    if callable(getattr(obj, "icdf", None)) and callable(getattr(obj, "ccdf", None)):
        return _from_new(obj)
    if callable(obj) and support is not None:
        lower, upper = (float(end) for end in support)
        if not lower < upper:
            raise ValueError(f"support must increase, got ({lower:g}, {upper:g})")
        return _FromCdf(obj, pdf, (lower, upper))
    if callable(obj) or obj is None or isinstance(obj, str | bytes):
        raise ValueError(
            f"{name} must be a law, a SciPy distribution, an array of samples, or a cdf with its "
            f"support=(lower, upper), got {obj!r}"
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
