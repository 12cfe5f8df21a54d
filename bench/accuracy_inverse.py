"""Accuracy of recovery on the line: input, demand, measured; one row a demand.

Run from a checkout: python bench/accuracy_inverse.py [rows ...] [--quick] [--seeds N] [--json FILE]
Rows are chosen by the first words of their names; without any, all of them run (about an hour).

The measures TV, SWm and W2 are those of known_plans.py.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
from known_plans import (
    GRID,
    annulus,
    around,
    banana,
    blobs,
    engel,
    measure,
    plane_w2,
    product_of_mixtures,
    random_mixture,
    ridges,
)

import recouple as rc
from recouple.inverse import descent as descent_module
from recouple.inverse.atom import find_lines

TIMES = 17
ASKED = {"seeds": None}  # of every row that has some


ROWS = {}


def row(function):
    ROWS[function.__name__.replace("_", " ")] = function
    return function


def recovered(plan, field=None, **options):
    options = {"grid": GRID, "times": TIMES} | options
    start = time.perf_counter()
    rec = rc.recover_plan(
        rc.velocity_field(plan) if field is None else field, plan.source, **options
    )
    return rec, time.perf_counter() - start


def seeds(quick, few, many):
    """The seeds of a row."""
    return range(ASKED["seeds"] or (few if quick else many))


def each(found):
    """All runs of a row, in the order of their seeds."""
    return {key: [round(f[key], 5) for f in found] for key in found[0] if key != "s"}


def line(name, demands, measured, runs=None):
    """One line of the table: every measure beside its demand, and below it those of every run."""
    held = all(measured[key] <= bound for key, bound in demands.items())
    shown = ", ".join(
        f"{key} {value:.2g}" + (f" (<= {demands[key]:g})" if key in demands else "")
        for key, value in measured.items()
    )
    print(f"{'holds ' if held else 'MISSED'} {name:<44} {shown}", flush=True)
    for key, values in (runs or {}).items():
        print(f"       {key}: {' '.join(f'{v:.3g}' for v in values)}", flush=True)
    return {"name": name, "demand": demands, "measured": measured, "holds": held, "runs": runs}


@row
def exact_smooth(quick):
    plans = {
        f"gaussian {r:+.2f}": rc.GaussianPlan(0, 0, 1, r, 1)
        for r in ((-0.95, 0.0, 0.95) if quick else (-0.95, -0.8, -0.5, 0.0, 0.5, 0.8, 0.9, 0.95))
    }
    plans |= {
        "mixture x mixture": product_of_mixtures(),
        "banana": banana(),
        "annulus": annulus(),
        "blobs": blobs(),
    }
    for name, plan in plans.items():
        rec, seconds = recovered(plan, family="line")
        demands = {"TV": 0.010, "SWm": 0.005, "corr": 5e-4, "s": 3}
        yield line(f"exact, {name}", demands, measure(rec, plan) | {"s": seconds})


@row
def exact_ridges(quick):
    for rho in (0.95, 0.99):
        plan = ridges(rho)
        rec, seconds = recovered(plan, family="line")
        demands = {"s": 6} | ({"TV": 0.012} if rho < 0.97 else {"SWm": 0.010, "W2": 0.05})
        measured = measure(rec, plan) | {"W2": plane_w2(rec, plan), "s": seconds}
        yield line(f"exact, ridges {rho}", demands, measured)


@row
def exact_engel(quick):
    for bandwidth, tv in ((0.2, 0.015), (0.15, 0.03)):
        plan = engel(bandwidth)
        rec, seconds = recovered(plan, family="line")
        demands = {"TV": tv, "corr": 1e-4, "s": 4}
        yield line(
            f"exact, Engel bandwidth {bandwidth}", demands, measure(rec, plan) | {"s": seconds}
        )


@row
def random_mixtures(quick):
    # The product reference shows what the data say of the wedge: an exact field can be followed
    # far below the default end of the path, if the box leaves out less than that.
    far = {"family": "line", "tail": 1e-9, "steps": 192, "regularization": 1e-12}
    for name, options, middle, most in (
        ("product reference, defaults", {"family": "line"}, 0.03, 0.07),
        ("product reference, followed to 1e-12", far, 0.03, 0.07),
        ("auto", {"family": "auto"}, 0.01, 0.03),
    ):
        found = []
        for seed in seeds(quick, 5, 20):
            plan = random_mixture(seed)
            rec, seconds = recovered(plan, **options)
            found.append(measure(rec, plan) | {"s": seconds})
        tv = [f["TV"] for f in found]
        yield line(
            f"exact, {len(found)} random mixtures, {name}",
            {"median TV": middle, "worst TV": most, "corr": 5e-4},
            {
                "median TV": float(np.median(tv)),
                "worst TV": max(tv),
                "corr": max(f["corr"] for f in found),
                "SWm": max(f["SWm"] for f in found),
                "s": float(np.median([f["s"] for f in found])),
            },
            each(found),
        )


class Map:
    """X1 = T(X0) for a T that need not be monotone: its field averages the branches through x."""

    def __init__(self, transport, source):
        self.transport, self.source = transport, source
        self.places = source.ppf(rc.Normal(0, 1).cdf(np.linspace(-6, 6, 6001)))
        self.target = rc.as_marginal(transport(source.ppf((np.arange(20000) + 0.5) / 20000)))

    def velocity(self, t, x):
        y = self.places
        path = (1 - t) * y + t * self.transport(y)
        out = np.empty(len(x))
        for i, at in enumerate(np.clip(x, path.min(), path.max())):
            cell = np.flatnonzero((path[1:] >= at) != (path[:-1] >= at))
            if len(cell) == 0:
                cell = np.array([np.argmin(np.abs(path - at)) - 1]).clip(0)
            rise = path[cell + 1] - path[cell]
            rise[rise == 0] = 1e-300
            root = y[cell] + (at - path[cell]) / rise * (y[cell + 1] - y[cell])
            weight = self.source.pdf(root) * (y[cell + 1] - y[cell]) / np.abs(rise)
            out[i] = weight @ (self.transport(root) - root) / weight.sum()
        return out


def map_bound(plan, truth):
    """A bound on W2 between pairs and a map: each x goes to the pair that holds its level."""
    score = np.linspace(-6, 6, 100_001)
    weights = np.exp(-0.5 * score**2) / np.exp(-0.5 * score**2).sum()
    levels = rc.Normal(0, 1).cdf(score)
    x = truth.source.ppf(levels)
    order = np.argsort(plan.x0)
    held = np.searchsorted(np.cumsum(plan.weights[order]), levels).clip(0, len(order) - 1)
    gap = (x - plan.x0[order][held]) ** 2 + (truth.transport(x) - plan.x1[order][held]) ** 2
    return float(np.sqrt(weights @ gap))


def map_w2(plan, truth, n=2000):
    """W2 in the plane between two deterministic plans: the smaller of two bounds; needs POT.

    One is exact on n quantiles, whose tails are worth .01; the other sees no error but the map's.
    """
    import ot

    x = truth.source.ppf((np.arange(n) + 0.5) / n)
    most = np.inf
    if isinstance(plan, rc.AtomicPlan):
        most = map_bound(plan, truth)
        order = np.argsort(plan.x0)
        held = np.searchsorted(np.cumsum(plan.weights[order]), (np.arange(n) + 0.5) / n)
        pick = order[held.clip(0, len(order) - 1)]
        pairs = np.column_stack([plan.x0[pick], plan.x1[pick]])
    elif isinstance(plan, rc.GaussianPlan):
        pairs = np.column_stack([x, plan.mean1 + (x - plan.mean0) * plan.cov01 / plan.cov00])
    elif isinstance(plan, rc.MonotonePlan):
        pairs = np.column_stack([x, plan.transport(x)])
    else:
        pairs = np.column_stack(plan.sample(n, 0))
    cost = ot.dist(np.column_stack([x, truth.transport(x)]), pairs)
    return min(most, float(np.sqrt(ot.emd2([], [], cost, numItermax=10**7))))


def with_noise(velocity, source, target, level, seed):
    """A field with a smooth random relative error, of length .5 in x and .3 in t."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(48, 2)) / np.array([0.3, 0.5])
    phase = rng.uniform(0, 2 * np.pi, 48)
    scale0, scale1 = float(source.std()), float(target.std())

    def field(t, x):
        v = velocity(t, x)
        size = np.sqrt((1 - t) ** 2 * scale0**2 + t**2 * scale1**2)
        arguments = waves[:, :1] * t + waves[:, 1:] * (x / size) + phase[:, None]
        return v * (1 + level * np.sqrt(2 / 48) * np.cos(arguments).sum(axis=0))

    return rc.as_field(field)


