"""The demo: the plan of real households recovered from its field alone."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from dataclasses import field as dataclass_field
from importlib.resources import files
from typing import Any

import numpy as np

from recouple.arguments import FloatArray
from recouple.distill import one_step
from recouple.field import velocity_field
from recouple.flow import integrate
from recouple.inverse import Recovery, recover_plan
from recouple.plan import AtomicPlan, GridPlan, MixturePlan
from recouple.progress import Progress
from recouple.wasserstein import wasserstein_1d

__all__ = ["Demo", "demo", "engel_pairs"]


def engel_pairs() -> tuple[FloatArray, FloatArray]:
    """Return income and food expenditure of 235 Belgian households, in francs a year.

    Source: Engel (1857), as published by Koenker & Bassett (1982), Econometrica 50, 43-61.

    Examples
    --------
    >>> import numpy as np
    >>> from recouple.study import engel_pairs
    >>> income, food = engel_pairs()
    >>> len(income), round(float(np.median(food / income)), 2)
    (235, 0.66)
    """
    text = files("recouple").joinpath("data", "engel.csv").read_text()
    rows = [line for line in text.splitlines() if line and not line.startswith(("#", "income"))]
    pairs = np.array([line.split(",") for line in rows], dtype=float)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


@dataclass(frozen=True)
class Demo:
    """What the demo found; ``table()`` puts it in words."""

    total_variation: float
    correlation_true: float
    correlation_recovered: float
    field_consistency: float
    w2_one_step: float
    w2_ode: float
    w2_floor: float
    ns_one_step: float
    ns_ode: float
    seconds: float
    truth: MixturePlan = dataclass_field(repr=False)
    recovery: Recovery = dataclass_field(repr=False)

    def figures(self) -> dict[str, Any]:
        """Return the figures by name, without the plans."""
        return {
            name: value for name, value in asdict(self).items() if name not in ("truth", "recovery")
        }

    def table(self) -> str:
        """Return the findings as a table."""
        bar = self.recovery.error_bars["correlation"]
        rows = [
            ("verdict", self.recovery.verdict, ""),
            ("total variation, recovered against true plan", f"{self.total_variation:.4f}", ""),
            ("correlation, true", f"{self.correlation_true:.5f}", ""),
            ("correlation, recovered", f"{bar.value:.5f}", f"+- {bar.error:.0e}"),
            ("field consistency", f"{self.field_consistency:.4f}", "of the field's size"),
            ("W2 to the target, one-step samples", f"{self.w2_one_step:.4f}", "std of the data"),
            ("W2 to the target, ODE of 100 steps", f"{self.w2_ode:.4f}", "std of the data"),
            ("W2 between two samples of the target", f"{self.w2_floor:.4f}", "std of the data"),
            ("time for a sample, one step", f"{self.ns_one_step:.0f}", "ns"),
            ("time for a sample, ODE", f"{self.ns_ode:.0f}", "ns"),
            ("recovery", f"{self.seconds:.1f}", "s"),
        ]
        width = max(len(name) for name, _, _ in rows)
        return "\n".join(
            f"{name:<{width}}  {value:>8}  {unit}".rstrip() for name, value, unit in rows
        )


def demo(
    *,
    bandwidth: float = 0.2,
    grid: int = 96,
    samples: int = 20_000,
    rng: int = 0,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Demo:
    """Recover the joint law of income and food expenditure from its flow-matching field alone.

    The 235 pairs (log income, log food expenditure), standardised, are smoothed by Gaussian kernels
    into a plan. Its field v and the law of X0 are all that :func:`recover_plan` is given.

    Parameters
    ----------
    bandwidth : float
        Standard deviation of the kernels, in standard deviations of the data.
    grid : int
        Points a side of the recovered plan.
    samples : int
        Draws for comparing the one-step sampler with the ODE.
    rng : int
        Seed of those draws.
    num_threads, progress
        As in :func:`recover_plan`.

    Returns
    -------
    Demo
    """
    logs = [np.log(values) for values in engel_pairs()]
    z0, z1 = ((z - z.mean()) / z.std() for z in logs)
    truth = AtomicPlan(z0, z1).smoothed(bandwidth)
    field = velocity_field(truth)

    start = time.perf_counter()
    recovery = recover_plan(
        field,
        truth.source,
        family="line",
        grid=grid,
        num_threads=num_threads,
        progress=progress,
    )
    seconds = time.perf_counter() - start

    plan = recovery.plan
    expected = _masses(truth, plan)
    generator = np.random.default_rng(rng)
    x0 = truth.source.rvs(samples, generator)
    target, again = truth.target.rvs(samples, generator), truth.target.rvs(samples, generator)
    draw = one_step(plan)
    start = time.perf_counter()
    drawn = draw(x0, generator)
    ns_one_step = (time.perf_counter() - start) / samples * 1e9
    start = time.perf_counter()
    flow = integrate(field, x0, method="rk4", steps=100, num_threads=num_threads)
    ns_ode = (time.perf_counter() - start) / samples * 1e9
    assert recovery.residuals.field is not None
    return Demo(
        total_variation=float(np.abs(plan.mass - expected).sum() / 2),
        correlation_true=float(truth.correlation),
        correlation_recovered=float(plan.correlation),
        field_consistency=recovery.residuals.field,
        w2_one_step=float(wasserstein_1d(drawn, target, p=2)),
        w2_ode=float(wasserstein_1d(flow.x, target, p=2)),
        w2_floor=float(wasserstein_1d(again, target, p=2)),
        ns_one_step=ns_one_step,
        ns_ode=ns_ode,
        seconds=seconds,
        truth=truth,
        recovery=recovery,
    )


def _masses(truth: MixturePlan, plan: GridPlan) -> FloatArray:
    x, y = np.meshgrid(plan.x0, plan.x1, indexing="ij")
    cell = (plan.x0[1] - plan.x0[0]) * (plan.x1[1] - plan.x1[0])
    masses: FloatArray = truth.pdf(x, y) * cell
    return masses
