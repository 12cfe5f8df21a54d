"""Fields of plans beside what a careful user would write in NumPy or torch; one thread each.

Run from a checkout: python bench/peers/bench_plan.py [--json FILE] [--quick]
Timings are interleaved (ours, theirs, ours, ...); the ratio is the median of the pairs' ratios, and
answers are compared while they are timed.
"""

from __future__ import annotations

import argparse
import json
import os
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

import recouple as rc  # noqa: E402


def compare(name, ours, theirs, peer, target, rounds, tolerance):
    """Ratio theirs / ours, with the answers checked."""
    first, second = ours(), theirs()
    error = float(np.abs(first - second).max() / (1 + np.abs(second).max()))
    assert error < tolerance, f"{name}: answers differ by {error:g}"
    pairs = []
    for _ in range(rounds):
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        theirs()
        pairs.append((middle - start, time.perf_counter() - middle))
    mine, others = (np.array(column) for column in zip(*pairs, strict=True))
    return {
        "name": name,
        "peer": peer,
        "ours_ms": float(mine.min() * 1e3),
        "peer_ms": float(others.min() * 1e3),
        "ratio": float(np.median(others / mine)),
        "target": target,
        "difference": error,
    }


def gaussian(dim, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(2 * dim, 2 * dim)) / np.sqrt(2 * dim)
    return rc.GaussianPlan.from_joint(
        rng.normal(size=2 * dim), root @ root.T + 0.1 * np.eye(2 * dim)
    )


def mixture_case(rounds):
    plan = rc.MixturePlan(
        [0.3, 0.5, 0.2],
        [[-2.0, 1.0], [0.0, -1.0], [2.0, 2.0]],
        [[[1.0, 0.3], [0.3, 0.5]], [[0.4, -0.1], [-0.1, 1.0]], [[0.5, 0.2], [0.2, 0.6]]],
    )
    field, t = rc.velocity_field(plan), 0.37
    w, m, c = plan.weights, plan.means, plan.covs

    def by_numpy(x):
        s = (1 - t) ** 2 * c[:, 0, 0] + 2 * t * (1 - t) * c[:, 0, 1] + t**2 * c[:, 1, 1]
        k = (1 - t) * (c[:, 0, 1] - c[:, 0, 0]) + t * (c[:, 1, 1] - c[:, 0, 1])
        d = x[:, None] - ((1 - t) * m[:, 0] + t * m[:, 1])
        logs = np.log(w / np.sqrt(s)) - 0.5 * d * d / s
        logs -= logs.max(axis=1, keepdims=True)
        p = np.exp(logs)
        return (p * (m[:, 1] - m[:, 0] + k / s * d)).sum(axis=1) / p.sum(axis=1)

    for n in (1_000, 100_000):
        x = np.random.default_rng(1).normal(size=n) * 2
        yield compare(
            f"mixture of 3, line, n = {n}",
            lambda x=x: field(t, x, num_threads=1),
            lambda x=x: by_numpy(x),
            "NumPy",
            5.0,
            rounds * (20 if n < 10_000 else 3),
            1e-12,
        )


def gaussian_case(rounds):
    t = 0.37
    for dim in (4, 16, 64):
        plan = gaussian(dim)
        field = rc.velocity_field(plan)
        s0, cross, s1, m0, m1 = plan.cov00, plan.cov01, plan.cov11, plan.mean0, plan.mean1

        def by_numpy(x, s0=s0, cross=cross, s1=s1, m0=m0, m1=m1):
            s = (1 - t) ** 2 * s0 + t**2 * s1 + t * (1 - t) * (cross + cross.T)
            k = (1 - t) * (cross.T - s0) + t * (s1 - cross)
            slope = np.linalg.solve(s, k.T)
            return m1 - m0 + (x - (1 - t) * m0 - t * m1) @ slope

        for n in (1_000, 10_000):
            x = np.random.default_rng(1).normal(size=(n, dim))
            yield compare(
                f"Gaussian, D = {dim}, n = {n}",
                lambda x=x, field=field: field(t, x, num_threads=1),
                lambda x=x, by_numpy=by_numpy: by_numpy(x),
                "NumPy",
                3.0 if dim == 16 else None,
                rounds * 10,
                1e-11,
            )


def dataset_case(rounds, rows):
    rng = np.random.default_rng(0)
    data, x, t = rng.normal(size=(rows, 64)), rng.normal(size=(rows, 64)), 0.5
    field = rc.velocity_field(rc.dataset_plan(data))

    def by_numpy():
        logs = x @ (data.T * (t / (1 - t) ** 2))
        logs -= 0.5 * t**2 / (1 - t) ** 2 * (data**2).sum(axis=1)
        logs -= logs.max(axis=1, keepdims=True)
        np.exp(logs, out=logs)
        mean = logs @ data
        mean /= logs.sum(axis=1, keepdims=True)
        return (mean - x) / (1 - t)

    label = f"data set, {rows} points x {rows} rows x 64"

    def ours():
        return field(t, x, num_threads=1)

    yield compare(label, ours, by_numpy, "NumPy/BLAS", 1.3, rounds, 1e-11)
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
    tensors = torch.from_numpy(x), torch.from_numpy(data)

    def by_torch():
        points, values = tensors
        logs = points @ (values.T * (t / (1 - t) ** 2))
        logs -= 0.5 * t**2 / (1 - t) ** 2 * (values**2).sum(dim=1)
        mean = torch.softmax(logs, dim=1) @ values
        return ((mean - points) / (1 - t)).numpy()

    yield compare(label, ours, by_torch, "torch", 1.0, rounds, 1e-11)


def dataset_memory(rows):
    """Peak resident growth of one evaluation, in MB."""
    import resource

    rng = np.random.default_rng(0)
    data, x = rng.normal(size=(rows, 64)), rng.normal(size=(rows, 64))
    field = rc.velocity_field(rc.dataset_plan(data))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    field(0.5, x, num_threads=1)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 2000 rows")
    options = parser.parse_args()
    rounds, rows = (2, 2_000) if options.quick else (5, 10_000)
    memory = dataset_memory(rows)  # first: resident memory only grows
    lines = [*mixture_case(rounds), *gaussian_case(rounds), *dataset_case(rounds, rows)]
    print(f"{'case':44} {'peer':10} {'ours ms':>9} {'peer ms':>9} {'ratio':>6} {'target':>6}")
    for line in lines:
        target = line["target"]
        verdict = "" if target is None else ("met" if line["ratio"] >= target else "MISSED")
        line["verdict"] = verdict
        print(
            f"{line['name']:44} {line['peer']:10} {line['ours_ms']:9.3f} {line['peer_ms']:9.3f} "
            f"{line['ratio']:6.2f} {target or '':>6} {verdict}"
        )
    verdict = "met" if memory < 100 else "MISSED"
    print(f"data set: one evaluation grew resident memory by {memory:.0f} MB (< 100) {verdict}")
    if options.json:
        report = {"lines": lines, "dataset_memory_mb": memory, "simd": rc._core.simd_level()}
        with open(options.json, "w") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
