"""Plans of no family, and the choice of the family by tests."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import recouple as rc
from recouple import _core
from recouple.inverse.candidates import along_curve, balanced_draw, even_pairing

SMALL: dict[str, Any] = {"candidates": 2000, "times": 5, "frequencies": 16}


def crossing(weight: float) -> rc.MixturePlan:
    """Two clusters to two clusters: mass ``weight`` stays on its side, the rest crosses."""
    centres = [np.array([-3.0, 0.0]), np.array([3.0, 0.0])]
    ends = [np.array([-3.0, 4.0]), np.array([3.0, 4.0])]
    weights, means = [], []
    for i in (0, 1):
        for j in (0, 1):
            weights.append(0.5 * (weight if i == j else 1 - weight))
            means.append(np.concatenate([centres[i], ends[j]]))
    return rc.MixturePlan(weights, means, [np.diag([0.5, 0.5, 0.3, 0.3])] * 4)


@pytest.mark.parametrize("weight", [0.9, 0.5, 0.2])
def test_the_mass_between_clusters_is_found(weight: float) -> None:
    plan = crossing(weight)
    rec = rc.recover_plan(rc.velocity_field(plan), plan.source, family="free", **SMALL)
    assert rec.status == "converged"
    assert rec.verdict == "representative"
    same = (rec.plan.x0[:, 0] > 0) == (rec.plan.x1[:, 0] > 0)
    # The sampling error of 2000 candidates is 1%; the penalty adds as much.
    assert rec.plan.weights[same].sum() == pytest.approx(weight, abs=0.05)
    stays = rec.expectation(lambda x, y: (x[:, 0] > 0) == (y[:, 0] > 0))
    assert stays.value == pytest.approx(float(rec.plan.weights[same].sum()))
    bar = rec.error_bars["cov01"]
    assert (np.abs(bar.value - plan.cov01) < 5 * bar.error + 0.1).all()
    assert rec.settings["effective sample size"] > 200
    assert "not fitted" in rec.evidence[1]


def test_a_source_of_a_few_samples_is_a_source() -> None:
    plan = crossing(0.5)
    few = plan.sample(20, 0)[0]
    rec = rc.recover_plan(rc.velocity_field(plan), few, family="free", **SMALL)
    assert rec.status == "converged"


def test_the_dual_recovers_from_a_start_without_a_hessian() -> None:
    rng = np.random.default_rng(0)
    features, reference = rng.normal(size=(30, 400)), np.full(400, 1 / 400)
    moments, penalty = 0.1 * rng.normal(size=30), np.full(30, 1e-2)
    dual = _core.EntropicDual(reference, features)
    dual.set_theta(np.full(30, 500.0), 1)  # masses of exp(600): no finite Hessian
    assert dual.solve(moments, penalty, 1e-12, 60, 1, None).status != "converged"
    dual.set_theta(np.zeros(30), 1)
    assert dual.solve(moments, penalty, 1e-12, 60, 1, None).status == "converged"


def test_the_dual_of_given_features_meets_its_conditions() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(70, 900))
    reference = rng.random(900)
    reference /= reference.sum()
    truth = reference * np.exp(0.3 * features[0] - 0.2 * features[1])
    moments = features @ truth
    penalty = np.full(70, 1e-4)
    dual = _core.EntropicDual(reference, features)
    stage = dual.solve(moments, penalty, 1e-14, 60, 1, None)
    assert stage.status == "converged"
    theta, mass = dual.theta, dual.mass()
    np.testing.assert_allclose(mass, reference * np.exp(theta @ features), rtol=1e-12)
    np.testing.assert_allclose(features @ mass + penalty * theta, moments, atol=1e-9)
    np.testing.assert_allclose(dual.moments(1), features @ mass, atol=1e-14)
    two = _core.EntropicDual(reference, features)
    two.solve(moments, penalty, 1e-14, 60, 2, None)
    assert np.array_equal(two.theta, theta)


def test_the_dual_follows_the_penalty_and_returns() -> None:
    # Newton's equation is solved under the factor of an earlier Hessian: where it came from, at
    # another penalty and another theta, must leave no trace.
    rng = np.random.default_rng(1)
    features = rng.normal(size=(130, 500))
    reference = np.full(500, 1 / 500)
    moments = features @ rng.dirichlet(np.ones(500))
    near, far = np.full(130, 1e-3), np.full(130, 1.0)
    dual = _core.EntropicDual(reference, features)
    for penalty in (far, near, far, near):
        stage = dual.solve(moments, penalty, 1e-15, 60, 1, None)
        assert stage.status == "converged"
        mass, theta = dual.mass(), dual.theta
        # Newton's steps are 5% inexact: decrement 1e-15 leaves gradients of its root.
        np.testing.assert_allclose(features @ mass + penalty * theta, moments, atol=1e-6)


@pytest.mark.parametrize("dim", [1, 2, 5, 70])
def test_draws_are_balanced_and_pairs_fill_the_square(dim: int) -> None:
    def draw(n: int, rng: np.random.Generator) -> Any:
        return rng.standard_normal((n, dim)) + 3 * rng.integers(0, 2, size=(n, 1))

    x = balanced_draw(draw, 1000, np.random.default_rng(0))
    assert x.shape == (1000, dim)
    assert np.array_equal(np.sort(along_curve(x)), np.arange(1000))
    halves = (x.mean(axis=1) > 1.5).mean()
    # 8000 draws behind them: std .0056; the runs add little where the curve knows the halves.
    assert abs(halves - 0.5) < (0.02 if dim <= 5 else 0.06)
    for n in (1, 2, 37, 1000):
        order = even_pairing(n, np.random.default_rng(n))
        assert np.array_equal(np.sort(order), np.arange(n))
    counts = np.histogram2d(np.arange(1000), order, bins=10)[0]
    # Independent pairs would leave a standard deviation of 3; Hammersley's are within a few.
    assert np.abs(counts - 10).max() <= 4
    assert counts.std() < 1.5


def test_ctrl_c_keeps_the_last_stage() -> None:
    plan = crossing(0.7)

    def stop(done: int, total: int) -> None:
        if 0.4 * total < done < total:  # the end is told however it came
            raise KeyboardInterrupt

    rec = rc.recover_plan(
        rc.velocity_field(plan), plan.source, family="free", progress=stop, **SMALL
    )
    assert rec.status == "interrupted"
    assert 1 <= len(rec.history) < 7
    assert rec.plan.weights.sum() == pytest.approx(1)
    with pytest.raises(KeyboardInterrupt):
        rc.recover_plan(
            rc.velocity_field(plan),
            plan.source,
            family="free",
            progress=lambda done, total: stop(total - 1, total),
            **SMALL,
        )


def test_candidates_that_miss_the_plan_are_refused() -> None:
    # A thread in R^8: random pairs do not come near it.
    plan = rc.GaussianPlan(np.zeros(4), np.ones(4), np.eye(4), 0.98 * np.eye(4), np.eye(4))
    few = {**SMALL, "candidates": 800}
    rec = rc.recover_plan(rc.velocity_field(plan), plan.source, family="free", **few)
    assert rec.status == "collapsed"
    assert "give more" in rec.message
    elsewhere = rc.recover_plan(
        rc.velocity_field(crossing(1.0)),
        crossing(1.0).source,
        rc.Gaussian([0, 60], np.diag([1600, 1600])),
        family="free",
        **few,
    )
    assert elsewhere.status == "inconsistent"


def test_a_free_recovery_pickles_and_speaks() -> None:
    plan = crossing(0.7)
    told: list[tuple[int, int]] = []
    rec = rc.recover_plan(
        rc.velocity_field(plan),
        plan.source,
        family="free",
        progress=lambda *a: told.append(a),
        **SMALL,
    )
    again = pickle.loads(pickle.dumps(rec))
    assert np.array_equal(again.plan.weights, rec.plan.weights)
    assert told[-1][0] == told[-1][1]
    assert "effective sample size" in rec.summary()
    with pytest.raises(ValueError, match="plan must be Gaussian or a mixture"):
        rec.alternatives()


def test_the_simplest_family_that_passes_is_chosen() -> None:
    gaussian = rc.GaussianPlan([0, 0], [1, 0], np.eye(2), 0.5 * np.eye(2), np.eye(2))
    rec = rc.recover_plan(rc.velocity_field(gaussian), gaussian.source)
    assert rec.family == "gaussian"
    assert rec.evidence[0] == "Gaussian: passed every test"
    mixture = rc.MixturePlan(
        [0.4, 0.6], [[-2, 0, 1, 1], [2, 0, -1, 1]], [np.eye(4) / 2, np.diag([0.3, 0.6, 0.5, 0.2])]
    )
    rec = rc.recover_plan(rc.velocity_field(mixture), mixture.source)
    assert rec.family == "mixture"
    assert "Gaussian: lack of fit rejected" in rec.evidence[0]
    assert rec.residuals.moments < 1e-10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"candidates": 10}, "candidates must be at least 100"),
        ({"times": 1}, "times must be at least 2"),
        ({"frequencies": 0}, "frequencies must be at least 1"),
        ({"rng": "seed"}, "rng must be a whole number"),
        ({"progress": "yes"}, "progress must be True, False, None or a callable"),
        ({"regularization": -1.0}, "regularization must be positive"),
        ({"source": ([0, 0], np.zeros((2, 2)))}, "full rank"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], words: str) -> None:
    plan = crossing(0.5)
    source = arguments.pop("source", plan.source)
    with pytest.raises(ValueError, match=words):
        rc.recover_plan(rc.velocity_field(plan), source, family="free", **arguments)
