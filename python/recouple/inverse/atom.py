"""Plans of finitely many pairs, from clouds of atoms at several times: lines through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, real_array
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.recovery import Recovery, Residuals
from recouple.marginal import Empirical, Marginal
from recouple.plan import AtomicPlan

MOST_ATOMS = 512
FEWEST_TIMES = 5
FAR = 6.0  # in typical distances of a line to its atoms: beyond, a miss costs no more
CROWDED = 0.1  # typical distance, in mean gaps between atoms, above which lines mean nothing
COVERED = 0.9  # share of the atoms, over all times, that the lines must pass through


@dataclass(frozen=True, eq=False)
class Lines:
    """Pairs found as straight lines, their weights, and how well they fit."""

    x0: FloatArray
    x1: FloatArray
    weights: FloatArray
    scatter: float  # typical distance of an atom to its line
    coverage: float  # share of the lines' places with an atom there

    def expectations(self, functions: Sequence[object]) -> list[ErrorBar]:
        """Return expectations, with what the scatter of the atoms' positions moves."""
        found = []
        for f in functions:
            assert callable(f)
            values = real_array("function(x0, x1)", f(self.x0, self.x1), shape=self.x0.shape)
            moved = [
                np.asarray(f(self.x0 + self.scatter, self.x1)) - values,
                np.asarray(f(self.x0, self.x1 + self.scatter)) - values,
            ]
            error = float(np.sqrt(sum(np.sum((self.weights * m) ** 2) for m in moved)))
            found.append(ErrorBar(float(self.weights @ values), error, 1.0, 0.0))
        return found


def find_lines(times: FloatArray, laws: Sequence[Marginal]) -> Lines | None:
    """Return the lines x0 + t (x1 - x0) on which the atoms of all times lie, or None.

    Every line through an atom of the first full time and one of the last is scored by its distance
    to the nearest atom at each time, cut off at FAR; lines are taken from the best score down, each
    atom at most once, and then fitted to the atoms they pass. Cost: O(n^2 K log n).
    """
    clouds = [law for law in laws if isinstance(law, Empirical)]
    if len(clouds) < len(laws) or len(times) < FEWEST_TIMES:
        return None
    counts = np.array([len(np.unique(c.values)) for c in clouds])
    n = int(counts.max())
    full = np.flatnonzero(counts == n)
    if not 1 < n <= MOST_ATOMS or len(full) < 2 or times[full[-1]] - times[full[0]] < 0.4:
        return None
    points = [np.sort(np.asarray(c.values, dtype=float)) for c in clouds]
    ta, tb = times[full[0]], times[full[-1]]
    order = np.argsort(clouds[full[0]].values)
    if len(clouds[full[0]].values) != n:
        return None
    a, b = points[full[0]], points[full[-1]]
    x0 = (tb * a[:, None] - ta * b) / (tb - ta)
    x1 = ((1 - ta) * b - (1 - tb) * a[:, None]) / (tb - ta)
    between = [k for k in range(len(times)) if k not in (full[0], full[-1])]
    gaps = np.stack([_nearest(points[k], (1 - times[k]) * x0 + times[k] * x1)[0] for k in between])
    scatter = float(np.median(np.median(gaps, axis=0).min(axis=1)))
    width = float(np.mean([p[-1] - p[0] for p in points]))
    scatter = max(scatter, 1e-12 * width)
    if scatter > CROWDED * width / n:
        return None
    cost = np.sum(np.minimum(gaps / scatter, FAR) ** 2, axis=0)
    row, column = np.unravel_index(np.argsort(cost, axis=None), cost.shape)
    partner = np.full(n, -1)
    taken = np.zeros(n, dtype=bool)
    for i, j in zip(row, column, strict=True):
        if partner[i] < 0 and not taken[j]:
            partner[i], taken[j] = j, True
    pick = np.arange(n), partner
    start, end = x0[pick], x1[pick]
    for _ in range(2):
        start, end = _fitted(times, points, start, end, FAR * scatter)
    distance = np.stack(
        [_nearest(p, (1 - t) * start + t * end)[0] for t, p in zip(times, points, strict=True)]
    )
    coverage = float(np.mean(distance < FAR * scatter))
    if coverage < COVERED:
        return None
    weights = np.asarray(clouds[full[0]].weights)[order]
    return Lines(frozen(start), frozen(end), frozen(weights), scatter, coverage)


def _nearest(points: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the distance to the nearest of sorted points, and that point."""
    right = np.searchsorted(points, x).clip(0, len(points) - 1)
    left = (right - 1).clip(0)
    nearer = np.abs(points[left] - x) < np.abs(points[right] - x)
    found = np.where(nearer, points[left], points[right])
    return np.abs(found - x), found


def _fitted(
    times: FloatArray, points: Sequence[FloatArray], x0: FloatArray, x1: FloatArray, reach: float
) -> tuple[FloatArray, FloatArray]:
    """Least squares of each line through the atoms within its reach."""
    basis = np.column_stack([1 - times, times])
    places = basis @ np.stack([x0, x1])
    seen = [_nearest(p, x) for p, x in zip(points, places, strict=True)]
    use = np.stack([d < reach for d, _ in seen]).astype(float)
    target = np.stack([z for _, z in seen])
    normal = np.einsum("ka,kn,kb->nab", basis, use, basis) + 1e-12 * np.eye(2)
    right = np.einsum("ka,kn->na", basis, use * target)
    fitted = np.linalg.solve(normal, right[..., None])[..., 0]
    keep = use.sum(axis=0) >= 3
    return np.where(keep, fitted[:, 0], x0), np.where(keep, fitted[:, 1], x1)


def atoms_recovery(lines: Lines, times: ArrayLike) -> Recovery:
    """Turn the lines into a result."""
    plan = AtomicPlan(lines.x0, lines.x1, lines.weights)
    n, k = len(lines.x0), np.size(times)
    w = lines.weights
    mean0, mean1 = float(w @ lines.x0), float(w @ lines.x1)
    std0 = float(np.sqrt(w @ (lines.x0 - mean0) ** 2)) or 1.0
    std1 = float(np.sqrt(w @ (lines.x1 - mean1) ** 2)) or 1.0
    (bar,) = lines.expectations([lambda x, y: (x - mean0) / std0 * (y - mean1) / std1])
    return Recovery(
        plan=plan,
        family="atoms",
        verdict="unique in family",
        reason="straight lines through the atoms of all times are pairs, if no two share a line",
        status="converged",
        message=f"{n} pairs, {lines.coverage:.1%} of their places at {k} times held by an atom",
        residuals=Residuals(lines.scatter, frozen(np.full(k, lines.scatter)), None, None),
        error_bars={"correlation": ErrorBar(float(plan.correlation), bar.error, 1.0, 0.0)},
        settings={"atoms": n, "times": k},
        history=(),
        estimator=lines,
        evidence=(
            f"{n} atoms at each time, on straight lines to within {lines.scatter:.1e}",
            f"{lines.coverage:.1%} of the lines' places hold an atom",
        ),
    )
