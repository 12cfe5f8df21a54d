"""One-step generators: given the plan, one draw x1 ~ pi(. | x0) replaces the ODE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.plan import GridPlan, Plan

__all__ = ["OneStep", "one_step"]


@dataclass(frozen=True)
class OneStep:
    """A sampler that takes source points to target points in one step.

    ``generator(x0, rng)`` draws x1 ~ pi(. | x0) for each x0. If x0 ~ source then (x0, x1) ~ pi
    exactly, hence x1 ~ target: there is no discretisation, only the error of the plan. Points
    beyond a grid plan's range take the conditional law at its edge.
    """

    plan: Plan

    def __call__(self, x0: ArrayLike, rng: int | np.random.Generator | None = None) -> Any:
        """Draw one x1 for each x0, shaped like x0; ``rng`` is a seed, a Generator or None."""
        if isinstance(self.plan, GridPlan):  # sources reach beyond any grid: take its edge there
            return self.plan.sample_conditional(x0, rng, nearest=True)
        return self.plan.sample_conditional(x0, rng)


def one_step(plan: Plan) -> OneStep:
    """Distil a plan into a one-step sampler.

    Parameters
    ----------
    plan : Plan
        Any plan that can be sampled given X0: Gaussian, mixture, grid or atomic.

    Returns
    -------
    OneStep

    Raises
    ------
    ValueError
        If ``plan`` is not a plan. Drawing raises it where the plan has no mass over x0.

    Notes
    -----
    Cost: O(K) a draw from K components, O(N) from a grid of N points a side; an ODE with S steps
    of RK4 costs 4 S field evaluations instead.

    Examples
    --------
    >>> import numpy as np, recouple as rc
    >>> draw = rc.one_step(rc.GaussianPlan(0.0, 1.0, 1.0, 0.8, 1.0))
    >>> x1 = draw(np.full(10_000, 2.0), rng=0)
    >>> round(float(x1.mean()), 1), round(float(x1.std()), 1)
    (2.6, 0.6)
    """
    if not isinstance(plan, Plan):
        hint = "; a recovery holds one: rec.plan" if hasattr(plan, "plan") else ""
        raise ValueError(f"plan must be a plan, got {type(plan).__name__}{hint}")
    return OneStep(plan)
