"""Experiments on generalisation: gaps against pairs and times, the four regimes."""

from __future__ import annotations

from typing import Any

import numpy as np

from recouple import theory
from recouple.network import ReluNetwork, train
from recouple.study.experiment import Check, Curve, Experiment, Table, slope
from recouple.study.optimisation import GAUSS, _setting

__all__ = ["gaps", "regimes"]


def _gap(n: int, tasks: int, *, shared: bool, heads: bool, seed: int) -> float:
    """Test minus training loss of n pairs at each of `tasks` times, less a reference's.

    The reference is trained alike on pairs of its own, so that its gap has the mean 0, and it lies
    close: the luck of the draw, which both share, cancels, and with it most of the scatter.
    """
    draw = np.random.default_rng([seed, n, tasks])
    times = (np.arange(tasks) + 0.5) / tasks
    if shared:
        x0, x1 = GAUSS.sample(n, draw)
        x0, x1, t = np.tile(x0, tasks), np.tile(x1, tasks), np.repeat(times, n)
    else:
        x0, x1 = GAUSS.sample(n * tasks, draw)
        t = np.repeat(times, n)
    net = ReluNetwork(
        1,
        128,
        antisymmetric=True,
        rng=seed,
        times=times if heads else None,
        train_outputs=heads,
        dtype=np.float32,
    )
    more = max(1, 20_000 // tasks)
    rows = (t, x0, x1), (np.repeat(times, more), *GAUSS.sample(more * tasks, draw))
    f, reference = (
        train(net, data, epochs=300, rate=0.4, every=300, rng=seed, watch_samples=2).network
        for data in rows
    )
    at = draw.choice(times, 4000)
    y0, y1 = GAUSS.sample(4000, draw)

    def better(at: Any, x: Any, target: Any) -> float:
        losses = ((np.asarray(g(at, x)) - target) ** 2 for g in (f, reference))
        return float(np.subtract(*losses).mean())

    y = (1 - at) * y0 + at * y1
    return better(at, y, GAUSS.velocity(at, y)) - better(t, (1 - t) * x0 + t * x1, x1 - x0)


def _mean(repeats: int, **case: Any) -> tuple[float, float]:
    seed = case.pop("seed")
    values = [_gap(seed=seed + 1000 * k, **case) for k in range(repeats)]
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(repeats))


def gaps(*, full: bool, seed: int) -> Experiment:
    """Measure the gap against the number of pairs and of times."""
    repeats = 160 if full else 40
    ns, tasks = (50, 100, 200, 400, 800), (4, 8, 16, 32, 64)
    rows, curves = [], []
    slopes = {}
    found = [_mean(repeats, n=n, tasks=8, shared=True, heads=False, seed=seed) for n in ns]
    slopes["n"] = slope(ns, [value for value, _ in found])
    rows += [(f"joint, shared pairs, n = {n}, T = 8", *f) for n, f in zip(ns, found, strict=True)]
    for name, shared, heads in (
        ("joint, fresh pairs", False, False),
        ("joint, shared pairs", True, False),
        ("heads, fresh pairs", False, True),
        ("heads, shared pairs", True, True),
    ):
        found = [_mean(repeats, n=50, tasks=k, shared=shared, heads=heads, seed=seed)
                 for k in tasks]  # fmt: skip
        values = tuple(value for value, _ in found)
        slopes[name] = slope(tasks, values)
        rows += [(f"{name}, n = 50, T = {k}", *f) for k, f in zip(tasks, found, strict=True)]
        curves.append(Curve(name, tuple(map(float, tasks)), values))
    fresh, same = slopes["joint, fresh pairs"], slopes["joint, shared pairs"]
    return Experiment(
        "gaps", "5. The gap against pairs and times", seed, _setting(full),
        (Table(("rows", "gap", "standard error"), tuple(rows)),
         Table(("slope of the gap", "log-log"), tuple(slopes.items()))),
        (Check("slope in n", slopes["n"], "-1 +- .25", abs(slopes["n"] + 1) <= 0.25),
         Check("slope in T, fresh pairs", fresh, "-1 +- .15", abs(fresh + 1) <= 0.15),
         Check("slope in T, shared pairs: saturates", same, "> -.3", same > -0.3)),
        curves=tuple(curves), axes=("times T", "gap", "log"),
    )  # fmt: skip


def regimes(*, full: bool, seed: int) -> Experiment:
    """Train with everything fixed, with times redrawn, with X0 redrawn, with fresh pairs."""
    n, epochs = 200, 20_000 if full else 4000
    rows, curves, last = [], [], {}
    for regime in ("fixed", "pairs", "data", "population"):
        net = ReluNetwork(1, 512, antisymmetric=True, rng=seed)
        trace = train(
            net, GAUSS, regime=regime, samples=n, epochs=epochs, rate=0.4, every=epochs // 100,
            rng=seed,
        )  # fmt: skip
        tail = trace.loss[-epochs // 10 :]
        last[regime] = float(trace.excess[-1])
        rows.append(
            (regime, float(tail.mean()), float(trace.excess.min()), last[regime],
             float(trace.movement[-1]), float(trace.flips[-1]))
        )  # fmt: skip
        curves.append(Curve(regime, tuple(trace.epochs[1:]), tuple(trace.excess[1:])))
    rows.append(("floor", float(theory.cfm_floor(GAUSS)), 0.0, 0.0, 0.0, 0.0))
    ordered = last["fixed"] >= last["pairs"] >= last["population"]
    return Experiment(
        "regimes", "7. Four data regimes", seed, _setting(full),
        (Table(("regime", "training loss", "excess, least", "excess, end", "|W - W0|", "flips"),
               tuple(rows)),),
        (Check("excess at the end falls from fixed to pairs to population",
               last["fixed"] / last["population"], "in this order", ordered),),
        curves=tuple(curves), axes=("step", "excess", "log"),
    )  # fmt: skip
