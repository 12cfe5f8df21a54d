"""The flow map x(t0) -> x(t1), applied to points, to laws and to densities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import real_number, whole_number
from recouple.field import VelocityField, as_field
from recouple.flow.law import PushedLaw
from recouple.flow.solution import Flow
from recouple.flow.trace import trace
from recouple.marginal import Empirical
from recouple.progress import Progress

__all__ = ["ADAPTIVE", "FIXED", "FlowMap", "log_likelihood"]

FIXED = ("euler", "midpoint", "heun", "rk4")
ADAPTIVE = ("bosh3", "dopri5", "tsit5", "dop853")
_MAX_STEPS = 100_000


@dataclass(frozen=True, init=False)
class FlowMap:
    """The flow map phi of a field from ``t0`` to ``t1``: x(t0) -> x(t1).

    Parameters are those of :func:`integrate`; a callable is taken for a field on the line, in R^D
    it is made one by ``as_field(v, dim=D)``. ``flow.map`` of an integration is its map.

    Raises
    ------
    ValueError
        An unknown method, steps together with rtol, times outside the field's range.

    Examples
    --------
    >>> import recouple as rc
    >>> phi = rc.FlowMap(rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.0, 4.0)), rtol=1e-9)
    >>> phi([0.0, 1.0]).round(6)
    array([1., 3.])
    >>> phi.inverse([1.0, 3.0]).round(6)
    array([0., 1.])
    >>> law = phi.push_forward(rc.Normal(0.0, 1.0))
    >>> round(law.cdf(3.0), 4)
    0.8413
    """

    field: VelocityField
    t0: float
    t1: float
    method: str
    rtol: float | None
    atol: float | None
    steps: int | None
    max_steps: int

    def __init__(
        self,
        field: VelocityField | Callable[[Any, Any], Any],
        t0: float = 0.0,
        t1: float = 1.0,
        *,
        method: str = "dopri5",
        rtol: float | None = None,
        atol: float | None = None,
        steps: int | None = None,
        max_steps: int = _MAX_STEPS,
    ) -> None:
        if not isinstance(field, VelocityField):
            field = as_field(field)
        # By hand: what dataclasses would generate costs more than the integration of a point.
        if steps is not None:
            if rtol is not None or atol is not None:
                raise ValueError("give steps for equal steps, or rtol and atol, not both")
            steps = whole_number("steps", steps, minimum=1)
        elif method in FIXED:
            raise ValueError(
                f"{method} takes equal steps: give steps, their number"
                + ("" if rtol is None and atol is None else ", not rtol or atol")
            )
        else:
            rtol = 1e-6 if rtol is None else real_number("rtol", rtol, positive=True)
            atol = 1e-3 * rtol if atol is None else real_number("atol", atol, minimum=0)
        if method not in ADAPTIVE and method not in FIXED:
            raise ValueError(f"method must be one of {', '.join(FIXED + ADAPTIVE)}, got {method!r}")
        if max_steps != _MAX_STEPS:
            max_steps = whole_number("max_steps", max_steps, minimum=1)
        if not (type(t0) is float and isfinite(t0)):
            t0 = real_number("t0", t0)
        if not (type(t1) is float and isfinite(t1)):
            t1 = real_number("t1", t1)
        low, high = field.t_range
        if not (low <= t0 <= high and low <= t1 <= high):
            name, t = ("t1", t1) if low <= t0 <= high else ("t0", t0)
            raise ValueError(f"{name} must lie in the field's range [{low:g}, {high:g}], got {t:g}")
        parts = {
            "field": field,
            "t0": t0,
            "t1": t1,
            "method": method,
            "rtol": rtol,
            "atol": atol,
            "steps": steps,
            "max_steps": max_steps,
        }
        object.__setattr__(self, "__dict__", parts)

    def integrate(
        self,
        x0: ArrayLike,
        *,
        t_eval: ArrayLike | None = None,
        dense: bool = False,
        log_density: bool | str = False,
        jacobian: bool = False,
        throw: bool = True,
        rng: int | np.random.Generator | None = None,
        num_threads: int | None = None,
        progress: Progress = None,
    ) -> Flow:
        """Integrate from the points x0; :func:`integrate` says what the arguments mean."""
        return trace(
            self,
            x0,
            t_eval,
            dense,
            log_density,
            jacobian,
            throw,
            rng,
            num_threads,
            progress,
        )

    def __call__(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """phi(x), shaped like x; NaN for trajectories that do not reach the end."""
        return self.integrate(x, num_threads=num_threads).x

    @property
    def inverse(self) -> FlowMap:
        """The inverse map: the same field from ``t1`` to ``t0``."""
        return replace(self, t0=self.t1, t1=self.t0)

    def log_det(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Log of the determinant of the Jacobian at x, one number per point."""
        return self.integrate(x, log_density=True, num_threads=num_threads).log_det

    def jacobian(self, x: ArrayLike, *, num_threads: int | None = None) -> Any:
        """Matrix d phi / dx: a number per point on the line, (n, D, D) otherwise."""
        return self.integrate(x, jacobian=True, num_threads=num_threads).jacobian

    def push_forward(self, law: Any, *, num_threads: int | None = None) -> Any:
        """Push samples or a law forward: the law of phi(X).

        Parameters
        ----------
        law : array, Empirical, or law
            Samples, shaped like points; or a law of the package or of SciPy. In R^D it needs
            ``rvs``, and ``logpdf`` for densities.

        Returns
        -------
        array, Empirical, or PushedLaw
            The same kind as came.

        Examples
        --------
        >>> import recouple as rc
        >>> phi = rc.FlowMap(rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.0, 4.0)))
        >>> round(float(phi.push_forward(rc.Normal()).ppf(0.5)), 5)
        1.0
        """
        if isinstance(law, Empirical):
            weights = law.weights
            return Empirical(self(law.values, num_threads=num_threads), weights)
        if hasattr(law, "rvs") or hasattr(law, "sample"):
            return PushedLaw(self, law)
        return self(law, num_threads=num_threads)