@row
def deterministic(quick):
    normal, mixed = rc.Normal(0, 1), rc.NormalMixture([0.4, 0.6], [-1.0, 0.8], [0.5, 0.4])
    plans = {
        "monotone": rc.monotone_plan(normal, mixed),
        "antimonotone": rc.monotone_plan(normal, mixed, decreasing=True),
        "X1 = -X0": Map(lambda x: -x, normal),
        "not monotone": Map(lambda x: 0.6 * x + np.sin(2.5 * x), normal),
    }
    for name, plan in plans.items():
        for level, bound in ((0.0, 0.003), (0.05, 0.03)):
            found = []
            for seed in range(1) if level == 0 else seeds(quick, 3, 10):
                field = with_noise(plan.velocity, plan.source, plan.target, level, seed)
                target = plan.target
                if isinstance(plan, Map):  # a law with a density, as the field's owner would have
                    target = rc.smoothed(target.values, bandwidth=0.02)
                rec = rc.recover_plan(field, plan.source, target)
                found.append((rec.family == "graph", map_w2(rec.plan, plan)))
            graphs, gaps = zip(*found, strict=True)
            yield line(
                f"{name}, {level:.0%} noise, {len(found)} runs, auto",
                {"W2": bound},
                {
                    "W2": float(np.median(gaps)),
                    "worst": max(gaps),
                    "not graph": len(gaps) - sum(graphs),
                },
                {"W2": gaps},
            )


