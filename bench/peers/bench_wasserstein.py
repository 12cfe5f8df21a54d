"""Wasserstein distances beside NumPy, SciPy and POT: ratios of times in one run, answers checked.

    python bench/peers/bench_wasserstein.py [--json FILE] [--quick] [--cpu] [--huge]

Each line runs ours and theirs in turn; the ratio is of the least times. ``--cpu`` takes the
processor time of the busiest thread instead of the clock, for a Linux machine that others use at
the same time (with OMP_WAIT_POLICY=passive, so that waiting is not counted).
``--huge`` adds 10^8 numbers a side. Set OPENBLAS_NUM_THREADS=1 for the one-thread sliced line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import recouple as rc


@dataclass
class Line:
    name: str
    ours_ms: float
    theirs_ms: float
    ratio: float  # ours / theirs
    target: float  # at most
    holds: bool
    sense: str = "at most"


def elapsed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def thread_times() -> dict[str, int]:
    times = {"main": time.thread_time_ns()}
    for task in Path("/proc/self/task").iterdir():
        if task.name != str(os.getpid()):  # what it says of a running thread is some ms old
            times[task.name] = int((task / "schedstat").read_text().split()[0])
    return times


def busiest(call: Callable[[], Any]) -> float:
    """Return the processor time of the thread that worked most."""
    before = thread_times()
    call()
    after = thread_times()
    return max(after[task] - before.get(task, 0) for task in after) * 1e-9


def interleaved(
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    rounds: int,
    time_of: Callable[[Callable[[], Any]], float],
) -> tuple[float, float]:
    ours(), theirs()
    best = [np.inf, np.inf]
    for _ in range(rounds):
        for k, call in enumerate((ours, theirs)):
            best[k] = min(best[k], time_of(call))
    return best[0], best[1]


def many(call: Callable[[], Any]) -> Callable[[], Any]:
    """Fifty calls as one, for what takes microseconds."""

    def run() -> Any:
        for _ in range(50):
            value = call()
        return value

    return run


def numpy_w2(u: Any, v: Any) -> Any:
    return np.sqrt(np.mean((np.sort(u, axis=-1) - np.sort(v, axis=-1)) ** 2, axis=-1))


def numpy_weighted_w2(u: Any, v: Any, a: Any, b: Any) -> float:
    """Two argsorts and the merge of levels, as one would write it in NumPy."""
    i, j = np.argsort(u), np.argsort(v)
    x, y = u[i], v[j]
    cu, cv = np.cumsum(a[i]), np.cumsum(b[j])
    cu, cv = cu / cu[-1], cv / cv[-1]
    levels = np.concatenate([cu, cv])
    levels.sort()
    ends = np.searchsorted(cu, levels).clip(max=len(x) - 1)
    others = np.searchsorted(cv, levels).clip(max=len(y) - 1)
    mass = np.diff(levels, prepend=0.0)
    return float(np.sqrt(np.sum(mass * (x[ends] - y[others]) ** 2)))


def peak_extra(code: str) -> float:
    """Return the number that ``code`` prints in a process of its own."""
    script = f"""
