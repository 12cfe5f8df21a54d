"""recouple: recover the coupling behind a flow-matching velocity field.

Three nouns, and arrows between them::

    plan --velocity_field--> field --integrate--> flow
      ^                        |
      +----- recover_plan -----+
"""

from pathlib import Path as _Path

from recouple import _core, plot, study
from recouple.distill import OneStep, one_step
from recouple.field import GridField, VelocityField, as_field, velocity_field
from recouple.flow import Flow, integrate
from recouple.interpolant import LINEAR, TRIGONOMETRIC, Interpolant
from recouple.inverse import (
    ErrorBar,
    Recovery,
    Residuals,
    Stage,
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
    "LINEAR",
    "TRIGONOMETRIC",
    "AtomicPlan",
    "Atoms",
    "Empirical",
    "Flow",
    "Gaussian",
    "GaussianMixture",
    "GaussianPlan",
    "GridField",
    "GridLaw",
    "GridPlan",
    "Interpolant",
    "truncated",
    "transport_map",
    "tabulate",
    "smoothed",
    "evaluate_rows",
    "affine",
    "TransportMap",
    "Tabulated",
    "Histogram",
    "Marginal",
    "MixturePlan",
    "Normal",
    "NormalMixture",
    "ErrorBar",
    "OneStep",
    "Plan",
    "cmake_dir",
    "include_dir",
    "one_step",
    "plot",
    "study",
    "Recovery",
    "Residuals",
    "Stage",
    "recover_plan",
    "recover_plan_from_snapshots",
    "VelocityField",
    "__version__",
    "as_field",
    "as_marginal",
    "bures_map",
    "bures_wasserstein",
    "bures_wasserstein_grad",
    "energy_distance",
    "integrate",
    "load_plan",
    "max_sliced_wasserstein",
    "mixture_wasserstein",
    "sliced_wasserstein",
    "sliced_wasserstein_grad",
    "velocity_field",
    "wasserstein_1d",
    "wasserstein_1d_grad",
    "wasserstein_1d_plan",
    "wasserstein_law",
]
