"""Wasserstein distances of laws on the line that are known by their quantiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from recouple.arguments import FloatArray, real_number
from recouple.marginal import Empirical, Marginal, Normal, as_marginal

# Nodes and weights of the 15-point Kronrod rule on [-1, 1], and of the 7-point Gauss rule within it
# (Piessens et al., QUADPACK, 1983).
_HALF = (
    (0.991455371120812639206854697526329, 0.022935322010529224963732008058970, 0.0),
    (0.949107912342758524526189684047851, 0.063092092629978553290700663189204, 1),
    (0.864864423359769072789712788640926, 0.104790010322250183839876322541518, 0.0),
    (0.741531185599394439863864773280788, 0.140653259715525918745189590510238, 2),
    (0.586087235467691130294144691693013, 0.169004726639267902826583426598550, 0.0),
    (0.405845151377397166906606412076961, 0.190350578064785409913256402421014, 3),
    (0.207784955007898467600689403773245, 0.204432940075298892414161999234649, 0.0),
)
_GAUSS = (
    0.129484966168869693270611432679082,
    0.279705391489276667901467771423780,
    0.381830050505118944950369775488975,
    0.417959183673469387755102040816327,
)
_NODES = np.array([-h[0] for h in _HALF] + [0.0] + [h[0] for h in reversed(_HALF)])
_KRONROD = np.array(
    [h[1] for h in _HALF] + [0.209482141084727828012999174891714] + [h[1] for h in reversed(_HALF)]
)
_LOWER = np.zeros(15)
_LOWER[1::2] = [*_GAUSS, *_GAUSS[2::-1]]

# Levels are written s = exp(-t) / 2 from either end, as far as exp(-400) / 2: beyond, quantiles of
# other libraries are not to be trusted. A distance that gathers much beyond _FAR does not converge.
_FAR, _FARTHEST = 200.0, 400.0
_BENT = 0.01  # of a panel's length times its largest value: above the error of |t - c|, any c in it
_PANELS = np.array([0.0, 1, 2, 4, 8, 16, 32, 64, 120, _FAR, _FARTHEST])


@dataclass(frozen=True, slots=True)
class LawDistance:
    """Distance between laws with an estimate of its error; ``float()`` gives the distance."""

    distance: float
    error: float
    evaluations: int

    def __float__(self) -> float:
        return self.distance

    def __repr__(self) -> str:
        return f"LawDistance({self.distance:.10g}, error={self.error:.1g})"


def is_law(value: Any) -> bool:
    """Tell whether ``value`` is a law with quantiles, of this package or SciPy's."""
    return hasattr(value, "ppf") or callable(getattr(value, "icdf", None))


