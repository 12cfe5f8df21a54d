"""Tail probabilities of the laws that tests compare with: chi-squared and F."""

from __future__ import annotations

import math

TINY = 1e-300


def chi2_tail(statistic: float, dof: float) -> float:
    """P(chi^2_dof > statistic): the regularised upper incomplete gamma function, to 1e-12.

    Series below the mean, Lentz's continued fraction above.
    """
    if not statistic > 0:
        return 1.0
    if math.isinf(statistic):
        return 0.0
    a, x = dof / 2, statistic / 2
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while term > 1e-17 * total:
            n += 1
            term *= x / n
            total += term
        return max(0.0, 1 - front * total)
    b = x + 1 - a
    c, d = 1 / TINY, 1 / b
    h = d
    for i in range(1, 100_000):
        factor = -i * (i - a)
        b += 2
        d = 1 / (factor * d + b or TINY)
        c = b + factor / c or TINY
        h *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return min(1.0, front * h)


def f_tail(statistic: float, dof: float, dof_below: float) -> float:
    """P(F_{dof, dof_below} > statistic): a regularised incomplete beta function, to 1e-11."""
    if not statistic > 0:
        return 1.0
    if math.isinf(statistic):
        return 0.0
    return _beta_fraction(dof_below / (dof_below + dof * statistic), dof_below / 2, dof / 2)


def normal_tail(z: float) -> float:
    """P(N(0, 1) > z)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Return I_x(a, b), by the continued fraction that converges for x < (a + 1) / (a + b + 2)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_fraction(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or TINY)
    h = d
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for factor in (even, odd):
            d = 1 / (1 + factor * d or TINY)
            c = 1 + factor / c or TINY
            h *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return min(1.0, front * h)
