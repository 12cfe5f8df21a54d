"""How straight the particles of a field go: those of a map do, until they meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recouple.arguments import FloatArray
from recouple.field import VelocityField
from recouple.inverse.noise import DURATION, LENGTH
from recouple.marginal import Empirical, Marginal, Normal

REACH, BULK = 5.2, 3.5  # normal scores to which the field at t = 0 is read, and followed
PLACES, EVERY = 801, 4  # how many are read, and which of them are followed
STEP, SHORTEST, MOST_STEPS = 1 / 64, 1e-3, 240  # of RK4
TURN = 0.2  # of the gap between neighbours: what a step may open or close
FIRST, READINGS = 0.05, 16  # the earliest time at which the law of X_t is read, and how many
WAVES, DRAWS = 40, 64  # of the field's error
CENTRES: FloatArray = np.arange(-2.5, 2.6, 0.5)  # of neighbourhoods one normal score wide
FEWEST = 8  # places in a neighbourhood
LEAST = 0.01  # of the typical variance of a neighbourhood, below which it counts as that
STEPPED, TOLD = 1e-7, 1e-3  # relative errors of a variance: after RK4, of a law that is given
CONE = 0.5  # of 1/t, the slope of the field across the particles of an atom that spreads
NEAR = 1e-4, 1e-2, 0.1  # of the distance to the next atom: where that slope is looked for
_NORMAL = Normal(0.0, 1.0)


@dataclass(frozen=True)
class Diffusion:
    """E Var(X1 | X0) / Var X1, told by the law of X at one time, and its standard error."""

    value: float
    error: float
    time: float
    given: bool  # whether that law is the target as given, not the flow's

    @property
    def standard_errors(self) -> float:
        """How many of them the value is from that of a map, zero."""
        return self.value / self.error if np.isfinite(self.error) else 0.0


@dataclass(frozen=True)
class Diffusions:
    """What is left of Var X1 once X0 is known: of all of it, and within neighbourhoods.

    ``bound``: a diffusion that is the same everywhere cannot be larger, for p_t is as narrow as it
    is; ``variance``: of X1; ``steps``: of equal length, that would follow the flow as finely.
    """

    whole: Diffusion
    local: Diffusion
    bound: float
    variance: float
    steps: int

    def within(self, errors: float) -> float:
        """Return the largest diffusion of the whole within so many standard errors."""
        most = max(self.whole.value, 0.0) + errors * self.whole.error
        return float(np.fmin(most, self.bound))


def diffusions(
    velocity: VelocityField, source: Marginal, target: Marginal | None, level: float
) -> Diffusions:
    r"""Return how much of Var X1 is left once X0 is known.

    For :math:`T(x) = x + v_0(x) = E[X_1 \mid X_0 = x]`,

    .. math:: Var\,X_t - Var((1-t) X_0 + t T(X_0)) = t^2\, E\,Var(X_1 \mid X_0),

    and the flow of v carries quantiles to quantiles. Where particles would meet both variances are
    small, and so are their errors. Those between neighbouring quantiles show a diffusion within
    modes that lie far apart. Each is read at the time, or from the target, at which a field with
    the relative error ``level`` tells it best. NaN and infinite errors where nothing is told.
    """
    law = _Law.of(source)
    v = velocity(0.0, law.x)
    flow = _Flow.of(velocity, law)
    noise = _Noise.of(law, v, flow, level) if level > 0 else None
    end = None if target is None else np.asarray(target.ppf(law.levels[law.pick]))
    if end is not None:
        unit = law.variances(end)
    elif flow.times[-1] == 1:
        unit = law.variances(flow.paths[-1])
    else:
        unit = law.variances(law.quantiles(law.x + v))
    floor = LEAST * float(np.median(unit[1:])) if len(unit) > 1 else 0.0
    unit = np.maximum(unit, max(floor, 1e-300))

    found = [
        _read(law, v, float(flow.times[k]), flow.paths[k], unit, flow.coarse[k // 2], noise, k)
        for k in flow.readings()
    ]
    if end is not None:
        found.append(_read(law, v, 1.0, end, unit, None, noise, None))
    best = []
    for i in (0, 1):
        told = [row[i] for row in found if np.isfinite([row[i].value, row[i].error]).all()]
        nothing = Diffusion(np.nan, np.inf, 0.0, False)
        best.append(min(told, key=lambda d: d.error, default=nothing))
    variance = float(unit[0])
    steps = int(np.ceil(1 / np.diff(flow.times).min(initial=STEP)))
    return Diffusions(best[0], best[1], flow.narrowest(law) ** 2 / variance, variance, steps)


def spreads(velocity: VelocityField, source: Empirical) -> float:
    """Return the mass of the atoms of X0 that spread as t grows, as the field beside them shows.

    Particles that leave one place x0 at once have the field (x - x0) / t.
    """
    x, where = np.unique(np.asarray(source.values, dtype=float), return_inverse=True)
    weights = np.bincount(where, np.asarray(source.weights))
    if len(x) < 2:
        return 1.0
    v = velocity(0.0, x)
    gap = np.diff(x)
    crowding = np.diff(v) / gap
    t = min(0.1, 0.5 / max(float(-crowding.min()), 1e-300))
    gap = gap * (1 + t * crowding)
    nearest = np.minimum(np.append(gap, np.inf), np.append(np.inf, gap))
    steep = np.zeros(len(x))
    for share in NEAR:
        beside = share * nearest
        ahead, behind = (velocity(t, x + t * v + side) for side in (beside, -beside))
        steep = np.fmax(steep, (ahead - behind) / (2 * beside))
    return float(weights @ (steep * t > CONE))


@dataclass(frozen=True)
class _Law:
    """Places of X0 with weights, of which some are followed; neighbourhoods of these."""

    x: FloatArray
    weights: FloatArray
    levels: FloatArray
    pick: slice  # those that are followed
    masks: FloatArray  # (1 + neighbourhoods, followed): each sums to 1, the first is all
    shares: FloatArray  # of the neighbourhoods

    @classmethod
    def of(cls, law: Marginal) -> _Law:
        if isinstance(law, Empirical) and len(law.values) <= PLACES:
            order = np.argsort(law.values)
            x = np.asarray(law.values, dtype=float)[order]
            weights = np.asarray(law.weights)[order]
            levels = np.cumsum(weights) - 0.5 * weights
            pick = slice(None)
        else:
            score = np.linspace(-REACH, REACH, PLACES)
            weights = np.exp(-0.5 * score**2)
            weights /= weights.sum()
            levels = _NORMAL.cdf(score)
            x = np.asarray(law.ppf(levels))
            inner = np.flatnonzero(np.abs(score) <= BULK)
            pick = slice(int(inner[0]), int(inner[-1]) + 1, EVERY)
        mass = weights[pick] / weights[pick].sum()
        score = _NORMAL.ppf(levels[pick])
        near = np.abs(score - CENTRES[:, None]) <= 0.5
        near = near[near.sum(axis=1) >= FEWEST]
        masks = np.concatenate([mass[None], mass * near])
        shares = masks[1:].sum(axis=1)
        masks /= masks.sum(axis=1, keepdims=True)
        return cls(x, weights, levels, pick, masks, shares / (shares.sum() or 1.0))

    def variances(self, x: FloatArray) -> FloatArray:
        """Variances of the followed places, of all and within neighbourhoods; last axis."""
        x = x - (x @ self.masks[0])[..., None]
        mean, square = x @ self.masks.T, x**2 @ self.masks.T
        found: FloatArray = square - mean**2
        return found

    def quantiles(self, y: FloatArray) -> FloatArray:
        """Quantiles, at the levels that are followed, of the law that has y for its places."""
        order = np.argsort(y, kind="stable")
        w = self.weights[order]
        found: FloatArray = np.interp(self.levels[self.pick], np.cumsum(w) - 0.5 * w, y[order])
        return found


@dataclass(frozen=True)
class _Flow:
    """Quantiles of X_t at several times, the field there, and the same by steps twice as long."""

    times: FloatArray
    paths: FloatArray
    speeds: FloatArray
    coarse: FloatArray  # at every second time

    @classmethod
    def of(cls, velocity: VelocityField, law: _Law) -> _Flow:
        """Follow the particles until they meet, or the field ends."""
        x = law.x[law.pick]
        t, v = 0.0, velocity(0.0, x)
        times, paths, speeds = [t], [x], [v]
        while t < 1 and len(times) <= MOST_STEPS:
            gaps = np.diff(x)
            rates = np.abs(np.diff(v)) / np.where(gaps > 0, gaps, np.inf)
            h = min(STEP, 1 - t, TURN / max(float(rates.max(initial=0.0)), 1e-300))
            if h < min(SHORTEST, 1 - t):
                break
            x = _step(velocity, t, h, x, v)
            t = 1.0 if 1 - t - h < 1e-12 else t + h
            v = velocity(t, x) if np.isfinite(x).all() else x
            if not np.isfinite(v).all() or (np.diff(x) < 0).any():
                break
            times.append(t)
            paths.append(x)
            speeds.append(v)
        coarse = paths[:1]
        for start, end in zip(times[:-2:2], times[2::2], strict=True):
            x = coarse[-1]
            coarse.append(_step(velocity, start, end - start, x, velocity(start, x)))
        return cls(*(np.array(a) for a in (times, paths, speeds, coarse)))

    def readings(self) -> list[int]:
        """Return which of the times are looked at: many where steps are short."""
        even = np.arange(2, len(self.times), 2)
        late = even[self.times[even] >= min(FIRST, self.times[-1])]
        if len(late) == 0:
            return []
        chosen = np.linspace(0, len(late) - 1, min(READINGS, len(late))).round().astype(int)
        return [int(k) for k in late[chosen]]

    def narrowest(self, law: _Law) -> float:
        """The largest standard deviation that X1 given X0 may have, if it has it everywhere.

        For the density of X_t is then at most 1 / (sqrt(2 pi) t std).
        """
        gaps = np.diff(self.paths, axis=1)
        mass = 0.5 * (law.masks[0, 1:] + law.masks[0, :-1])
        density = mass / np.where(gaps > 0, gaps, np.inf)
        most = float((self.times * density.max(axis=1, initial=0.0)).max())
        return 1 / (np.sqrt(2 * np.pi) * most) if most > 0 else float("inf")


def _step(velocity: VelocityField, t: float, h: float, x: FloatArray, k1: FloatArray) -> FloatArray:
    """Runge and Kutta's step of order 4."""
    k2 = velocity(t + h / 2, x + h / 2 * k1)
    k3 = velocity(t + h / 2, x + h / 2 * k2)
    k4 = velocity(t + h, x + h * k3)
    after: FloatArray = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return after