def wasserstein_law(
    u: Any, v: Any, p: float = 1, *, power: bool = False, rtol: float = 1e-10
) -> LawDistance:
    """Wasserstein distance between laws on the line, or between a law and samples.

    W_p(u, v)^p = int_0^1 |Q_u(s) - Q_v(s)|^p ds with the quantile functions Q

    Parameters
    ----------
    u, v : law or array_like (n,)
        Laws of this package, SciPy distributions, anything with ``cdf`` and ``ppf``, or samples.
    p : float
        Order, from 1 to ``numpy.inf``; infinite for two normal laws, two samples, or supports of
        which one is bounded where the other is not (the distance is infinite then).
    power : bool
        Return W_p^p.
    rtol : float
        Relative accuracy to aim at.

    Returns
    -------
    LawDistance
        ``.distance``, ``.error`` (an estimate, absolute) and ``.evaluations`` of quantiles.
        Infinite if the p-th moments that differ are.

    Raises
    ------
    ValueError
        If an argument is no law, or for p outside [1, inf] or infinite where it is not supported.

    Notes
    -----
    Closed form for two normal laws with p = 2 or 1, and for two samples. Otherwise adaptive
    Gauss-Kronrod quadrature (7, 15 points) in t, with levels exp(-t) / 2 from either end and the
    steps of samples as panel ends; tails are followed to exp(-400).
    Cost: 15 quantiles a panel, at least as many panels as samples.
    Source: Piessens et al., QUADPACK (1983).

    Examples
    --------
    >>> import recouple as rc
    >>> rc.wasserstein_law(rc.Normal(0, 1), rc.Normal(3, 5), p=2)
    LawDistance(5, error=2e-15)
    """
    from recouple.wasserstein.line import order_of, wasserstein_1d

    order = order_of(p)
    goal = real_number("rtol", rtol, positive=True)
    if power and math.isinf(order):
        raise ValueError("power must be False for p = inf, got True")
    left, right = _law("u", u), _law("v", v)
    if isinstance(left, Empirical) and isinstance(right, Empirical):
        exact = wasserstein_1d(
            left.values, right.values, left.weights, right.weights, order, power=power
        )
        return LawDistance(exact, 8 * np.finfo(float).eps * exact, 0)
    closed = _normal_distance(left, right, order)
    if closed is not None:
        value = closed**order if power else closed
        return LawDistance(value, 2 * np.finfo(float).eps * value, 0)
    if math.isinf(order):
        unbounded = [
            math.isinf(a) != math.isinf(b)
            for a, b in zip(left.support(), right.support(), strict=True)
        ]
        if any(unbounded):
            return LawDistance(math.inf, 0.0, 0)
        raise ValueError("p must be finite for these laws, got inf")
    scale, total, error, evaluations = _integral(left, right, order, goal)
    if power:
        factor = scale**order
        return LawDistance(total * factor, error * factor, evaluations)
    if math.isinf(total):
        return LawDistance(math.inf, 0.0, evaluations)
    root = total ** (1 / order)
    # d(x^(1/p)) = x^(1/p - 1) dx / p; where the integral is all error, so is its root.
    slack = error * root / (order * total) if total > error else (total + error) ** (1 / order)
    return LawDistance(scale * root, scale * slack, evaluations)


def _law(name: str, value: Any) -> Marginal:
    if hasattr(value, "ppf") and hasattr(value, "cdf") and not hasattr(value, "dist"):
        return value if isinstance(value, Marginal) else _Quantiles(value)
    return as_marginal(value, name=name)


class _Quantiles(Marginal):
    """Anything with cdf and ppf, seen by its quantiles alone."""

    __slots__ = ("_law",)

    def __init__(self, law: Any) -> None:
        self._law = law

    def ppf(self, u: Any, *, num_threads: int | None = None) -> Any:
        return np.asarray(self._law.ppf(u), dtype=np.float64)

    def isf(self, u: Any, *, num_threads: int | None = None) -> Any:
        if hasattr(self._law, "isf"):
            return np.asarray(self._law.isf(u), dtype=np.float64)
        return self.ppf(1 - np.asarray(u))

    def support(self) -> tuple[float, float]:
        if hasattr(self._law, "support"):
            lower, upper = self._law.support()
            return float(lower), float(upper)
        return float(self.ppf(0.0)), float(self.ppf(1.0))


def _normal_distance(u: Marginal, v: Marginal, p: float) -> float | None:
    """Return W_p of two normal laws, whose quantiles differ by a + s z, if it has a closed form."""
    if not (isinstance(u, Normal) and isinstance(v, Normal)):
        return None
    a, s = abs(u.mean() - v.mean()), abs(u.std() - v.std())
    if s == 0:
        return a
    if math.isinf(p):
        return math.inf
    if p == 2:
        return math.hypot(a, s)
    if p == 1:  # the mean of a folded normal law
        z = a / s
        return s * math.sqrt(2 / math.pi) * math.exp(-z * z / 2) + a * math.erf(z / math.sqrt(2))
    return None


def _steps(law: Marginal, upper: bool) -> tuple[FloatArray, FloatArray]:
    """Return where the quantiles of samples step within one half, in t, and the samples between."""
    assert isinstance(law, Empirical)
    order = np.argsort(law.values, kind="stable")
    values, weights = law.values[order], law.weights[order]
    if upper:
        values, weights = values[::-1], weights[::-1]
    values, weights = values[weights > 0], weights[weights > 0]
    levels = np.cumsum(weights)
    levels /= levels[-1]
    inside = levels < 0.5
    return -np.log(2 * levels[inside]), values[: int(inside.sum()) + 1]


