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
    """

    value: FloatArray
    error: FloatArray
    condition: FloatArray

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
        return MixedMoments(frozen(value), frozen(error), frozen(self.condition[:n].copy()))


def bernstein_fits(
    times: FloatArray, nodes: Sequence[FloatArray], cdf: Sequence[FloatArray], order: int
) -> MixedMoments:
    """Return the mixed moments up to ``order`` from the cdfs of X_t at its quadrature nodes."""
    path = np.array([_moments_of(x, f, order) for x, f in zip(nodes, cdf, strict=True)])
    return fit_path(times, path)


def fit_path(times: FloatArray, path: FloatArray) -> MixedMoments:
    """Return the mixed moments from path[k, n] = E X_t^n at times[k]."""
    order = path.shape[1] - 1
    value = np.full((order + 1, order + 1), np.nan)
    error = np.full_like(value, np.nan)
    condition = np.ones(order + 1)
    for n in range(order + 1):
        k = np.arange(n + 1)
        binomial = np.array([comb(n, int(i)) for i in k], dtype=float)
        basis = binomial * (1 - times[:, None]) ** (n - k) * times[:, None] ** k
        fitted, _, _, singular = np.linalg.lstsq(basis, path[:, n], rcond=None)
        condition[n] = singular[0] / singular[-1]
        value[n - k, k] = fitted
        free = len(times) - n - 1
        if free > 0:
            left = path[:, n] - basis @ fitted
            spread = np.linalg.pinv(basis.T @ basis)
            error[n - k, k] = np.sqrt(left @ left / free * np.diag(spread))
    return MixedMoments(frozen(value), frozen(error), frozen(condition))


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
