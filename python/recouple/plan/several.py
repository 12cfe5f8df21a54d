"""Mixtures of plans, and plans of minibatch optimal transport."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, generator, real_array, whole_number
from recouple.interpolant import LINEAR, Interpolant
from recouple.plan.atomic import AtomicPlan
from recouple.plan.base import Plan, Points, Rng, rows
from recouple.plan.dataset import DatasetPlan
from recouple.plan.grid import GridPlan
from recouple.plan.law import LineMixture, Mixture, weighted
from recouple.plan.mixture import MixturePlan

__all__ = ["PlanMixture", "minibatch_plan", "mix_plans"]


class PlanMixture(Plan):
    """A mixture of plans of different kinds; made by :func:`mix_plans`."""

    weights: FloatArray
    plans: tuple[Plan, ...]
    _fields = ("weights", "plans")

    def __init__(self, weights: ArrayLike, plans: Sequence[Plan]):
        if len(plans) == 0 or len({plan.dim for plan in plans}) > 1:
            raise ValueError("plans must be one or more plans of one dimension")
        w = weighted("weights", weights, len(plans))
        self._set(dim=plans[0].dim, weights=w, plans=tuple(plans))

    @property
    def mean(self) -> FloatArray:
        """Mean of (X0, X1), shape (2 D,)."""
        average: FloatArray = self.weights @ np.array([plan.mean for plan in self.plans])
        return average

    @property
    def cov(self) -> FloatArray:
        """Covariance of (X0, X1), shape (2 D, 2 D)."""
        centred = np.array([plan.mean for plan in self.plans]) - self.mean
        within = np.tensordot(self.weights, np.array([plan.cov for plan in self.plans]), 1)
        total: FloatArray = within + (self.weights[:, None] * centred).T @ centred
        return total

    def marginal(self, t: float, interpolant: Interpolant = LINEAR) -> Any:
        """Law of X_t: the mixture of the plans' laws."""
        kind = LineMixture if self.dim == 1 else Mixture
        return kind(self.weights, tuple(plan.marginal(t, interpolant) for plan in self.plans))

    def sample(self, n: int, rng: Rng = None) -> tuple[FloatArray, FloatArray]:
        """Draw n pairs."""
        generate, count = generator(rng), whole_number("n", n)
        counts = generate.multinomial(count, self.weights)
        pairs = [plan.sample(int(c), generate) for plan, c in zip(self.plans, counts, strict=True)]
        order = generate.permutation(count)
        x0 = np.concatenate([pair[0] for pair in pairs])[order]
        return x0, np.concatenate([pair[1] for pair in pairs])[order]

    def _shares(self, t: float, x: FloatArray, interpolant: Interpolant) -> FloatArray:
        """Posterior weight of each plan at rows x, shape (K, n)."""
        with np.errstate(divide="ignore"):
            logs = np.log(self.weights)[:, None] + np.array(
                [plan._log_density(t, x, interpolant) for plan in self.plans]
            )
        top = logs.max(axis=0)
        shares = np.exp(logs - np.where(np.isfinite(top), top, 0))
        with np.errstate(invalid="ignore"):
            normalised: FloatArray = shares / shares.sum(axis=0)
        return normalised

    def _log_density(self, t: float, x: FloatArray, interpolant: Interpolant) -> FloatArray:
        with np.errstate(divide="ignore"):
            logs: FloatArray = np.logaddexp.reduce(
                [
                    np.log(w) + plan._log_density(t, x, interpolant)
                    for w, plan in zip(self.weights, self.plans, strict=True)
                ]
            )
        return logs

    def conditional(self, x0: ArrayLike) -> Any:
        """Law of X1 given X0 = x0."""
        point = real_array("x0", x0).reshape(1, -1)
        if point.shape[1] != self.dim:
            raise ValueError(f"x0 must be one point of dimension {self.dim}, got {np.shape(x0)}")
        share = self._shares(0.0, point, LINEAR)[:, 0]
        kept = [k for k in range(len(share)) if share[k] > 0]
        kind = LineMixture if self.dim == 1 else Mixture
        return kind(share[kept], tuple(self.plans[k].conditional(x0) for k in kept))

    def sample_conditional(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """Draw one X1 given each X0 = x0[i]; shaped like x0."""
        points = Points("x0", x0, self.dim)
        generate = generator(rng)
        shares = np.cumsum(self._shares(0.0, points.rows, LINEAR), axis=0)
        chosen = (generate.random(len(points)) * shares[-1] >= shares[:-1]).sum(axis=0)
        x1 = np.empty_like(points.rows)
        for k in np.unique(chosen):
            at = points.rows[chosen == k]
            x1[chosen == k] = np.reshape(
                self.plans[k].sample_conditional(at, generate), (-1, self.dim)
            )
        return points.restore(x1)

    def reverse(self) -> PlanMixture:
        """Return the plan of (X1, X0)."""
        return PlanMixture(self.weights, tuple(plan.reverse() for plan in self.plans))

    def collision_times(self, interpolant: Interpolant = LINEAR) -> FloatArray:
        """Collision times of any of the plans."""
        return np.unique(np.concatenate([p.collision_times(interpolant) for p in self.plans]))

    def _moment(self, powers: tuple[int, ...]) -> float:
        return float(self.weights @ [plan._moment(powers) for plan in self.plans])

    def _velocity(self, t: Any, x: FloatArray, interpolant: Interpolant) -> FloatArray:
        at = x.reshape(-1, self.dim)
        v = np.empty_like(at)
        times, which = np.unique(np.broadcast_to(t, len(at)), return_inverse=True)
        for k, time in enumerate(times):
            here = np.ascontiguousarray(at[which == k])
            shares = self._shares(float(time), here, interpolant)
            each = [p._field(interpolant)(np.array([time]), here, 0) for p in self.plans]
            v[which == k] = np.einsum("kn,knd->nd", shares, np.array(each))
        return v.reshape(x.shape)

    def _field(self, interpolant: Interpolant) -> _core.Field:
        return _core.callable_field(lambda t, x: self._velocity(t, x, interpolant), self.dim)

    def _local(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[FloatArray, FloatArray]:
        shares = self._shares(t, x, interpolant)
        parts = [plan._local(t, x, interpolant) for plan in self.plans]
        rates = np.array([p._field(interpolant)(np.array([t]), x, 0) for p in self.plans])
        centred = rates - np.einsum("kn,knd->nd", shares, rates)
        score = np.einsum("kn,knd->nd", shares, np.array([part[0] for part in parts]))
        cov = np.einsum("kn,kndc->ndc", shares, np.array([part[1] for part in parts]))
        return score, cov + np.einsum("kn,knd,knc->ndc", shares, centred, centred)

    def __repr__(self) -> str:
        return f"PlanMixture({len(self.plans)} plans, D = {self.dim})"


def mix_plans(weights: ArrayLike, plans: Sequence[Plan]) -> Any:
    """Mixture of plans: one of them is drawn with these weights, and a pair from it.

    Parameters
    ----------
    weights : array of shape (K,)
        Not negative; normalised.
    plans : sequence of K plans of one dimension

    Returns
    -------
    Plan
        Of the plans' own kind where that is closed under mixing: mixtures of Gaussians, atomic
        plans, data sets with one std, grid plans on one grid. Otherwise a :class:`PlanMixture`.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.mix_plans([1, 2], [rc.GaussianPlan(0.0, 0.0, 1.0, s, 1.0) for s in (-0.5, 0.5)])
    MixturePlan(2 components, D = 1)
    """
    mixed = PlanMixture(weights, plans)
    w = mixed.weights

    def joined(name: str) -> FloatArray:
        return np.concatenate([getattr(plan, name) for plan in plans])

    if all(isinstance(plan, MixturePlan | AtomicPlan | DatasetPlan) for plan in plans):
        share = np.concatenate([v * p.weights for v, p in zip(w, plans, strict=True)])  # type: ignore
    if all(isinstance(plan, MixturePlan) for plan in plans):
        return MixturePlan(share, joined("means"), joined("covs"))
    if all(isinstance(plan, AtomicPlan) for plan in plans):
        return AtomicPlan(joined("x0"), joined("x1"), share)
    data = [plan for plan in plans if isinstance(plan, DatasetPlan)]
    if len(data) == len(plans) and len({plan.std for plan in data}) == 1:
        return DatasetPlan(joined("data"), data[0].std, share)
    grids = [plan for plan in plans if isinstance(plan, GridPlan)]
    if len(grids) == len(plans) and all(
        np.array_equal(g.x0, grids[0].x0) and np.array_equal(g.x1, grids[0].x1) for g in grids
    ):
        return GridPlan(grids[0].x0, grids[0].x1, np.tensordot(w, [g.mass for g in grids], 1))
    return mixed


def minibatch_plan(x0: ArrayLike, x1: ArrayLike, batch_size: int, rng: Rng = None) -> AtomicPlan:
    """Plan of minibatch optimal transport: samples paired optimally within random batches.

    Parameters
    ----------
    x0, x1 : arrays of shape (n,) or (n, D)
        Samples of source and target, as many of each.
    batch_size : int
        Points in a batch; the last batch may be smaller. n gives the exact optimal pairing.
    rng : int, Generator or None
        Shuffles the samples before they are cut into batches.

    Returns
    -------
    AtomicPlan
        n pairs of equal weight.

    Notes
    -----
    Cost |x0 - x1|^2. Needs POT (``pip install POT``) for D > 1; on the line pairs are sorted.
    Source: Pooladian et al. (2023), Tong et al. (2024).

    Examples
    --------
    >>> import recouple as rc
    >>> rc.minibatch_plan([0.0, 3.0, 1.0], [5.0, 6.0, 4.0], 3, rng=0).correlation > 0.9
    True
    """
    a, b = rows("x0", x0), rows("x1", x1)
    if a.shape != b.shape:
        raise ValueError(f"x1 must have the shape {np.shape(x0)} of x0, got {np.shape(x1)}")
    size = whole_number("batch_size", batch_size, minimum=1)
    generate = generator(rng)
    a, b = a[generate.permutation(len(a))], b[generate.permutation(len(b))]
    pairs = []
    for first in range(0, len(a), size):
        u, v = a[first : first + size], b[first : first + size]
        pairs.append(first + _assignment(u, v))
    order = np.concatenate(pairs)
    if a.shape[1] == 1:
        return AtomicPlan(a.ravel(), b[order].ravel())
    return AtomicPlan(a, b[order])


def _assignment(u: FloatArray, v: FloatArray) -> Any:
    if u.shape[1] == 1:
        match = np.empty(len(u), np.intp)
        match[np.argsort(u[:, 0], kind="stable")] = np.argsort(v[:, 0], kind="stable")
        return match
    try:
        import ot
    except ImportError:
        raise ImportError("minibatch plans in R^D need POT: pip install POT") from None
    cost = ((u[:, None, :] - v[None, :, :]) ** 2).sum(axis=2)
    uniform = np.full(len(u), 1 / len(u))
    return np.asarray(ot.emd(uniform, uniform, cost)).argmax(axis=1)