@row
def noisy_fields(quick):
    plans = {
        "gaussian +0.80": rc.GaussianPlan(0, 0, 1, 0.8, 1),
        "mixture x mixture": product_of_mixtures(),
        "banana": banana(),
        "annulus": annulus(),
        "blobs": blobs(),
        "ridges": ridges(0.95),
    }
    for name, plan in plans.items():
        for level in (0.01, 0.05):
            found = []
            for seed in seeds(quick, 3, 10):
                field = with_noise(rc.velocity_field(plan), plan.source, plan.target, level, seed)
                rec, seconds = recovered(plan, field, target=plan.target, grid=96, noise=level)
                found.append(measure(rec, plan) | {"s": seconds})
                if name == "blobs":
                    found[-1]["W2"] = plane_w2(rec, plan)
            first = level == 0.01
            demands = {
                "blobs": {"W2": 0.06 if first else 0.10},
                "ridges": {"SWm": 0.03 if first else 0.06},
            }.get(name, {"SWm": 0.006 if first else 0.015})
            medians = {k: float(np.median([f[k] for f in found])) for k in found[0]}
            yield line(
                f"{name}, {level:.0%} noise, known, {len(found)} runs, auto",
                demands,
                medians,
                each(found),
            )


def clouds(plan, times, n, seed):
    """Snapshots of n fresh samples each."""
    rng = np.random.default_rng(seed)
    return [(1 - t) * x0 + t * x1 for t in times for x0, x1 in [plan.sample(n, rng)]]


