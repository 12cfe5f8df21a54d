from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import recouple as rc

PLAN = rc.MixturePlan(
    [0.4, 0.6],
    [[-0.5, 1.0], [0.5, -1.0]],
    [[[1.0, 0.2], [0.2, 0.5]], [[0.6, -0.1], [-0.1, 0.8]]],
)
FIELD = rc.velocity_field(PLAN)
MAP = rc.FlowMap(FIELD, method="dop853", rtol=1e-11)
U = np.array([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999])


def rotation(t: Any, x: Any) -> Any:
    return np.stack([-x[:, 1], x[:, 0]], axis=1) * 2.0 + 0.3 * x


def test_a_map_and_its_inverse_undo_each_other() -> None:
    x = np.linspace(-2, 2, 9)
    assert_allclose(MAP.inverse(MAP(x)), x, atol=1e-9)
    assert MAP.inverse.inverse == MAP
    assert_allclose(MAP.jacobian(x) * MAP.inverse.jacobian(MAP(x)), 1, rtol=1e-8)
    assert_allclose(np.log(MAP.jacobian(x)), MAP.log_det(x), atol=1e-9)
    flow = rc.integrate(FIELD, x, method="dop853", rtol=1e-11)
    assert flow.map == MAP
    assert_array_equal(flow.map(x), flow.x)


def test_the_source_is_pushed_to_the_target() -> None:
    # 1e-9: a hundred times the tolerance of the map.
    law = MAP.push_forward(PLAN.source)
    x = PLAN.target.ppf(U)
    assert_allclose(law.ppf(U), x, rtol=1e-9)
    assert_allclose(law.isf(U), PLAN.target.isf(U), rtol=1e-9)
    assert_allclose(law.cdf(x), U, rtol=1e-8)
    assert_allclose(law.sf(x), PLAN.target.sf(x), rtol=1e-8)
    assert_allclose(law.logpdf(x), PLAN.target.logpdf(x), atol=1e-8)
    assert_allclose(law.pdf(x), PLAN.target.pdf(x), rtol=1e-8)
    assert_allclose(law.mean(), PLAN.target.mean(), atol=1e-9)
    assert_allclose(law.std(), PLAN.target.std(), rtol=1e-9)
    assert_allclose(law.var(), PLAN.target.std() ** 2, rtol=1e-9)
    assert_allclose(law.median(), PLAN.target.median(), atol=1e-9)
    assert law.support() == (-np.inf, np.inf)
    assert_array_equal(law.ppf(np.array([0.0, 1.0])), [-np.inf, np.inf])
    assert_array_equal(law.cdf(np.array([-np.inf, np.inf])), [0, 1])
    assert np.ndim(law.cdf(0.5)) == 0


def test_a_pushed_law_is_a_law_again() -> None:
    half = rc.FlowMap(FIELD, 0.0, 0.5, method="dop853", rtol=1e-11)
    rest = rc.FlowMap(FIELD, 0.5, 1.0, method="dop853", rtol=1e-11)
    law = rest.push_forward(half.push_forward(PLAN.source))
    assert_allclose(law.ppf(U), PLAN.target.ppf(U), rtol=1e-8)
    copy = pickle.loads(pickle.dumps(law))
    assert_array_equal(copy.ppf(U), law.ppf(U))
    assert repr(law).startswith("PushedLaw(PushedLaw(")


def test_draws_are_carried_along() -> None:
    law = MAP.push_forward(PLAN.source)
    draws = law.rvs(1000, rng=3)
    assert_array_equal(draws, MAP(PLAN.source.rvs(1000, rng=3)))
    assert law.rvs((2, 3), rng=1).shape == (2, 3)
    # Kolmogorov's distance of 1000 draws exceeds 0.062 once in a thousand.
    u = np.sort(PLAN.target.cdf(draws))
    assert np.max(np.abs(u - (np.arange(1000) + 0.5) / 1000)) < 0.062


def test_samples_and_weighted_samples_are_pushed_as_what_they_are() -> None:
    x = np.array([1.0, -1.0, 0.5])
    assert_array_equal(MAP.push_forward(x), MAP(x))
    law = MAP.push_forward(rc.Empirical(x, [0.2, 0.3, 0.5]))
    assert isinstance(law, rc.Empirical)
    assert_allclose(law.values, np.sort(MAP(x)))
    assert_allclose(law.weights, [0.3, 0.5, 0.2])


def test_laws_of_scipy_are_pushed_too() -> None:
    stats = pytest.importorskip("scipy.stats")
    field = rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.0, 4.0))
    phi = rc.FlowMap(field, rtol=1e-10)
    law = phi.push_forward(stats.norm())
    peer = stats.norm(1, 2)
    assert_allclose(law.ppf(U), peer.ppf(U), rtol=1e-8)
    assert_allclose(law.logpdf([0.0, 2.0]), peer.logpdf([0.0, 2.0]), atol=1e-8)
    uniform = phi.push_forward(stats.uniform(0, 1))  # the map is 1 + 2 x
    assert_allclose(uniform.support(), [1, 3], atol=1e-8)
    assert_allclose(uniform.cdf([1.5, 2.0]), [0.25, 0.5], atol=1e-8)
    assert uniform.rvs(5, rng=0).shape == (5,)


def test_in_space_densities_and_draws_are_carried_along() -> None:
    stats = pytest.importorskip("scipy.stats")
    field = rc.as_field(rotation, dim=2)
    growth = np.exp(0.3)
    turn = growth * np.array([[np.cos(2), -np.sin(2)], [np.sin(2), np.cos(2)]])
    cov = np.diag([1.0, 0.5])
    exact = stats.multivariate_normal([0, 0], turn @ cov @ turn.T)
    x1 = np.random.default_rng(0).normal(size=(10, 2))
    for source in (stats.multivariate_normal([0, 0], cov), rc.Gaussian([0, 0], cov)):
        law = rc.FlowMap(field, rtol=1e-9).push_forward(source)
        assert_allclose(law.logpdf(x1), exact.logpdf(x1), atol=1e-7)  # 100 tolerances
        assert law.rvs(7, rng=0).shape == (7, 2)
        with pytest.raises(ValueError, match="on the line"):
            law.cdf(x1)
    traced = rc.log_likelihood(rotation, x1, source, rtol=1e-9)
    assert_allclose(traced, exact.logpdf(x1), atol=1e-7)


def test_a_law_that_cannot_be_traced_says_why() -> None:
    def pole(t: Any, x: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(t < 0.5, 1.0, np.nan) * np.ones_like(x)

    phi = rc.FlowMap(rc.as_field(pole))
    law = phi.push_forward(rc.Normal())
    with pytest.raises(RuntimeError, match="not finite"):
        law.ppf(0.3)
    with pytest.raises(RuntimeError, match="traced back"):
        law.logpdf(0.3)
    assert np.isnan(rc.log_likelihood(pole, 0.3, rc.Normal()))
    with pytest.raises(ValueError, match="logpdf"):
        rc.log_likelihood(FIELD, [0.0], rc.Empirical([1.0, 2.0]))
    with pytest.raises(ValueError, match="NaN"):
        MAP.push_forward(PLAN.source).cdf(np.nan)


def test_a_flow_map_takes_a_callable() -> None:
    phi = rc.FlowMap(lambda t, x: np.ones_like(x), method="rk4", steps=1)
    np.testing.assert_allclose(phi([0.0, 1.0]), [1.0, 2.0], rtol=1e-15)
