"""Plans: joint laws of (X0, X1), the couplings that flow matching draws its pairs from."""

from recouple.plan.atomic import AtomicPlan
from recouple.plan.base import Plan
from recouple.plan.file import load_plan
from recouple.plan.grid import GridPlan
from recouple.plan.law import Atoms, Gaussian, GaussianMixture, GridLaw
from recouple.plan.mixture import GaussianPlan, MixturePlan

__all__ = [
    "AtomicPlan",
    "Atoms",
    "Gaussian",
    "GaussianMixture",
    "GaussianPlan",
    "GridLaw",
    "GridPlan",
    "MixturePlan",
    "Plan",
    "load_plan",
]
