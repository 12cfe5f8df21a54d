"""Experiments on the loss and on gradient descent: floor, eigenvalue, prediction, stopping."""

from __future__ import annotations

from typing import Any

import numpy as np

from recouple import theory
from recouple.network import ReluNetwork, train
from recouple.plan import GaussianPlan, MixturePlan
from recouple.study.experiment import Check, Curve, Experiment, Table, slope

__all__ = ["GAUSS", "MODES", "TIED", "descent", "eigenvalue", "floor", "stopping"]

GAUSS = GaussianPlan(0.0, 1.0, 1.0, 0.0, 0.5)
TIED = GaussianPlan(0.0, 1.0, 1.0, 0.4, 0.5)
MODES = MixturePlan(
    [0.5, 0.5], [[0.0, -2.0], [0.0, 2.0]], [[[1.0, 0.0], [0.0, 0.1]], [[1.0, 0.0], [0.0, 0.1]]]
)


def _root(a: Any) -> Any:
    values, vectors = np.linalg.eigh(a)
    return (vectors * np.sqrt(values)) @ vectors.T


def floor(*, full: bool, seed: int) -> Experiment:
    """Compare the floor of the loss with its closed form and with draws."""
    draw = np.random.default_rng(seed)
    rows, worst, off = [], 0.0, 0.0
    for dim in (1, 2, 5):
        s0, s1 = (a @ a.T + 0.1 * np.eye(dim) for a in draw.standard_normal((2, dim, dim)))
        zeros = np.zeros((dim, dim))
        plan = GaussianPlan(np.zeros(dim), np.ones(dim), s0, zeros, s1)
        half, inverse = _root(s0), np.linalg.inv(_root(s0))
        exact = np.pi / 2 * float(np.trace(half @ _root(inverse @ s1 @ inverse) @ half))
        found = float(theory.cfm_floor(plan))
        worst = max(worst, abs(found / exact - 1))
        rows.append((f"independent Gaussians, D = {dim}", found, exact, abs(found / exact - 1)))
    n = 400_000 if full else 100_000
    for name, tried in (("tied Gaussians", TIED), ("two modes", MODES)):
        found = float(theory.cfm_floor(tried))
        t, x, u = theory.risk.draw_path(tried, n, draw, _linear())
        loss = (u[:, 0] - np.asarray(tried.velocity(t, x[:, 0]))) ** 2
        error = float(loss.std() / np.sqrt(n))
        off = max(off, abs(float(loss.mean()) - found) / error)
        rows.append((f"{name}, {n} draws", found, float(loss.mean()), error))
    return Experiment(
        "floor", "1. The floor of the flow-matching loss", seed, _setting(full),
        (Table(("plan", "floor", "reference", "relative difference or error of draws"),
               tuple(rows)),),
        (Check("closed form, relative difference", worst, "<= 1e-10", worst <= 1e-10),
         Check("draws, in standard errors", off, "<= 4", off <= 4)),
    )  # fmt: skip


def _linear() -> Any:
    from recouple.interpolant import LINEAR

    return LINEAR


def _setting(full: bool) -> str:
    return "full" if full else "fast"


def eigenvalue(*, full: bool, seed: int) -> Experiment:
    """Set the smallest eigenvalue beside the smallest angle, and finite widths beside infinite."""
    draw = np.random.default_rng(seed)
    rows, ratios, held = [], [], True
    for dim in (1, 2, 8):
        # The ratio of a draw depends on how near a third row is to the closest two: the median.
        for n, draws in ((128, 32), (512, 8), (2048, 3)) if full else ((128, 32), (512, 8)):
            found = []
            for _ in range(draws):
                z = np.column_stack([draw.standard_normal((n, dim)), draw.random(n), np.ones(n)])
                found.append(theory.spectrum(z / np.linalg.norm(z, axis=1)[:, None]))
            held = held and all(one.smallest <= one.bound for one in found)
            ratio = np.array([one.ratio for one in found])
            ratios += [float(np.median(ratio))] if dim <= 2 else []
            angle = float(np.median([one.angle for one in found]))
            rows.append(
                (f"D = {dim}, N = {n}, {draws} draws",
                 float(np.median([one.smallest for one in found])), angle,
                 float(np.median(ratio)), float(ratio.min()), float(ratio.max()), np.pi / angle)
            )  # fmt: skip
    z = draw.standard_normal((60, 4))
    exact, widths, errors = theory.ntk_gram(z), [50, 200, 800, 3200], []
    for m in widths:
        gaps = [
            np.linalg.norm(
                theory.ntk_gram_empirical(
                    ReluNetwork(2, m, rng=np.random.default_rng([seed, m, k])), z
                )
                - exact
            )
            for k in range(16)
        ]
        errors.append(float(np.sqrt(np.mean(np.square(gaps)))))
    rate = slope(widths, errors)
    return Experiment(
        "eigenvalue", "2. The smallest eigenvalue of the tangent kernel", seed, _setting(full),
        (Table(("unit rows", "lambda_min", "theta_min", "lambda_min / (theta_min / 2 pi)", "least",
                "largest", "heuristic width"), tuple(rows)),
         Table(("width m", "|H_m - H|"), tuple(zip(widths, errors, strict=True)))),
        (Check("median ratio for D <= 2, least over N", min(ratios), "in [.9, 1]",
               0.9 <= min(ratios) <= 1),
         Check("bound by the closest rows held", float(held), "always", held),
         Check("slope of |H_m - H| in m", rate, "-.5 +- .1", abs(rate + 0.5) <= 0.1)),
        curves=(Curve("|H_m - H|", tuple(map(float, widths)), tuple(errors)),),
        axes=("width m", "|H_m - H|", "log"),
    )  # fmt: skip


