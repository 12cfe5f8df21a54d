"""Wasserstein distances: on the line, sliced, between Gaussians and their mixtures."""

from recouple.wasserstein.energy import energy_distance
from recouple.wasserstein.gaussian import (
    BuresGradient,
    BuresMap,
    MixtureDistance,
    bures_map,
    bures_wasserstein,
    bures_wasserstein_grad,
    mixture_wasserstein,
)
from recouple.wasserstein.law import LawDistance, wasserstein_law
from recouple.wasserstein.line import wasserstein_1d
from recouple.wasserstein.plan import (
    LineGradient,
    LinePlan,
    wasserstein_1d_grad,
    wasserstein_1d_plan,
)
from recouple.wasserstein.sliced import (
    MaxSlicedDistance,
    SlicedDistance,
    SlicedGradient,
    max_sliced_wasserstein,
    sliced_wasserstein,
    sliced_wasserstein_grad,
)

__all__ = [
    "BuresGradient",
    "BuresMap",
    "LawDistance",
    "LineGradient",
    "LinePlan",
    "MaxSlicedDistance",
    "MixtureDistance",
    "SlicedDistance",
    "SlicedGradient",
    "bures_map",
    "bures_wasserstein",
    "bures_wasserstein_grad",
    "energy_distance",
    "max_sliced_wasserstein",
    "mixture_wasserstein",
    "sliced_wasserstein",
    "sliced_wasserstein_grad",
    "wasserstein_1d",
    "wasserstein_1d_grad",
    "wasserstein_1d_plan",
    "wasserstein_law",
]