@row
def snapshots(quick):
    times = np.linspace(0, 1, 17)
    plans = {
        "gaussian +0.80": (rc.GaussianPlan(0, 0, 1, 0.8, 1), 0.05),
        "blobs": (blobs(), 0.06),
        "mixture x mixture": (product_of_mixtures(), 0.06),
        "random mixture": (random_mixture(1), 0.06),
        "ridges": (ridges(0.95), 0.18),
    }
    cases = [(10**4, name, plan, bound) for name, (plan, bound) in plans.items()]
    cases.append((10**6, "ridges", ridges(0.95), 0.06))
    for n, name, plan, bound in cases:
        found = []
        for seed in seeds(quick, 3, 10) if n == 10**4 else range(1):
            start = time.perf_counter()
            rec = rc.recover_plan_from_snapshots(times, clouds(plan, times, n, seed), bootstrap=0)
            found.append(measure(rec, plan) | {"s": time.perf_counter() - start})
        medians = {k: float(np.median([f[k] for f in found])) for k in found[0]}
        title = f"{n:.0e} x 17 samples, {name}, {len(found)} runs"
        yield line(title, {"TV": bound}, medians, each(found))


@row
def atoms(quick):
    times = np.linspace(0, 1, 25)
    for n, demand in ((8, 0.99), (32, 0.98), (128, 0.97)):
        for unequal in (False, True):
            paired = []
            for seed in seeds(quick, 5, 20):
                rng = np.random.default_rng(seed)
                x0, x1 = rng.normal(size=(2, n))
                w = rng.dirichlet(np.ones(n)) if unequal else np.full(n, 1 / n)
                seen = [
                    rc.Empirical((1 - t) * x0 + t * x1 + 1e-3 * rng.normal(size=n), w)
                    for t in times
                ]
                plan = rc.recover_plan_from_snapshots(times, seen).plan
                if not isinstance(plan, rc.AtomicPlan):
                    paired.append(0.0)
                    continue
                gap = np.hypot(plan.x0[:, None] - x0, plan.x1[:, None] - x1)
                paired.append(float(w[(gap < 5e-3).any(axis=0)].sum()))
            yield line(
                f"{n} atoms, {'unequal' if unequal else 'equal'} weights, {len(paired)} runs",
                {"wrong": round(1 - demand, 3)},
                {"wrong": 1 - float(np.median(paired)), "worst": 1 - min(paired)},
                {"wrong": [1 - p for p in paired]},
            )
    independent = rc.GaussianPlan(0, 0, 1, 0.6, 1)
    for n, k in ((5, 5), (10, 5), (10, 7), (20, 9), (30, 5), (50, 5)):
        runs = len(seeds(quick, 60, 300))
        times = np.linspace(0, 1, k)
        called = 0
        for seed in range(runs):
            laws = [rc.Empirical(x) for x in clouds(independent, times, n, seed)]
            called += find_lines(times, laws) is not None
        yield line(
            f"{n} x {k} independent samples, {runs} runs",
            {"called atoms": 0.01},
            {"called atoms": called / runs},
        )


@row
def laplace(quick):
    from scipy import stats

    # A Gaussian of random variance is elliptical: its field is that of the Gaussian.
    field = rc.velocity_field(rc.GaussianPlan(0, 0, 1, 0.5, 1))
    rec = rc.recover_plan(field, stats.laplace(scale=np.sqrt(0.5)), grid=GRID, splines=32)
    warned = "close to exponential" in rec.reason or rec.verdict == "representative"
    bar = rec.error_bars["correlation"]
    yield line(
        "Laplace .5, exact",
        {"silent": 0.0},
        {"silent": float(not warned), "resolved": bar.resolved, "corr": abs(bar.value - 0.5)},
    )


def teacher(plan, steps, seed=0, pairs=100_000):
    """A network trained by ordinary flow matching on pairs of the plan, as a field."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    x0, x1 = (torch.tensor(x, dtype=torch.float32) for x in plan.sample(pairs, seed))
    net = torch.nn.Sequential(
        torch.nn.Linear(2, 128),
        torch.nn.SiLU(),
        torch.nn.Linear(128, 128),
        torch.nn.SiLU(),
        torch.nn.Linear(128, 1),
    )
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        pick = torch.randint(pairs, (1024,))
        t, a, b = torch.rand(1024), x0[pick], x1[pick]
        guess = net(torch.stack([t, (1 - t) * a + t * b], dim=1))[:, 0]
        loss = ((guess - (b - a)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

    def field(t, x):
        with torch.no_grad():
            x = torch.tensor(x, dtype=torch.float32)
            points = torch.stack([torch.full_like(x, float(t)), x], dim=1)
            return net(points)[:, 0].double().numpy()

    return rc.as_field(field)


def field_error(field, plan):
    """Relative root mean square error of a field along the plan's own path."""
    exact, wrong, size = rc.velocity_field(plan), 0.0, 0.0
    for t, x in zip(
        np.linspace(0, 1, 21), clouds(plan, np.linspace(0, 1, 21), 4000, 9), strict=True
    ):
        v = exact(float(t), x)
        wrong, size = wrong + np.sum((field(float(t), x) - v) ** 2), size + np.sum(v**2)
    return float(np.sqrt(wrong / size))


