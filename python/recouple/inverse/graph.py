"""Deterministic plans on the line: X1 a function of X0, or X0 of X1, read off one end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, real_array, real_number
from recouple.field import VelocityField, reversed_time
from recouple.flow import integrate
from recouple.inverse.dual import read_law
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.noise import DURATION, LENGTH
from recouple.inverse.recovery import Recovery, Residuals
from recouple.marginal import Empirical, Marginal, Normal
from recouple.plan import AtomicPlan, MonotonePlan, monotone_plan
from recouple.progress import Progress

POINTS = 4000  # of the graph of a plan that is not monotone, out to REACH normal scores
REACH, BULK = 5.2, 3.5
SHORT = 0.15  # of a time over which the particles of a deterministic plan are seen to move straight
MOST_NOISE = 0.15  # relative error of the field beyond which no plan is called deterministic
SETTLED = 0.03  # of a mean speed by which the sum over quantiles may miss the target
ROUGH = 0.01  # of a mean speed by which the law of T(X0) misses the target, above which it is moved
DIFFUSE = 1e-3  # D0 of the sum over quantiles
MISSES = 0.6  # of the path's length is missed by a field with the relative error 1
WAVES = 40
_NORMAL = Normal(0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Graph:
    """Pairs (x, T(x)) with weights, the evidence for them, and the field's relative error.

    ``diffusion`` is D0 = 1 - Var T(X0) / Var X1, T(x) = x + v_0(x): by the law of total variance
    E Var(X1 | X0) / Var X1, zero exactly when X1 is a function of X0.
    """

    x: FloatArray
    y: FloatArray
    weights: FloatArray
    diffusion: float
    level: float
    missed: float = 0.0  # W2 between the law of T(X0) and the target, in mean speeds

    @property
    def holds(self) -> bool:
        """Whether the plan is deterministic, as far as a field with this error can tell."""
        within = -DIFFUSE - 4 * self.level <= self.diffusion <= DIFFUSE + self.allowance
        lands = self.missed <= SETTLED + self.level
        return bool(self.level <= MOST_NOISE and within and lands)

    @property
    def allowance(self) -> float:
        """The diffusion that a field with this error may show for a map."""
        # The map's own error shows twice, in what particles seem to turn and where they land.
        return min(self.level, 1.3 * self.missed) if self.missed else self.level

    def expectations(
        self, functions: Sequence[Callable[[FloatArray, FloatArray], ArrayLike]]
    ) -> list[ErrorBar]:
        """Return expectations, with what smooth random errors of the map would move."""
        scale = np.sqrt(self.weights @ (self.x - self.weights @ self.x) ** 2)
        rng = np.random.default_rng(0)
        waves = rng.normal(size=WAVES) / (LENGTH * scale)
        angle = np.outer(waves, self.x)
        shifts = np.concatenate([np.cos(angle), np.sin(angle)]) / np.sqrt(WAVES)
        shifts *= self.level * (self.y - self.x)
        found = []
        for f in functions:
            values = real_array("function(x0, x1)", f(self.x, self.y), shape=self.x.shape)
            moved = np.array([np.asarray(f(self.x, self.y + s)) for s in shifts]) - values
            mean = float(self.weights @ values)
            spread = float(np.sqrt(self.weights @ (values - mean) ** 2))
            error = float(np.linalg.norm(moved @ self.weights))
            found.append(ErrorBar(mean, error + spread / len(self.x), 1.0, 0.0))
        return found


def graph_of(
    velocity: VelocityField,
    source: Marginal,
    target: Marginal | None,
    noise: float | None = None,
) -> Graph:
    """Return the graph of T(x) = x + v_0(x) over the source, with what speaks for it."""
    if isinstance(source, Empirical):
        x, weights = np.asarray(source.values, dtype=float), np.asarray(source.weights)
    else:
        x, weights = _points_of(source)
    v = velocity(0.0, x)
    y = x + v
    size = float(np.sqrt(weights @ v**2)) or 1.0
    if noise is None:
        noise = min(_turning(velocity, x, v, weights), _missing(velocity, source, target))
    variance = _end_variance(velocity, x, v, weights, target)
    spread = float(weights @ (y - weights @ y) ** 2)
    missed = 0.0
    if target is not None and not isinstance(source, Empirical):
        order = np.argsort(y)
        levels = np.cumsum(weights[order]) - 0.5 * weights[order]
        gap = y[order] - target.ppf(levels)
        missed = float(np.sqrt(weights[order] @ gap**2)) / size
    return Graph(frozen(x), frozen(y), frozen(weights), 1 - spread / variance, noise, missed)


def _points_of(law: Marginal) -> tuple[FloatArray, FloatArray]:
    """Return quantiles of a law at equally spaced normal scores, and the mass of each.

    Equal masses would leave a whole standard deviation of the tails to the last point.
    """
    score = np.linspace(-REACH, REACH, POINTS)
    weights = np.exp(-0.5 * score**2)
    # What lies beyond the outermost points, 1e-7, is left out.
    weights /= weights.sum()
    return np.asarray(law.ppf(_NORMAL.cdf(score))), weights


def _turning(velocity: VelocityField, x: FloatArray, v: FloatArray, weights: FloatArray) -> float:
    """Relative error of the field if the plan is deterministic: particles then move straight.

    Until they meet; what they seem to turn is the field's error.
    """
    level = np.cumsum(weights)
    inner = slice(*np.searchsorted(level, _NORMAL.cdf(np.array([-BULK, BULK]))))
    crowding = np.diff(v[inner]) / np.where(np.diff(x[inner]) > 0, np.diff(x[inner]), np.inf)
    least = min(0.0, float(crowding.min())) if len(crowding) else 0.0
    t = min(SHORT, 0.5 / -least) if least < 0 else SHORT
    size = float(np.sqrt(weights @ v**2)) or 1.0
    turn = float(np.sqrt(weights @ (velocity(t, x + t * v) - v) ** 2)) / size
    return turn / float(np.sqrt(2 * (1 - np.exp(-0.5 * (t / DURATION) ** 2))))


def _missing(velocity: VelocityField, source: Marginal, target: Marginal | None) -> float:
    """Relative error of the field by which its flow misses the target; 0 without a target.

    Not finite where the flow breaks down, as it does where the paths of a graph fold.
    """
    if target is None:
        return 0.0
    if isinstance(source, Empirical) or isinstance(target, Empirical):
        return float("inf")
    levels = (np.arange(200) + 0.5) / 200
    x = source.ppf(levels)
    with np.errstate(all="ignore"):
        end = integrate(velocity, x, 0.0, 1.0, method="rk4", steps=96).x
    gap = float(np.sqrt(np.mean((end - target.ppf(levels)) ** 2)))
    if not np.isfinite(gap):
        return float("inf")
    # How far particles went, not how far they ended: they may return to where they were.
    speeds = velocity(0.0, x), velocity(1.0, end)
    return gap / (MISSES * (max(float(np.sqrt(np.mean(v**2))) for v in speeds) or 1.0))


def _end_variance(
    velocity: VelocityField,
    x: FloatArray,
    v: FloatArray,
    weights: FloatArray,
    target: Marginal | None,
) -> float:
    """Variance of X1: the target's, or what the path's variance near t = 0 extrapolates to."""
    if isinstance(target, Empirical):
        return float(target.std()) ** 2
    if target is not None:
        y, mass = _points_of(target)  # the same sum as over the graph
        return float(mass @ (y - mass @ y) ** 2)
    # Var X_t = (1-t)^2 A + 2 t (1-t) C + t^2 B with A, C known at t = 0; RK4 to t = SHORT.
    t, steps, moving = SHORT, 16, x
    h = t / steps
    for i in range(steps):
        s = i * h
        k1 = velocity(s, moving)
        k2 = velocity(s + h / 2, moving + h / 2 * k1)
        k3 = velocity(s + h / 2, moving + h / 2 * k2)
        k4 = velocity(s + h, moving + h * k3)
        moving = moving + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    def cov(a: FloatArray, b: FloatArray) -> float:
        return float(weights @ ((a - weights @ a) * (b - weights @ b)))

    a, c = cov(x, x), cov(x, x + v)
    end = (cov(moving, moving) - (1 - t) ** 2 * a - 2 * t * (1 - t) * c) / t**2
    return end if end > 0 else float("inf")


def find_graph(
    velocity: VelocityField,
    source: Marginal,
    target: Marginal | None,
    noise: float | None,
) -> tuple[Graph, bool] | None:
    """Return the graph of a deterministic plan, and whether it runs over X1; None if it is none."""
    forward = graph_of(velocity, source, target, noise)
    if forward.holds:
        return forward, False
    if target is not None:
        back = graph_of(reversed_time(velocity), target, source, noise)
        if back.holds:
            return back, True
    return None


def recover_graph(
    velocity: VelocityField,
    source: Marginal | ArrayLike,
    target: Marginal | ArrayLike | None = None,
    *,
    noise: float | None = None,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Recovery:
    """Recover a deterministic plan on the line as the graph of its map; see ``recover_plan``."""
    if noise is not None:
        noise = real_number("noise", noise, minimum=0.0)
    law0 = read_law("source", source)
    law1 = None if target is None else read_law("target", target)
    found = find_graph(velocity, law0, law1, noise)
    if found is not None:
        return graph_recovery(*found, law0, law1)
    forward = graph_of(velocity, law0, law1, noise)
    rec = graph_recovery(forward, False, law0, law1)
    return replace(
        rec,
        status="inconsistent",
        verdict="representative",
        reason="the plan is not deterministic",
        message=(
            f"X1 is no function of X0: D0 = {forward.diffusion:.3g} where a field with the "
            f"relative error {forward.level:.2g} allows {DIFFUSE + forward.allowance:.2g}"
        ),
    )


def graph_recovery(
    graph: Graph, mirrored: bool, source: Marginal, target: Marginal | None
) -> Recovery:
    """Turn the graph of a map into a result."""
    x, y, weights = graph.x, graph.y, graph.weights
    order = np.argsort(x)
    steps = np.diff(y[order])
    rising = float(weights[order][1:] @ (steps > 0)), float(weights[order][1:] @ (steps < 0))
    atoms = isinstance(source, Empirical) or isinstance(target, Empirical)
    plan: AtomicPlan | MonotonePlan
    if not atoms and target is not None and max(rising) > 1 - 2 * graph.level - 2 / len(x):
        plan = monotone_plan(source, target, decreasing=rising[1] > rising[0])
        kind = "decreasing" if rising[1] > rising[0] else "increasing"
        kind += ", rearranged onto the target"
    else:
        law = source if mirrored else target
        landed = False
        if not atoms and law is not None and graph.missed > ROUGH:
            y, landed = _onto(law, y, weights), True
        plan = AtomicPlan(y, x, weights) if mirrored else AtomicPlan(x, y, weights)
        monotone = max(rising) > 1 - 2 * graph.level - 2 / len(x)
        shape = (
            ("increasing" if rising[0] > rising[1] else "decreasing")
            if monotone
            else "no monotone map"
        )
        kind = f"{len(x)} atoms" if atoms else f"{shape}, as {len(x)} pairs"
        kind += ", moved onto the target" if landed else ""
    pairs = Graph(y, x, weights, graph.diffusion, graph.level) if mirrored else graph
    (bar,) = pairs.expectations([_standardised(pairs)])
    correlation = ErrorBar(float(plan.correlation), bar.error, 1.0, 0.0)
    name = "D1" if mirrored else "D0"
    which = "X0 is a function of X1" if mirrored else "X1 is a function of X0"
    return Recovery(
        plan=plan,
        family="graph",
        verdict="unique",
        reason=(
            f"{which}: one end of the field is the map itself; that rests on variances alone, "
            "whatever the tails"
        ),
        status="converged",
        message=f"the graph of the field at t = {int(mirrored)}: {kind}",
        residuals=Residuals(abs(graph.diffusion), frozen(np.zeros(1)), graph.level, None),
        error_bars={"correlation": correlation},
        settings={"points": len(x), "noise": graph.level},
        history=(),
        estimator=pairs,
        evidence=(
            f"{name} = {graph.diffusion:.2g}: {which} (a field with the relative error "
            f"{graph.level:.1g} shows up to {DIFFUSE + graph.allowance:.2g})",
            f"the map is {kind}",
        ),
    )


def _onto(law: Marginal, y: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the places moved, in their order, so that their law is this one.

    Of the map's error this takes what its branches have in common.
    """
    order = np.argsort(y)
    moved = np.empty_like(y)
    moved[order] = law.ppf(np.cumsum(weights[order]) - 0.5 * weights[order])
    return moved


def _standardised(graph: Graph) -> Callable[[FloatArray, FloatArray], FloatArray]:
    w = graph.weights
    mean0, mean1 = float(w @ graph.x), float(w @ graph.y)
    std0 = float(np.sqrt(w @ (graph.x - mean0) ** 2)) or 1.0
    std1 = float(np.sqrt(w @ (graph.y - mean1) ** 2)) or 1.0

    def product(x: FloatArray, y: FloatArray) -> FloatArray:
        values: FloatArray = (x - mean0) / std0 * (y - mean1) / std1
        return values

    return product
