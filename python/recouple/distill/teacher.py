"""From a teacher's field to a sampler in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recouple.arguments import whole_number
from recouple.distill.report import DistillationReport, distillation_report
from recouple.distill.sampler import KStep, OneStep, k_step, one_step
from recouple.field import VelocityField
from recouple.inverse import Recovery, recover_plan
from recouple.progress import Progress

__all__ = ["Distillation", "distill"]


@dataclass(frozen=True)
class Distillation:
    """A field distilled: what was recovered, the sampler it gives, and the sampler's report."""

    recovery: Recovery
    sampler: OneStep | KStep
    report: DistillationReport

    def summary(self) -> str:
        """Return the recovery's findings and the sampler's."""
        return f"{self.recovery.summary()}\n\n{self.report.summary()}"

    def __repr__(self) -> str:
        return (
            f"Distillation({self.recovery.verdict}, {self.report.metric} {self.report.w2:.3g} "
            f"(floor {self.report.w2_floor:.3g}))"
        )


def distill(
    field: VelocityField | Callable[[Any, Any], Any],
    source: Any,
    target: Any = None,
    *,
    steps: int = 1,
    samples: int = 20_000,
    rng: int | np.random.Generator | None = 0,
    num_threads: int | None = None,
    progress: Progress = None,
    **options: Any,
) -> Distillation:
    """Distil a flow-matching field into a sampler of one step, or of a few, and judge it.

    Recovers the plan (:func:`recover_plan`), makes its sampler (:func:`one_step`, :func:`k_step`)
    and its report (:func:`distillation_report`).

    Parameters
    ----------
    field : VelocityField or callable
        The teacher, ``v(t, x)``, for the linear interpolant.
    source : law or array of samples
        Law of X0.
    target : law or array of samples, optional
        Law of X1.
    steps : int
        Draws of the sampler.
    samples, rng
        Draws behind the report's figures, and their seed.
    num_threads, progress, options
        As in :func:`recover_plan`.

    Returns
    -------
    Distillation
        ``.recovery``, ``.sampler``, ``.report``.

    Raises
    ------
    ValueError
        As :func:`recover_plan`, :func:`k_step` and :func:`distillation_report`.

    Examples
    --------
    >>> import recouple as rc
    >>> teacher = rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.8, 1.0))
    >>> done = rc.distill(teacher, rc.Normal(0.0, 1.0), grid=48, samples=2000)
    >>> done.recovery.verdict, done.report.w2 < 2 * done.report.w2_floor
    ('unique', True)
    """
    count = whole_number("steps", steps, minimum=1)
    recovery = recover_plan(
        field, source, target, num_threads=num_threads, progress=progress, **options
    )
    sampler = one_step(recovery.plan) if count == 1 else k_step(recovery.plan, count)
    report = distillation_report(
        field, sampler, source, target, samples=samples, rng=rng, num_threads=num_threads
    )
    return Distillation(recovery, sampler, report)
