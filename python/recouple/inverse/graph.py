"""Deterministic plans on the line: X1 a function of X0, or X0 of X1, read off one end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, real_array, real_number
from recouple.field import VelocityField, reversed_time
from recouple.flow import integrate
from recouple.inverse.dual import read_law
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.noise import DURATION, LENGTH
from recouple.inverse.recovery import Recovery, Residuals
from recouple.inverse.straight import Diffusions, diffusions, spreads
from recouple.marginal import Empirical, Marginal, Normal
from recouple.plan import AtomicPlan, MonotonePlan, Plan, monotone_plan
from recouple.progress import Progress

POINTS = 4000  # of the graph of a plan that is not monotone, out to REACH normal scores
REACH, BULK = 5.2, 3.5
SHORT = 0.15  # of a time over which the particles of a deterministic plan are seen to move straight
MOST_NOISE = 0.15  # relative error of the field beyond which no plan is called deterministic
SETTLED = 0.03  # of a mean speed by which the sum over quantiles may miss the target
ROUGH = 0.01  # of a mean speed by which the law of T(X0) misses the target, above which it is moved
SURE = 3.0  # standard errors of a diffusion from zero, beyond which the plan is none of a map
MOST_UNDECIDED = 0.07  # of the variance of X1, the diffusion that a map's field may leave open
NARROW = 3.4e-4  # a smaller diffusion asks for twice the points that the largest default grid has
SPREADING = 0.01  # of the mass: atoms of X0 that spread
MISSES = 0.6  # of the path's length is missed by a field with the relative error 1
WAVES = 40
HERMITE = 7  # points across a diffusion
_NORMAL = Normal(0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Graph:
    """Pairs (start, T(start)) with weights, T(x) = x + v_0(x), and the evidence for them.

    They run from X0, or ``mirrored`` from X1. ``level`` is the field's relative error, ``size`` a
    mean speed, ``missed`` W2 between the law of T and the end, and ``spreading`` the mass of atoms
    that are seen to spread.
    """

    start: FloatArray
    end: FloatArray
    weights: FloatArray
    diffusion: Diffusions
    level: float
    size: float
    missed: float
    spreading: float
    mirrored: bool = False

    @property
    def holds(self) -> bool:
        """Whether the plan is taken for a map: nothing speaks for a diffusion that counts."""
        slack = NARROW * float(np.sqrt(self.diffusion.variance))
        lands = self.missed <= (SETTLED + self.level) * self.size + slack
        fits = self.level <= MOST_NOISE and lands and self.spreading <= SPREADING
        return bool(fits and (self.still or self.narrow))

    @property
    def still(self) -> bool:
        """Whether no diffusion is seen, by a field that would show one."""
        seen = (self.diffusion.whole, self.diffusion.local)
        none = all(abs(d.value) <= SURE * d.error for d in seen)
        return bool(none and self.diffusion.within(2) <= MOST_UNDECIDED)

    @property
    def narrow(self) -> bool:
        """Whether a diffusion, if there is one, is too small for any grid."""
        seen = (self.diffusion.whole, self.diffusion.local)
        return all(abs(d.value) + d.error <= NARROW for d in seen)

    @property
    def finding(self) -> str:
        """What is left of the variance of the one end once the other is known, in words."""
        x, y, t = ("X1", "X0", 1) if self.mirrored else ("X0", "X1", 0)
        d = self.diffusion
        seen = max((d.whole, d.local), key=lambda one: abs(one.standard_errors))
        if self.spreading > SPREADING:
            return f"atoms that hold {self.spreading:.2g} of the mass of {x} spread as time goes on"
        if not np.isfinite(seen.error):
            return f"the field near t = {t} does not show how straight the paths are"
        at = 1 - seen.time if self.mirrored else seen.time
        law = f"the law of {y} as given" if seen.given else f"the law of X_t at t = {at:.2g}"
        whose = f"the variance of {y}" + (" in its neighbourhoods" if seen is d.local else "")
        if seen.value < -SURE * seen.error:
            return (
                f"straight paths would make {law} wider than it is, by {-seen.value:.2g} +- "
                f"{seen.error:.1g} of {whose}: the field at t = {t} does not go with it"
            )
        return (
            f"D{t} = {seen.value:.2g} +- {seen.error:.1g} of {whose} is left once {x} is known, by "
            f"{law}"
        )

    def expectations(
        self, functions: Sequence[Callable[[FloatArray, FloatArray], ArrayLike]]
    ) -> list[ErrorBar]:
        """Return expectations, with what smooth random errors of the map would move.

        And what a diffusion would that may be there.
        """
        weights, start, end = self.weights, self.start, self.end
        scale = np.sqrt(weights @ (start - weights @ start) ** 2) or 1.0
        rng = np.random.default_rng(0)
        waves = rng.normal(size=WAVES) / (LENGTH * scale)
        angle = np.outer(waves, start)
        shifts = np.concatenate([np.cos(angle), np.sin(angle)]) / np.sqrt(WAVES)
        shifts *= self.level * (end - start)
        spread = np.sqrt(self.diffusion.within(1) * self.diffusion.variance)
        steps, shares = np.polynomial.hermite_e.hermegauss(HERMITE)
        shares = shares / shares.sum()
        found = []
        for f in functions:

            def at(shift: Any, f: Any = f) -> FloatArray:
                pair = (end + shift, start) if self.mirrored else (start, end + shift)
                return real_array("function(x0, x1)", f(*pair), shape=start.shape)

            values = at(0.0)
            mean = float(weights @ values)
            width = float(np.sqrt(weights @ (values - mean) ** 2))
            moved = np.array([at(s) for s in shifts]) - values
            error = float(np.linalg.norm(moved @ weights)) + width / len(start)
            blurred = sum(p * at(spread * z) for z, p in zip(steps, shares, strict=True))
            error = float(np.hypot(error, weights @ (blurred - values)))
            found.append(ErrorBar(mean, error, 1.0, 0.0))
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
    bad = np.flatnonzero(~np.isfinite(v))
    if bad.size:
        raise ValueError(f"field must be finite, got {v[bad[0]]} at t = 0, x = {x[bad[0]]:.6g}")
    y = x + v
    atoms = isinstance(source, Empirical)
    with np.errstate(all="ignore"):  # numbers that are not finite speak for no graph
        size = float(np.sqrt(weights @ v**2)) or 1.0
        if noise is None:
            noise = min(_turning(velocity, x, v, weights), _missing(velocity, source, target))
        missed = 0.0
        if target is not None and not atoms:
            order = np.argsort(y)
            levels = np.cumsum(weights[order]) - 0.5 * weights[order]
            gap = y[order] - target.ppf(levels)
            missed = float(np.sqrt(weights[order] @ gap**2))
        level = noise if np.isfinite(noise) else 0.0
        found = diffusions(velocity, source, target, level)
        spreading = spreads(velocity, source) if isinstance(source, Empirical) else 0.0
    return Graph(frozen(x), frozen(y), frozen(weights), found, noise, size, missed, spreading)


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
    apart = float(np.sqrt(-2 * np.expm1(-0.5 * (t / DURATION) ** 2)))
    return turn / apart if apart > 0 else float("inf")


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


def find_graph(
    velocity: VelocityField,
    source: Marginal,
    target: Marginal | None,
    noise: float | None,
    forward: Graph | None = None,
) -> Graph | None:
    """Return the graph of a deterministic plan, None if it is none; ``forward`` if known is it."""
    forward = forward or graph_of(velocity, source, target, noise)
    if forward.holds or target is None:
        return forward if forward.holds else None
    back = replace(graph_of(reversed_time(velocity), target, source, noise), mirrored=True)
    return back if back.holds else None


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
    forward = graph_of(velocity, law0, law1, noise)
    found = find_graph(velocity, law0, law1, noise, forward)
    if found is not None:
        return graph_recovery(found, law0, law1)
    return replace(
        graph_recovery(forward, law0, law1),
        status="inconsistent",
        verdict="representative",
        reason="the plan is not deterministic",
        message=f"X1 is no function of X0: {forward.finding}",
    )


def graph_recovery(graph: Graph, source: Marginal, target: Marginal | None) -> Recovery:
    """Turn the graph of a map into a result."""
    start, end, weights = graph.start, graph.end, graph.weights
    steps = np.diff(end[np.argsort(start)])
    beside = weights[np.argsort(start)][1:]
    rising = float(beside @ (steps > 0)), float(beside @ (steps < 0))
    monotone = max(rising) > 1 - 2 * graph.level - 2 / len(start)
    shape = "increasing" if rising[0] > rising[1] else "decreasing"
    atoms = isinstance(source, Empirical) or isinstance(target, Empirical)
    plan: AtomicPlan | MonotonePlan
    if not atoms and target is not None and monotone:
        plan = monotone_plan(source, target, decreasing=shape == "decreasing")
        kind = f"{shape}, rearranged onto the target"
    else:
        law = source if graph.mirrored else target
        landed = not atoms and law is not None and graph.missed > ROUGH * graph.size
        if law is not None and landed:
            end = _onto(law, end, weights)
        plan = AtomicPlan(*((end, start) if graph.mirrored else (start, end)), weights)
        kind = f"{shape if monotone else 'no monotone map'}, as {len(start)} pairs"
        kind = f"{len(start)} atoms" if atoms else kind
        kind += ", moved onto the target" if landed else ""
    laws = (("X0", source), ("X1", target))
    heavy = [name for name, law in laws if law is not None and not np.isfinite(law.std())]
    possible = graph.diffusion.within(1)
    bars = {}
    if not heavy:
        (bar,) = graph.expectations([_standardised(plan)])
        # Of two plans with one map and the same ends, the one that diffuses correlates less.
        error = float(np.hypot(bar.error, 0.5 * possible))
        bars["correlation"] = ErrorBar(float(plan.correlation), error, 1.0, 0.0)
    t = int(graph.mirrored)
    which = f"X{1 - t} is a function of X{t}"
    reason = f"{which}: the field at t = {t} is the map itself, whatever the tails"
    if heavy:
        reason += f"; there is no correlation, {' and '.join(heavy)} without a variance"
    left = f"diffusion of {possible:.1g} of the variance of X{1 - t}"
    if not graph.still:
        reason += f"; a {left}, if there is one, is too small for a grid to tell"
    elif possible > NARROW:
        reason += f"; a {left} would not show beside the field's error"
    return Recovery(
        plan=plan,
        family="graph",
        verdict="unique",
        reason=reason,
        status="converged",
        message=f"the graph of the field at t = {t}: {kind}",
        residuals=Residuals(
            abs(graph.diffusion.whole.value), frozen(np.zeros(1)), graph.level, None
        ),
        error_bars=bars,
        settings={"points": len(start), "noise": graph.level, "undecided diffusion": possible},
        history=(),
        estimator=graph,
        evidence=(
            f"{graph.finding}, with a field of the relative error {graph.level:.1g}",
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


def _standardised(plan: Plan) -> Callable[[FloatArray, FloatArray], FloatArray]:
    (mean0, mean1), variances = plan.mean, np.diag(plan.cov)
    std0, std1 = np.sqrt(np.where(variances > 0, variances, 1.0))

    def product(x: FloatArray, y: FloatArray) -> FloatArray:
        values: FloatArray = (x - mean0) / std0 * (y - mean1) / std1
        return values

    return product
