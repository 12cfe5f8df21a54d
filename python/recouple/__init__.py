"""recouple: recover the coupling behind a flow-matching velocity field.

Three nouns, and arrows between them::

    plan --velocity_field--> field --integrate--> flow
      ^                        |
      +----- recover_plan -----+
"""

from importlib.metadata import version as _version

from recouple.field import GridField, VelocityField, as_field, velocity_field
from recouple.flow import Flow, integrate
from recouple.interpolant import LINEAR, TRIGONOMETRIC, Interpolant
from recouple.marginal import Empirical, Marginal, Normal, NormalMixture, as_marginal
from recouple.plan import (
    AtomicPlan,
    Atoms,
    Gaussian,
    GaussianMixture,
    GaussianPlan,
    GridLaw,
    GridPlan,
    MixturePlan,
    Plan,
    load_plan,
)
from recouple.wasserstein import wasserstein_1d

__version__ = _version("recouple")

__all__ = [
    "LINEAR",
    "TRIGONOMETRIC",
    "Empirical",
    "Flow",
    "AtomicPlan",
    "Atoms",
    "Gaussian",
    "GaussianMixture",
    "GaussianPlan",
    "GridField",
    "GridLaw",
    "GridPlan",
    "Interpolant",
    "Marginal",
    "MixturePlan",
    "Normal",
    "NormalMixture",
    "Plan",
    "VelocityField",
    "__version__",
    "as_field",
    "as_marginal",
    "integrate",
    "load_plan",
    "velocity_field",
    "wasserstein_1d",
]
