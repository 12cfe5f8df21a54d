"""What tests of recovery on the line share: a plan, a measure, a field with an error."""

from __future__ import annotations

from typing import Any

import numpy as np

import recouple as rc
from recouple.inverse.noise import DURATION, LENGTH

THREE = rc.MixturePlan(
    [0.3, 0.3, 0.4],
    [[-1.5, 0.5], [0.3, -1.0], [1.2, 1.4]],
    [[[0.3, 0.1], [0.1, 0.2]], [[0.2, -0.1], [-0.1, 0.3]], [[0.25, 0.15], [0.15, 0.3]]],
)


def total_variation(recovered: rc.GridPlan, truth: rc.MixturePlan) -> float:
    x, y = np.meshgrid(recovered.x0, recovered.x1, indexing="ij")
    mass = truth.pdf(x, y)
    return float(np.abs(recovered.mass - mass / mass.sum()).sum() / 2)


def rough(plan: Any, level: float, seed: int) -> Any:
    """The plan's field with a smooth random relative error."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(40, 2)) / np.array([DURATION, LENGTH])
    phase = rng.uniform(0, 2 * np.pi, 40)

    def field(t: Any, x: Any) -> Any:
        angle = waves[:, :1] * t + waves[:, 1:] * x + phase[:, None]
        return plan.velocity(t, x) * (1 + level * np.sqrt(2 / 40) * np.cos(angle).sum(axis=0))

    return rc.as_field(field)
