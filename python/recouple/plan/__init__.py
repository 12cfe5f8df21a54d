"""Plans: joint laws of (X0, X1), the couplings that flow matching draws its pairs from."""

from recouple.plan.atomic import AtomicPlan
from recouple.plan.base import Plan
from recouple.plan.curve import MonotonePlan, monotone_plan
from recouple.plan.dataset import DatasetPlan, dataset_plan
from recouple.plan.estimate import Estimate
from recouple.plan.file import load_plan
from recouple.plan.grid import GridPlan
from recouple.plan.law import Atoms, Gaussian, GaussianMixture, GridLaw, Mixture
from recouple.plan.mixture import GaussianPlan, MixturePlan
from recouple.plan.product import ProductPlan, product_plan
from recouple.plan.several import PlanMixture, minibatch_plan, mix_plans

__all__ = [
    "AtomicPlan",
    "Atoms",
    "DatasetPlan",
    "Estimate",
    "Gaussian",
    "GaussianMixture",
    "GaussianPlan",
    "GridLaw",
    "GridPlan",
    "Mixture",
    "MixturePlan",
    "MonotonePlan",
    "Plan",
    "PlanMixture",
    "ProductPlan",
    "dataset_plan",
    "load_plan",
    "minibatch_plan",
    "mix_plans",
    "monotone_plan",
    "product_plan",
]
