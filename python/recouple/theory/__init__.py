"""The theory of flow matching with two-layer ReLU networks, as numbers to compute.

Optimisation (the tangent kernel), generalisation (complexities and gaps) and Wasserstein guarantees
for the samples, each citing where its bound comes from, and :func:`chain_report`, which links them.
"""

from recouple.theory.chain import Chain, Generalization, Link, chain_report, generalization_report
from recouple.theory.kernel import (
    Prediction,
    Spectrum,
    Width,
    ntk_gram,
    ntk_gram_empirical,
    predicted_loss,
    spectrum,
    width_required,
)
from recouple.theory.risk import (
    KernelBall,
    arora_complexity,
    cfm_floor,
    excess,
    kernel_ball_bound,
    multitask_bound,
    task_variance,
)
from recouple.theory.stability import (
    Lipschitz,
    WassersteinBounds,
    ag_identity,
    euler_term,
    lipschitz,
    wasserstein_bounds,
)

__all__ = [
    "Chain",
    "Generalization",
    "KernelBall",
    "Link",
    "Lipschitz",
    "Prediction",
    "Spectrum",
    "WassersteinBounds",
    "Width",
    "ag_identity",
    "arora_complexity",
    "cfm_floor",
    "chain_report",
    "euler_term",
    "excess",
    "generalization_report",
    "kernel_ball_bound",
    "lipschitz",
    "multitask_bound",
    "ntk_gram",
    "ntk_gram_empirical",
    "predicted_loss",
    "spectrum",
    "task_variance",
    "wasserstein_bounds",
    "width_required",
]
