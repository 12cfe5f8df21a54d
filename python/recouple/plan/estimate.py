"""Numbers that need work: the floor of the loss and the distance of plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recouple.arguments import FloatArray, generator, whole_number
from recouple.plan.quadrature import integrate_panels

if TYPE_CHECKING:
    from recouple.interpolant import Interpolant
    from recouple.plan.base import Plan

__all__ = ["Estimate", "loss_floor", "plan_distance"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its error: a bound from quadrature, or a standard error; ``float()`` works."""

    value: float
    error: float

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return f"Estimate({self.value:.6g}, error {self.error:.1g})"


def loss_floor(plan: Plan, interpolant: Interpolant, samples: int, rng: Any) -> Estimate:
    """Integral over [0, 1] of E tr Cov(dX_t/dt | X_t)."""
    one_point = getattr(plan, "_constant_covariance", False)
    if not one_point and plan.dim > 1:
        return _sampled_floor(plan, interpolant, whole_number("samples", samples, minimum=2), rng)
    mean_error = 0.0

    def at_times(_: Any, t: FloatArray) -> FloatArray:
        nonlocal mean_error
        out = np.empty(t.shape)
        for index, time in np.ndenumerate(t):
            if one_point:
                center = np.zeros((1, plan.dim))
                out[index] = np.trace(plan._local(float(time), center, interpolant)[1][0])
            else:
                out[index], error = _mean_variance(plan, float(time), interpolant)
                mean_error = max(mean_error, error)
        return out[..., None]

    edges = np.linspace(0, 1, 3)[None]
    total, error = integrate_panels(at_times, edges, rtol=1e-13 if one_point else 1e-9, rounds=30)
    bound = max(float(error[0, 0]), 1e-12 * float(total[0, 0])) + mean_error
    return Estimate(float(total[0, 0]), min(bound, 1e-12) if one_point else bound)


def _mean_variance(plan: Plan, t: float, interpolant: Interpolant) -> tuple[float, float]:
    """E Var(dX_t/dt | X_t) on the line."""
    law = plan.marginal(t, interpolant)
    u = np.array([1e-14, 1e-9, 1e-5, 1e-3, 0.02, 0.1, 0.25, 0.5])
    edges = np.unique(np.concatenate([law.ppf(u), law.isf(u)]))[None]

    def density(_: Any, x: FloatArray) -> FloatArray:
        variance = plan._local(t, x.reshape(-1, 1), interpolant)[1].reshape(x.shape)
        p = law.pdf(x)
        return np.where(p > 0, p * np.where(np.isfinite(variance), variance, 0), 0)[..., None]

    total, error = integrate_panels(density, edges, rtol=1e-11, rounds=25)
    return float(total[0, 0]), float(error[0, 0])


def _sampled_floor(plan: Plan, interpolant: Interpolant, samples: int, rng: Any) -> Estimate:
    generate = generator(rng)
    nodes, weights = np.polynomial.legendre.leggauss(16)
    value, variance = 0.0, 0.0
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        x = plan.marginal(float(node), interpolant).rvs(samples, generate)
        spread = np.trace(plan._local(float(node), x, interpolant)[1], axis1=1, axis2=2)
        value += weight * spread.mean()
        variance += weight**2 * spread.var(ddof=1) / samples
    return Estimate(float(value), float(np.sqrt(variance)))


def plan_distance(plan: Plan, other: Plan, projections: int, samples: int, rng: Any) -> Estimate:
    """W2 between plans: exact for small atomic ones, sliced from samples otherwise."""
    if plan.dim != other.dim:
        raise ValueError(f"other must have D = {plan.dim} too, got D = {other.dim}")
    pairs = [getattr(p, "_pairs", None) for p in (plan, other)]
    if all(p is not None and len(p) <= 2000 for p in pairs):
        return Estimate(_exact(pairs[0], plan.weights, pairs[1], other.weights), 0.0)  # type: ignore
    generate = generator(rng)
    n = whole_number("samples", samples, minimum=2)
    first, second = (np.column_stack(p.sample(n, generate)) for p in (plan, other))
    count = whole_number("projections", projections, minimum=2)
    directions = generate.standard_normal((2 * plan.dim, count))
    directions /= np.linalg.norm(directions, axis=0)
    gaps = np.sort(first @ directions, axis=0) - np.sort(second @ directions, axis=0)
    squares = (gaps**2).mean(axis=0)
    mean = squares.mean()
    root = float(np.sqrt(mean))
    error = squares.std(ddof=1) / np.sqrt(count)
    return Estimate(root, float(error / (2 * root)) if root > 0 else 0.0)


def _exact(x: FloatArray, a: FloatArray, y: FloatArray, b: FloatArray) -> float:
    try:
        import ot
    except ImportError:
        raise ImportError("the exact distance of atomic plans needs POT: pip install POT") from None
    cost = ((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=2)
    return float(np.sqrt(max(ot.emd2(a, b, cost, numItermax=10**7), 0.0)))
