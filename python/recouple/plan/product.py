"""Independent couplings of two laws on the line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, generator, real_array, real_number, whole_number
from recouple.interpolant import LINEAR, Interpolant
from recouple.marginal import Empirical, Normal, NormalMixture, as_marginal
from recouple.plan.atomic import AtomicPlan
from recouple.plan.base import Plan, Points, Rng
from recouple.plan.law import GridLaw
from recouple.plan.mixture import GaussianPlan, MixturePlan
from recouple.plan.pointwise import at_each_time, derivative
from recouple.plan.quadrature import integrate_panels

__all__ = ["ProductPlan", "product_plan"]

# Quantiles that cut the line into the panels the quadrature starts from; the outermost bound it.
_LEVELS = np.array([1e-25, 1e-12, 1e-6, 1e-3, 0.03, 0.15, 0.5])


class ProductPlan(Plan):
    """Independent X0 and X1 with any laws that have densities; made by :func:`product_plan`."""

    dim = 1
    source_law: Any
    target_law: Any
    _breaks: tuple[FloatArray, FloatArray]
    _fields = ("source_law", "target_law")

    def __init__(self, source_law: Any, target_law: Any):
        laws = [as_marginal(source_law, name="source"), as_marginal(target_law, name="target")]
        breaks = []
        for law in laws:
            cuts = np.concatenate([law.ppf(_LEVELS), law.isf(_LEVELS[::-1])])
            low, high = law.support()
            breaks.append(np.unique(np.clip(cuts, low, high)))
        self._set(source_law=laws[0], target_law=laws[1], _breaks=tuple(breaks))

    @property
    def source(self) -> Any:
        """Law of X0."""
        return self.source_law

    @property
    def target(self) -> Any:
        """Law of X1."""
        return self.target_law

    @property
    def mean(self) -> FloatArray:
        """Mean of (X0, X1), shape (2,)."""
        return np.array([self.source_law.mean(), self.target_law.mean()])

    @property
    def cov(self) -> FloatArray:
        """Covariance of (X0, X1), shape (2, 2)."""
        return np.diag([self.source_law.std() ** 2, self.target_law.std() ** 2])

    def _along_lines(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Log density of X_t at x (n,), and mean and variance of dX_t/dt there.

        Integrals over the line a x0 + b x1 = x by arc length s, x0 = a x / r^2 - b s / r and
        x1 = b x / r^2 + a s / r with r^2 = a^2 + b^2: smooth at every t, the ends included.
        """
        a, b, da, db = _core.coefficients(interpolant, t)
        r = np.hypot(a, b)
        foot0, foot1 = a * x / r**2, b * x / r**2
        lower, upper = np.full(len(x), -np.inf), np.full(len(x), np.inf)
        cuts = []
        for foot, slope, breaks in (
            (foot0, -b / r, self._breaks[0]),
            (foot1, a / r, self._breaks[1]),
        ):
            if abs(slope) < 1e-9:  # the line runs along a level of this coordinate
                outside = (foot < breaks[0]) | (foot > breaks[-1])
                lower[outside], upper[outside] = 0, 0
                continue
            s = np.sort((breaks - foot[:, None]) / slope, axis=1)
            lower, upper = np.maximum(lower, s[:, 0]), np.minimum(upper, s[:, -1])
            cuts.append(s)
        ends = np.clip(np.concatenate(cuts, axis=1), lower[:, None], upper[:, None])
        edges = np.sort(ends, axis=1)
        log_p = np.full(len(x), -np.inf)
        v, variance = np.full(len(x), np.nan), np.full(len(x), np.nan)
        some = np.flatnonzero(upper > lower)
        if some.size == 0:
            return log_p, v, variance

        def parts(which: Any, s: FloatArray) -> tuple[FloatArray, FloatArray]:
            x0 = foot0[some[which], None] - b / r * s
            x1 = foot1[some[which], None] + a / r * s
            with np.errstate(divide="ignore"):
                logs = self.source_law.logpdf(x0) + self.target_law.logpdf(x1)
            return logs, da * x0 + db * x1

        everyone = np.arange(len(some))
        middles = 0.5 * (edges[some, 1:] + edges[some, :-1])
        logs, _ = parts(everyone, middles)
        top = logs.max(axis=1)
        top[~np.isfinite(top)] = 0
        reference = da * foot0[some] + db * foot1[some]

        def integrand(which: Any, s: FloatArray) -> FloatArray:
            logs, rate = parts(which, s)
            p = np.exp(np.minimum(logs - top[which, None], 600))
            u = rate - reference[which, None]
            return np.stack([p, p * u, p * u * u], axis=-1)

        total, _ = integrate_panels(integrand, edges[some])
        mass = total[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            log_p[some] = np.log(mass / r) + top
            mean = total[:, 1] / mass
            v[some] = reference + mean
            variance[some] = np.maximum(total[:, 2] / mass - mean**2, 0)
        return log_p, v, variance

    def _velocity(self, t: Any, x: FloatArray, interpolant: Interpolant) -> FloatArray:
        return at_each_time(lambda time, at: self._along_lines(time, at, interpolant)[1], t, x)

    def _field(self, interpolant: Interpolant) -> _core.Field:
        return _core.callable_field(lambda t, x: self._velocity(t, x, interpolant), 1)

    def _local(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[FloatArray, FloatArray]:
        at = x.ravel()
        h = 1e-3 * (1 + np.abs(at))
        score = derivative(lambda step: self._along_lines(t, at + step, interpolant)[0], h)
        variance = self._along_lines(t, at, interpolant)[2]
        return score[:, None], variance[:, None, None]

    def _log_density(self, t: float, x: FloatArray, interpolant: Interpolant) -> FloatArray:
        return self._along_lines(t, x.ravel(), interpolant)[0]

    def marginal(self, t: float, interpolant: Interpolant = LINEAR) -> Any:
        """Law of X_t: an end's own law, otherwise the density on 2049 points as a GridLaw."""
        a, b, _, _ = _core.coefficients(interpolant, real_number("t", t))
        if (a, b) == (1, 0):
            return self.source_law
        if (a, b) == (0, 1):
            return self.target_law
        inner = [breaks[[1, -2]] if len(breaks) > 3 else breaks for breaks in self._breaks]
        ends = np.sort([a * inner[0], b * inner[1]], axis=1).sum(axis=0)
        x = np.linspace(ends[0], ends[1], 2049)
        return GridLaw(x, np.exp(self._along_lines(float(t), x, interpolant)[0]))

    def sample(self, n: int, rng: Rng = None) -> tuple[FloatArray, FloatArray]:
        """Draw n pairs."""
        generate, count = generator(rng), whole_number("n", n)
        return self.source_law.rvs(count, generate), self.target_law.rvs(count, generate)

    def conditional(self, x0: ArrayLike) -> Any:
        """Law of X1 given X0 = x0: the target, whatever x0."""
        if real_array("x0", x0).size != 1:
            raise ValueError(f"x0 must be one number, got shape {np.shape(x0)}")
        return self.target_law

    def sample_conditional(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """Draw one X1 for each x0; shaped like x0."""
        points = Points("x0", x0, 1)
        return points.restore(self.target_law.rvs(len(points), generator(rng)))

    def pdf(self, x0: ArrayLike, x1: ArrayLike) -> Any:
        """Density at pairs, x0 and x1 broadcast against each other."""
        return self.source_law.pdf(np.asarray(x0, float)) * self.target_law.pdf(
            np.asarray(x1, float)
        )

    def reverse(self) -> ProductPlan:
        """Return the plan of (X1, X0)."""
        return ProductPlan(self.target_law, self.source_law)

    def _moment(self, powers: tuple[int, ...]) -> float:
        value = 1.0
        for law, breaks, power in zip(
            (self.source_law, self.target_law), self._breaks, powers, strict=True
        ):

            def integrand(_: Any, x: FloatArray, law: Any = law, power: int = power) -> FloatArray:
                values: FloatArray = law.pdf(x) * x**power
                return values[..., None]

            total, _ = integrate_panels(integrand, breaks[None])
            value *= float(total[0, 0])
        return value

    def __repr__(self) -> str:
        return f"ProductPlan({self.source_law!r}, {self.target_law!r})"


def components(law: Any) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Weights, means and standard deviations of a law that is a mixture of normals or atoms."""
    if isinstance(law, Normal):
        return np.ones(1), np.array([law.mean()]), np.array([law.std()])
    if isinstance(law, NormalMixture):
        return law.weights, law.means, law.stds
    if isinstance(law, Empirical):
        return law.weights, law.values, np.zeros(len(law.values))
    return None


def product_plan(source: Any, target: Any) -> Any:
    r"""Independent coupling of two laws on the line.

    Parameters
    ----------
    source, target : law, SciPy distribution, or array of samples
        Laws of X0 and X1.

    Returns
    -------
    Plan
        A :class:`GaussianPlan` of two normals, a :class:`MixturePlan` of normals, mixtures and
        samples (atoms are components without a spread), an :class:`AtomicPlan` of two samples: all
        in closed form. Otherwise a :class:`ProductPlan`, whose density and field

        .. math:: p_t(x) = \int f_0(x_0) f_1(x_1), \quad
            v(t, x) = \frac{1}{p_t(x)} \int (a' x_0 + b' x_1) f_0(x_0) f_1(x_1)

        along a x0 + b x1 = x are found by adaptive Gauss-Kronrod quadrature.

    Notes
    -----
    Accuracy of quadrature: 1e-11 relative, for densities smooth but for jumps and kinks; tails
    beyond the quantiles 1e-25 are cut off, and the field there is NaN. Cost: some hundred
    evaluations of each density per point.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.product_plan(rc.Normal(0.0, 1.0), rc.NormalMixture([1, 1], [-2.0, 2.0], [0.5, 0.5]))
    MixturePlan(2 components, D = 1)
    """
    laws = as_marginal(source, name="source"), as_marginal(target, name="target")
    first, second = components(laws[0]), components(laws[1])
    if first is None or second is None:
        for name, law in zip(("source", "target"), laws, strict=True):
            if isinstance(law, Empirical):
                raise ValueError(
                    f"{name} must have a density beside a law that is not a mixture of normals: "
                    "smooth the samples first"
                )
        return ProductPlan(*laws)
    w = np.outer(first[0], second[0]).ravel()
    m0, m1 = (m.ravel() for m in np.meshgrid(first[1], second[1], indexing="ij"))
    s0, s1 = (s.ravel() for s in np.meshgrid(first[2], second[2], indexing="ij"))
    if not s0.any() and not s1.any():
        return AtomicPlan(m0, m1, w)
    if len(w) == 1:
        return GaussianPlan(m0[0], m1[0], s0[0] ** 2, 0.0, s1[0] ** 2)
    covs = np.zeros((len(w), 2, 2))
    covs[:, 0, 0], covs[:, 1, 1] = s0**2, s1**2
    return MixturePlan(w, np.stack([m0, m1], axis=1), covs)
