"""One-step generators: given the plan, one draw x1 ~ pi(. | x0) replaces the ODE.

:func:`distill` goes all the way from a field to a sampler and its report. The samplers are
:func:`one_step` (one draw), :func:`k_step` (k draws, closer to the flow's own coupling) and
:func:`monotone_step` (the flow's own map on the line); :func:`distillation_report` judges any.
"""

from recouple.distill.report import DistillationReport, OdeRow, distillation_report
from recouple.distill.sampler import (
    KStep,
    MonotoneStep,
    OneStep,
    k_step,
    load_sampler,
    monotone_step,
    one_step,
)
from recouple.distill.teacher import Distillation, distill

__all__ = [
    "Distillation",
    "DistillationReport",
    "KStep",
    "MonotoneStep",
    "OdeRow",
    "OneStep",
    "distill",
    "distillation_report",
    "k_step",
    "load_sampler",
    "monotone_step",
    "one_step",
]
