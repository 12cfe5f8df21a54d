"""Quantiles beside SciPy and NumPy: ratios of times in one run, answers checked.

    python bench/peers/bench_quantile.py [--json FILE]

Each line runs ours and theirs in turn and takes the least time of each; the ratio is theirs / ours,
so larger is better. ``threads`` is ours; the peers use one. With one thread it is processor time
that is taken, which other work on the machine disturbs less; with two, the clock, on both sides.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special, stats
from scipy.optimize import elementwise
from scipy.stats.sampling import NumericalInversePolynomial

import recouple as rc

WEIGHTS, MEANS = np.array([0.3, 0.5, 0.2]), np.array([-2.0, 0.0, 3.0])
STDS = np.array([0.5, 1.0, 0.2])


@dataclass
class Line:
    name: str
    threads: int
    ours_ns: float
    theirs_ns: float
    ratio: float  # theirs / ours
    target: float  # at least
    holds: bool


class Density:
    """The mixture as PINV wants it."""

    def __init__(self, law: rc.NormalMixture) -> None:
        self.law = law

    def pdf(self, x: float) -> float:
        return float(self.law.pdf(float(x)))

    def cdf(self, x: float) -> float:
        return float(self.law.cdf(float(x)))


def compare(
    name: str,
    n: int,
    ours: Callable[..., Any],
    theirs: Callable[[], Any],
    targets: dict[int, float],
    rounds: int = 15,
) -> list[Line]:
    result = []
    for threads, target in targets.items():
        clock = time.thread_time if threads == 1 else time.perf_counter
        best = [np.inf, np.inf]
        for _ in range(rounds):
            for k, call in enumerate((partial(ours, num_threads=threads), theirs)):
                start = clock()
                call()
                best[k] = min(best[k], (clock() - start) / n * 1e9)
        ratio = best[1] / best[0]
        result.append(Line(name, threads, best[0], best[1], ratio, target, ratio >= target))
    return result


def find_root(u: Any) -> Any:
    def excess(x: Any, p: Any) -> Any:
        z = (np.asarray(x)[..., None] - MEANS) / STDS
        return (WEIGHTS * special.ndtr(z)).sum(-1) - p

    bracket = np.full(u.size, -20.0), np.full(u.size, 20.0)
    return elementwise.find_root(excess, bracket, args=(u,)).x


def lines(n: int) -> list[Line]:
    rng = np.random.default_rng(0)
    u = rng.random(n)
    law = rc.NormalMixture(WEIGHTS, MEANS, STDS)
    result: list[Line] = []

    pinv = NumericalInversePolynomial(Density(law), u_resolution=1e-12, center=0.0)
    table = rc.tabulate(law, 1e-12)
    assert np.abs(law.cdf(table.ppf(u)) - u).max() <= 1e-12
    assert np.abs(law.cdf(pinv.ppf(u)) - u).max() <= 2e-12
    name = "table against PINV, u-error 1e-12"
    result += compare(name, u.size, partial(table.ppf, u), partial(pinv.ppf, u), {1: 2.5, 2: 4.5})

    few = u[:20_000].copy()
    assert np.abs(law.cdf(find_root(few)) - few).max() <= 1e-12
    assert np.abs(law.cdf(law.ppf(few)) - few).max() <= 4e-16
    name = "mixture ppf against find_root"
    result += compare(
        name, few.size, partial(law.ppf, few), partial(find_root, few), {1: 25, 2: 25}, rounds=7
    )

    normal = rc.Normal()
    np.testing.assert_allclose(normal.ppf(u), special.ndtri(u), rtol=2e-15)
    name = "normal ppf against ndtri"
    result += compare(
        name, u.size, partial(normal.ppf, u), partial(special.ndtri, u), {1: 2, 2: 3.5}
    )

    values = rng.normal(size=n)

    def sorted_anew(num_threads: int) -> Any:
        return rc.Empirical(values).ppf(u, num_threads=num_threads)

    theirs = partial(np.quantile, values, u, method="inverted_cdf")
    np.testing.assert_array_equal(sorted_anew(1), theirs())
    name = f"{n} quantiles of {n} values, sort included, against np.quantile"
    result += compare(name, u.size, sorted_anew, theirs, {1: 10, 2: 10}, rounds=3)

    ours, frozen = rc.Normal(1, 2), stats.norm(1, 2)
    for few_points in (1, 100):
        some = u[:few_points].copy()
        name = f"normal ppf of {few_points}, the whole call, against stats.norm(1, 2).ppf"
        result += compare(
            name, 1, partial(ours.ppf, some), partial(frozen.ppf, some), {1: 10}, rounds=2000
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Quantiles beside SciPy and NumPy.")
    parser.add_argument("--json", type=Path, help="write the table to this file")
    parser.add_argument("--quick", action="store_true", help="a fifth of the points")
    arguments = parser.parse_args()
    table = lines(200_000 if arguments.quick else 1_000_000)
    print("| what | threads | ours ns | theirs ns | ratio | target | |")
    print("|---|---|---|---|---|---|---|")
    for line in table:
        print(
            f"| {line.name} | {line.threads} | {line.ours_ns:.3g} | {line.theirs_ns:.4g} "
            f"| {line.ratio:.1f} | {line.target:g} | {'holds' if line.holds else 'MISSED'} |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(line) for line in table], indent=1))


if __name__ == "__main__":
    main()