def log_likelihood(
    field: VelocityField | Callable[[Any, Any], Any],
    x1: ArrayLike,
    source: Any,
    t0: float = 0.0,
    t1: float = 1.0,
    *,
    log_density: bool | str = True,
    rng: int | np.random.Generator | None = None,
    num_threads: int | None = None,
    **options: Any,
) -> Any:
    r"""Log-density at x1 of the law that the flow of a field carries from a source.

    .. math:: \log p_1(x_1) = \log p_0(x_0) - \int_{t_0}^{t_1} \operatorname{div} v(t, x(t)) dt

    along the trajectory that ends at x1, traced back to x0.

    Parameters
    ----------
    field : VelocityField or callable
    x1 : array of shape (n,) on the line (or a number), (n, D) otherwise
    source : law with ``logpdf``
        Law at t0; SciPy's count.
    t0, t1 : float
    log_density : True or ``"hutchinson"``
        How callables are differentiated, as in :func:`integrate`.
    rng : int, Generator, optional
        Seed of ``"hutchinson"``.
    options
        Method, tolerances or steps, as in :func:`integrate`.

    Returns
    -------
    array of shape (n,)
        In nats; NaN where the trajectory cannot be traced back.

    Raises
    ------
    ValueError
        As :func:`integrate`; or a source without a density.

    Notes
    -----
    Accuracy: of the order of the tolerance. Cost: one integration with divergence.
    Source: Chen et al. (2018), Neural ordinary differential equations, eq. (8).

    Examples
    --------
    >>> import recouple as rc
    >>> field = rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.0, 4.0))
    >>> rc.log_likelihood(field, [1.0], rc.Normal(), rtol=1e-9).round(6)
    array([-1.612086])
    """
    if not isinstance(field, VelocityField):
        shape = np.shape(x1)
        field = as_field(field, dim=1 if len(shape) < 2 else shape[1])
    law = PushedLaw(FlowMap(field, t0, t1, **options), source)
    return law.trace_logpdf(x1, log_density=log_density, rng=rng, num_threads=num_threads)
