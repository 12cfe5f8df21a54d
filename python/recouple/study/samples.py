"""Experiments on samples: bounds of the Wasserstein error, orders of solvers."""

from __future__ import annotations

from typing import Any

import numpy as np

from recouple import theory
from recouple.field import velocity_field
from recouple.flow import integrate
from recouple.network import ReluNetwork, train
from recouple.study.experiment import Check, Curve, Experiment, Table, slope
from recouple.study.optimisation import MODES, TIED, _setting
from recouple.wasserstein import wasserstein_1d

__all__ = ["orders", "tightness"]


def tightness(*, full: bool, seed: int) -> Experiment:
    """Set the bounds of W2 beside W2 through training, and W2 beside that of n samples."""
    rows, curves = [], []
    held, tight = True, []
    for name, plan in (("Gaussian", TIED), ("two modes", MODES)):
        for m in (256, 2048) if full else (256,):
            trace, line = None, []
            for more in (1, 9, 90, 400, 1500):
                net = ReluNetwork(1, m, antisymmetric=True, rng=seed)
                trace = train(net, plan, epochs=more, samples=2000, rate=0.3, resume=trace,
                              rng=seed)  # fmt: skip
                found = theory.wasserstein_bounds(
                    trace.network, plan, samples=300, intervals=24, rng=seed
                )
                held = held and found.holds()
                ratios = [bound / found.measured for _, bound in found.rows()]
                tight.append(ratios[0])
                line.append((float(trace._done), found.measured))
                rows.append((f"{name}, m = {m}, step {trace._done}", found.measured, *ratios))
            curves.append(Curve(f"{name}, m = {m}", *zip(*line, strict=True)))
    rates, w_net, w_points = (100, 400, 1600), [], []
    x0 = TIED.source.ppf((np.arange(20_000) + 0.5) / 20_000)
    exact = TIED.target.ppf((np.arange(20_000) + 0.5) / 20_000)
    for n in rates:
        pairs = []
        for k in range(24 if full else 8):
            data = TIED.sample(n, seed + k)
            net = ReluNetwork(1, 256, antisymmetric=True, rng=seed + k)
            trace = train(net, data, epochs=800, rate=0.3, every=800, rng=seed + k)
            y = integrate(trace.network, x0, method="rk4", steps=50).x
            pairs.append((wasserstein_1d(y, exact, p=2), wasserstein_1d(data[1], exact, p=2)))
        w_net.append(float(np.sqrt(np.mean([a**2 for a, _ in pairs]))))
        w_points.append(float(np.sqrt(np.mean([b**2 for _, b in pairs]))))
    ratio = [a / b for a, b in zip(w_net, w_points, strict=True)]
    names = ("network", "W2", "AG", "Minkowski", "Jensen", "Benton", "AVE")
    return Experiment(
        "tightness", "6. Bounds of the Wasserstein error, as multiples of it", seed, _setting(full),
        (Table(names, tuple(rows)),
         Table(("training pairs n", "W2 of the network", "W2 of the n points"),
               tuple(zip(rates, w_net, w_points, strict=True)))),
        (Check("every bound held, without AG's identity", float(held), "always", held),
         Check("Alekseev-Groebner / W2, median", float(np.median(tight)), "<= 4",
               float(np.median(tight)) <= 4),
         Check("Alekseev-Groebner / W2, largest", float(max(tight)), "<= 4", max(tight) <= 4),
         Check("slope of the points' W2 in n", slope(rates, w_points), "-.5 +- .2",
               abs(slope(rates, w_points) + 0.5) <= 0.2),
         Check("W2 of the network / of the points, largest", float(max(ratio)),
               "<= 2: it tracks the empirical measure", max(ratio) <= 2)),
        curves=tuple(curves), axes=("step", "W2", "log"),
    )  # fmt: skip


def orders(*, full: bool, seed: int) -> Experiment:
    """Measure the order of solvers on a smooth field and on a network, which has kinks."""
    net = ReluNetwork(1, 256, antisymmetric=True, rng=seed)
    trace = train(net, TIED, epochs=500, samples=2000, rng=seed)
    x0 = np.linspace(-2, 2, 400 if full else 200)
    rows, curves, found = [], [], {}
    fields: tuple[tuple[str, Any], ...] = (
        ("exact field", velocity_field(TIED)), ("network", trace.network)
    )  # fmt: skip
    for label, f in fields:
        exact = integrate(f, x0, method="rk4", steps=20_000).x
        for method in ("euler", "midpoint", "rk4"):
            steps = np.array([8, 16, 32, 64, 128])
            errors = [
                float(np.sqrt(np.mean(
                    (integrate(f, x0, method=method, steps=int(k)).x - exact) ** 2
                )))
                for k in steps
            ]  # fmt: skip
            found[label, method] = -slope(steps, errors)
            rows.append((f"{method}, {label}", found[label, method], errors[0], errors[-1]))
            curves.append(Curve(f"{method}, {label}", tuple(map(float, steps)), tuple(errors)))
    smooth, kinked = found["exact field", "rk4"], found["network", "rk4"]
    constants = theory.lipschitz(trace.network)
    error = rows[3][2:]
    terms = [theory.euler_term(trace.network, x0, k, constants) for k in (8, 128)]
    rows.append(("Euler bound / error on the network", float("nan"),
                 terms[0] / error[0], terms[1] / error[1]))  # fmt: skip
    return Experiment(
        "orders", "8. Orders of the solvers", seed, _setting(full),
        (Table(("solver", "order", "error, 8 steps", "error, 128 steps"), tuple(rows)),),
        (Check("order of RK4 on the exact field", smooth, "4 +- .3", abs(smooth - 4) <= 0.3),
         Check("order of RK4 on the network", kinked, "about 2: kinks", 1.5 <= kinked <= 3),
         Check("Euler bound / error, 128 steps", terms[1] / error[1], ">= 1",
               terms[1] >= error[1])),
        curves=tuple(curves), axes=("steps", "error", "log"),
    )  # fmt: skip