@dataclass(frozen=True)
class _Noise:
    """Draws of what the field's error moves: the straight paths per unit time, and the flow."""

    straight: FloatArray  # (DRAWS, places)
    flow: FloatArray  # (DRAWS, times, followed)

    @classmethod
    def of(
        cls,
        law: _Law,
        v: FloatArray,
        flow: _Flow,
        level: float,
    ) -> _Noise:
        times, paths = flow.times, flow.paths
        rng = np.random.default_rng(0)  # the waves, not the data: fixed, so that results repeat
        waves = rng.normal(size=(WAVES, 2)) / np.array([DURATION, LENGTH])
        amplitudes = level * rng.normal(size=(DRAWS, 2 * WAVES)) / np.sqrt(WAVES)
        ends = law.x, law.x + v
        means = [float(law.weights @ z) for z in ends]
        scales = [
            float(np.sqrt(law.weights @ (z - m) ** 2)) for z, m in zip(ends, means, strict=True)
        ]

        def drawn(t: FloatArray, x: FloatArray) -> FloatArray:
            size = np.hypot((1 - t) * scales[0], t * scales[1])
            place = (x - (1 - t) * means[0] - t * means[1]) / np.where(size > 0, size, 1.0)
            angle = waves[:, :1, None] * t + waves[:, 1:, None] * place
            xi: FloatArray = np.tensordot(
                amplitudes, np.concatenate([np.cos(angle), np.sin(angle)]), 1
            )
            return xi

        straight = drawn(np.zeros((1, 1)), law.x[None])[:, 0] * v
        # Along the flow an error of the speed grows with the gaps between the particles.
        start = paths[:1]
        width = np.diff(paths, axis=1) / np.maximum(np.diff(start, axis=1), 1e-300)
        width = np.concatenate(
            [width[:, :1], 0.5 * (width[:, 1:] + width[:, :-1]), width[:, -1:]], 1
        )
        width = np.maximum(width, 1e-12)
        flux = drawn(times[:, None], paths) * (flow.speeds / width)
        steps = 0.5 * (flux[:, 1:] + flux[:, :-1]) * np.diff(times)[:, None]
        carried = np.zeros_like(flux)
        carried[:, 1:] = width[1:] * np.cumsum(steps, axis=1)
        return cls(straight, carried)


