"""Plans of finitely many pairs, from clouds of atoms at several times: lines through them.

Lines are claimed only where every atom of every time belongs to one of them, with its weight, and
where chance does not explain it: among the n!^(K-1) ways to join n atoms at K times some fit well.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple.arguments import FloatArray, frozen, real_array
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.recovery import Recovery, Residuals
from recouple.marginal import Empirical, Marginal
from recouple.plan import AtomicPlan

MOST_ATOMS = 512
FEWEST_TIMES = 5
FAR = 6.0  # in typical distances of a line to its atoms: beyond, an atom is not the line's
SAME = 0.01  # relative difference of two weights that may be one particle's
MISSES = 0.25  # share of the times at which a line may find no atom, while lines are sought
CHOICES = 8  # lines an atom that fit, on average, above which a search among them is hopeless
CHANCE = 1e-3  # expected number of sets of lines that fit as well by chance, at most
AMBIGUOUS = 0.1  # mass, at most, of atoms that more than one line fits


@dataclass(frozen=True, eq=False)
class Lines:
    """Pairs found as straight lines, their weights, and how well they fit.

    Of line ``which[k]`` the atoms as well allow (``other0[k]``, ``other1[k]``).
    """

    x0: FloatArray
    x1: FloatArray
    weights: FloatArray
    scatter: float  # standard deviation of an atom's distance to its line
    chance: float  # log10 of the expected number of sets of lines that fit so well by chance
    which: NDArray[np.intp]
    other0: FloatArray
    other1: FloatArray

    @property
    def ambiguous(self) -> float:
        """Mass of the atoms that more than one line fits."""
        return float(self.weights[np.unique(self.which)].sum())

    def expectations(self, functions: Sequence[object]) -> list[ErrorBar]:
        """Return expectations, with what the scatter of positions and other lines would move."""
        found = []
        for f in functions:
            assert callable(f)
            values = real_array("function(x0, x1)", f(self.x0, self.x1), shape=self.x0.shape)
            moved = [
                np.asarray(f(self.x0 + self.scatter, self.x1)) - values,
                np.asarray(f(self.x0, self.x1 + self.scatter)) - values,
            ]
            apart = np.zeros(len(values))
            if self.which.size:
                other = np.asarray(f(self.other0, self.other1)) - values[self.which]
                np.maximum.at(apart, self.which, np.abs(other))
            error = float(np.sqrt(sum(np.sum((self.weights * m) ** 2) for m in [*moved, apart])))
            found.append(ErrorBar(float(self.weights @ values), error, 1.0, 0.0))
        return found


@dataclass(frozen=True, eq=False)
class _Clouds:
    """Atoms at each time, (K, n), padded with atoms at infinity without mass."""

    times: FloatArray
    x: FloatArray
    mass: FloatArray
    first: int  # the outermost times at which no two atoms coincide
    last: int

    @classmethod
    def of(cls, times: FloatArray, laws: Sequence[Empirical]) -> _Clouds | None:
        merged = []
        for law in laws:
            values, at = np.unique(law.values, return_inverse=True)
            merged.append((values, np.bincount(at, weights=law.weights)))
        counts = np.array([len(values) for values, _ in merged])
        n = int(counts.max())
        full = np.flatnonzero(counts == n)
        if not 1 < n <= MOST_ATOMS or len(full) < 2 or times[full[-1]] - times[full[0]] < 0.4:
            return None
        x, mass = np.full((len(laws), n), np.inf), np.zeros((len(laws), n))
        for k, (values, weights) in enumerate(merged):
            x[k, : len(values)], mass[k, : len(values)] = values, weights
        return cls(times, x, mass, int(full[0]), int(full[-1]))

    @property
    def between(self) -> NDArray[np.intp]:
        """All times but the two through whose atoms lines are drawn."""
        return np.setdiff1d(np.arange(len(self.times)), (self.first, self.last))

    def line(self, a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return x0 and x1 of the lines through a at the first full time and b at the last."""
        ta, tb = self.times[self.first], self.times[self.last]
        return (tb * a - ta * b) / (tb - ta), ((1 - ta) * b - (1 - tb) * a) / (tb - ta)

    def gaps(self) -> FloatArray:
        """Distance to the nearest atom, (K - 2, n, n), of every line through two atoms."""
        x0, x1 = self.line(self.x[self.first][:, None], self.x[self.last])
        found = []
        for k in self.between:
            points = self.x[k][np.isfinite(self.x[k])]
            place = (1 - self.times[k]) * x0 + self.times[k] * x1
            right = np.searchsorted(points, place).clip(0, len(points) - 1)
            left = (right - 1).clip(0)
            found.append(np.minimum(np.abs(points[left] - place), np.abs(points[right] - place)))
        return np.stack(found)

    def crowding(self) -> FloatArray:
        """Spread of each cloud: the standard deviation of the normal law of its entropy."""
        levels = (np.arange(64) + 0.5) / 64
        spreads = []
        for x, mass in zip(self.x, self.mass, strict=True):
            law = Empirical(x[mass > 0], mass[mass > 0])
            if len(law.values) < 2:
                spreads.append(0.0)
                continue
            # Vasicek's estimate of the entropy, E log dQ/du over spacings of some atoms.
            reach = 0.5 / math.sqrt(len(law.values))
            low, high = np.maximum(levels - reach, 0), np.minimum(levels + reach, 1)
            joined = law.interpolated()
            slope = (joined.ppf(high) - joined.ppf(low)) / (high - low)
            least = 1e-12 * max(float(law.std()), 1e-300)
            spreads.append(float(np.exp(np.mean(np.log(np.maximum(slope, least))))) / 4.1327)
        return np.array(spreads)  # sqrt(2 pi e) = 4.1327


