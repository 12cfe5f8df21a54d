"""Training steps with native distances beside POT's on torch tensors, answers checked.

    OPENBLAS_NUM_THREADS=1 python bench/peers/bench_interop.py [--json FILE] [--quick]

One thread each. A step is all of it: drawing a batch, the generator forward, the sliced W2 to a
batch of data, the way back, Adam. Steps of both run in turn; times are medians, the ratio is of
those. ``error`` is the greatest difference of a gradient from torch's own through its sort,
relative to the greatest entry.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ot
import torch

import recouple as rc


@dataclass
class Line:
    name: str
    ratio: float  # theirs / ours, or an error
    unit: str
    target: float
    sense: str  # "at least" or "at most"
    ours_ms: float = float("nan")
    theirs_ms: float = float("nan")

    @property
    def holds(self) -> bool:
        if self.sense == "at least":
            return self.ratio >= self.target
        return self.ratio <= self.target

    def __str__(self) -> str:
        times = "" if np.isnan(self.ours_ms) else f"{self.ours_ms:.3g} / {self.theirs_ms:.3g}"
        bound = f"{self.sense} {self.target:g}"
        verdict = "reached" if self.holds else "short"
        return f"| {self.name} | {times} | {self.ratio:.3g}{self.unit} | {bound} | {verdict} |"


class Trainer:
    """A generator R^2 -> R^2 of 64 hidden units, and a step of it towards a ring of data."""

    def __init__(self, loss: Callable[[Any, Any, Any], Any], batch: int, projections: int):
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(
            torch.nn.Linear(2, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2)
        )
        self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        self.loss, self.batch, self.projections = loss, batch, projections
        self.draw = torch.Generator().manual_seed(1)

    def step(self) -> float:
        noise = torch.randn(self.batch, 2, generator=self.draw)
        angle = 6.283185307 * torch.rand(self.batch, generator=self.draw)
        ring = torch.stack([angle.cos(), angle.sin()], dim=1)
        data = ring + 0.1 * torch.randn(self.batch, 2, generator=self.draw)
        theta = torch.randn(self.projections, 2, generator=self.draw)
        theta = theta / theta.norm(dim=1, keepdim=True)
        loss = self.loss(self.net(noise), data, theta)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return loss.item()


def ours(x: Any, y: Any, theta: Any) -> Any:
    return rc.interop.torch.sliced_wasserstein(x, y, projections=theta, num_threads=1)


def pot(x: Any, y: Any, theta: Any) -> Any:
    return ot.sliced_wasserstein_distance(x, y, projections=theta.T)


def sort(x: Any, y: Any, theta: Any) -> Any:
    apart = (theta @ x.T).sort(dim=1).values - (theta @ y.T).sort(dim=1).values
    return (apart**2).mean().sqrt()


def beside(name: str, other: Any, target: float, rounds: int, batch: int) -> Line:
    left, right = Trainer(ours, batch, 100), Trainer(other, batch, 100)
    times: tuple[list[float], list[float]] = ([], [])
    for k in range(rounds + 1):
        losses = []
        for trainer, taken in zip((left, right), times, strict=True):
            start = time.perf_counter()
            losses.append(trainer.step())
            taken.append(time.perf_counter() - start)
        # The same batches and directions; what differs is rounding in single precision.
        assert abs(losses[0] - losses[1]) < 1e-3 * losses[1], (k, losses)
    fast, slow = (float(np.median(taken[1:])) for taken in times)
    return Line(name, slow / fast, "x", target, "at least", fast * 1e3, slow * 1e3)


def accuracy(p: float) -> Line:
    torch.manual_seed(2)
    inputs = [torch.randn(4096, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    theta = torch.randn(100, 2, dtype=torch.float64)
    theta = theta / theta.norm(dim=1, keepdim=True)
    x, y = inputs
    apart = (theta @ x.T).sort(dim=1).values - (theta @ y.T).sort(dim=1).values
    theirs = torch.autograd.grad((apart.abs() ** p).mean() ** (1 / p), inputs)
    found = torch.autograd.grad(
        rc.interop.torch.sliced_wasserstein(x, y, p=p, projections=theta), inputs
    )
    error = max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, theirs, strict=True)
    )
    name = f"error of the sliced W{p} gradient, 4096 points, 100 projections: torch sort"
    return Line(name, error, "", 1e-10, "at most")


def accuracy_on_the_line(p: float) -> Line:
    torch.manual_seed(3)
    inputs = [torch.randn(100_000, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    u, v = inputs
    theirs = ((u.sort().values - v.sort().values).abs() ** p).mean() ** (1 / p)
    found = torch.autograd.grad(rc.interop.torch.wasserstein_1d(u, v, p=p), inputs)
    error = max(
        float((a - b).abs().max() / b.abs().max())
        for a, b in zip(found, torch.autograd.grad(theirs, inputs), strict=True)
    )
    return Line(f"error of the W{p} gradient, 1e5 atoms: torch sort", error, "", 1e-10, "at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds = 7 if options.quick else 25
    print("| what | ms, ours / theirs | figure | wanted | |\n|---|---|---|---|---|")
    lines = []
    for make in (
        lambda: beside("training step, batch 4096, 100 projections: POT", pot, 4, rounds, 4096),
        lambda: beside("training step, batch 512, 100 projections: POT", pot, 4, rounds, 512),
        lambda: beside("training step, batch 4096: torch's own sort", sort, 1, rounds, 4096),
        lambda: accuracy(1),
        lambda: accuracy(2),
        lambda: accuracy_on_the_line(1),
        lambda: accuracy_on_the_line(2),
    ):
        lines.append(make())
        print(lines[-1], flush=True)
    if options.json:
        options.json.write_text(
            json.dumps([{**asdict(line), "holds": line.holds} for line in lines], indent=1)
        )


if __name__ == "__main__":
    main()
