"""Laws carried along by a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import generator, real_array
from recouple.marginal import Normal, as_marginal

if TYPE_CHECKING:
    from recouple.flow.map import FlowMap
    from recouple.flow.solution import Flow

__all__ = ["PushedLaw"]


class PushedLaw:
    """The law of phi(X) for a flow map phi and a law of X. Made by ``FlowMap.push_forward``.

    On the line phi increases, so quantiles are pushed and cdfs are traced back:
    ``ppf(u) = phi(Q(u))``, ``cdf(y) = F(phi^-1(y))``. In R^D there are ``logpdf``, ``pdf`` and
    ``rvs``. Every call integrates; accuracy is that of the map.

    Raises
    ------
    RuntimeError
        From any method, when a trajectory it needs does not reach its end; the message says why.
    """

    __slots__ = ("_line", "_map", "source")

    def __init__(self, flow_map: FlowMap, source: Any):
        self._map = flow_map
        self._line = flow_map.field.dim == 1
        wrapped = self._line and (not hasattr(source, "ppf") or hasattr(source, "dist"))
        self.source = as_marginal(source, name="source") if wrapped else source

    def logpdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Log-density at x, by tracing back with the divergence."""
        values = self.trace_logpdf(x, num_threads=num_threads)
        if np.isnan(values).any():
            raise RuntimeError("the log-density is not defined at every x: a trajectory cannot be "
                               "traced back to the source")  # fmt: skip
        return values

    def trace_logpdf(
        self,
        x: ArrayLike,
        *,
        log_density: bool | str = True,
        rng: int | np.random.Generator | None = None,
        num_threads: int | None = None,
    ) -> Any:
        """Log-density at x; NaN where the trajectory cannot be traced back."""
        if not hasattr(self.source, "logpdf"):
            raise ValueError(f"source must be a law with a logpdf, got {self.source!r}")
        back = self._map.inverse.integrate(
            x, log_density=log_density, rng=rng, num_threads=num_threads
        )
        found = ~np.isnan(np.asarray(back.log_det))
        density = np.full(found.shape, np.nan)
        density[found] = np.asarray(self.source.logpdf(np.asarray(back.x, dtype=float)[found]))
        return (density + back.log_det)[()]

    def pdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Density at x."""
        return np.exp(self.logpdf(x, num_threads=num_threads))

    def rvs(
        self,
        size: int | tuple[int, ...] | None = None,
        rng: int | np.random.Generator | None = None,
        *,
        num_threads: int | None = None,
    ) -> Any:
        """Independent draws: draws of the source, carried along."""
        draws = np.asarray(_draw(self.source, size, rng))
        shape = (-1,) if self._line else (-1, self._map.field.dim)
        return self._carry(self._map, draws.reshape(shape), num_threads).reshape(draws.shape)[()]

    # On the line.

    def cdf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """P(phi(X) <= x)."""
        at = self._extended(self._map.inverse, "x", x, num_threads)
        return self.source.cdf(at)

    def sf(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """P(phi(X) > x)."""
        at = self._extended(self._map.inverse, "x", x, num_threads)
        return self.source.sf(at) if hasattr(self.source, "sf") else 1 - self.source.cdf(at)

    def ppf(self, u: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Quantile."""
        self._require_line()
        return self._extended(self._map, "x", self.source.ppf(u), num_threads)

    def isf(self, u: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Upper quantile."""
        self._require_line()
        at = (
            self.source.isf(u)
            if hasattr(self.source, "isf")
            else self.source.ppf(1 - np.asarray(u))
        )
        return self._extended(self._map, "x", at, num_threads)

    def median(self) -> float:
        """Quantile of one half."""
        return float(self.ppf(0.5))

    def support(self) -> tuple[float, float]:
        """The least interval that holds the law."""
        low, high = self._extended(self._map, "x", np.array(self.source.support()), None)
        return float(low), float(high)

    def mean(self) -> float:
        """Mean, by the trapezoid rule in normal quantiles: exact to rounding for smooth laws."""
        values, weights = self._nodes()
        return float(weights @ values)

    def var(self) -> float:
        """Variance, by the same rule."""
        values, weights = self._nodes()
        return float(weights @ (values - weights @ values) ** 2)

    def std(self) -> float:
        """Standard deviation."""
        return float(np.sqrt(self.var()))

    def __repr__(self) -> str:
        return f"PushedLaw({self.source!r} from t = {self._map.t0:g} to {self._map.t1:g})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._map, self.source)

    def _nodes(self) -> tuple[Any, Any]:
        z = np.linspace(-8.0, 8.0, 321)
        weights = np.exp(-0.5 * z * z)
        u = Normal().cdf(z[:160])
        values = np.concatenate([self.ppf(u), [self.median()], self.isf(u)[::-1]])
        return values, weights / weights.sum()

    def _require_line(self) -> None:
        if not self._line:
            raise ValueError(
                f"cdfs and quantiles belong to laws on the line, got one in R^{self._map.field.dim}"
            )

    def _extended(self, flow_map: FlowMap, name: str, x: Any, num_threads: int | None) -> Any:
        """Map points of the extended line: infinities stay where they are."""
        self._require_line()
        at = real_array(name, x, finite=False, empty=True)
        if np.isnan(at).any():
            raise ValueError(f"{name} must not hold NaN")
        out = at.copy()
        finite = np.isfinite(at)
        out[finite] = self._carry(flow_map, at[finite], num_threads)
        dtype = getattr(x, "dtype", None)
        return out.astype(np.float32)[()] if dtype == np.float32 else out[()]

    @staticmethod
    def _carry(flow_map: FlowMap, x: Any, num_threads: int | None) -> Any:
        flow: Flow = flow_map.integrate(x, num_threads=num_threads)
        if not flow.ok:
            raise RuntimeError(flow.summary())
        return flow.x


def _draw(law: Any, size: Any, rng: Any) -> Any:
    if not hasattr(law, "rvs"):  # SciPy's new distributions
        return law.sample(() if size is None else size, rng=generator(rng))
    if type(law).__module__.startswith("scipy."):
        return law.rvs(size=1 if size is None else size, random_state=generator(rng))
    return law.rvs(size, rng=rng)
