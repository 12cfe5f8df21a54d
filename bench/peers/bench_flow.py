"""Integration of batches against what a careful user would use, one field, answers checked.

    python bench/peers/bench_flow.py [--json FILE] [--quick]

Times of two contestants are taken in turn (A B A B) and compared by the median of the ratios in
each round, so that a busy machine slows both alike. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import recouple as rc

WEIGHTS = np.array([0.3, 0.5, 0.2])
MEAN0, MEAN1 = np.array([-1.0, 0.0, 1.5]), np.array([2.0, -1.5, 0.5])
C00, C01, C11 = (np.array(c) for c in ([0.5, 0.3, 0.4], [0.1, -0.1, 0.2], [0.4, 0.6, 0.5]))
PLAN = rc.MixturePlan(
    WEIGHTS,
    np.stack([MEAN0, MEAN1], axis=1),
    np.stack([C00, C01, C01, C11], axis=1).reshape(3, 2, 2),
)
FIELD = rc.velocity_field(PLAN)


def components(t: Any) -> Any:
    """Mean, variance, rate of the mean and slope of each component: plain arithmetic in t."""
    a, b = 1 - t, t
    for k in range(3):
        variance = a * a * C00[k] + 2 * a * b * C01[k] + b * b * C11[k]
        slope = ((a - b) * C01[k] - a * C00[k] + b * C11[k]) / variance
        yield WEIGHTS[k], a * MEAN0[k] + b * MEAN1[k], variance, MEAN1[k] - MEAN0[k], slope


def mixture(module: Any, t: Any, x: Any) -> Any:
    """The field with the functions of NumPy, torch or jax, stable in the tails."""
    parts = [(w, x - m, s, d, k) for w, m, s, d, k in components(t)]
    logs = [z * z * (-0.5 / s) + module.log(w / s**0.5) for w, z, s, _, _ in parts]
    top = module.maximum(module.maximum(logs[0], logs[1]), logs[2])
    mass = flux = 0.0
    for (_, z, _, d, k), log in zip(parts, logs, strict=True):
        e = module.exp(log - top)
        mass = mass + e
        flux = flux + e * (d + k * z)
    return flux / mass


def numpy_rk4(x: Any, steps: int) -> Any:
    h = 1.0 / steps
    for i in range(steps):
        t = i * h
        k1 = mixture(np, t, x)
        k2 = mixture(np, t + h / 2, x + h / 2 * k1)
        k3 = mixture(np, t + h / 2, x + h / 2 * k2)
        k4 = mixture(np, t + h, x + h * k3)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def ratios(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[float, ...]:
    """Return our best time, theirs, and the median ratio of the rounds."""
    a, b = [], []
    for _ in range(rounds):
        for run, times in ((ours, a), (theirs, b)):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return min(a), min(b), float(np.median(np.array(b) / np.array(a)))


class Table:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, ours: float, theirs: float, ratio: float, target: float | None,
            note: str = "") -> None:  # fmt: skip
        verdict = "" if target is None else ("ok" if ratio >= target else "SHORT")
        self.rows.append(
            {"name": name, "ours_s": ours, "peer_s": theirs, "ratio": ratio, "target": target,
             "verdict": verdict, "note": note}
        )  # fmt: skip
        wanted = "" if target is None else f">= {target:g}"
        print(f"{name:58s} {ours * 1e3:10.3f} {theirs * 1e3:10.3f} {ratio:8.2f} {wanted:8s} "
              f"{verdict:6s}{note}", flush=True)  # fmt: skip


def worst(x: Any, exact: Any) -> float:
    return float(np.max(np.abs(np.asarray(x) - exact)))


def against_numpy(table: Table, x0: Any, exact: Any, rounds: int) -> None:
    error = worst(numpy_rk4(x0, 100), exact)
    for threads, target in ((1, 5.0), (2, 9.0)):

        def ours(threads: int = threads) -> Any:
            return rc.integrate(FIELD, x0, method="rk4", steps=100, num_threads=threads).x

        assert worst(ours(), exact) <= 1.01 * error
        result = ratios(ours, lambda: numpy_rk4(x0, 100), rounds)
        table.add(f"rk4, 100 steps, {x0.size} points, {threads} thread(s): NumPy", *result, target)


def against_torchdiffeq(table: Table, x0: Any, exact: Any, rounds: int) -> None:
    try:
        import torch
        from torchdiffeq import odeint
    except ImportError:
        return
    torch.set_num_threads(1)
    start, times = torch.from_numpy(x0), torch.tensor([0.0, 1.0], dtype=torch.float64)
    w = torch.from_numpy(WEIGHTS)

    class Functions:  # torch's, where plain numbers occur too
        exp, maximum = staticmethod(torch.exp), staticmethod(torch.maximum)

        @staticmethod
        def log(value: Any) -> Any:
            return torch.log(torch.as_tensor(value, dtype=w.dtype))

    def theirs() -> Any:
        with torch.no_grad():
            return odeint(
                lambda t, x: mixture(Functions, t, x), start, times,
                method="dopri5", rtol=1e-8, atol=1e-8,
            )[-1]  # fmt: skip

    error = worst(theirs().numpy(), exact)
    for threads, target in ((1, 6.0), (2, 10.0)):

        def ours(threads: int = threads) -> Any:
            return rc.integrate(FIELD, x0, rtol=1e-8, atol=1e-8, num_threads=threads).x

        note = f"  errors {worst(ours(), exact):.1e}, {error:.1e}"
        table.add(f"dopri5 at 1e-8, {x0.size} points, {threads} thread(s): torchdiffeq on one",
                  *ratios(ours, theirs, rounds), target, note)  # fmt: skip

    def matched() -> Any:
        return rc.integrate(FIELD, x0, rtol=tolerance, atol=tolerance, num_threads=1).x

    tolerance = 1e-5
    while worst(matched(), exact) > error and tolerance > 1e-12:
        tolerance /= 2
    table.add(f"the same at no more than its error ({tolerance:.0e}), 1 thread: torchdiffeq",
              *ratios(matched, theirs, rounds), 6.0,
              f"  errors {worst(matched(), exact):.1e}, {error:.1e}")  # fmt: skip


def against_diffrax(table: Table, x0: Any, exact: Any, rounds: int) -> None:
    # XLA reads its flags when jax is first imported: one thread, to compare one with one.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        import diffrax
        import jax.numpy as jnp
    except ImportError:
        return
    solver, control = diffrax.Dopri5(), diffrax.PIDController(rtol=1e-8, atol=1e-8)
    term = diffrax.ODETerm(lambda t, x, args: mixture(jnp, t, x))

    @jax.jit
    @jax.vmap
    def solve(x: Any) -> Any:
        return diffrax.diffeqsolve(
            term, solver, 0.0, 1.0, None, x, stepsize_controller=control, max_steps=4096
        ).ys[0]  # fmt: skip

    start = jnp.asarray(x0)

    def theirs() -> Any:
        return np.asarray(solve(start).block_until_ready())

    error = worst(theirs(), exact)  # warms it

    def ours() -> Any:
        return rc.integrate(FIELD, x0, rtol=1e-8, atol=1e-8, num_threads=1).x

    table.add(f"dopri5 at 1e-8, {x0.size} points, 1 thread: diffrax vmap, warmed",
              *ratios(ours, theirs, rounds), 2.0,
              f"  errors {worst(ours(), exact):.1e}, {error:.1e}")  # fmt: skip


def against_scipy(table: Table, rounds: int) -> None:
    try:
        from scipy.integrate import solve_ivp
    except ImportError:
        return
    x0 = np.linspace(-2, 2, 20)
    exact = rc.integrate(FIELD, x0, method="dop853", rtol=1e-13).x

    def theirs() -> Any:
        return np.array([
            solve_ivp(lambda t, x: mixture(np, t, x), (0, 1), [x], rtol=1e-8, atol=1e-8).y[0, -1]
            for x in x0
        ])  # fmt: skip

    error = worst(theirs(), exact)
    table.add("dopri5 at 1e-8, 20 points one by one: SciPy",
              *ratios(lambda: rc.integrate(FIELD, x0, rtol=1e-8, atol=1e-8).x, theirs, rounds),
              None, f"  its error {error:.1e}")  # fmt: skip


def overhead(table: Table) -> None:
    x0, field = np.zeros(1), rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 2.0))

    def best(run: Callable[[], Any]) -> float:
        least = np.inf
        for _ in range(300):
            start = time.perf_counter()
            for _ in range(50):
                run()
            least = min(least, (time.perf_counter() - start) / 50)
        return least

    call = best(lambda: rc.integrate(field, x0, method="rk4", steps=1))
    sort = best(lambda: np.sort(x0))
    table.add("one trajectory, one step: 10 us", call, 10e-6, 10e-6 / call, 1.0,
              f"  np.sort of one number takes {sort * 1e6:.2f} us here")  # fmt: skip


THREADS_CODE = """
import sys, time, numpy as np, recouple as rc
sys.path.insert(0, sys.argv[1])
from bench_flow import FIELD
worst = (9.0, 0)
for n in (1, 10, 100, 1000, 10_000, 100_000, 1_000_000):
    x0 = np.random.default_rng(0).normal(size=n)
    options = dict(method="rk4", steps=10) if n > 100_000 else dict(rtol=1e-6)
    ratio = []
    for _ in range(5 if n > 10_000 else 15):
        taken = []
        for threads in (1, 2):
            start = time.perf_counter()
            for _ in range(max(1, 1000 // n)):
                rc.integrate(FIELD, x0, num_threads=threads, **options)
            taken.append(time.perf_counter() - start)
        ratio.append(taken[0] / taken[1])
    worst = min(worst, (float(np.median(ratio)), n))
print(*worst)
"""


def threads(table: Table) -> None:
    for policy in ("active", "passive"):
        run = subprocess.run(
            [sys.executable, "-c", THREADS_CODE, os.path.dirname(os.path.abspath(__file__))],
            env={**os.environ, "OMP_WAIT_POLICY": policy}, check=True, capture_output=True,
            text=True,
        )  # fmt: skip
        ratio, n = run.stdout.split()
        table.add(f"1 to 10^6 points, OMP_WAIT_POLICY={policy}: one thread, at worst",
                  np.nan, np.nan, float(ratio), 0.95, f"  at n = {n}; 0.95: noise")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="a tenth of the points, fewer rounds")
    arguments = parser.parse_args()
    n, rounds = (10_000, 3) if arguments.quick else (100_000, 5)
    x0 = np.random.default_rng(0).normal(size=n)
    exact = rc.integrate(FIELD, x0, method="dop853", rtol=1e-13).x
    table = Table()
    print(f"{'':58s} {'ours ms':>10s} {'peer ms':>10s} {'ratio':>8s} target   verdict")
    against_numpy(table, x0, exact, rounds)
    against_torchdiffeq(table, x0, exact, rounds)
    against_diffrax(table, x0, exact, rounds)
    against_scipy(table, rounds)
    overhead(table)
    threads(table)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(table.rows, file, indent=1)


if __name__ == "__main__":
    main()
