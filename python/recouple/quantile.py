"""Quantiles in bulk: tables of certified accuracy, and the increasing map between two laws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import real_array, real_number
from recouple.marginal import Marginal, as_marginal

__all__ = ["Tabulated", "TransportMap", "tabulate", "transport_map"]


class Tabulated(Marginal):
    """A law whose quantiles are read from a certified table; made by ``tabulate``."""

    __slots__ = ("_law", "_wanted")

    def __init__(self, law: Marginal, u_error: float) -> None:
        self._law, self._wanted = law, u_error
        self._core = _core.tabulate(law._core, u_error)

    @property
    def law(self) -> Marginal:
        """The law behind the table."""
        return self._law

    @property
    def u_error(self) -> float:
        r"""Largest \|cdf(ppf(u)) - u\| found at the check points."""
        return float(_core.table_report(self._core)[0])

    @property
    def cells(self) -> int:
        """Number of polynomials in the table, 64 bytes each."""
        return int(_core.table_report(self._core)[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._law, self._wanted)

    def __repr__(self) -> str:
        return f"Tabulated({self._law!r}, u_error={self.u_error:.1e}, cells={self.cells})"


def tabulate(law: Any, u_error: float = 1e-12) -> Tabulated:
    r"""Return ``law`` with a table of its quantiles: the same law, its ``ppf`` a few ns a point.

    The table holds polynomials of degree 6 in the probability, cut where they have to be until
    \|cdf(ppf(u)) - u\| <= u_error at 16 check points of every cell, and increasing from one number
    to the next. Tails below 2^-40 are asked from the law itself. Densities may vanish on gaps, jump
    and be unbounded; the cdf must be continuous.

    Parameters
    ----------
    law : law, SciPy distribution
        What is to be tabulated.
    u_error : float
        Largest error in probability, in [1e-14, 1e-3].

    Returns
    -------
    Tabulated
        Its ``u_error`` is the largest error measured, ``cells`` the table's size.

    Raises
    ------
    ValueError
        If the error asked for cannot be certified: an atom, a cdf that does not match its ppf, a
        ppf that decreases.

    Notes
    -----
    Cost: some 10^4 quantiles and probabilities of the law for a smooth density. The method is that
    of Derflinger, Hoermann and Leydold (2010, ACM TOMACS 20, 18) with cells found by the leading
    bits of the probability and interpolation at Chebyshev points.

    Examples
    --------
    >>> from recouple import NormalMixture
    >>> table = tabulate(NormalMixture([1, 1], [-2, 2], [0.5, 1.0]))
    >>> table.u_error < 1e-12, bool(abs(table.cdf(table.ppf(0.3)) - 0.3) < 1e-12)
    (True, True)
    """
    return Tabulated(as_marginal(law), real_number("u_error", u_error, positive=True))


class TransportMap:
    """The increasing map T = F1^-1 o F0 from one law to another; made by ``transport_map``."""

    __slots__ = ("_core", "_source", "_target")

    def __init__(self, source: Marginal, target: Marginal) -> None:
        self._source, self._target = source, target
        self._core = _core.transport_map(source._core, target._core)

    @property
    def source(self) -> Marginal:
        """The law that is carried."""
        return self._source

    @property
    def target(self) -> Marginal:
        """The law it is carried to."""
        return self._target

    def __call__(self, x: ArrayLike) -> Any:
        """T(x), of the shape of x."""
        return self._apply(self._core.map, x)

    def derivative(self, x: ArrayLike) -> Any:
        """T'(x) = f0(x) / f1(T(x)); both laws need a density."""
        self._source._require_density("derivative")
        self._target._require_density("derivative")
        return self._apply(self._core.derivative, x)

    def inverse(self) -> TransportMap:
        """Return the map back, from the target to the source."""
        return TransportMap(self._target, self._source)

    def _apply(self, f: Any, x: ArrayLike) -> Any:
        given = np.asarray(x)
        y = f(real_array("x", given, finite=False, empty=True))
        if given.dtype == np.float32:
            y = y.astype(np.float32)
        return y if y.ndim else y[()]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._source, self._target)

    def __repr__(self) -> str:
        return f"TransportMap({self._source!r} -> {self._target!r})"


def transport_map(source: Any, target: Any) -> TransportMap:
    """Return the increasing map that carries ``source`` to ``target``: T = F1^-1 o F0.

    It is the optimal transport for every convex cost of the displacement. Each point goes through
    the smaller of its two tails, so far tails keep their accuracy.

    Parameters
    ----------
    source, target : law, SciPy distribution or array of samples
        For T to push the one to the other the source must have no atoms.

    Examples
    --------
    >>> from recouple import Normal
    >>> to = transport_map(Normal(0, 1), Normal(3, 2))
    >>> round(float(to(1.0)), 12), round(float(to.derivative(1.0)), 12)
    (5.0, 2.0)
    """
    return TransportMap(as_marginal(source, name="source"), as_marginal(target, name="target"))
