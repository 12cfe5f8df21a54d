"""What recovery in R^D must hold, and what it measures: demand, figure, verdict, a line each.

    python bench/accuracy_inverse_space.py [section ...]      (default: all, about half an hour)

Sections: exact, noise, coverage, reject, mixture, select, free, pairs, speed.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import permutations

import numpy as np

import recouple as rc

ROWS = []


def row(what, demand, measured, holds):
    ROWS.append({"what": what, "demand": demand, "measured": measured, "holds": bool(holds)})
    print(f"| {what} | {demand} | {measured} | {'holds' if holds else 'missed'} |", flush=True)


def random_plan(dim, seed, *, drift=True):
    rng = np.random.default_rng(seed)
    g = rng.normal(size=(2 * dim, 4 * dim))
    return rc.GaussianPlan.from_joint(drift * rng.normal(size=2 * dim), g @ g.T / (4 * dim))


def random_mixture(dim, components, seed):
    """Means N(0, 4 I), eigenvalues of covariances log-uniform in [.1, 1], weights Dirichlet(5)."""
    rng = np.random.default_rng(seed)
    covs = []
    for _ in range(components):
        q, _ = np.linalg.qr(rng.normal(size=(2 * dim, 2 * dim)))
        cov = (q * np.exp(rng.uniform(np.log(0.1), 0, size=2 * dim))) @ q.T
        covs.append((cov + cov.T) / 2)
    means = 2 * rng.normal(size=(components, 2 * dim))
    return rc.MixturePlan(rng.dirichlet(np.full(components, 5.0)), means, covs)


def with_noise(plan, level, seed):
    """The field of a plan with independent noise, a share of its root mean square at each time."""
    field, rng = rc.velocity_field(plan), np.random.default_rng(seed)

    def values(t, x):
        v = field(t, x)
        return v + level * np.sqrt(np.mean(v**2)) * rng.normal(size=np.shape(v))

    return rc.as_field(values, plan.dim)


def relative(found, truth):
    return float(np.linalg.norm(np.subtract(found, truth)) / np.linalg.norm(truth))


def exact():
    for dim in (2, 4, 8, 16):
        errors, least = [], np.inf
        for seed in range(5 if dim < 16 else 2):
            plan = random_plan(dim, seed)
            field = rc.velocity_field(plan)
            for times in (12, [0.0], [0.15], [0.85], [1.0]):
                rec = rc.recover_plan(
                    field, plan.source, plan.target, family="gaussian", times=times, points=500
                )
                errors.append(relative(rec.plan.cov01, plan.cov01))
                least = min(least, np.linalg.eigvalsh(rec.plan.cov)[0])
            rec = rc.recover_plan(field, plan.source, family="gaussian", points=500)
            errors.append(relative(rec.plan.cov01, plan.cov01))
        what = f"C from an exact field, D = {dim}, one time or many, target known or not"
        row(what, "1e-13", f"{max(errors):.1e}", max(errors) <= 1e-13)
    for seed in range(10):  # at the edge of what is feasible, with noise, and beyond it
        q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(4, 4)))
        q *= np.sign(np.linalg.det(q))
        plan = rc.GaussianPlan(np.zeros(4), np.zeros(4), np.eye(4), q.T, np.eye(4))
        field = with_noise(plan, 0.1, seed)
        for target in (plan.target, None):
            rec = rc.recover_plan(field, plan.source, target, family="gaussian", points=300)
            least = min(least, np.linalg.eigvalsh(rec.plan.cov)[0])
    row("joint covariance positive semidefinite", "always", f"{least:.1e}", least >= -1e-14)
    errors, logs = [], []
    for dim in (2, 4, 8):
        plan = random_plan(dim, 7)
        field = rc.velocity_field(plan)
        flow = rc.affine_flow(field)
        x = plan.source.rvs(50, rng=0)
        S0, S1 = plan.cov00, plan.cov11
        errors.append(relative(flow.matrix @ S0 @ flow.matrix.T, S1))
        fine = rc.affine_flow(field, steps=128)
        errors.append(relative(flow.matrix, fine.matrix))
        end = flow(x)
        push = plan.log_density(0.0, x) - flow.log_det
        logs.append(np.abs(plan.log_density(1.0, end) - push).max() / np.abs(push).max())
    row("Gaussian flow, 32 steps", "1e-13", f"{max(errors):.1e}", max(errors) <= 1e-13)
    row("log-density along it", "1e-14", f"{max(logs):.1e}", max(logs) <= 1e-14)


def cramer_rao(plan, level, times=12, points=2000):
    """Least relative error of C that unbiased estimates can have, ends known, from the law of v."""
    t = 0.5 - 0.5 * np.cos((np.arange(times) + 0.5) * np.pi / times)[:, None, None]
    d, m = plan.dim, plan.mean1 - plan.mean0
    S0, C, S1 = plan.cov00, plan.cov01, plan.cov11
    S = (1 - t) ** 2 * S0 + t**2 * S1 + t * (1 - t) * (C + C.T)
    A = ((1 - t) * (C.T - S0) + t * (S1 - C)) @ np.linalg.inv(S)
    variance = level**2 * (m @ m + np.trace(A @ S @ A.swapaxes(1, 2), axis1=1, axis2=2)) / d
    # d(K - A S) for each entry of C, and its information n tr(S^-1 dB' dB S^-1) / variance.
    information = 0.0
    for k in range(times):
        changes = []
        for entry in np.eye(d * d):
            E, s = entry.reshape(d, d), t[k]
            change = (1 - s) * E.T - s * E - s * (1 - s) * A[k] @ (E + E.T)
            changes.append(np.linalg.solve(np.linalg.cholesky(S[k]), change.T).ravel())
        J = np.array(changes)
        information = information + points / variance[k] * J @ J.T
    return float(np.sqrt(np.trace(np.linalg.inv(information))) / np.linalg.norm(C))


def noise():
    table = {4: ((0.01, 9e-4), (0.05, 4.5e-3), (0.3, 2.6e-2))}
    table[8] = ((0.01, 5e-4), (0.05, 2.4e-3), (0.3, 1.4e-2))
    # The noise is a share of v, drift included: what a shift of the means adds to v, and so to
    # the noise, tells nothing of C.
    for drift in (False, True):
        for dim, levels in table.items():
            squares = []
            for level, bound in levels:
                errors = []
                for seed in range(15):
                    plan = random_plan(dim, 100 + seed, drift=drift)
                    rec = rc.recover_plan(
                        with_noise(plan, level, seed),
                        plan.source,
                        plan.target,
                        family="gaussian",
                        steps=12,
                    )
                    errors.append(relative(rec.plan.cov01, plan.cov01))
                    squares.append((errors[-1] / cramer_rao(plan, level)) ** 2)
                found = float(np.median(errors))
                shape = "means N(0, I)" if drift else "no drift"
                what = f"error of C, 12 x 2000 values, D = {dim}, {shape}, noise {level:.0%}"
                limit = np.median([cramer_rao(random_plan(dim, 100 + k, drift=drift), level)
                                   for k in range(15)])  # fmt: skip
                row(f"{what}, median of 15 plans", f"{bound:g}",
                    f"{found:.1e} (Cramer-Rao {limit:.1e})", found <= bound)  # fmt: skip
            ratio = float(np.sqrt(np.mean(squares)))
            row(f"the same: root mean square error / Cramer-Rao bound, D = {dim}, {shape}",
                "1 +- .1", f"{ratio:.3f}", abs(ratio - 1) <= 0.1)  # fmt: skip


def coverage():
    plan = random_plan(2, 3)
    inside, p_values = [], []
    for seed in range(1000):
        rec = rc.recover_plan(
            with_noise(plan, 0.05, seed),
            plan.source,
            family="gaussian",
            points=200,
            times=8,
            steps=12,
            rng=seed,
        )
        low, high = rec.error_bars["cov01"].interval(0.95)
        inside.append((low <= plan.cov01) & (plan.cov01 <= high))
        p_values.append(rec.p_values)
    covered = float(np.mean(inside))
    row("95% intervals cover, 1000 runs", ".93-.97", f"{covered:.3f}", 0.93 <= covered <= 0.97)
    for name in p_values[0]:
        size = float(np.mean([p[name] < 0.05 for p in p_values]))
        if name == "feasible":
            row(f"size of test '{name}' (an upper bound)", "<= .07", f"{size:.3f}", size <= 0.07)
        else:
            row(f"size of test '{name}' at 5%", ".03-.07", f"{size:.3f}", 0.03 <= size <= 0.07)


def reject():
    J = np.array([[0.0, -1.0], [1.0, 0.0]])
    normal = rc.Gaussian([0, 0], np.eye(2))
    mixture = rc.MixturePlan([1, 1], [[-2, 0, 1, 1], [2, 0, -1, 1]], [np.eye(4) / 2] * 2)

    def turning(t, x):
        return x @ (((2 * t - 1) * np.eye(2) - 1.2 * J) / ((1 - t) ** 2 + t**2)).T

    t = np.array([0.1, 0.3, 0.6, 0.9])
    A = np.stack([turning(s, np.eye(2)).T for s in t])
    cases = {
        "mixture field, by lack of fit": (
            rc.velocity_field(mixture),
            mixture.source,
            "lack of fit",
        ),
        "||W|| = 1.2, by feasibility": ((t, A, np.zeros((4, 2))), normal, "feasible"),
        "growing rotation, by E[v ^ x]": (
            lambda t, x: -(1 + t) * x @ np.array([[1, 0.5], [0, 2]]),
            normal,
            "constant E[v ^ x]",
        ),
        "two plans at two times, by chi2": (
            lambda t, x: np.cos(7 * t) * x,
            normal,
            "one plan for all times",
        ),
    }
    for what, (field, source, test) in cases.items():
        target = normal if isinstance(field, tuple) else None
        rec = rc.recover_plan(field, source, target, family="gaussian")
        p = rec.p_values[test]
        row(f"rejected: {what}", "p < 1e-3", f"p = {p:.1e}", p < 1e-3)


def apart(one, two):
    if len(one.weights) != len(two.weights):
        return np.inf
    return min(
        max(
            np.abs(a[list(order)] - b).max()
            for a, b in ((two.weights, one.weights), (two.means, one.means), (two.covs, one.covs))
        )
        for order in permutations(range(len(one.weights)))
    )


def mixture():
    errors, times, processor = [], [], []
    for k in range(40):
        dim, components = (2, 4)[k % 2], 2 + k // 2 % 3
        plan = random_mixture(dim, components, 1000 + k)
        start, used = time.perf_counter(), time.process_time()
        try:
            fit = rc.fit_mixture(rc.velocity_field(plan), plan.source, components)
            errors.append(apart(plan, fit.plan))
        except ValueError:
            errors.append(np.inf)
        times.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    errors = np.array(errors)
    solved = int(np.sum(errors <= 1e-10))
    row("mixtures, exact field, parameters to 1e-10, 40 problems", ">= 38", solved, solved >= 38)
    median = f"{np.median(errors):.1e}"
    row("median error of the parameters", "1e-10", median, np.median(errors) <= 1e-10)
    shown = f"{max(processor):.1f} of processor time ({max(times):.1f} by the clock)"
    row("slowest, seconds", "20", shown, max(processor) <= 20)


def select():
    right, ratios = 0, []
    problems = [(d, k, s) for d in (2, 4) for k in (2, 3) for s in range(5)]
    for dim, components, seed in problems:
        plan = random_mixture(dim, components, 2000 + 10 * seed + components)
        field = rc.velocity_field(plan)
        rec = rc.recover_plan(
            with_noise(plan, 0.05, seed), plan.source, family="mixture", max_components=4
        )
        right += len(rec.plan.weights) == components
        x0, x1 = plan.sample(2000, 0)
        recovered = rc.velocity_field(rec.plan)
        error = size = 0.0
        for t in (0.1, 0.3, 0.5, 0.7, 0.9):
            x = (1 - t) * x0 + t * x1
            exact = field(t, x)
            error += np.mean((recovered(t, x) - exact) ** 2)
            size += np.mean(exact**2)
        ratios.append(np.sqrt(error / size) / 0.05)
    count = len(problems)
    row(
        f"number of components by BIC, 5% noise, {count} problems",
        ">= 90%",
        right,
        right >= 0.9 * count,
    )
    worst = max(ratios)
    row("field error / noise, median and worst", ".3", f"{np.median(ratios):.2f}, {worst:.2f}",
        worst <= 0.3)  # fmt: skip


def moons():
    """Eight Gaussians on a circle, twelve along two moons."""
    angle = 2 * np.pi * np.arange(8) / 8
    first = 5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    bend = np.linspace(0, np.pi, 6)
    upper = np.stack([np.cos(bend), np.sin(bend)], axis=1)
    lower = np.stack([1 - np.cos(bend), 0.5 - np.sin(bend)], axis=1)
    return first, 3 * (np.concatenate([upper, lower]) - [0.5, 0.25])


def coupling(first, last, share):
    """``share`` of an entropic transport plan, the rest independent."""
    w = np.exp(-((first[:, None] - last) ** 2).sum(axis=2) / 4)
    for _ in range(2000):
        w /= w.sum(axis=1, keepdims=True) * len(first)
        w /= w.sum(axis=0) * len(last)
    return share * w + (1 - share) / w.size


def free():
    first, last = moons()
    means = np.array([np.concatenate([a, b]) for a in first for b in last])
    cov = np.diag([0.25, 0.25, 0.35**2, 0.35**2])
    for name, share, bound in (
        ("OT-like", 1, 0.04),
        ("half of it", 0.5, 0.06),
        ("independent", 0, 0.06),
    ):
        w = coupling(first, last, share)
        plan = rc.MixturePlan(w.ravel(), means, [cov] * w.size)
        field = rc.velocity_field(plan)
        tvs, moon, size, took, used = [], [], [], [], []
        for seed in (0, 1, 2):
            clock, processor = time.perf_counter(), time.process_time()
            rec = rc.recover_plan(field, plan.source, family="free", rng=seed)
            took.append(time.perf_counter() - clock)
            used.append(time.process_time() - processor)
            at = [
                ((x[:, None] - c) ** 2).sum(axis=2).argmin(axis=1)
                for x, c in ((rec.plan.x0, first), (rec.plan.x1, last))
            ]
            found = np.zeros_like(w)
            np.add.at(found, tuple(at), rec.plan.weights)
            tvs.append(np.abs(found - w).sum() / 2)
            moon.append(np.abs((found - w).reshape(8, 2, 6).sum(axis=2)).sum() / 2)
            size.append(rec.settings["effective sample size"])
        draws = np.random.default_rng(0).multinomial(1000, w.ravel(), size=20) / 1000
        sample = np.abs(draws - w.ravel()).sum(axis=1).mean() / 2
        what = f"8 Gaussians to moons, {name}: TV over 8 x 12 clusters, worst of 3 seeds"
        shown = f"{max(tvs):.3f} (a sample of 1000: {sample:.3f}; 8 x 2 moons {max(moon):.3f}; "
        row(what, bound, f"{shown}ESS {min(size):.0f})", max(tvs) <= bound)
        # By processor time, which the clock on two free cores does not exceed.
        shown = f"{max(used):.1f} of processor time ({max(took):.1f} by the clock)"
        row(f"seconds, {name}, slowest of 3", 15, shown, max(used) <= 15)
    dim = 4
    plan = rc.GaussianPlan(np.zeros(dim), np.ones(dim), np.eye(dim), 0.5 * np.eye(dim), np.eye(dim))
    rec = rc.recover_plan(rc.velocity_field(plan), plan.source, family="free", times=6)
    error = relative(rec.plan.cov01, plan.cov01)
    shown = f"{error:.3f}, ESS {rec.settings['effective sample size']:.0f}, {rec.status}"
    row("D = 4 Gaussian, correlation .5: error of C", "stated", shown, True)
    tight = rc.GaussianPlan(
        np.zeros(dim), np.ones(dim), np.eye(dim), 0.98 * np.eye(dim), np.eye(dim)
    )
    rec = rc.recover_plan(rc.velocity_field(tight), tight.source, family="free", times=6,
                          candidates=4000)  # fmt: skip
    shown = f"{rec.status}, ESS {rec.settings['effective sample size']:.0f}"
    row("D = 4, correlation .98: refused", "a clear status", shown, rec.status == "collapsed")


def pairs():
    x = np.random.default_rng(0).normal(size=(200, 2))
    for kind in ("rotation", "skew", "smooth"):
        one, two = rc.ambiguous_pair(kind)
        worst = 0.0
        for t in np.linspace(0, 1, 21):
            worst = max(worst, np.abs(one.velocity(t, x) - two.velocity(t, x)).max())
            worst = max(worst, np.abs(one.log_density(t, x) - two.log_density(t, x)).max())
        row(f"pair '{kind}': p_t and v agree", "1e-12", f"{worst:.1e}", worst <= 1e-12)
        verdicts = {
            rc.recover_plan(rc.velocity_field(p), p.source, family=f, **o).verdict
            for p in (one, two)
            for f, o in (("gaussian", {}), ("mixture", {"components": 1}),
                         ("free", {"candidates": 2000, "times": 5}))
        }  # fmt: skip
        row(f"pair '{kind}': verdicts", "not 'unique'", ", ".join(sorted(verdicts)),
            "unique" not in verdicts)  # fmt: skip


def speed():
    plan = random_plan(8, 8)
    field = rc.velocity_field(plan)
    points = plan.source.rvs(2000, rng=0)
    t = 0.5 - 0.5 * np.cos((np.arange(12) + 0.5) * np.pi / 12)
    design = np.concatenate([np.ones((2000, 1)), points], axis=1)
    values = [field(s, points) for s in t]

    def fields_own():
        rc.integrate(field, points, method="rk4", steps=32, t_eval=t)
        for s in t:
            field(s, points)

    def regressions():
        for v in values:
            np.linalg.lstsq(design, v, rcond=None)

    works = {
        "whole": lambda: rc.recover_plan(field, plan.source, family="gaussian"),
        "field": fields_own,
        "regressions": regressions,
    }
    best = dict.fromkeys(works, np.inf)
    for _ in range(25):
        for name, work in works.items():
            start = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - start)
    beyond = best["whole"] - best["field"]
    shown = f"{1e3 * beyond:.0f}, that is {beyond / best['regressions']:.1f} x the 12 lstsq"
    row("Gaussian recovery, 12 x 2000 values, D = 8, beyond the field's own, ms of processor time",
        50, shown, beyond <= 0.05)  # fmt: skip


SECTIONS = (exact, noise, coverage, reject, mixture, select, free, pairs, speed)

if __name__ == "__main__":
    arguments = sys.argv[1:]
    path = None
    if "--json" in arguments:
        at = arguments.index("--json")
        path = arguments[at + 1]
        del arguments[at : at + 2]
    print("| what | demand | measured | |\n|---|---|---|---|")
    for section in SECTIONS:
        if not arguments or section.__name__ in arguments:
            section()
    if path:
        with open(path, "w") as file:
            json.dump(ROWS, file, indent=1, default=str)
