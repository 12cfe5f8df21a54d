"""recouple: recover the coupling behind a flow-matching velocity field.

Three nouns, and arrows between them::

    plan --velocity_field--> field --integrate--> flow
      ^                        |
      +----- recover_plan -----+
"""

from pathlib import Path as _Path

from recouple import _core, plot, study
from recouple.distill import OneStep, one_step
from recouple.field import (
    FieldReport,
    GridField,
    VelocityField,
    as_field,
    change_interpolant,
    check_field,
    expected_ends,
    reversed_time,
    score_from_velocity,
    velocity_field,
    velocity_from_denoiser,
    velocity_from_score,
)
from recouple.flow import (
    Flow,
    FlowMap,
    FlowStatus,
    PushedLaw,
    crossings,
    integrate,
    log_likelihood,
)
from recouple.interpolant import COSINE, LINEAR, TRIGONOMETRIC, Interpolant, custom_interpolant
from recouple.inverse import (
    ErrorBar,
    Identifiability,
    MixtureFit,
    Recovery,
    Residuals,
    Stage,
    ambiguous_pair,
    fit_mixture,
    identifiability,
    recover_plan,
    recover_plan_from_snapshots,
)
from recouple.marginal import (
    Empirical,
    Histogram,
    Marginal,
    Normal,
    NormalMixture,
    affine,
    as_marginal,
    evaluate_rows,
    smoothed,
    truncated,
)
from recouple.network import ReluNetwork, Trace, train
from recouple.plan import (
    AtomicPlan,
    Atoms,
    DatasetPlan,
    Estimate,
    Gaussian,
    GaussianMixture,
    GaussianPlan,
    GridLaw,
    GridPlan,
    Mixture,
    MixturePlan,
    MonotonePlan,
    Plan,
    PlanMixture,
    ProductPlan,
    dataset_plan,
    load_plan,
    minibatch_plan,
    mix_plans,
    monotone_plan,
    product_plan,
)
from recouple.quantile import Tabulated, TransportMap, tabulate, transport_map
from recouple.wasserstein import (
    bures_map,
    bures_wasserstein,
    bures_wasserstein_grad,
    energy_distance,
    max_sliced_wasserstein,
    mixture_wasserstein,
    sliced_wasserstein,
    sliced_wasserstein_grad,
    wasserstein_1d,
    wasserstein_1d_grad,
    wasserstein_1d_plan,
    wasserstein_law,
)


def cmake_dir() -> str:
    """Return the folder of the CMake package, for ``-DCMAKE_PREFIX_PATH`` or ``recouple_DIR``."""
    return str(_Path(_core.__file__).parent / "lib" / "cmake" / "recouple")


def include_dir() -> str:
    """Return the folder of the C++ headers."""
    return str(_Path(_core.__file__).parent / "include")


__version__: str = _core.__version__

__all__ = [
    "COSINE",
    "LINEAR",
    "TRIGONOMETRIC",
    "AtomicPlan",
    "Atoms",
    "DatasetPlan",
    "Empirical",
    "ErrorBar",
    "Estimate",
    "FieldReport",
    "Flow",
    "FlowMap",
    "FlowStatus",
    "Gaussian",
    "GaussianMixture",
    "GaussianPlan",
    "GridField",
    "GridLaw",
    "GridPlan",
    "Histogram",
    "Identifiability",
    "Interpolant",
    "Marginal",
    "Mixture",
    "MixtureFit",
    "MixturePlan",
    "MonotonePlan",
    "Normal",
    "NormalMixture",
    "OneStep",
    "Plan",
    "PlanMixture",
    "ProductPlan",
    "PushedLaw",
    "Recovery",
    "ReluNetwork",
    "Residuals",
    "Stage",
    "Tabulated",
    "Trace",
    "TransportMap",
    "VelocityField",
    "__version__",
    "affine",
    "ambiguous_pair",
    "as_field",
    "as_marginal",
    "bures_map",
    "bures_wasserstein",
    "bures_wasserstein_grad",
    "change_interpolant",
    "check_field",
    "cmake_dir",
    "crossings",
    "custom_interpolant",
    "dataset_plan",
    "energy_distance",
    "evaluate_rows",
    "expected_ends",
    "fit_mixture",
    "identifiability",
    "include_dir",
    "integrate",
    "load_plan",
    "log_likelihood",
    "max_sliced_wasserstein",
    "minibatch_plan",
    "mix_plans",
    "mixture_wasserstein",
    "monotone_plan",
    "one_step",
    "plot",
    "product_plan",
    "recover_plan",
    "recover_plan_from_snapshots",
    "reversed_time",
    "score_from_velocity",
    "sliced_wasserstein",
    "sliced_wasserstein_grad",
    "smoothed",
    "study",
    "tabulate",
    "train",
    "transport_map",
    "truncated",
    "velocity_field",
    "velocity_from_denoiser",
    "velocity_from_score",
    "wasserstein_1d",
    "wasserstein_1d_grad",
    "wasserstein_1d_plan",
    "wasserstein_law",
]
