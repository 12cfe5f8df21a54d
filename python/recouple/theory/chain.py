"""Reports: what training found, what theory allows, and each link between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recouple import _core
from recouple.arguments import FloatArray, generator, whole_number
from recouple.field import velocity_field
from recouple.flow import integrate
from recouple.interpolant import LINEAR, Interpolant
from recouple.network import ReluNetwork, Trace
from recouple.plan import Plan
from recouple.plan.base import Rng
from recouple.plan.estimate import Estimate
from recouple.theory.kernel import ntk_gram_empirical
from recouple.theory.risk import (
    KernelBall,
    arora_complexity,
    cfm_floor,
    draw_path,
    excess,
    flat,
    kernel_ball_bound,
)
from recouple.theory.stability import (
    WassersteinBounds,
    distance,
    euler_term,
    paths,
    wasserstein_bounds,
)

__all__ = ["Chain", "Generalization", "Link", "chain_report", "generalization_report"]


@dataclass(frozen=True)
class Generalization:
    """Training against fresh data, and what bounds the difference."""

    n: int
    train: float
    """Loss on the training pairs, averaged over t."""
    test: float
    """Loss on fresh pairs."""
    test_error: float
    floor: float
    excess: Estimate
    gap: float
    """test - train."""
    ball: KernelBall
    noisy: float
    """Arora complexity of the raw targets X1 - X0."""
    denoised: float
    """Arora complexity of v at the same rows."""

    def summary(self) -> str:
        """Say it in lines."""
        times = self.ball.bound / self.gap if self.gap > 0 else np.inf
        return "\n".join(
            [
                f"training loss on {self.n} pairs {self.train:.5g}, test {self.test:.5g} "
                f"+- {self.test_error:.1g}, floor {self.floor:.5g}",
                f"gap {self.gap:.4g}, excess {self.excess.value:.4g} +- {self.excess.error:.1g}",
                f"kernel-ball bound of the gap, heuristic {self.ball.bound:.4g} ({times:.3g} x)",
                f"Arora complexity of raw targets {self.noisy:.4g}, of v {self.denoised:.4g}",
            ]
        )


def generalization_report(
    net: ReluNetwork,
    plan: Plan,
    pairs: tuple[Any, Any],
    start: ReluNetwork,
    interpolant: Interpolant = LINEAR,
    *,
    samples: int = 10_000,
    rng: Rng = 0,
) -> Generalization:
    """Compare the loss on training pairs with that on fresh ones, and with what theory allows.

    Parameters
    ----------
    net, start : ReluNetwork
        The trained network and the one it started from: ``trace.network``, ``trace.start``.
    plan : Plan
        The law of the pairs.
    pairs : (x0, x1)
        The training pairs.
    samples : int
        Fresh pairs.

    Returns
    -------
    Generalization
        The kernel-ball bound in it is heuristic: its radius is the distance the weights moved, and
        its truncation is chosen by the fresh losses, where the theorem wants both fixed beforehand.
    """
    count = whole_number("samples", samples, minimum=2)
    draw = generator(rng)
    x0, x1 = (np.asarray(x, dtype=np.float64).reshape(len(x), plan.dim) for x in pairs)
    n = len(x0)
    t = draw.random(n) if net.times is None else draw.choice(net.times, n)
    rows, targets, train = _losses(net, interpolant, t, x0, x1)
    at, x, u = draw_path(plan, count, draw, interpolant, net.times)
    f = np.asarray(net(at, flat(x)), dtype=np.float64).reshape(x.shape)
    fresh = ((f - u) ** 2).sum(axis=1)
    few = slice(0, min(n, 400))
    z = net.inputs(t[few], flat(rows[few]))
    v = np.asarray(plan.velocity(t[few], flat(rows[few]), interpolant)).reshape(-1, plan.dim)
    if start.times is None:
        every = start.inputs(t, flat(rows))
        trace = float(
            sum(np.trace(ntk_gram_empirical(start, every[i : i + 500])) for i in range(0, n, 500))
        )
    else:
        trace = float((start.inputs(t, flat(rows)) ** 2).sum() / 2)
    moved = np.linalg.norm(net.hidden.astype(float) - start.hidden.astype(float))
    if net.train_outputs:
        moved = np.hypot(moved, np.linalg.norm(net.outputs.astype(float) - start.outputs))
    return Generalization(
        n=n,
        train=float(train.mean()),
        test=float(fresh.mean()),
        test_error=float(fresh.std() / np.sqrt(count)),
        floor=float(cfm_floor(plan, interpolant)),
        excess=excess(net, plan, interpolant, samples=count, rng=draw),
        gap=float(fresh.mean() - train.mean()),
        ball=kernel_ball_bound(float(moved), trace, n, fresh, outputs=plan.dim),
        noisy=arora_complexity(z, targets[few]),
        denoised=arora_complexity(z, v),
    )


def _losses(
    net: ReluNetwork, interpolant: Interpolant, t: FloatArray, x0: FloatArray, x1: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    table = np.array([_core.coefficients(interpolant, float(s)) for s in t])[:, :, None]
    x, u = table[:, 0] * x0 + table[:, 1] * x1, table[:, 2] * x0 + table[:, 3] * x1
    f = np.asarray(net(t, flat(x)), dtype=np.float64).reshape(x.shape)
    return x, u, ((f - u) ** 2).sum(axis=1)


@dataclass(frozen=True)
class Link:
    """One step of the chain: a value, and how far above the next one it lies."""

    name: str
    value: float
    slack: float


@dataclass(frozen=True)
class Chain:
    """From the training loss to the Wasserstein error of the samples."""

    train: float
    floor: float
    gap: float
    """Loss on fresh pairs minus ``train``."""
    gap_error: float
    """Standard error of the loss on fresh pairs."""
    excess: Estimate
    bounds: WassersteinBounds = field(repr=False)
    discretisation: float
    measured: float
    """Between the target's samples and those of Euler's method, from starts drawn afresh: none of
    the bounds has seen them."""
    links: tuple[Link, ...]

    def holds(self) -> bool:
        """Whether the first link is at least what was measured, and the bounds of W2 hold."""
        return self.links[0].value >= self.measured and self.bounds.holds()

    def summary(self) -> str:
        """Return the links as a table."""
        return "\n".join(
            f"{link.name:<46} {link.value:10.4g}   {link.slack:8.3g} x" for link in self.links
        )


def chain_report(
    net: ReluNetwork,
    plan: Plan,
    trace: Trace | None = None,
    interpolant: Interpolant = LINEAR,
    *,
    steps: int = 100,
    samples: int = 500,
    rng: Rng = 0,
) -> Chain:
    r"""Follow the error from the training loss to the samples.

    .. math:: W_2 \le C_{stab} \sqrt{\text{train} - \text{floor} + \text{gap}} + \text{Euler term}

    Parameters
    ----------
    net : ReluNetwork
        The trained network.
    plan : Plan
        What it should have learnt.
    trace : Trace, optional
        Of its training: gives the training loss, that of its last epoch. Without it the loss on
        fresh pairs is taken, and the gap is 0.
    steps : int
        Of Euler's method, with which the samples are drawn.
    samples : int
        Trajectories.

    Returns
    -------
    Chain
        With the slack of each link: how many times the next value it is. C_stab is the
        largest exp(int_t^1 L) over t. The gap is the loss on pairs drawn for it alone minus the
        training loss, and two of its standard errors are added under the root; the excess, the
        bounds and W2 are from other draws, so the first slack may fall below 1 by their scatter.
        The part named Alekseev-Groebner is an identity, not a bound that could fail.
    """
    draw = generator(rng)
    seed, other, third = (int(draw.integers(2**62)) for _ in range(3))
    found = excess(net, plan, interpolant, samples=20_000, rng=seed)
    floor = float(cfm_floor(plan, interpolant))
    test = _test_loss(net, plan, interpolant, floor, other)
    last = np.array([]) if trace is None else trace.loss[np.isfinite(trace.loss)]
    train = float(last[-1]) if last.size else test.value
    gap = test.value - train
    bounds = wasserstein_bounds(net, plan, interpolant, samples=samples, rng=seed)
    x0, _ = plan.sample(samples, generator(seed))
    end = float(bounds.lipschitz.times[-1])
    exact = np.asarray(integrate(net, x0, t1=end, method="rk4", steps=400).x)
    euler = np.asarray(integrate(net, x0, t1=end, method="euler", steps=steps).x)
    discretisation = euler_term(net, x0, steps, bounds.lipschitz, dim=plan.dim)

    fresh = np.asarray(plan.sample(samples, generator(third))[0])
    target = paths(velocity_field(plan, interpolant), fresh, np.array([0.0, end]), 1e-9)[-1]
    drawn = np.asarray(integrate(net, fresh, t1=end, method="euler", steps=steps).x)
    measured = distance(target, drawn)
    stability = float(bounds.lipschitz.stretch(np.linspace(0, end, 65)).max())
    error = np.sqrt(max(train - floor + gap + 2 * test.error, 0.0))
    route = stability * error + discretisation
    values = [
        ("C_stab sqrt(train - floor + gap) + Euler term", route),
        ("Jensen bound + Euler term", bounds.jensen + discretisation),
        ("Minkowski bound + Euler term", bounds.minkowski + discretisation),
        ("Alekseev-Groebner identity + Euler error", bounds.alekseev_groebner
         + distance(exact, euler)),
        ("W2 of the samples", measured),
    ]  # fmt: skip
    after = [*[value for _, value in values[1:]], measured]
    links = tuple(
        Link(name, float(value), float(value / nxt) if nxt > 0 else np.inf)
        for (name, value), nxt in zip(values, after, strict=True)
    )
    return Chain(
        train=train, floor=floor, gap=gap, gap_error=test.error, excess=found,
        bounds=bounds, discretisation=discretisation, measured=measured, links=links,
    )  # fmt: skip


def _test_loss(
    net: ReluNetwork, plan: Plan, interpolant: Interpolant, floor: float, rng: int
) -> Estimate:
    """Loss on fresh pairs: floor + mean of |f - u|^2 - |v - u|^2, which scatters less."""
    n = 20_000
    t, x, u = draw_path(plan, n, rng, interpolant)
    f = np.asarray(net(t, flat(x)), dtype=np.float64).reshape(x.shape)
    v = np.asarray(plan.velocity(t, flat(x), interpolant)).reshape(x.shape)
    above = ((f - u) ** 2 - (v - u) ** 2).sum(axis=1)
    return Estimate(floor + float(above.mean()), float(above.std(ddof=1) / np.sqrt(n)))