@dataclass(frozen=True, eq=False)
class _Held:
    """What atoms lines hold: (K, n), their mean place, how far the farthest is, and which."""

    place: FloatArray
    farthest: FloatArray
    owners: list[list[set[int]]]  # [k][atom]: the lines that hold it


def find_lines(times: FloatArray, laws: Sequence[Marginal]) -> Lines | None:
    """Return the lines x0 + t (x1 - x0) on which the atoms of all times lie, or None.

    Every line through an atom of the first full time and one of the last is scored by its distance
    to the nearest atom at each time, cut off at FAR; lines are taken from the best score down, each
    with atoms of its own, and then fitted to them. Cost: O(n^2 K log n).
    """
    empirical = [law for law in laws if isinstance(law, Empirical)]
    if len(empirical) < len(laws) or len(times) < FEWEST_TIMES:
        return None
    clouds = _Clouds.of(times, empirical)
    if clouds is None:
        return None
    n = clouds.x.shape[1]
    gaps = clouds.gaps()
    alike = _alike(clouds.mass[clouds.first][:, None], clouds.mass[clouds.last])
    best = np.where(alike, np.median(gaps, axis=0), np.inf).min(axis=1)
    width = float(np.mean([np.ptp(x[np.isfinite(x)]) for x in clouds.x]))
    scatter = max(float(np.median(best)), 1e-12 * width)
    # The first scatter is that of the best of n lines; the next that of lines with own atoms.
    for _ in range(3):
        paired = _paired(clouds, gaps, alike, scatter)
        if paired is None:
            return None
        partner, scatter = paired[0], max(paired[1], 1e-12 * width)
    start, end = clouds.line(clouds.x[clouds.first], clouds.x[clouds.last][partner])
    for _ in range(2):
        held = _held(clouds, start, end)
        if not np.isfinite(held.place).all():  # a line that only crumbs are left for
            return None
        start, end, residual = _fitted(clouds.times, held.place)
    free = n * (len(times) - 2)
    scatter = max(float(np.sqrt(np.sum(residual**2) / free)), 1e-12 * width)
    held = _held(clouds, start, end)
    if np.any(held.farthest > FAR * scatter):
        return None
    chance = _chance(clouds, scatter)
    if chance > math.log10(CHANCE):
        return None
    which, other = _others(clouds, gaps, alike, partner, held.owners, scatter)
    other0, other1 = clouds.line(clouds.x[clouds.first][which], clouds.x[clouds.last][other])
    weights = clouds.mass[clouds.first]
    return Lines(
        frozen(start),
        frozen(end),
        frozen(weights),
        scatter,
        chance,
        frozen(which),
        frozen(other0),
        frozen(other1),
    )


def _alike(a: FloatArray, b: FloatArray) -> NDArray[np.bool_]:
    return np.asarray(np.abs(a - b) <= SAME * np.maximum(a, b))


