"""Plans on the line whose fields are known, and measures of a plan recovered from one.

TV: total variation on the grid of the recovered plan. SWm: root mean square, over the directions
outside the quadrant that the field shows, of W2 between the projections, in standard deviations.
W2: in the plane, exact, between both plans binned on a 40 x 40 grid: an upper bound with a floor of
.01 to .03.
"""

from __future__ import annotations

import numpy as np

import recouple as rc
from recouple.study import engel_pairs

GRID = 128  # points a side of the plans that have none of their own


# Plans -------------------------------------------------------------------------------------------


def correlated(rho, std=1.0):
    return std**2 * np.array([[1.0, rho], [rho, 1.0]])


def random_mixture(seed):
    """Three to seven components anywhere in [-2, 2]^2, of any shape."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 8))
    std, rho = rng.uniform(0.3, 0.7, (n, 2)), rng.uniform(-0.85, 0.85, n)
    covs = std[:, :, None] * std[:, None, :]
    covs[:, 0, 1] *= rho
    covs[:, 1, 0] *= rho
    return rc.MixturePlan(rng.dirichlet(np.full(n, 3.0)), rng.uniform(-2, 2, (n, 2)), covs)


def ridges(rho):
    return rc.MixturePlan([0.5, 0.5], np.zeros((2, 2)), [correlated(rho), correlated(-rho)])


def around(points, std):
    n = len(points)
    return rc.MixturePlan(np.full(n, 1 / n), points, np.tile(std**2 * np.eye(2), (n, 1, 1)))


def banana():
    s = np.linspace(-1.6, 1.6, 17)
    return around(np.column_stack([s, s**2 - 1]), 0.3)


def annulus():
    angle = 2 * np.pi * np.arange(24) / 24
    return around(1.5 * np.column_stack([np.cos(angle), np.sin(angle)]), 0.25)


def blobs():
    return around(np.array([[-2.0, 1.0], [0.0, -2.0], [2.0, 2.2]]), 0.35)


def product_of_mixtures():
    a, b = ([0.4, 0.6], [-1.2, 0.9], [0.5, 0.6]), ([0.5, 0.5], [-1.0, 1.3], [0.4, 0.6])
    weights, means, covs = [], [], []
    for wa, ma, sa in zip(*a, strict=True):
        for wb, mb, sb in zip(*b, strict=True):
            weights.append(wa * wb)
            means.append([ma, mb])
            covs.append(np.diag([sa**2, sb**2]))
    return rc.MixturePlan(weights, means, covs)


def engel(bandwidth):
    z = np.log(np.column_stack(engel_pairs()))
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    return rc.AtomicPlan(z[:, 0], z[:, 1]).smoothed(bandwidth)


# Measures ----------------------------------------------------------------------------------------


def on_grid_of(rec, truth):
    x, y = np.meshgrid(rec.plan.x0, rec.plan.x1, indexing="ij")
    mass = truth.pdf(x, y)
    return mass / mass.sum()


def gridded(plan, truth):
    """The plan on a grid, so that grids and mixtures are judged alike."""
    if isinstance(plan, rc.GridPlan):
        return plan
    tail = np.array([1e-6, 1 - 1e-6])
    box = [np.linspace(*law.ppf(tail), GRID) for law in (truth.source, truth.target)]
    if hasattr(plan, "on_grid"):
        return plan.on_grid(*box)
    draws = plan.sample(200_000, 0)  # of a map, called one by mistake: no density to speak of
    edges = [np.append(x - (x[1] - x[0]) / 2, x[-1] + (x[1] - x[0]) / 2) for x in box]
    mass = np.histogram2d(
        *(np.clip(z, x[0], x[-1]) for z, x in zip(draws, box, strict=True)), edges
    )[0]
    return rc.GridPlan(*box, mass)


def quantile_gap(x, a, b):
    """W2 between the masses a and b at the places x of one projection."""
    order = np.argsort(x)
    return rc.wasserstein_1d(x[order], x[order], a[order], b[order], p=2, assume_sorted=True)


def measure(rec, truth):
    """TV, SWm and the error of the correlation."""
    plan = gridded(rec.plan, truth)
    x, y = np.meshgrid(plan.x0, plan.x1, indexing="ij")
    mass = truth.pdf(x, y)
    mass /= mass.sum()
    keep = np.maximum(mass, plan.mass) > 1e-9
    u = ((x - truth.mean0) / truth.source.std())[keep]
    v = ((y - truth.mean1) / truth.target.std())[keep]
    a, b = mass[keep] / mass[keep].sum(), plan.mass[keep] / plan.mass[keep].sum()
    angles = np.pi / 2 * (1 + (np.arange(12) + 0.5) / 12)
    gaps = []
    for angle in angles:
        z = np.cos(angle) * u + np.sin(angle) * v
        gaps.append(quantile_gap(z, a, b) / np.sqrt(a @ z**2 - (a @ z) ** 2))
    return {
        "TV": float(np.abs(mass - plan.mass).sum() / 2),
        "SWm": float(np.sqrt(np.mean(np.square(gaps)))),
        "corr": float(abs(rec.plan.correlation - truth.correlation)),
    }


def plane_w2(rec, truth, bins=40):
    """W2 in the plane between both plans on a coarse grid; needs POT."""
    import ot

    plan = gridded(rec.plan, truth)
    x, y = np.meshgrid(plan.x0, plan.x1, indexing="ij")
    masses = truth.pdf(x, y)
    ends = [[v.min(), v.max()] for v in (x, y)]
    both = [
        np.histogram2d(x.ravel(), y.ravel(), bins, ends, weights=m.ravel() / m.sum())
        for m in (masses, plan.mass)
    ]
    _, ex, ey = both[0]
    gx, gy = np.meshgrid((ex[1:] + ex[:-1]) / 2, (ey[1:] + ey[:-1]) / 2, indexing="ij")
    points = np.column_stack([gx.ravel(), gy.ravel()])
    a, b = (h.ravel() for h, _, _ in both)
    ka, kb = a > 1e-7, b > 1e-7
    cost = ot.dist(points[ka], points[kb])
    return float(np.sqrt(ot.emd2(a[ka] / a[ka].sum(), b[kb] / b[kb].sum(), cost, numItermax=10**7)))