@row
def teachers(quick):
    swapped = around(np.array([[-2.0, 0.0], [0.0, 2.0], [2.0, -2.0]]), 0.35)
    plans = {
        "correlation .88": rc.GaussianPlan(0, 0, 1, 0.88, 1),
        "mixture": random_mixture(1),
        "ridges .93": ridges(0.93),
        "permuted blobs": swapped,
    }
    for name, plan in plans.items():
        field = teacher(plan, 2000 if quick else 8000)
        error = field_error(field, plan)
        for target in (None, plan.target):
            rec, seconds = recovered(plan, field, target=target, grid=96)
            measured = measure(rec, plan)
            told = "source" if target is None else "both ends"
            yield line(
                f"torch network, {name}, {told}, error {error:.3f}",
                {"SWm": max(error, 0.02), "corr": error / 2},
                measured | {"s": seconds},
            )


def near(plan, x0, width, level):
    """Mean and quantile of X1 given X0 within a window, by quadrature on the density."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    y = np.linspace(-8, 8, 16_001)
    masses = weights @ plan.pdf(*np.meshgrid(x0 + width / 2 * nodes, y, indexing="ij"))
    levels = np.cumsum(masses) - 0.5 * masses
    return masses @ y / masses.sum(), float(np.interp(level * masses.sum(), levels, y))


@row
def error_bars(quick):
    from scipy.stats import multivariate_normal

    plans = {
        "gaussian +0.80": (rc.GaussianPlan(0, 0, 1, 0.8, 1), 0.01),
        "mixture x mixture": (product_of_mixtures(), 0.01),
        "ridges": (ridges(0.95), 0.01),
        "random mixture": (random_mixture(1), 0.01),
        "gaussian +0.95": (rc.GaussianPlan(0, 0, 1, 0.95, 1), 0.02),
    }
    modes = {
        "line, noise known": ({"family": "line"}, seeds(quick, 15, 50)),
        "defaults": ({}, seeds(quick, 6, 20)),
    }
    names = "correlation", "E[X0^2 X1]", "corner", "E[X1 | X0]", "quantile .9 | X0", "density"
    nodes, weights = np.polynomial.legendre.leggauss(24)
    for (name, (plan, level)), mode in product(plans.items(), modes):
        options, drawn = modes[mode]
        runs, noise = len(drawn), None if mode == "defaults" else level
        probability = 0.0
        flip = np.diag([-1.0, 1.0])
        for w, m, c in zip(plan.weights, plan.means, plan.covs, strict=True):
            law = multivariate_normal(flip @ m, flip @ c @ flip)
            probability += w * law.cdf([-0.7, -0.7])
        tile = plan.pdf(*np.meshgrid(0.25 + 0.25 * nodes, 0.25 + 0.25 * nodes, indexing="ij"))
        truths = [plan.correlation, plan.moment(2, 1), probability, *near(plan, 0.7, 0.25, 0.9)]
        truths.append(float(weights @ tile @ weights) / 4)
        inside, widths = np.zeros(len(names)), []
        for seed in drawn:
            field = with_noise(rc.velocity_field(plan), plan.source, plan.target, level, seed)
            rec = rc.recover_plan(field, plan.source, plan.target, grid=64, noise=noise, **options)
            tile = rec.density([0, 0.5], [0, 0.5])
            bars = [
                rec.error_bars["correlation"],
                rec.error_bars["E[X0^2 X1]"],
                rec.probability(x0=(0.7, np.inf), x1=(-np.inf, -0.7)),
                rec.conditional_mean(0.7, width=0.25),
                rec.conditional_quantile(0.7, 0.9, width=0.25),
            ]
            found = [(b.value, b.error) for b in bars] + [(tile.value[0, 0], tile.error[0, 0])]
            z = [abs(value - t) / error for (value, error), t in zip(found, truths, strict=True)]
            inside += np.array(z) <= 1.6449
            widths.append(z)
        # Normal errors have a median of .67 standard errors: less is a wider bar than need be.
        middle = np.median(widths, axis=0)
        measured = {"missing": float(0.85 - inside.min() / runs)}
        for i, what in enumerate(names):
            measured[f"covered {what}"] = float(inside[i] / runs)
            measured[f"median |z| {what}"] = float(middle[i])
        yield line(f"90% intervals, {name}, {mode}, {runs} runs", {"missing": 0.0}, measured)


@row
def large(quick):
    plan = random_mixture(0)
    rec, seconds = recovered(plan, family="line", grid=256, times=33)
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    demands = {"s": 25, "GB": 1.5}
    yield line(
        "exact, N = 256, K = 33", demands, measure(rec, plan) | {"s": seconds, "GB": gigabytes}
    )


def alone(plan, **options):
    """The descent without a coarse dual to begin from, as it works where none resolves the plan."""
    with mock.patch.object(descent_module, "_coarse_plan", return_value=None):
        return recovered(plan, family="line", solver="descent", **options)


@row
def descent(quick):
    plans = {
        "mixture x mixture": (product_of_mixtures(), 0.003),
        "banana": (banana(), 0.003),
        "annulus": (annulus(), 0.007),
        "blobs": (blobs(), 0.021),
        "ridges 0.99": (ridges(0.99), 0.016),
    }
    for name, (plan, bound) in plans.items():
        for title, run in (("descent", recovered), ("descent alone, lambda 1e-6", alone)):
            options = {"family": "line", "solver": "descent"}
            if run is alone:
                options = {"regularization": 1e-6}
            start = time.process_time()
            rec, _ = run(plan, **options)
            measured = measure(rec, plan) | {"cpu s": time.process_time() - start}
            yield line(f"{title}, {name}", {"SWm": bound}, measured)


def apart(plan_code, **options):
    """Accuracy, processor time and peak memory of a recovery in a process of its own."""
    code = (
        f"import sys, json, time, resource; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import accuracy_inverse as a\n"
        f"plan = a.{plan_code}; start = time.process_time()\n"
        f"rec, _ = a.recovered(plan, family='line', **{options!r})\n"
        "spent = time.process_time() - start\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20\n"
        "print(json.dumps(a.measure(rec, plan) | {'cpu s': spent, 'GB': peak}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


@row
def solvers(quick):
    for plan in ("random_mixture(0)", "ridges(0.99)"):
        small = apart(plan, grid=128, times=33, solver="descent")
        newton = apart(plan, grid=512, times=33, solver="newton")
        found = apart(plan, grid=512, times=33, solver="descent")
        yield line(f"{plan}, N = 128, K = 33, descent", {}, small)
        yield line(f"{plan}, N = 512, K = 33, Newton", {}, newton)
        demands = {"SWm": small["SWm"], "cpu s": newton["cpu s"], "GB": newton["GB"]}
        yield line(f"{plan}, N = 512, K = 33, descent", demands, found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help=", ".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="fewer seeds")
    parser.add_argument("--seeds", type=int, help="of every row that has some")
    parser.add_argument("--json", help="write the table there")
    arguments = parser.parse_args()
    ASKED["seeds"] = arguments.seeds
    chosen = [
        f
        for name, f in ROWS.items()
        if not arguments.rows or any(name.startswith(r) for r in arguments.rows)
    ]
    table = [entry for function in chosen for entry in function(arguments.quick)]
    if arguments.json:
        with open(arguments.json, "w") as out:
            json.dump(table, out, indent=1)
    return 0 if all(entry["holds"] for entry in table) else 1


if __name__ == "__main__":
    sys.exit(main())
