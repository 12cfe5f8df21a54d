"""Mixture plans recovered from their field: exact, noisy, with the number of components sought."""

from __future__ import annotations

import pickle
from itertools import permutations
from typing import Any

import numpy as np
import pytest

import recouple as rc
from recouple.inverse.mixture import Mixture, _evaluated
from recouple.inverse.readings import read_field


def random_mixture(dim: int, components: int, seed: int) -> rc.MixturePlan:
    rng = np.random.default_rng(seed)
    covs = []
    for _ in range(components):
        q, _ = np.linalg.qr(rng.normal(size=(2 * dim, 2 * dim)))
        cov = (q * np.exp(rng.uniform(np.log(0.1), 0, size=2 * dim))) @ q.T
        covs.append((cov + cov.T) / 2)
    means = 2 * rng.normal(size=(components, 2 * dim))
    return rc.MixturePlan(rng.dirichlet(np.full(components, 5.0)), means, covs)


def apart(one: rc.MixturePlan, two: rc.MixturePlan) -> float:
    """Largest difference of the parameters, components matched."""
    return min(
        max(
            float(np.abs(a[list(order)] - b).max())
            for a, b in ((two.weights, one.weights), (two.means, one.means), (two.covs, one.covs))
        )
        for order in permutations(range(len(one.weights)))
    )


@pytest.mark.parametrize(("dim", "components"), [(1, 2), (1, 3), (2, 2), (2, 3), (2, 4), (4, 3)])
def test_an_exact_field_gives_the_parameters_back(dim: int, components: int) -> None:
    plan = random_mixture(dim, components, 10 + components)
    fit = rc.fit_mixture(rc.velocity_field(plan), plan.source, components)
    assert fit.residual < 1e-13
    assert fit.certified
    assert apart(plan, fit.plan) < 1e-10


def test_the_derivatives_are_those_of_the_velocity_and_the_density() -> None:
    plan = random_mixture(2, 2, 0)
    rng = np.random.default_rng(0)
    readings = read_field(rc.velocity_field(plan), plan.source, 5, 100, 16, rng, 1)
    mixture = Mixture.of(plan.weights, plan.means, plan.covs)
    here = _evaluated(mixture, readings, derivatives=True)
    assert here is not None
    np.testing.assert_allclose(here.misfit, 0, atol=1e-13)
    logs = [
        plan.log_density(float(t), readings.x[int(a) : int(b)]).sum()
        for t, a, b in zip(readings.times, readings.first[:-1], readings.first[1:], strict=True)
    ]
    assert here.log_likelihood == pytest.approx(sum(logs), rel=1e-13)
    h = 1e-5
    for p in range(here.jacobian.shape[1]):
        step = np.zeros(here.jacobian.shape[1])
        step[p] = h
        up = _evaluated(mixture.moved(step), readings, derivatives=False)
        down = _evaluated(mixture.moved(-step), readings, derivatives=False)
        assert up is not None
        assert down is not None
        # Central differences: h^2 times third derivatives, and rounding over h.
        column = (down.misfit - up.misfit) / (2 * h)
        np.testing.assert_allclose(column, here.jacobian[:, p], atol=1e-7)
        slope = (up.log_likelihood - down.log_likelihood) / (2 * h)
        assert slope == pytest.approx(here.scores[:, p].sum(), abs=1e-5)


@pytest.mark.parametrize("dim", [1, 2])
def test_the_number_of_components_is_found_under_noise(dim: int) -> None:
    plan = random_mixture(dim, 2, 52)
    exact, rng = rc.velocity_field(plan), np.random.default_rng(0)
    middle = exact(0.5, plan.marginal(0.5).rvs(1000, rng=0))
    size = 0.05 * float(np.sqrt(np.mean(middle**2)))
    field = rc.as_field(lambda t, x: exact(t, x) + size * rng.normal(size=np.shape(x)), dim)
    rec = rc.recover_plan(
        field, plan.source, plan.target, family="mixture", points=1500, max_components=3
    )
    assert len(rec.plan.weights) == 2
    assert rec.status == "converged"
    assert rec.verdict == ("unique" if dim == 1 else "unique in family")
    x0, x1 = plan.sample(500, 0)
    recovered = rc.velocity_field(rec.plan)
    gaps = [
        np.mean((recovered(t, (1 - t) * x0 + t * x1) - exact(t, (1 - t) * x0 + t * x1)) ** 2)
        for t in (0.1, 0.5, 0.9)
    ]
    # Averaging: the documented bound is .3 of the noise.
    assert np.sqrt(np.mean(gaps)) < 0.3 * size
    bar = rec.error_bars["cov01"]
    assert (np.abs(bar.value - plan.cov[:dim, dim:]) < 5 * bar.error).all()
    value = rec.expectation(lambda x, y: np.sum(x * y, axis=-1) if dim > 1 else x * y)
    powers = [tuple(int(i == j) for i in range(dim)) for j in range(dim)]
    truth = sum(plan.moment(p, p) for p in powers)
    assert abs(value.value - truth) < 5 * value.error
    assert pickle.loads(pickle.dumps(rec)).expectation(lambda x, y: 0 * x.sum(-1)
        if dim > 1 else 0 * x).value == 0  # fmt: skip


def test_too_few_components_leave_structure() -> None:
    plan = random_mixture(2, 3, 51)
    rec = rc.recover_plan(
        rc.velocity_field(plan),
        plan.source,
        family="mixture",
        components=2,
        restarts=2,
        points=1200,
    )
    assert rec.status in ("stalled", "inconsistent")
    assert rec.verdict == "representative"
    assert rec.p_values["unstructured residual"] < 1e-6


def test_twins_are_not_claimed_unique() -> None:
    from recouple.inverse.components import twins

    _, pair = rc.ambiguous_pair("skew")
    assert isinstance(pair, rc.MixturePlan)
    assert twins(pair) == [(0, 1)]
    assert twins(random_mixture(2, 3, 0)) == []


def test_a_skew_pair_is_one_component_to_the_field() -> None:
    one, two = rc.ambiguous_pair("skew")
    rec = rc.recover_plan(rc.velocity_field(two), two.source, family="mixture", points=1200)
    assert len(rec.plan.weights) == 1
    np.testing.assert_allclose(rec.plan.cov, one.cov, atol=1e-9)


def test_threads_change_no_bit() -> None:
    plan = random_mixture(2, 2, 3)
    field = rc.velocity_field(plan)
    one, two = (rc.fit_mixture(field, plan.source, 2, points=1200, num_threads=n) for n in (1, 2))
    assert np.array_equal(one.plan.covs, two.plan.covs)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"components": 0}, "components must be at least 1"),
        ({"components": 2.5}, "components must be a whole number"),
        ({"points": 10}, "points must be at least 48"),
        ({"restarts": 0}, "restarts must be at least 1"),
        ({"max_components": 0}, "max_components must be at least 1"),
        ({"source": np.zeros((9, 3))}, "source must have shape"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], words: str) -> None:
    plan = random_mixture(2, 2, 0)
    source = arguments.pop("source", plan.source)
    with pytest.raises(ValueError, match=words):
        rc.recover_plan(rc.velocity_field(plan), source, family="mixture", **arguments)


def test_a_field_that_leaves_the_numbers_is_named() -> None:
    with pytest.raises(ValueError, match="trajectory leaves the numbers"):
        rc.fit_mixture(rc.as_field(lambda t, x: 50 * x**3, 2), rc.Gaussian([0, 0], np.eye(2)), 2)