import numpy as np
import recouple as rc
rng = np.random.default_rng(0)
def peak():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
rc.wasserstein_1d(rng.random(4), rng.random(4), rng.random(4), p=2)
{code}
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def measure(options: argparse.Namespace) -> list[Line]:
    time_of = busiest if options.cpu else elapsed
    rounds = 5 if options.quick else 15
    rng = np.random.default_rng(0)
    lines: list[Line] = []

    def add(name: str, ours: Any, theirs: Any, target: float, rounds: int = rounds) -> None:
        assert np.allclose(ours(), theirs(), rtol=1e-9), name
        fast, slow = interleaved(ours, theirs, rounds, time_of)
        ratio = fast / slow
        lines.append(Line(name, fast * 1e3, slow * 1e3, ratio, target, ratio <= target))
        print(row(lines[-1]), flush=True)

    n = 10**6
    u, v, a, b = rng.normal(size=n), rng.normal(size=n), rng.random(n), rng.random(n)
    a, b = a / a.sum(), b / b.sum()
    w2 = rc.wasserstein_1d
    threads = (1, 2)
    for k, target in zip(threads, (1.05, 0.6), strict=False):
        add(
            f"W2, n = 1e6, {k} thread(s) / two np.sort and mean",
            lambda k=k: w2(u, v, p=2, num_threads=k),
            lambda: numpy_w2(u, v),
            target,
        )
    add(
        "weighted W2, n = 1e6, 1 thread / argsorts and merge in NumPy",
        lambda: w2(u, v, a, b, 2, num_threads=1),
        lambda: numpy_weighted_w2(u, v, a, b),
        0.6,
        5,
    )
    s, t = u[:1000], v[:1000]
    add(
        "W2, n = 1e3 / two np.sort and mean",
        many(lambda: w2(s, t, p=2)),
        many(lambda: numpy_w2(s, t)),
        2,
    )
    U, V = u.reshape(1000, 1000), v.reshape(1000, 1000)
    for k, target in zip(threads, (1.0, 0.6), strict=False):
        add(
            f"W2, 1000 problems of 1000, {k} thread(s) / np.sort of rows",
            lambda k=k: w2(U, V, p=2, num_threads=k),
            lambda: numpy_w2(U, V),
            target,
        )
    try:
        from scipy.stats import wasserstein_distance

        add(
            "W1, n = 1e3 / scipy.stats.wasserstein_distance",
            many(lambda: w2(s, t)),
            many(lambda: wasserstein_distance(s, t)),
            0.2,
        )
        add(
            "W1, n = 1e6, 1 thread / scipy.stats.wasserstein_distance",
            lambda: w2(u, v, num_threads=1),
            lambda: wasserstein_distance(u, v),
            0.2,
            3,
        )
    except ImportError:
        print("SciPy is not here: its lines are left out")
    try:
        import ot
    except ImportError:
        print("POT is not here: its lines are left out")
        return lines
    add(
        "W2, n = 1e3 / ot.wasserstein_1d",
        many(lambda: w2(s, t, p=2, power=True)),
        many(lambda: ot.wasserstein_1d(s, t, p=2)),
        0.2,
    )
    add(
        "W2, n = 1e3 / ot.emd2_1d",
        many(lambda: w2(s, t, p=2, power=True)),
        many(lambda: ot.emd2_1d(s, t)),
        0.2,
    )
    for k, target in zip(threads, (0.5, 0.25), strict=False):
        add(
            f"weighted W2, n = 1e6, {k} thread(s) / ot.emd2_1d",
            lambda k=k: w2(u, v, a, b, 2, power=True, num_threads=k),
            lambda: ot.emd2_1d(u, v, a, b),
            target,
            3,
        )
    X, Y = rng.normal(size=(10_000, 64)), rng.normal(size=(10_000, 64))
    theta = rng.normal(size=(500, 64))
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    for k, target in zip(threads, (1 / 8, 1 / 15), strict=False):
        add(
            f"sliced W2, 1e4 x 64, 500 projections, {k} thread(s) / POT",
            lambda k=k: rc.sliced_wasserstein(X, Y, projections=theta, num_threads=k).distance,
            lambda: ot.sliced_wasserstein_distance(X, Y, projections=theta.T),
            target,
            3,
        )
    return lines


MEMORY = """
n = {n}
u, v = rng.random(n), rng.random(n)
w = [rng.random(n), rng.random(n)] if {weighted} else [None, None]
inputs = (4 if {weighted} else 2) * 8 * n
before = peak()
rc.wasserstein_1d(u, v, *w, p=2, num_threads={threads})
print((peak() - before) / inputs)
"""
HUGE = """
n = 10**8
u, v = rng.random(n), rng.random(n)
v += 1
import time
start = time.perf_counter()
assert abs(rc.wasserstein_1d(u, v, p=2) - 1) < 1e-3
print(peak() / 1e9)
"""


def memory(options: argparse.Namespace) -> list[Line]:
    lines = []
    for weighted, target in ((False, 1.2), (True, 3.0)):
        for threads in (1, 2, 4):
            extra = peak_extra(MEMORY.format(n=4_000_000, weighted=weighted, threads=threads))
            kind = "weighted" if weighted else "unweighted"
            name = f"peak memory beyond the inputs, {kind}, {threads} thread(s) / inputs"
            lines.append(Line(name, np.nan, np.nan, extra, target, extra <= target))
            print(row(lines[-1]), flush=True)
    if options.huge:
        peak = peak_extra(HUGE)
        lines.append(Line("n = 1e8 a side: peak in GB", np.nan, np.nan, peak, 6, peak < 6))
        print(row(lines[-1]), flush=True)
    return lines


def row(line: Line) -> str:
    times = "" if np.isnan(line.ours_ms) else f"{line.ours_ms:10.3f} {line.theirs_ms:10.3f}"
    verdict = "holds" if line.holds else "MISSED"
    return f"{line.name:64s} {times:21s} {line.ratio:8.3f} <= {line.target:5.3f} {verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--huge", action="store_true")
    options = parser.parse_args()
    print(f"{'ours / theirs':64s} {'ours ms':>10s} {'theirs ms':>10s} {'ratio':>8s}")
    lines = measure(options) + memory(options)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump([asdict(line) for line in lines], file, indent=1)


if __name__ == "__main__":
    main()