def _integral(u: Marginal, v: Marginal, p: float, rtol: float) -> tuple[float, float, float, int]:
    """Return a scale, the integral of (|Q_u - Q_v| / scale)^p, its error, and the evaluations."""
    lower_ends, upper_ends, sides, atoms = [], [], [], []
    for upper in (False, True):
        ends, values = _PANELS, np.empty(0)
        sampled = next((law for law in (u, v) if isinstance(law, Empirical)), None)
        if sampled is not None:
            steps, values = _steps(sampled, upper)
            ends = np.unique(np.concatenate([_PANELS, steps[steps < _FARTHEST]]))
            # Levels fall as t grows: the panel beyond k of the steps (in t) has sample len - 1 - k.
            passed = np.searchsorted(np.sort(steps), 0.5 * (ends[1:] + ends[:-1]))
            values = values[len(steps) - passed]
        lower_ends.append(ends[:-1])
        upper_ends.append(ends[1:])
        sides.append(np.full(len(ends) - 1, upper))
        atoms.append(values if sampled is not None else np.zeros(len(ends) - 1))
    low, high = np.concatenate(lower_ends), np.concatenate(upper_ends)
    side, atom = np.concatenate(sides), np.concatenate(atoms)

    def differences(
        low: FloatArray, high: FloatArray, side: Any, atom: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Q_u - Q_v at the nodes of each panel, and ds / dt there."""
        t = 0.5 * (low + high)[:, None] + 0.5 * (high - low)[:, None] * _NODES
        s = 0.5 * np.exp(-t)
        q = []
        for law in (u, v):
            if isinstance(law, Empirical):
                q.append(np.broadcast_to(atom[:, None], s.shape))
                continue
            x = np.empty_like(s)
            for upper, curve in ((False, law.ppf), (True, law.isf)):
                rows = side == upper
                if rows.any():
                    x[rows] = np.asarray(curve(s[rows].ravel())).reshape(-1, len(_NODES))
            q.append(x)
        with np.errstate(invalid="ignore"):
            d = q[0] - q[1]
        if np.isnan(d).any():
            raise ValueError("u and v must have finite quantiles at every level inside (0, 1)")
        return d, s

    scale, counted = 0.0, 0
    accepted, accepted_error, far = 0.0, 0.0, 0.0
    for round_ in range(40):
        total_parts, error_parts = [], []
        for first in range(0, len(low), 1 << 16):
            part = slice(first, first + (1 << 16))
            signed, s = differences(low[part], high[part], side[part], atom[part])
            d = np.abs(signed)
            counted += d.size
            if scale == 0:
                scale = float(d[:, 7].max()) or float(d.max())
                if scale == 0:
                    scale = 1.0
            half = 0.5 * (high[part] - low[part])
            with np.errstate(over="ignore"):
                f = (d / scale) ** p * s
            if not np.isfinite(f).all():
                return 1.0, math.inf, 0.0, counted
            total_parts.append(half * (f @ _KRONROD))
            gaps = 8 * np.abs(half * (f @ (_KRONROD - _LOWER)))
            bent = (signed.min(axis=1) < 0) & (signed.max(axis=1) > 0) & (p % 2 != 0)
            error_parts.append(np.where(bent, np.maximum(gaps, _BENT * half * f.max(axis=1)), gaps))
        values, errors = np.concatenate(total_parts), np.concatenate(error_parts)
        if round_ == 0:
            far = float(values[low >= _FAR].sum())
            if far > 1e-9 * values.sum():
                return 1.0, math.inf, 0.0, counted
        total = accepted + float(values.sum())
        # Where the integrand is smooth, the difference of the rules is far above the error of the
        # higher one; near a kink it may fall short by luck, hence eight times as much, and across
        # one, where the quantiles change order, a share of the panel's size.
        error = accepted_error + float(errors.sum())
        if error <= rtol * total or total == 0:
            return scale, total, error, counted
        split = errors > 0.25 * rtol * total / len(errors)
        narrow = (high - low) < 1e-13 * np.maximum(1, high)
        split &= ~narrow
        if not split.any() or round_ == 39 or counted > 2e8:
            return scale, total, error, counted
        accepted += float(values[~split].sum())
        accepted_error += float(errors[~split].sum())
        middle = 0.5 * (low[split] + high[split])
        low, high = np.concatenate([low[split], middle]), np.concatenate([middle, high[split]])
        side, atom = np.tile(side[split], 2), np.tile(atom[split], 2)
    raise AssertionError("unreachable")
