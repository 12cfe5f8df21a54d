"""Deterministic couplings of two laws on the line: X1 an increasing or decreasing map of X0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, generator, real_array, real_number, whole_number
from recouple.interpolant import LINEAR, Interpolant
from recouple.marginal import Empirical, Normal, as_marginal
from recouple.plan.atomic import AtomicPlan
from recouple.plan.base import Plan, Points, Rng
from recouple.plan.mixture import GaussianPlan
from recouple.plan.pointwise import at_each_time, derivative
from recouple.plan.quadrature import integrate_panels

__all__ = ["MonotonePlan", "monotone_plan"]

_TAIL = 1e-15  # probability beyond the ends of the scanned curve, each side
_SCAN = 2049  # places at which a folded path is looked at to bracket its preimages


class MonotonePlan(Plan):
    """X1 = T(X0) with T increasing, or decreasing; made by :func:`monotone_plan`."""

    dim = 1
    source_law: Any
    target_law: Any
    decreasing: bool
    _places: FloatArray
    _fields = ("source_law", "target_law", "decreasing")

    def __init__(self, source_law: Any, target_law: Any, decreasing: bool = False):
        laws = [as_marginal(source_law, name="source"), as_marginal(target_law, name="target")]
        # Places along the curve, as many near each end as the tails are long.
        z = np.linspace(-1, 1, _SCAN)
        log_odds = np.log(_TAIL) * -z
        low = 1 / (1 + np.exp(-log_odds))
        high = 1 / (1 + np.exp(log_odds))
        self._set(
            source_law=laws[0],
            target_law=laws[1],
            decreasing=bool(decreasing),
            _places=_quantile(laws[0], low, high),
        )

    @property
    def source(self) -> Any:
        """Law of X0."""
        return self.source_law

    @property
    def target(self) -> Any:
        """Law of X1."""
        return self.target_law

    def transport(self, x0: ArrayLike) -> Any:
        """The map T: F1^-1(F0(x0)) if increasing, F1^-1(1 - F0(x0)) if decreasing."""
        points = Points("x0", x0, 1)
        return points.restore(self._map(points.rows.ravel()))

    def _map(self, y: FloatArray) -> FloatArray:
        low, high = self.source_law.cdf(y), self.source_law.sf(y)
        if self.decreasing:
            low, high = high, low
        return _quantile(self.target_law, low, high)

    def _slope(self, y: FloatArray, x1: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            slope: FloatArray = self.source_law.pdf(y) / self.target_law.pdf(x1)
        return -slope if self.decreasing else slope

    def _preimages(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[Any, FloatArray, FloatArray]:
        """X0 at which a x0 + b T(x0) = x: index of the point, x0, weight of the branch."""
        a, b, _, _ = _core.coefficients(interpolant, t)
        if b == 0:
            return np.arange(len(x)), x / a, np.ones(len(x))
        places = self._places
        if a == 0:
            low, high = self.target_law.cdf(x / b), self.target_law.sf(x / b)
            if self.decreasing:
                low, high = high, low
            return np.arange(len(x)), _quantile(self.source_law, low, high), np.ones(len(x))
        path = a * places + b * self._map(places)
        if not self.decreasing:
            cell = np.clip(np.searchsorted(path, x) - 1, 0, len(places) - 2)
            index = np.arange(len(x))
        else:
            above = path >= x[:, None]
            index, cell = np.nonzero(above[:, 1:] != above[:, :-1])
        low, high = places[cell], places[cell + 1]
        rising = path[cell + 1] >= path[cell]
        y = 0.5 * (low + high)
        for _ in range(80):
            x1 = self._map(y)
            gap = a * y + b * x1 - x[index]
            low, high = (
                np.where((gap < 0) == rising, y, low),
                np.where((gap < 0) == rising, high, y),
            )
            slope = a + b * self._slope(y, x1)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = y - gap / slope
            inside = (step > low) & (step < high)
            following = np.where(inside, step, 0.5 * (low + high))
            settled = np.abs(following - y) <= 1e-15 * (1 + np.abs(y))
            y = following
            if settled.all():
                break
        # Through a fold the density is infinite; its two branches then weigh alike.
        slope = np.abs(a + b * self._slope(y, self._map(y)))
        weight = self.source_law.pdf(y) / np.maximum(slope, 1e-300)
        return index, y, np.maximum(weight, 1e-300)

    def _moments_at(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[Any, Any, Any]:
        """Density of X_t at x, and mean and variance of dX_t/dt there."""
        _, _, da, db = _core.coefficients(interpolant, t)
        index, y, weight = self._preimages(t, x, interpolant)
        rate = da * y + db * self._map(y)
        mass = np.bincount(index, weight, len(x))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(index, weight * rate, len(x)) / mass
            spread = np.bincount(index, weight * (rate - mean[index]) ** 2, len(x)) / mass
        return mass, mean, spread

    def _log_density(self, t: float, x: FloatArray, interpolant: Interpolant) -> FloatArray:
        a, b, _, _ = _core.coefficients(interpolant, t)
        index, y, _ = self._preimages(t, x.ravel(), interpolant)
        slope = np.abs(a + b * self._slope(y, self._map(y))) if b else abs(a)
        density = np.bincount(index, self.source_law.pdf(y) / slope, x.size)
        with np.errstate(divide="ignore"):
            logs: FloatArray = np.log(density)
        return logs

    def _velocity(self, t: Any, x: FloatArray, interpolant: Interpolant) -> FloatArray:
        return at_each_time(lambda time, at: self._moments_at(time, at, interpolant)[1], t, x)

    def _field(self, interpolant: Interpolant) -> _core.Field:
        return _core.callable_field(lambda t, x: self._velocity(t, x, interpolant), 1)

    def _local(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[FloatArray, FloatArray]:
        at = x.ravel()
        h = 1e-3 * (1 + np.abs(at))
        score = derivative(lambda step: self._log_density(t, at + step, interpolant), h)
        return score[:, None], self._moments_at(t, at, interpolant)[2][:, None, None]

    @property
    def mean(self) -> FloatArray:
        """Mean of (X0, X1), shape (2,)."""
        return np.array([self.source_law.mean(), self.target_law.mean()])

    @property
    def cov(self) -> FloatArray:
        """Covariance of (X0, X1), shape (2, 2)."""
        cross = self._moment((1, 1)) - self.mean[0] * self.mean[1]
        return np.array([[self.source_law.std() ** 2, cross], [cross, self.target_law.std() ** 2]])

    def marginal(self, t: float, interpolant: Interpolant = LINEAR) -> Any:
        """Law of X_t: an end's own law, otherwise 20000 equally likely quantiles of the curve."""
        a, b, _, _ = _core.coefficients(interpolant, real_number("t", t))
        if (a, b) == (1, 0):
            return self.source_law
        if (a, b) == (0, 1):
            return self.target_law
        u = (np.arange(20000) + 0.5) / 20000
        x0 = self.source_law.ppf(u)
        return Empirical(a * x0 + b * self._map(x0))

    def sample(self, n: int, rng: Rng = None) -> tuple[FloatArray, FloatArray]:
        """Draw n pairs."""
        x0 = self.source_law.rvs(whole_number("n", n), generator(rng))
        return x0, self._map(x0)

    def conditional(self, x0: ArrayLike) -> Any:
        """Law of X1 given X0 = x0: one atom."""
        point = real_array("x0", x0).reshape(-1)
        if len(point) != 1:
            raise ValueError(f"x0 must be one number, got shape {np.shape(x0)}")
        return Empirical(self._map(point))

    def sample_conditional(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """The map at each x0; nothing is random."""
        generator(rng)
        return self.transport(x0)

    def reverse(self) -> MonotonePlan:
        """Return the plan of (X1, X0)."""
        return MonotonePlan(self.target_law, self.source_law, self.decreasing)

    def collision_times(self, interpolant: Interpolant = LINEAR) -> FloatArray:
        """The time at which all paths meet, if X1 is a decreasing affine map of X0."""
        if not self.decreasing or self.correlation > -1 + 1e-12:
            return np.empty(0)
        return np.array([interpolant.time_of(self.target_law.std(), self.source_law.std())])

    def _moment(self, powers: tuple[int, ...]) -> float:
        total, _ = integrate_panels(
            lambda _, y: (
                self.source_law.pdf(y)
                * y ** powers[0]
                * self._map(y.ravel()).reshape(y.shape) ** powers[1]
            )[..., None],
            np.unique(self._places[:: (_SCAN - 1) // 32])[None],
        )
        return float(total[0, 0])

    def __repr__(self) -> str:
        kind = "decreasing" if self.decreasing else "increasing"
        return f"MonotonePlan({self.source_law!r}, {self.target_law!r}, {kind})"


def _quantile(law: Any, low: FloatArray, high: FloatArray) -> FloatArray:
    """Quantile of u = low = 1 - high, by whichever of the two is the smaller."""
    tiny = 1e-300
    lower = law.ppf(np.clip(low, tiny, 0.5))
    upper = law.isf(np.clip(high, tiny, 0.5))
    result: FloatArray = np.where(low <= high, lower, upper)
    return result


def monotone_plan(source: Any, target: Any, decreasing: bool = False) -> Any:
    r"""Monotone coupling of two laws on the line, the optimal plan and its mirror.

    .. math:: X_1 = F_1^{-1}(F_0(X_0)) \quad\text{or, decreasing,}\quad X_1 = F_1^{-1}(1 - F_0(X_0))

    Parameters
    ----------
    source, target : law, SciPy distribution, or array of samples
        Laws of X0 and X1. Two samples give an :class:`AtomicPlan`, two normals a singular
        :class:`GaussianPlan`; otherwise both must have densities.
    decreasing : bool

    Returns
    -------
    Plan

    Notes
    -----
    The field of an increasing plan is dX_t/dt of the one path through x, found by safeguarded
    Newton steps to rounding. Paths of a decreasing plan fold over each other: the field averages
    the branches through x, which are bracketed on a scan of 2049 places; where two branches merge
    the density is infinite. Points beyond the quantile 1e-15 of an increasing plan take the end of
    the scan; of a decreasing one they have no path, and the field is NaN. Cost: ten evaluations of
    both laws per point and branch.

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.monotone_plan(rc.Normal(0.0, 1.0), rc.Normal(1.0, 2.0))
    >>> plan.correlation
    1.0
    """
    laws = as_marginal(source, name="source"), as_marginal(target, name="target")
    if all(isinstance(law, Normal) for law in laws):
        s0, s1 = laws[0].std(), laws[1].std()
        sign = -1 if decreasing else 1
        return GaussianPlan(laws[0].mean(), laws[1].mean(), s0**2, sign * s0 * s1, s1**2)
    if all(isinstance(law, Empirical) for law in laws):
        return _sorted_pairs(laws[0], laws[1], decreasing)
    for name, law in zip(("source", "target"), laws, strict=True):
        if isinstance(law, Empirical):
            raise ValueError(f"{name} must have a density, or both must be samples")
    return MonotonePlan(laws[0], laws[1], decreasing)


def _sorted_pairs(first: Any, second: Any, decreasing: bool) -> AtomicPlan:
    """Pair the atoms of two weighted samples in order, splitting weights where they end."""
    order0, order1 = np.argsort(first.values), np.argsort(second.values)
    if decreasing:
        order1 = order1[::-1]
    end0, end1 = np.cumsum(first.weights[order0]), np.cumsum(second.weights[order1])
    cuts = np.sort(np.concatenate([end0, end1]))
    weight = np.diff(cuts, prepend=0.0)
    middle = cuts - 0.5 * weight
    kept = weight > 1e-15
    i = np.minimum(np.searchsorted(end0, middle[kept]), len(end0) - 1)
    j = np.minimum(np.searchsorted(end1, middle[kept]), len(end1) - 1)
    return AtomicPlan(first.values[order0[i]], second.values[order1[j]], weight[kept])
