"""Training and evaluation of two-layer networks, and the tangent kernel, beside NumPy and torch.

One thread in processor time (the machine may be shared), two threads by the clock. Every answer is
compared while it is timed. Ratios are medians over interleaved rounds.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import recouple as rc

ROWS, WIDTH = 10_000, 1024


def interleaved(
    ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, repeats: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> tuple[float, float, float]:  # fmt: skip
    """Seconds of ours and theirs at best, and the median ratio; ours `repeats` times a round."""
    ours(), theirs()
    a, b = [], []
    for _ in range(rounds):
        start = clock()
        for _ in range(repeats):
            ours()
        a.append((clock() - start) / repeats)
        start = clock()
        theirs()
        b.append(clock() - start)
    return min(a), min(b), float(np.median(np.array(b) / np.array(a)))


class Table:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        print(f"{'':52s} {'ours ms':>9s} {'peer ms':>9s} {'ratio':>7s}  target", flush=True)

    def add(self, name: str, ours: float, theirs: float, ratio: float, target: float) -> None:
        verdict = "ok" if ratio >= target else "SHORT"
        self.rows.append({"name": name, "ours_s": ours, "peer_s": theirs, "ratio": ratio,
                          "target": target, "verdict": verdict})  # fmt: skip
        print(f"{name:52s} {ours * 1e3:9.3f} {theirs * 1e3:9.3f} {ratio:7.2f}  >= {target:<5g} "
              f"{verdict}", flush=True)  # fmt: skip


class Case:
    """Fixed rows, a start, and an epoch of each contender on the hidden weights."""

    rate = 0.01

    def __init__(self, dim: int, batch: int):
        draw = np.random.default_rng(0)
        self.dim, self.batch = dim, batch
        self.t = draw.random(ROWS)
        self.x0, self.x1 = draw.standard_normal((2, ROWS, dim))
        self.net = rc.ReluNetwork(dim, WIDTH, dtype=np.float32, rng=1)
        x = (1 - self.t[:, None]) * self.x0 + self.t[:, None] * self.x1
        self.z = self.net.inputs(self.t, x).astype(np.float32)
        self.u = (self.x1 - self.x0).astype(np.float32)
        self.order = draw.permutation(ROWS)

    def trainer(self, threads: int, adam: bool = False) -> Any:
        from recouple import _core

        return self.net._trainer(_core.TrainOptions(
            adam, False, self.rate, 0.0, (0.9, 0.999), 1e-8,
            0 if self.batch == ROWS else self.batch, False, 0, rc.LINEAR, threads,
        ))  # fmt: skip

    def numpy(self, w: Any) -> float:
        scale, total = np.float32(1 / np.sqrt(WIDTH)), 0.0
        a = self.net.outputs
        for first in range(0, ROWS, self.batch):
            rows = self.order[first : first + self.batch] if self.batch < ROWS else slice(None)
            z, u = self.z[rows], self.u[rows]
            pre = z @ w.T
            r = scale * (np.maximum(pre, 0) @ a) - u
            total += float((r * r).sum())
            g = r @ a.T
            g *= pre > 0
            w -= np.float32(self.rate * 2 * scale / len(z)) * (g.T @ z)
        return total / ROWS

    def torch(self, adam: bool) -> Callable[[], float]:
        import torch

        torch.set_num_threads(1)
        z, u = torch.from_numpy(self.z), torch.from_numpy(self.u)
        w = torch.tensor(np.array(self.net.hidden), requires_grad=True)
        a = torch.tensor(np.array(self.net.outputs)) / np.sqrt(WIDTH)
        kind = torch.optim.Adam if adam else torch.optim.SGD
        step = kind([w], lr=self.rate)
        order = torch.from_numpy(self.order)

        def epoch() -> float:
            total = 0.0
            for first in range(0, ROWS, self.batch):
                rows = order[first : first + self.batch]
                some, target = (z[rows], u[rows]) if self.batch < ROWS else (z, u)
                loss = ((torch.relu(some @ w.T) @ a - target) ** 2).sum(1).mean()
                step.zero_grad()
                loss.backward()
                step.step()
                total += float(loss.detach()) * len(some)
            return total / ROWS

        return epoch


def training(table: Table, dim: int, batch: int, rounds: int, targets: tuple[float, float]) -> None:
    case = Case(dim, batch)
    label = f"epoch, d = {dim}, {'full batch' if batch == ROWS else f'batch {batch}'}"
    w = np.array(case.net.hidden)
    first = case.numpy(w)
    loss, _ = case.trainer(1).run(case.t, case.x0, case.x1, 1)
    # Full batches give one loss; batches in other orders nearly so.
    assert abs(loss[0] / first - 1) < (1e-5 if batch == ROWS else 0.05), (loss, first)
    repeats = 4 if dim == 2 else 1
    one = case.trainer(1)

    def ours() -> Any:
        return one.run(case.t, case.x0, case.x1, 1)

    table.add(f"{label}: NumPy", *interleaved(ours, lambda: case.numpy(w), rounds, repeats),
              targets[0])  # fmt: skip
    try:
        import torch
    except ImportError:
        return
    del torch
    table.add(f"{label}: torch SGD", *interleaved(ours, case.torch(False), rounds, repeats),
              targets[1])  # fmt: skip
    adam = case.trainer(1, adam=True)
    table.add(
        f"{label}: torch Adam, against Adam",
        *interleaved(lambda: adam.run(case.t, case.x0, case.x1, 1), case.torch(True), rounds,
                     repeats), targets[1],
    )  # fmt: skip


def threads(table: Table, dim: int, batch: int, rounds: int) -> None:
    case = Case(dim, batch)
    one, two = case.trainer(1), case.trainer(2)
    label = "full batch" if batch == ROWS else f"batch {batch}"
    a, b, ratio = interleaved(
        lambda: two.run(case.t, case.x0, case.x1, 2), lambda: one.run(case.t, case.x0, case.x1, 2),
        rounds, clock=time.perf_counter,
    )  # fmt: skip
    assert np.array_equal(one.state(), two.state())
    table.add(f"two threads, d = {dim}, {label}: one thread", a, b, ratio, 1.6)


def forward(table: Table, dim: int, rounds: int, target: float) -> None:
    case = Case(dim, ROWS)
    w, a = np.array(case.net.hidden), np.array(case.net.outputs)
    t, x = np.ascontiguousarray(case.t), np.ascontiguousarray(case.z[:, :dim])

    def theirs() -> Any:
        return np.maximum(case.z @ w.T, 0) @ a * np.float32(1 / np.sqrt(WIDTH))

    assert np.abs(case.net(t, x) - theirs()).max() < 1e-4

    def ours() -> Any:
        return case.net(t, x, num_threads=1)

    result = interleaved(ours, theirs, rounds, 3)
    table.add(f"forward, d = {dim}, float32: NumPy", *result, target)


def gram(table: Table, rounds: int) -> None:
    z = np.random.default_rng(0).standard_normal((4096, 4))

    def theirs() -> Any:
        norms = np.sqrt((z * z).sum(1))
        inner = z @ z.T
        cosine = np.clip(inner / norms[:, None] / norms, -1, 1)
        return inner * (np.pi - np.arccos(cosine)) / (2 * np.pi)

    def ours() -> Any:
        return rc.theory.ntk_gram(z, num_threads=1)

    assert np.abs(ours() - theirs()).max() < 1e-6  # the peer's angles near 0 are good to 1e-8
    table.add("tangent Gram, N = 4096: NumPy", *interleaved(ours, theirs, rounds), 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    arguments = parser.parse_args()
    rounds = 3 if arguments.quick else 9
    table = Table()
    for batch in (ROWS, 256):
        training(table, 2, batch, rounds, (10, 40))
    for batch in (ROWS, 256):
        training(table, 64, batch, max(3, rounds // 2), (1.2, 1.5))
    for dim in (2, 64):
        threads(table, dim, ROWS, rounds)
    forward(table, 2, rounds, 15)
    forward(table, 64, max(3, rounds // 2), 1)
    gram(table, rounds)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(table.rows, file, indent=1)


if __name__ == "__main__":
    main()