def descent(*, full: bool, seed: int) -> Experiment:
    """Follow gradient descent beside its prediction by the kernel at the start."""
    draw = np.random.default_rng(seed)
    n, steps = 100, np.array([10, 100, 1000])
    t = draw.random(n)
    x0, x1 = GAUSS.sample(n, draw)
    rows, worst, curves = [], 0.0, []
    cases = [(64, 1.0), (1024, 1.0), (4096, 1.0), (4096, 0.01)] + ([(16384, 1.0)] if full else [])
    for m, scale in cases:
        start = ReluNetwork(1, m, antisymmetric=True, rng=seed)
        # Outputs 1 / scale times larger are targets `scale` times smaller.
        net = ReluNetwork.from_arrays(start.hidden, start.outputs / scale)
        rate = 0.5 * scale**2
        trace = train(net, (t, x0, x1), rate=rate, epochs=1001, every=1001, rng=seed)
        gram = theory.ntk_gram_empirical(net, net.inputs(t, (1 - t) * x0 + t * x1))
        predicted = theory.predicted_loss(gram, x0 - x1, rate, np.arange(1001))
        off = np.abs(trace.loss / predicted.loss - 1)[steps]
        du = float(predicted.du_bound[1000] / trace.loss[1000])
        rows.append((f"m = {m}, targets x {scale:g}", *map(float, off), du))
        if scale < 1:
            worst = float(off[-1])
        k = np.unique(np.geomspace(1, 1000, 40).astype(int))
        label = f"m = {m}, x {scale:g}"
        curves.append(Curve(label, tuple(map(float, k)), tuple(map(float, trace.loss[k]))))
        if m == cases[0][0]:
            curves.append(
                Curve("predicted, m = 64", tuple(map(float, k)), tuple(predicted.loss[k]))
            )
    return Experiment(
        "descent", "3. Gradient descent against its prediction", seed, _setting(full),
        (Table(("network", "departure, k = 10", "k = 100", "k = 1000", "Du bound / loss"),
               tuple(rows)),),
        (Check("departure at k = 1000, m = 4096, targets x .01", worst, "<= .05", worst <= 0.05),),
        curves=tuple(curves), axes=("step", "training loss", "log"),
    )  # fmt: skip


def stopping(*, full: bool, seed: int) -> Experiment:
    """Train on few fixed pairs and times: the excess falls, then rises."""
    rows, curves, rises = [], [], []
    for name, plan in (("Gaussian", GAUSS), ("two modes", MODES)):
        net = ReluNetwork(1, 1024, antisymmetric=True, rng=seed)
        epochs = 40_000 if full else 8000
        trace = train(
            net, plan, regime="fixed", samples=100, epochs=epochs, rate=0.4, every=epochs // 200,
            rng=seed,
        )  # fmt: skip
        best = int(np.argmin(trace.excess))
        rises.append(float(trace.excess[-1] / trace.excess[best]))
        rows.append(
            (name, float(trace.loss[0]), float(trace.loss[-1]), float(theory.cfm_floor(plan)),
             float(trace.excess[0]), float(trace.excess[best]), int(trace.epochs[best]),
             float(trace.excess[-1]))
        )  # fmt: skip
        curves.append(Curve(f"excess, {name}", tuple(trace.epochs[1:]), tuple(trace.excess[1:])))
        at = trace.epochs[1:].astype(int) - 1
        curves.append(Curve(f"training loss, {name}", tuple(at + 1.0), tuple(trace.loss[at])))
    return Experiment(
        "stopping", "4. Early stopping on 100 fixed rows", seed, _setting(full),
        (Table(("plan", "loss, start", "end", "floor", "excess, start", "least", "at step", "end"),
               tuple(rows)),),
        (Check("excess at the end / least", min(rises), ">= 1.1: the U", min(rises) >= 1.1),),
        curves=tuple(curves), axes=("step", "loss", "log"),
    )  # fmt: skip