def _read(
    law: _Law,
    v: FloatArray,
    t: float,
    seen: FloatArray,
    unit: FloatArray,
    coarse: FloatArray | None,
    noise: _Noise | None,
    k: int | None,
) -> tuple[Diffusion, Diffusion]:
    """Return both diffusions from the quantiles of X_t.

    k counts the flow's times; None, and no coarse flow, for the target as given.
    """
    y = law.x + t * v
    held = law.variances(seen)
    plain = law.variances(law.quantiles(y))
    ordered = (np.diff(y) >= 0).all()
    straight = law.variances(y[law.pick]) if ordered else plain
    scale = t**2 * unit
    excess = (held - straight) / scale
    rounding = TOLD * unit if coarse is None else np.abs(held - law.variances(coarse))
    if not ordered:  # quantiles of a folded law are interpolated
        rounding = rounding + TOLD * straight
    rounding = rounding / scale
    errors = np.zeros((1, len(unit)))
    if noise is not None:
        moved = np.array([law.quantiles(y + t * draw) for draw in noise.straight])
        change = plain - law.variances(moved)
        # The error of the straight paths adds to their variance.
        truth = np.clip(straight + change.mean(axis=0), 0.0, held)
        if k is not None:
            # If the plan is a map the flow's variance is that, and errs in proportion.
            ratio = law.variances(seen + noise.flow[:, k]) / np.maximum(held, 1e-300) - 1
            change = change + ratio * truth
        errors = change / scale
        excess = excess - errors.mean(axis=0)
    found = []
    whole = np.eye(1, len(unit))[0]
    for share in (whole, np.append(0.0, law.shares) if len(law.shares) else whole):
        parts = float((errors @ share).std()), float(rounding @ share), STEPPED / t**2
        error = float(np.sqrt(np.sum(np.square(parts))))
        found.append(Diffusion(float(excess @ share), error, t, k is None))
    return found[0], found[1]
