"""The report that judges a sampler against the field it was distilled from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from recouple.arguments import FloatArray, generator, real_array, whole_number
from recouple.field import VelocityField, as_field, velocity_field
from recouple.flow import integrate
from recouple.marginal import Marginal, as_marginal
from recouple.plan import AtomicPlan, Plan
from recouple.wasserstein import sliced_wasserstein, wasserstein_1d

__all__ = ["DistillationReport", "OdeRow", "distillation_report"]

EVALUATIONS = (1, 2, 4, 8, 16, 32, 64, 128)
STAGES = {"euler": 1, "heun": 2, "rk4": 4}
PATH = 32  # intervals of the path along which integrals over t are taken
PROJECTIONS = 200
REPEATS = 4  # samples of the target: the distance of two samples varies by a third


@dataclass(frozen=True)
class OdeRow:
    """The ODE at one budget: evaluations a sample, the method that did best, W2 and time."""

    evaluations: int
    method: str
    w2: float
    ns: float

    def name(self) -> str:
        """Say what was integrated."""
        return f"ODE, {self.evaluations} evaluations ({self.method})"


@dataclass(frozen=True)
class DistillationReport:
    """What a sampler is worth; made by :func:`distillation_report`.

    Attributes
    ----------
    metric : str
        ``"W2"`` on the line, ``"sliced W2"`` in R^D.
    w2 : float
        Distance of the sampler's draws to the target: root mean square over four samples of it.
    w2_floor : float
        The same between these samples: what no sampler of this size falls below.
    w2_reference : float
        The same for the ODE at tolerance 1e-6.
    field_consistency : float or None
        sqrt(E|v_plan - v|^2 / E|v|^2) at (t, X_t), X drawn by the sampler: W2 to the target is
        blind to the coupling, this is not. None if the sampler has no plan with a field.
    ode : tuple of OdeRow
        The ODE at 1, 2, 4, ... evaluations of the field.
    ns : float
        Nanoseconds a sample.
    straightness : float
        int E|X1 - X0 - v(t, X_t)|^2 dt / int E|v|^2 dt along the flow: 0 where one Euler step is
        exact (Liu, Gong & Liu 2022).
    w2_ends, action, cost : float
        The sandwich W2(p0, p1)^2 <= int E|v|^2 dt <= E|X1 - X0|^2, as square roots: the distance of
        the ends (in R^D its lower bound sqrt(D) times the sliced distance), the field's action, and
        what the sampler's pairs cost.
    samples : int
        Draws behind each figure.
    """

    metric: str
    w2: float
    w2_floor: float
    w2_reference: float
    field_consistency: float | None
    ode: tuple[OdeRow, ...]
    ns: float
    straightness: float
    w2_ends: float
    action: float
    cost: float
    samples: int

    def figures(self) -> dict[str, Any]:
        """Return all figures as plain numbers, for JSON."""
        return asdict(self)

    def summary(self) -> str:
        """Return the findings as a table."""
        consistency = (
            "no plan" if self.field_consistency is None else f"{self.field_consistency:.4g}"
        )
        rows = [
            (f"{self.metric} to the target, sampler", f"{self.w2:.4g}", f"{self.ns:.0f} ns"),
            (f"{self.metric} between two target samples", f"{self.w2_floor:.4g}", ""),
            (f"{self.metric} to the target, ODE at 1e-6", f"{self.w2_reference:.4g}", ""),
            *(
                (
                    f"ODE, {row.evaluations} evaluations ({row.method})",
                    f"{row.w2:.4g}",
                    f"{row.ns:.0f} ns",
                )
                for row in self.ode
            ),
            ("field consistency", consistency, ""),
            ("straightness (0: one Euler step is exact)", f"{self.straightness:.4g}", ""),
            ("sandwich: W2 of the ends", f"{self.w2_ends:.4g}", ""),
            ("          root of the action", f"{self.action:.4g}", ""),
            ("          root of E|X1 - X0|^2", f"{self.cost:.4g}", ""),
        ]
        width = max(len(name) for name, _, _ in rows)
        head = f"{self.samples} samples"
        return "\n".join(
            [
                head,
                *(f"{name:<{width}}  {value:>9}  {unit:>9}".rstrip() for name, value, unit in rows),
            ]
        )


def distillation_report(
    field: VelocityField | Callable[[Any, Any], Any],
    sampler: Callable[..., Any],
    source: Any,
    target: Any = None,
    *,
    samples: int = 20_000,
    evaluations: Sequence[int] = EVALUATIONS,
    rng: int | np.random.Generator | None = 0,
    num_threads: int | None = None,
) -> DistillationReport:
    r"""Judge a sampler: distance to the target, agreement with the field, against the ODE.

    Parameters
    ----------
    field : VelocityField or callable
        The teacher, v(t, x), for the linear interpolant.
    sampler : callable
        ``sampler(x0, rng)`` gives x1; with a ``plan`` its field is compared with the teacher's.
    source : law or array of samples
        Law of X0; a law in R^D needs ``rvs``. Samples are drawn from with replacement.
    target : law or array of samples, optional
        Law of X1; by default where the flow of the field ends.
    samples : int
        Draws n for each figure.
    evaluations : sequence of int
        Budgets of the ODE. At each the best of Euler, Heun and RK4 is reported.
    rng : int, Generator or None
        Seed of the draws.
    num_threads : int, optional
        For the ODE.

    Returns
    -------
    DistillationReport

    Raises
    ------
    ValueError
        If the sampler's draws are not shaped like its input or not finite, or an end is no law.

    Notes
    -----
    Accuracy: that of Monte Carlo, n^(-1/2); ``w2_floor`` tells how much of ``w2`` that is.
    Cost: sum(evaluations) n evaluations of the field, thrice, and the sorting.

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.GaussianPlan(0.0, 1.0, 1.0, 0.8, 1.0)
    >>> report = rc.distillation_report(
    ...     rc.velocity_field(plan), rc.one_step(plan), rc.Normal(0.0, 1.0), samples=2000
    ... )
    >>> report.field_consistency < 1e-12, report.action <= report.cost
    (True, True)
    """
    n = whole_number("samples", samples, minimum=100)
    budgets = [whole_number("evaluations", k, minimum=1) for k in evaluations]
    generate = generator(rng)
    x0 = _draw("source", source, n, generate)
    dim = 1 if x0.ndim == 1 else x0.shape[1]
    teacher = as_field(field, dim)
    if teacher.dim != dim:
        raise ValueError(f"field must have the source's dim {dim}, got {teacher.dim}")

    end, action, bend = _along_the_flow(teacher, x0, num_threads)
    if target is None:
        again = _draw("source", source, REPEATS * n, generate)
        targets = np.split(integrate(teacher, again, num_threads=num_threads).x, REPEATS)
    else:
        targets = [_draw("target", target, n, generate) for _ in range(REPEATS)]
    drawn = targets[0]
    if drawn.shape != x0.shape:
        raise ValueError(f"target must have the source's dim {dim}, got shape {drawn.shape}")
    directions = None if dim == 1 else _directions(dim, generate)

    def distance(x: FloatArray, y: FloatArray = drawn) -> float:
        if dim == 1:
            return float(wasserstein_1d(x, y, p=2))
        return float(sliced_wasserstein(x, y, p=2, projections=directions))

    def to_target(x: FloatArray) -> float:
        return _root_mean_square([distance(x, y) for y in targets])

    start = time.perf_counter()
    x1 = sampler(x0, generate)
    ns = (time.perf_counter() - start) / n * 1e9
    x1 = real_array("sampler(x0, rng)", x1, shape=x0.shape)

    rows = tuple(_ode_row(teacher, x0, k, distance, num_threads) for k in budgets)
    return DistillationReport(
        metric="W2" if dim == 1 else "sliced W2",
        w2=to_target(x1),
        w2_floor=_root_mean_square([distance(x, y) for x, y in combinations(targets, 2)]),
        w2_reference=to_target(end),
        field_consistency=_consistency(teacher, sampler, x0, x1, generate),
        ode=rows,
        ns=ns,
        straightness=bend / action if action > 0 else 0.0,
        w2_ends=_lower_bound(x0, drawn, directions),
        action=float(np.sqrt(action)),
        cost=float(np.sqrt(np.mean(_squares(x1 - x0)))),
        samples=n,
    )


def _lower_bound(x: FloatArray, y: FloatArray, directions: FloatArray | None) -> float:
    """W2 on the line; in R^D its lower bound sqrt(D) times the sliced distance."""
    if directions is None:
        return float(wasserstein_1d(x, y, p=2))
    sliced = sliced_wasserstein(x, y, p=2, projections=directions)
    return float(np.sqrt(x.shape[1])) * float(sliced)


def _root_mean_square(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _squares(v: FloatArray) -> FloatArray:
    return v**2 if v.ndim == 1 else (v**2).sum(axis=1)


def _draw(name: str, law: Any, n: int, rng: np.random.Generator) -> FloatArray:
    """Draw n points of a law, or of an array of samples with replacement."""
    if not hasattr(law, "rvs"):
        points = real_array(name, law)
        if points.ndim not in (1, 2):
            raise ValueError(f"{name} must be a law or samples (n,) or (n, D), got {points.shape}")
        return points[rng.integers(len(points), size=n)]
    if isinstance(law, Marginal) or not hasattr(law, "dim"):
        try:
            law = as_marginal(law, name=name)
        except ValueError:  # a law of another kind that can be drawn from, in R^D
            return real_array(name, law.rvs(n, random_state=rng))
    return real_array(f"{name}.rvs", law.rvs(n, rng))


def _directions(dim: int, rng: np.random.Generator) -> FloatArray:
    theta = rng.standard_normal((PROJECTIONS, dim))
    unit: FloatArray = theta / np.linalg.norm(theta, axis=1, keepdims=True)
    return unit


def _along_the_flow(
    field: VelocityField, x0: FloatArray, num_threads: int | None
) -> tuple[FloatArray, float, float]:
    """Return the flow's end, int E|v|^2 dt and int E|X1 - X0 - v|^2 dt, by Simpson's rule."""
    times = np.linspace(0, 1, PATH + 1)
    weights = np.full(PATH + 1, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    flow = integrate(field, x0, t_eval=times, num_threads=num_threads)
    lost = np.count_nonzero(flow.status)
    if lost:
        raise ValueError(
            f"field must carry the source to time 1: {lost} of {len(x0)} trajectories do not get "
            f"there\n{flow.summary()}"
        )
    path = np.asarray(flow.x)
    action = bend = 0.0
    for w, t, x in zip(weights / (3 * PATH), times, path, strict=True):
        v = field(float(t), x)
        action += w * float(np.mean(_squares(v)))
        bend += w * float(np.mean(_squares(path[-1] - x0 - v)))
    return path[-1], action, bend


def _ode_row(
    field: VelocityField,
    x0: FloatArray,
    evaluations: int,
    distance: Callable[[FloatArray], float],
    num_threads: int | None,
) -> OdeRow:
    best: OdeRow | None = None
    for method, stages in STAGES.items():
        if evaluations % stages:
            continue
        start = time.perf_counter()
        x = integrate(
            field, x0, method=method, steps=evaluations // stages, num_threads=num_threads
        ).x
        ns = (time.perf_counter() - start) / len(x0) * 1e9
        row = OdeRow(evaluations, method, distance(x), ns)
        if best is None or row.w2 < best.w2:
            best = row
    assert best is not None  # Euler fits any number
    return best


def _consistency(
    field: VelocityField, sampler: Any, x0: FloatArray, x1: FloatArray, rng: np.random.Generator
) -> float | None:
    plan = getattr(sampler, "plan", None)
    if not isinstance(plan, Plan) or isinstance(plan, AtomicPlan):
        return None
    t = rng.random(len(x0))
    at = t if x0.ndim == 1 else t[:, None]
    x = (1 - at) * x0 + at * x1
    v = field(t, x)
    gap = velocity_field(plan)(t, x) - v
    return float(np.sqrt(np.mean(_squares(gap)) / np.mean(_squares(v))))