def _paired(
    clouds: _Clouds, gaps: FloatArray, alike: NDArray[np.bool_], scatter: float
) -> tuple[NDArray[np.intp], float] | None:
    """Take lines from the best down, each with atoms of its own: partners and the atoms' scatter.

    None if more lines would do than a search can tell apart.
    """
    n, between = clouds.x.shape[1], clouds.between
    reach = FAR * scatter
    if np.sum(alike & (gaps < reach).all(axis=0)) > CHOICES * n:
        return None
    cost = np.sum(np.minimum(gaps / scatter, FAR) ** 2, axis=0)
    most = FAR**2 * max(1.0, MISSES * len(between))
    x0, x1 = clouds.line(clouds.x[clouds.first][:, None], clouds.x[clouds.last])
    t, points, room = clouds.times[between], clouds.x[between], clouds.mass[between].copy()
    weights = clouds.mass[clouds.first]
    partner = np.full(n, -1)
    taken = np.zeros(n, dtype=bool)
    queue = [(float(cost[i, j]), int(i), int(j)) for i, j in np.argwhere((cost < most) & alike)]
    heapq.heapify(queue)
    rows = np.arange(len(between))
    scatters: list[float] = []
    while queue:
        _, i, j = heapq.heappop(queue)
        if partner[i] >= 0 or taken[j]:
            continue
        gap = np.abs(points - ((1 - t) * x0[i, j] + t * x1[i, j])[:, None])
        gap[room < (1 - SAME) * weights[i]] = np.inf
        # An atom of just this weight before a heavier one, in which several may coincide.
        pick = np.argmin(gap + np.where(_alike(room, weights[i]), 0.0, reach), axis=1)
        gap = gap[rows, pick]
        now = float(np.sum(np.minimum(gap / scatter, FAR) ** 2))
        if queue and now > queue[0][0] + 1e-9:
            if now < most:
                heapq.heappush(queue, (now, i, j))
            continue
        partner[i], taken[j] = j, True
        own = gap < reach
        room[rows[own], pick[own]] -= weights[i]
        scatters.append(float(np.sqrt(np.mean(gap[own] ** 2))) if own.any() else reach)
    left, free = np.flatnonzero(partner < 0), np.flatnonzero(~taken)
    if len(left) > max(2, n / 4):
        return None
    for k in left:
        nearest = free[np.argmin(np.where(alike[k, free], cost[k, free], np.inf))]
        partner[k], free = nearest, free[free != nearest]
    return partner, float(np.median(scatters))


def _held(clouds: _Clouds, start: FloatArray, end: FloatArray) -> _Held:
    """Give the atoms of each time to the lines, in their order: mass for mass."""
    times, n = clouds.x.shape
    weights = clouds.mass[clouds.first]
    place, farthest = np.zeros((times, n)), np.zeros((times, n))
    owners: list[list[set[int]]] = []
    for k, t in enumerate(clouds.times):
        x, mass = clouds.x[k][clouds.mass[k] > 0], clouds.mass[k][clouds.mass[k] > 0]
        at = (1 - t) * start + t * end
        order = np.argsort(at, kind="stable")
        ends = np.concatenate([np.cumsum(weights[order]), np.cumsum(mass)])
        ends = np.sort(np.minimum(ends, 1.0))
        width = np.diff(ends, prepend=0.0)
        middle = ends - 0.5 * width
        line = order[np.searchsorted(np.cumsum(weights[order]), middle).clip(0, n - 1)]
        atom = np.searchsorted(np.cumsum(mass), middle).clip(0, len(x) - 1)
        real = width > SAME * weights[line]
        line, atom, width = line[real], atom[real], width[real]
        total = np.bincount(line, weights=width, minlength=n)
        with np.errstate(invalid="ignore"):
            place[k] = np.bincount(line, weights=width * x[atom], minlength=n) / total
        np.maximum.at(farthest[k], line, np.abs(x[atom] - at[line]))
        owned: list[set[int]] = [set() for _ in range(n)]
        for i, a in zip(line, atom, strict=True):
            owned[a].add(int(i))
        owners.append(owned)
    return _Held(place, farthest, owners)


