"""Recovery on the line beside two tomographic peers, on the same projections.

Run from a checkout: python bench/peers/bench_inverse.py [--json FILE]
Peers: simultaneous algebraic reconstruction (scikit-image's iradon_sart) and iterative scaling
(maximum entropy, Minerbo 1979; the method of ``ment``). Both see the exact projections of the plan
on the directions that the field shows, on the grid of the recovered plan; ours sees the field.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import recouple as rc

sys.path[:0] = [str(folder) for folder in Path(__file__).parents[:2]]  # checkout or package
from known_plans import banana, blobs, measure, ridges  # noqa: E402

GRID, TIMES = 96, 17


class Found:
    """A grid plan in the place of a recovery, to be measured alike."""

    def __init__(self, x0, x1, mass):
        self.plan = rc.GridPlan(x0, x1, np.maximum(mass, 0.0))


def projections(truth, x0, x1):
    """Coefficients (a, b) and the masses of a X0 + b X1 in bins of the grid's spacing."""
    angles = np.linspace(0, np.pi / 2, TIMES)
    found = []
    for a, b in zip(np.cos(angles), np.sin(angles), strict=True):
        t = b / (a + b)
        law = truth.marginal(float(t))
        low, high = a * x0[0] + b * x1[0], a * x0[-1] + b * x1[-1]
        h = max(a * (x0[1] - x0[0]), b * (x1[1] - x1[0]))
        edges = np.linspace(low - h, high + h, int(np.ceil((high - low) / h)) + 3)
        found.append((a, b, edges, np.diff(law.cdf(edges / (a + b)))))
    return found


def iterative_scaling(truth, x0, x1, sweeps):
    """Multiply the plan by data over projection, one direction after the other."""
    mass = np.outer(truth.source.pdf(x0), truth.target.pdf(x1)).ravel()
    mass /= mass.sum()
    data = []
    for a, b, edges, p in projections(truth, x0, x1):
        z = (a * x0[:, None] + b * x1).ravel()
        # Linear in the place: the two bins whose middles lie on either side share the mass.
        u = (z - edges[0]) / (edges[1] - edges[0]) - 0.5
        left = np.clip(u.astype(int), 0, len(p) - 2)
        data.append((left, u - left, p))
    for _ in range(sweeps):
        for left, share, p in data:
            seen = np.bincount(left, mass * (1 - share), len(p))
            seen += np.bincount(left + 1, mass * share, len(p))
            ratio = np.divide(p, seen, out=np.ones_like(p), where=seen > 1e-300)
            mass = mass * ratio[left] ** (1 - share) * ratio[left + 1] ** share
        mass /= mass.sum()
    return Found(x0, x1, mass.reshape(len(x0), len(x1)))


def algebraic(truth, x0, x1, sweeps):
    """iradon_sart on a square image that holds the grid in its circle, values clipped at zero."""
    from skimage.transform import iradon_sart, radon

    n = int(np.ceil(len(x0) * 1.45)) // 2 * 2 + 1
    h = [x[1] - x[0] for x in (x0, x1)]
    pad = (n - len(x0)) // 2
    full = [x[0] + step * (np.arange(n) - pad) for x, step in zip((x0, x1), h, strict=True)]
    image = truth.pdf(full[0][:, None], full[1][None, :])
    u, v = np.meshgrid(*2 * [np.arange(n) - n // 2], indexing="ij")
    image[u**2 + v**2 > (n // 2) ** 2] = 0
    image /= image.sum()
    theta = np.linspace(0, 90, TIMES)
    sinogram = radon(image, theta=theta, circle=True)
    found = None
    for _ in range(sweeps):
        found = iradon_sart(sinogram, theta=theta, image=found, clip=(0, 1e9))
    cut = slice(pad, pad + len(x0))
    return Found(x0, x1, np.nan_to_num(found[cut, cut]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="write the table there")
    parser.add_argument("--quick", action="store_true", help="one plan, fewer sweeps")
    arguments = parser.parse_args()
    plans = (("blobs", blobs()), ("banana", banana()), ("ridges", ridges(0.95)))
    scaling, algebra = ((100,), (2,)) if arguments.quick else ((100, 1000), (2, 20))
    table = []
    print(f"{'plan':<10}{'method':<26}{'TV':>8}{'SWm':>8}{'|corr|':>9}{'s':>8}")
    for name, truth in plans[:1] if arguments.quick else plans:
        field = rc.velocity_field(truth)
        start = time.perf_counter()
        rec = rc.recover_plan(field, truth.source, family="line", grid=GRID, times=TIMES)
        entries = [("recover_plan", rec, time.perf_counter() - start)]
        x0, x1 = rec.plan.x0, rec.plan.x1
        for sweeps in scaling:
            start = time.perf_counter()
            found = iterative_scaling(truth, x0, x1, sweeps)
            entries.append((f"iterative scaling x {sweeps}", found, time.perf_counter() - start))
        try:
            for sweeps in algebra:
                start = time.perf_counter()
                found = algebraic(truth, x0, x1, sweeps)
                entries.append((f"iradon_sart x {sweeps}", found, time.perf_counter() - start))
        except ImportError:
            print("scikit-image is not installed: no iradon_sart", file=sys.stderr)
        ours = np.nan
        for method, found, seconds in entries:
            m = measure(found, truth)
            print(
                f"{name:<10}{method:<26}{m['TV']:>8.4f}{m['SWm']:>8.4f}{m['corr']:>9.1e}"
                f"{seconds:>8.2f}",
                flush=True,
            )
            row = {"plan": name, "method": method, "s": seconds, **m}
            if found is rec:
                ours = m["TV"]
                row |= {"name": f"total variation on {name}", "ratio": m["TV"], "target": 0.012}
                row |= {"holds": m["TV"] <= 0.012, "sense": "at most"}
            else:
                ratio = m["TV"] / ours
                row |= {"name": f"total variation of {method} on {name}, over ours"}
                row |= {"ratio": ratio, "target": 1.0, "holds": ratio >= 1.0}
            table.append(row)
    if arguments.json:
        with open(arguments.json, "w") as out:
            json.dump(table, out, indent=1)


if __name__ == "__main__":
    main()
