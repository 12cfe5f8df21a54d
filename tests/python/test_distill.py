"""One-step samplers reproduce the joint law they were distilled from."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import recouple as rc


@pytest.mark.parametrize(
    "plan",
    [
        rc.GaussianPlan(0, 1, 1, 0.8, 2),
        rc.MixturePlan(
            [0.4, 0.6], [[-1, 1], [1, -1]], np.array([0.3 * np.eye(2), [[0.5, 0.2], [0.2, 0.4]]])
        ),
        rc.GaussianPlan(0, 1, 1, 0.8, 2).on_grid(96, 96),
    ],
    ids=["gaussian", "mixture", "grid"],
)
def test_a_draw_from_the_conditional_law_completes_the_joint_law(plan: rc.Plan) -> None:
    n = 40_000
    x0, _ = plan.sample(n, 3)
    x1 = rc.one_step(plan)(x0, rng=4)
    # Five standard errors of the largest of these estimates, the variance of X1 (2 for the
    # Gaussian): its sample variance has standard deviation 2 sqrt(2 / n).
    tolerance = 5 * 2 * np.sqrt(2 / n)
    assert np.mean(x1) == pytest.approx(plan.mean1, abs=tolerance)
    assert np.cov(x0, x1)[0, 1] == pytest.approx(plan.cov01, abs=tolerance)
    assert np.var(x1) == pytest.approx(plan.cov11, abs=tolerance)


def test_a_sampler_repeats_with_its_seed_and_pickles() -> None:
    draw = rc.one_step(rc.GaussianPlan(0, 0, 1, 0.5, 1))
    x0 = np.linspace(-2, 2, 100)
    again = pickle.loads(pickle.dumps(draw))
    assert np.array_equal(draw(x0, rng=7), again(x0, rng=7))
    assert not np.array_equal(draw(x0, rng=7), draw(x0, rng=8))


def test_only_plans_are_distilled() -> None:
    with pytest.raises(ValueError, match="plan must be a plan, got float"):
        rc.one_step(1.0)  # type: ignore[arg-type]