def _fitted(times: FloatArray, place: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return each line by least squares through its atoms, and what is left, (K, n)."""
    basis = np.column_stack([1 - times, times])
    start, end = np.linalg.lstsq(basis, place, rcond=None)[0]
    return start, end, place - basis @ np.stack([start, end])


def _chance(clouds: _Clouds, scatter: float) -> float:
    """Return log10 of the expected number of sets of lines at least as close, by chance.

    Atoms drawn anew at each time can be joined in n!^(K-1) ways; in each, what a straight line
    leaves of the K atoms of one is Q' y with Q an orthonormal basis of the residuals, of density
    det(2 pi Q' S Q)^(-1/2) at 0 where S holds the variances of the clouds, and all n of them lie in
    the ball of this radius.
    """
    times, n = len(clouds.times), clouds.x.shape[1]
    basis = np.column_stack([1 - clouds.times, clouds.times])
    left = np.linalg.svd(basis)[0][:, 2:]
    logdet = float(np.linalg.slogdet((left * clouds.crowding()[:, None] ** 2).T @ left)[1])
    free = n * (times - 2)
    density = -0.5 * n * ((times - 2) * math.log(2 * math.pi) + logdet)
    ball = 0.5 * free * math.log(math.pi * free * scatter**2) - math.lgamma(0.5 * free + 1)
    return float(((times - 1) * math.lgamma(n + 1) + density + ball) / math.log(10))


def _others(
    clouds: _Clouds,
    gaps: FloatArray,
    alike: NDArray[np.bool_],
    partner: NDArray[np.intp],
    owners: list[list[set[int]]],
    scatter: float,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return pairs (i, j) of ends of other lines that could be part of another set that fits.

    Another line takes atoms from lines that own them: it can only be if each of those has another
    line as well. Lines for which this fails are struck out until none is left to strike.
    """
    between = clouds.between
    fits = alike & (np.sum((gaps / scatter) ** 2, axis=0) < 3 * len(between) + FAR)
    a, b = clouds.x[clouds.first], clouds.x[clouds.last]
    owner = np.argsort(partner)
    # Two lines that all but meet at an end may exchange the other: that moves no one far.
    fits &= np.abs(b[partner][:, None] - b) > FAR * scatter
    fits &= np.abs(a[:, None] - a[owner]) > FAR * scatter
    held: dict[tuple[int, int], list[set[int]]] = {}
    for i, j in np.argwhere(fits):
        x0, x1 = clouds.line(a[i], b[j])
        needed = [owners[clouds.last][j]]
        for k in between:
            place = (1 - clouds.times[k]) * x0 + clouds.times[k] * x1
            at = np.flatnonzero(np.abs(clouds.x[k] - place) < FAR * scatter)
            needed.append(set().union(*(owners[k][atom] for atom in at)))
        held[int(i), int(j)] = needed
    while True:
        movable = {i for i, _ in held}
        kept = {
            (i, j): needed
            for (i, j), needed in held.items()
            if all(i in some or some & movable for some in needed)
        }
        if len(kept) == len(held):
            break
        held = kept
    pairs = np.array(list(held), dtype=np.intp).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def atoms_recovery(lines: Lines, times: ArrayLike, unused: Sequence[str] = ()) -> Recovery:
    """Turn the lines into a result; ``unused`` names the options that do not apply to it."""
    plan = AtomicPlan(lines.x0, lines.x1, lines.weights)
    n, k = len(lines.x0), np.size(times)
    w = lines.weights
    mean0, mean1 = float(w @ lines.x0), float(w @ lines.x1)
    std0 = float(np.sqrt(w @ (lines.x0 - mean0) ** 2)) or 1.0
    std1 = float(np.sqrt(w @ (lines.x1 - mean1) ** 2)) or 1.0
    (bar,) = lines.expectations([lambda x, y: (x - mean0) / std0 * (y - mean1) / std1])
    clear = lines.ambiguous == 0
    verdict, reason = (
        "unique in family",
        ("straight lines through the atoms of all times are pairs, if no two share a line"),
    )
    if not clear:
        verdict = "representative"
        reason = "some of the atoms could be joined by other lines as well"
    doubt = "" if clear else f"; other lines fit {lines.ambiguous:.1%} of the mass as well"
    evidence = [
        f"{n} atoms at each time, each on a straight line of its own to within {lines.scatter:.1e}",
        f"as close by chance: 10^{lines.chance:.0f} sets of lines expected among as many "
        "independent atoms",
    ]
    if unused:
        verb = "applies" if len(unused) == 1 else "apply"
        evidence.append(f"{', '.join(unused)}: of family 'line' alone, none {verb} to atoms")
    return Recovery(
        plan=plan,
        family="atoms",
        verdict=verdict,
        reason=reason,
        status="converged",
        message=f"{n} pairs, whose lines hold every atom at {k} times{doubt}",
        residuals=Residuals(lines.scatter, frozen(np.full(k, lines.scatter)), None, None),
        error_bars={"correlation": ErrorBar(float(plan.correlation), bar.error, 1.0, 0.0)},
        settings={"atoms": n, "times": k},
        history=(),
        estimator=lines,
        evidence=tuple(evidence),
    )
