"""Functionals of a recovered plan: probabilities, densities, conditional means and quantiles."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

import recouple as rc
from recouple.inverse.cell import interval_weights

RHO = 0.6
GAUSSIAN = rc.GaussianPlan(0.0, 0.0, 1.0, RHO, 1.0)
NORMAL = rc.Normal(0.0, 1.0)
END = st.floats(-3.0, 3.0)


@pytest.fixture(scope="module")
def rec() -> Any:
    return rc.recover_plan(rc.velocity_field(GAUSSIAN), GAUSSIAN.source, family="line", grid=64)


@pytest.fixture(scope="module")
def ridges() -> Any:
    covs = [[[1.0, r], [r, 1.0]] for r in (0.95, -0.95)]
    plan = rc.MixturePlan([0.5, 0.5], np.zeros((2, 2)), covs)
    return rc.recover_plan(rc.velocity_field(plan), plan.source, family="line", grid=64)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), END, END)
def test_intervals_are_exact_for_cubics(coefficients: list[float], a: float, b: float) -> None:
    x = np.linspace(-4.0, 4.0, 33)
    density = np.polynomial.Polynomial(coefficients)
    found = interval_weights(x, min(a, b), max(a, b)) @ density(x) * (x[1] - x[0])
    whole = density.integ()
    # Sums of 33 numbers of up to 85, in rounding.
    np.testing.assert_allclose(found, whole(max(a, b)) - whole(min(a, b)), atol=1e-11)


def test_the_whole_line_counts_every_mass_once() -> None:
    weights = interval_weights(np.linspace(-1.0, 2.0, 17), -np.inf, np.inf)
    np.testing.assert_allclose(weights, 1.0, rtol=1e-14)


def test_probability_of_an_orthant(rec: Any) -> None:
    bar = rec.probability(x0=(0.0, np.inf), x1=(0.0, np.inf))
    # Sheppard (1899). The cubics of a grid of a sixth of a standard deviation: h^4 / 100.
    assert bar.value == pytest.approx(0.25 + np.arcsin(RHO) / (2 * np.pi), abs=2e-5)
    assert abs(bar.value - 0.25 - np.arcsin(RHO) / (2 * np.pi)) < bar.error
    assert rec.probability().value == pytest.approx(1.0, abs=1e-12)


def beyond(edge: float, x: Any, y: Any) -> Any:
    return x > edge


@pytest.mark.parametrize("grid", [48, 64, 96])
def test_expectations_of_jumps_know_their_quadrature(grid: int) -> None:
    field = rc.velocity_field(GAUSSIAN)
    rec = rc.recover_plan(field, GAUSSIAN.source, family="line", grid=grid)
    edges = np.random.default_rng(0).uniform(-1, 1, 8)
    z, misses = [], []
    for edge in edges:
        bar = rec.expectation(partial(beyond, edge))
        misses.append(abs(bar.value - float(NORMAL.sf(edge))))
        z.append(misses[-1] / bar.error)
    # The law of X0 is given: the rule is the error, of up to half a step of .01 of the density.
    assert max(misses) > 3e-4
    assert max(z) < 2.5
    assert np.mean(np.square(z)) < 1.5
    smooth = rec.expectation(lambda x, y: np.cos(x) * y)
    assert smooth.error < 1e-3  # nothing to speak of is added where there are no jumps


def test_conditional_mean_is_the_window_s(rec: Any) -> None:
    centres, width = np.array([-1.5, 0.0, 0.7]), 0.5
    low, high = centres - width / 2, centres + width / 2
    share = NORMAL.cdf(high) - NORMAL.cdf(low)
    truth = RHO * (NORMAL.pdf(low) - NORMAL.pdf(high)) / share  # of a truncated normal
    bar = rec.conditional_mean(centres, width=width)
    assert bar.value.shape == bar.error.shape == bar.resolved.shape == (3,)
    # The window's ends within cells of h = .15: h^4 / 100 of the density over its share.
    np.testing.assert_allclose(bar.value, truth, atol=3e-4)
    assert np.all(np.abs(bar.value - truth) < bar.error)
    alone = rec.conditional_mean(0.7, width=width)
    assert (alone.value, alone.error) == (bar.value[2], bar.error[2])
    assert isinstance(alone.value, float)
    default = rec.conditional_mean(0.7)
    width = 0.25 * np.sqrt(rec.plan.cov[0, 0])
    assert default.value == rec.conditional_mean(0.7, width=width).value


def test_the_error_of_a_conditional_mean_is_that_of_its_influence(rec: Any) -> None:
    mean = rec.conditional_mean(0.7, width=1.0)
    share = rec.probability(x0=(0.2, 1.2)).value
    linear = rec.expectation(lambda x, y: (abs(x - 0.7) <= 0.5) * (y - mean.value) / share)
    # The same functional by another rule, whose jumps are off by up to half a step of .01.
    assert mean.unresolved == pytest.approx(linear.unresolved, rel=0.03)
    assert mean.error < linear.error
    assert mean.resolved == pytest.approx(linear.resolved, abs=0.02)


def test_conditional_quantiles(rec: Any) -> None:
    x0, width = 0.5, 0.3
    nodes, weights = np.polynomial.legendre.leggauss(20)
    at = x0 + width / 2 * nodes
    weights = weights * NORMAL.pdf(at)
    weights /= weights.sum()
    spread = np.sqrt(1 - RHO**2)
    values = []
    for level in (0.05, 0.5, 0.9):
        bar = rec.conditional_quantile(x0, level, width=width)
        # Of the true law, the level of the quantile found; 1e-3 for the window's ends in cells.
        found = weights @ special.ndtr((bar.value - RHO * at) / spread)
        assert found == pytest.approx(level, abs=1e-3)
        assert 0 < bar.error < 0.5
        values.append(bar.value)
    assert values == sorted(values)
    bars = rec.conditional_quantile([-1.0, 0.5], 0.9, width=width)
    assert bars.value[1] == values[-1]


def test_a_quantile_in_a_gap_has_the_gap_for_its_error(ridges: Any) -> None:
    bar = ridges.conditional_quantile(1.2, 0.5)  # between ridges about +1.14 and -1.14
    assert 0.2 < bar.error < 2.0
    assert abs(bar.value) < 1.2


def test_densities_add_up_to_probabilities(rec: Any) -> None:
    edges0, edges1 = np.linspace(-2, 2, 6), np.array([-1.0, 0.0, 2.0])
    bar = rec.density(edges0, edges1)
    assert bar.value.shape == bar.error.shape == bar.resolved.shape == (5, 2)
    total = float(np.sum(bar.value * np.outer(np.diff(edges0), np.diff(edges1))))
    assert total == pytest.approx(rec.probability(x0=(-2, 2), x1=(-1, 2)).value, abs=1e-13)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    for i, j in ((0, 0), (2, 1)):
        x = 0.5 * (edges0[i] + edges0[i + 1] + np.diff(edges0)[i] * nodes)
        y = 0.5 * (edges1[j] + edges1[j + 1] + np.diff(edges1)[j] * nodes)
        truth = weights @ GAUSSIAN.pdf(*np.meshgrid(x, y, indexing="ij")) @ weights / 4
        assert bar.value[i, j] == pytest.approx(truth, abs=1e-4)  # h^4 / 100 over the cell's side
        assert abs(bar.value[i, j] - truth) < bar.error[i, j]


def test_narrow_windows_are_resolved_less(rec: Any) -> None:
    wide, narrow = (rec.conditional_mean(0.0, width=w) for w in (1.0, 0.1))
    assert narrow.resolved < wide.resolved
    assert narrow.error > wide.error


def test_functionals_of_snapshots_and_of_a_refined_plan() -> None:
    rng = np.random.default_rng(0)
    times = np.linspace(0, 1, 9)
    clouds = [(1 - t) * a + t * b for t in times for a, b in [GAUSSIAN.sample(4000, rng)]]
    seen = rc.recover_plan_from_snapshots(times, clouds, grid=48, bootstrap=0)
    field = rc.velocity_field(GAUSSIAN)
    refined = rc.recover_plan(field, NORMAL, family="line", grid=48, solver="descent")
    for rec in (seen, refined):
        mean = rec.conditional_mean([-1.0, 0.0, 1.0])
        assert np.all(np.abs(mean.value - [-RHO, 0, RHO]) < 3 * mean.error)
        corner = rec.probability(x0=(0, np.inf), x1=(0, np.inf))
        assert abs(corner.value - 0.25 - np.arcsin(RHO) / (2 * np.pi)) < 3 * corner.error
        again = pickle.loads(pickle.dumps(rec))
        assert again.conditional_quantile(0.0, 0.9) == rec.conditional_quantile(0.0, 0.9)


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.8])
def test_aperture_is_the_angle_that_is_seen(rho: float) -> None:
    plan = rc.GaussianPlan(0.0, 0.0, 1.0, 2 * rho, 4.0)
    rec = rc.recover_plan(rc.velocity_field(plan), plan.source, family="line", grid=48)
    # arccos has the slope 1 / sqrt(1 - rho^2) <= 2.3 and the correlation an error below 1e-3.
    assert rec.aperture == pytest.approx(np.degrees(np.arccos(rho)), abs=0.2)
    assert f"aperture          {rec.aperture:.1f} of 180 degrees" in rec.summary()


def test_times_beyond_the_ends_widen_the_aperture() -> None:
    angles = []
    for times in (np.linspace(0, 1, 7), np.linspace(-0.5, 1.5, 7)):
        laws = [GAUSSIAN.marginal(t) for t in times]
        angles.append(rc.recover_plan_from_snapshots(times, laws, grid=48, bootstrap=0).aperture)
    assert angles[0] == pytest.approx(np.degrees(np.arccos(RHO)), abs=0.5)
    first, last = np.array([1.5, -0.5]), np.array([-0.5, 1.5])
    cov = GAUSSIAN.cov
    cosine = first @ cov @ last / np.sqrt((first @ cov @ first) * (last @ cov @ last))
    assert angles[1] == pytest.approx(np.degrees(np.arccos(cosine)), abs=0.5)


def test_bad_input_is_named(rec: Any) -> None:
    with pytest.raises(ValueError, match=r"x0 must be an interval.*low < high"):
        rec.probability(x0=(1.0, 0.0))
    with pytest.raises(ValueError, match="x1 must be an interval"):
        rec.probability(x1=(0.0, np.nan))
    with pytest.raises(ValueError, match="x0 must hold real numbers"):
        rec.probability(x0=(1j, 2.0))
    with pytest.raises(ValueError, match="edges1 must be at least two increasing"):
        rec.density([0, 1], [1, 1])
    with pytest.raises(ValueError, match="x0 must lie where the plan has mass"):
        rec.conditional_mean([0.0, 50.0])
    with pytest.raises(ValueError, match="width must be positive"):
        rec.conditional_mean(0.0, width=-1.0)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        rec.conditional_quantile(0.0, 1.0)
    with pytest.raises(ValueError, match="x0"):
        rec.conditional_mean(np.nan)
    other = rc.recover_plan(rc.velocity_field(GAUSSIAN), NORMAL, family="gaussian")
    with pytest.raises(ValueError, match=r"on a grid.*GaussianPlan"):
        other.conditional_mean(0.0)
