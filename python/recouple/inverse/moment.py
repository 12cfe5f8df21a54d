"""Mixed moments from the moments of X_t alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from recouple.arguments import FloatArray, frozen
from recouple.inverse.dual import NODES


@dataclass(frozen=True, eq=False)
class MixedMoments:
    r"""E[X0^i X1^j] for i + j <= order, read off the path of the moments of X_t.

    :math:`E X_t^n = \sum_k \binom nk (1-t)^{n-k} t^k E[X_0^{n-k} X_1^k]` is a polynomial of t whose
    Bernstein coefficients are the mixed moments of order n: a least-squares fit over the times.

    Attributes
    ----------
    value : array (order + 1, order + 1)
        ``value[i, j]`` is E[X0^i X1^j]; nan where i + j > order.
    error : array of the same shape
        Standard error from the fit's own residuals; nan where the times leave none.
    condition : array (order + 1,)
        Condition number of the fit of each order: about 2^n.
    correlation : float
        From the moments of order 2 about the means, so that a shift costs no digits; nan where
        they make no positive variance.
    """

    value: FloatArray
    error: FloatArray
    condition: FloatArray
    correlation: float

    def __repr__(self) -> str:
        return (
            f"MixedMoments(order {len(self.condition) - 1}, condition {self.condition.max():.3g})"
        )

    def up_to(self, order: int) -> MixedMoments:
        """Return the moments up to a lower order."""
        n = order + 1
        value, error = self.value[:n, :n].copy(), self.error[:n, :n].copy()
        beyond = np.add.outer(np.arange(n), np.arange(n)) > order
        value[beyond] = error[beyond] = np.nan
        return MixedMoments(
            frozen(value), frozen(error), frozen(self.condition[:n].copy()), self.correlation
        )


def bernstein_fits(
    times: FloatArray, nodes: Sequence[FloatArray], cdf: Sequence[FloatArray], order: int
) -> MixedMoments:
    """Return the mixed moments up to ``order`` from the cdfs of X_t at its quadrature nodes.

    Fitted about the middle of the nodes and in units of their reach, where no digits cancel.
    """
    middle = np.array([0.5 * (x[0] + x[-1]) for x in (nodes[0], nodes[-1])])
    reach = np.array([0.5 * (x[-1] - x[0]) for x in (nodes[0], nodes[-1])])
    ends = times[[0, -1]]
    centre = middle[0] + (np.array([0.0, 1.0]) - ends[0]) * np.diff(middle) / np.diff(ends)
    path = np.array(
        [
            _moments_of(x - ((1 - t) * centre[0] + t * centre[1]), f, order)
            for t, x, f in zip(times, nodes, cdf, strict=True)
        ]
    )
    return fit_path(times, path, (centre[0], centre[1]), (reach[0], reach[1]))


def fit_path(
    times: FloatArray,
    path: FloatArray,
    centre: tuple[float, float] = (0.0, 0.0),
    scale: tuple[float, float] = (1.0, 1.0),
) -> MixedMoments:
    """Return the mixed moments from path[k, n] = E (X_t - c_t)^n at t = times[k].

    c_t = (1-t) centre[0] + t centre[1]; the fit is in units of ``scale`` of X0 and X1.
    """
    order = path.shape[1] - 1
    value = np.full((order + 1, order + 1), np.nan)
    error = np.full_like(value, np.nan)
    condition = np.ones(order + 1)
    sides = np.stack([(1 - times) * scale[0], times * scale[1]])
    size = np.hypot(*sides)
    u, v = sides / size
    for n in range(order + 1):
        k = np.arange(n + 1)
        binomial = np.array([comb(n, int(i)) for i in k], dtype=float)
        basis = binomial * u[:, None] ** (n - k) * v[:, None] ** k
        seen = path[:, n] / size**n
        fitted, _, _, singular = np.linalg.lstsq(basis, seen, rcond=None)
        condition[n] = singular[0] / singular[-1]
        value[n - k, k] = fitted
        free = len(times) - n - 1
        if free > 0:
            left = seen - basis @ fitted
            spread = np.linalg.pinv(basis.T @ basis)
            error[n - k, k] = np.sqrt(left @ left / free * np.diag(spread))
    raw, raw_error = _about_zero(value, error, centre, scale)
    return MixedMoments(frozen(raw), frozen(raw_error), frozen(condition), _correlation(value))


def _about_zero(
    value: FloatArray, error: FloatArray, centre: tuple[float, float], scale: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Return moments about zero and their errors from those of (X - centre) / scale."""
    n = len(value)
    to0, to1 = (
        np.array(
            [
                [comb(i, p) * m ** (i - p) * s**p if p <= i else 0.0 for p in range(n)]
                for i in range(n)
            ]
        )
        for m, s in zip(centre, scale, strict=True)
    )
    beyond = np.add.outer(np.arange(n), np.arange(n)) >= n
    raw = to0 @ np.where(beyond, 0.0, value) @ to1.T
    # Errors of one order are correlated, those of different orders are not known to be.
    unknown = np.isnan(error)
    raw_error = np.abs(to0) @ np.where(unknown, 0.0, error) @ np.abs(to1).T
    raw[beyond] = np.nan
    raw_error[unknown] = np.nan
    return raw, raw_error


def _correlation(m: FloatArray) -> float:
    if len(m) < 3:
        return float("nan")
    covariance = m[1, 1] - m[1, 0] * m[0, 1]
    variances = (m[2, 0] - m[1, 0] ** 2) * (m[0, 2] - m[0, 1] ** 2)
    return float(covariance / np.sqrt(variances)) if variances > 0 else float("nan")


def _moments_of(x: FloatArray, cdf: FloatArray, order: int) -> FloatArray:
    """E X^n for n <= order by parts, last^n - int n x^(n-1) F dx, by the nodes' Gauss rule."""
    node, weight = np.polynomial.legendre.leggauss(NODES)
    spacing = x[NODES] - x[0]
    last = x[-1] + spacing * (1 - node[-1]) / 2
    weights = np.tile(0.5 * spacing * weight, len(x) // NODES)
    moments = [1.0]
    for n in range(1, order + 1):
        moments.append(float(last**n - weights @ (n * x ** (n - 1) * cdf)))
    return np.array(moments)
