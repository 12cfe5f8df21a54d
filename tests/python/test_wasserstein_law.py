"""Distances of laws by their quantiles, and the energy distance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import recouple as rc

scipy_stats = pytest.importorskip("scipy.stats")

means = st.floats(-3, 3)
stds = st.floats(0.2, 3)


def absolute_moment(a: float, s: float, p: float) -> float:
    """E|a + s Z|^p by the confluent hypergeometric function (Winkelbauer 2012, eq. (17))."""
    from scipy.special import gamma, hyp1f1

    return float(
        s**p
        * 2 ** (p / 2)
        * gamma((1 + p) / 2)
        / np.sqrt(np.pi)
        * hyp1f1(-p / 2, 0.5, -(a**2) / (2 * s**2))
    )


@settings(max_examples=30, deadline=None)
@given(means, means, stds, stds, st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.0]))
@example(-2.3581739994057624, -0.4138041617675059, 0.693359375, 0.2, 1.5)  # both rules err alike
def test_normal_laws_have_their_closed_form(
    m0: float, m1: float, s0: float, s1: float, p: float
) -> None:
    u, v = rc.Normal(m0, s0), rc.Normal(m1, s1)
    got = rc.wasserstein_law(u, v, p)
    if abs(s0 - s1) < 1e-3:  # the function loses its digits
        return
    expected = absolute_moment(abs(m0 - m1), abs(s0 - s1), p) ** (1 / p)
    assert got.distance == pytest.approx(expected, rel=1e-10)  # the default rtol
    assert got.error <= 1e-10 * got.distance


def test_quadrature_agrees_with_the_closed_form() -> None:
    # One-component mixtures take the general way.
    u, v = rc.NormalMixture([1], [0.3], [1]), rc.NormalMixture([1], [-1], [2.5])
    for p in (1, 2):
        exact = rc.wasserstein_law(rc.Normal(0.3, 1), rc.Normal(-1, 2.5), p).distance
        got = rc.wasserstein_law(u, v, p)
        assert got.distance == pytest.approx(exact, rel=1e-10)  # the default rtol
        assert got.evaluations > 0


@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_scipy_laws_are_laws(p: float) -> None:
    # Q_u - Q_v = -3 log(1 - s) - -log(1 - s) = 2 E with E exponential: W^p = 2^p Gamma(p + 1).
    from scipy.special import gamma

    u, v = scipy_stats.expon(scale=3), scipy_stats.expon()
    expected = 2 * gamma(p + 1) ** (1 / p)
    assert rc.wasserstein_1d(u, v, p=p) == pytest.approx(expected, rel=1e-9)
    assert rc.wasserstein_1d(u, v, p=p, power=True) == pytest.approx(expected**p, rel=1e-9)


def test_whatever_has_quantiles_is_a_law() -> None:
    class Uniform:
        def cdf(self, x: Any) -> Any:
            return np.clip(x, 0, 1)

        def ppf(self, s: Any) -> Any:
            return np.asarray(s)

    # |s - 2s| = s: W_p^p = 1 / (p + 1).
    wide = scipy_stats.uniform(0, 2)
    assert rc.wasserstein_1d(Uniform(), wide, p=2) == pytest.approx(3**-0.5, rel=1e-10)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 2, 7, 500])
def test_a_law_against_samples_is_an_integral_over_its_steps(p: float, n: int) -> None:
    # Against the uniform law on [0, 1]: pieces int |s - x|^p over each step, in closed form.
    rng = np.random.default_rng(n)
    x, w = rng.random(n) * 1.4 - 0.2, rng.random(n) + 0.1
    order = np.argsort(x)
    levels = np.concatenate([[0], np.cumsum(w[order])]) / w.sum()

    def primitive(s: Any) -> Any:
        d = s - x[order]
        return np.sign(d) * np.abs(d) ** (p + 1) / (p + 1)

    expected = np.sum(primitive(levels[1:]) - primitive(levels[:-1])) ** (1 / p)
    law = scipy_stats.uniform()
    assert rc.wasserstein_1d(law, rc.Empirical(x, w), p=p) == pytest.approx(expected, rel=1e-9)
    assert rc.wasserstein_1d(rc.Empirical(x, w), law, p=p) == pytest.approx(expected, rel=1e-9)


def test_samples_of_a_law_come_near_it() -> None:
    law = rc.NormalMixture([0.4, 0.6], [-1, 2], [0.5, 1])
    draws = law.rvs(20_000, rng=0)
    distance = rc.wasserstein_1d(draws, law)
    assert 0 < distance < 0.06  # int sqrt(F (1 - F)) / sqrt(n) = 0.011, five times over
    many = rc.wasserstein_1d(draws, law.rvs(200_000, rng=1))
    assert distance == pytest.approx(many, abs=0.01)


def test_two_empirical_laws_are_two_samples() -> None:
    u, v, w = [3.0, 1, 2], [5.0, 0], [1.0, 3]
    got = rc.wasserstein_1d(rc.Empirical(u), rc.Empirical(v, w), p=2)
    assert got == pytest.approx(rc.wasserstein_1d(u, v, None, w, p=2), rel=1e-14)


def test_tails_decide_whether_there_is_a_distance() -> None:
    cauchy = scipy_stats.cauchy()
    assert rc.wasserstein_law(scipy_stats.t(2.5), rc.Normal(), 1).distance < 1
    assert rc.wasserstein_law(scipy_stats.t(2.5), rc.Normal(), 3).distance == np.inf
    assert rc.wasserstein_law(scipy_stats.pareto(1.5), rc.Normal(), 2).distance == np.inf
    assert rc.wasserstein_law(cauchy, rc.Normal(), 1).distance == np.inf
    assert rc.wasserstein_law(rc.Normal(0, 1), rc.Normal(0, 2), np.inf).distance == np.inf
    assert rc.wasserstein_law(rc.Normal(0, 1), rc.Normal(3, 1), np.inf).distance == 3
    assert rc.wasserstein_law([1.0, 2], rc.Normal(), np.inf).distance == np.inf


def test_a_distance_of_laws_tells_its_error() -> None:
    u, v = rc.NormalMixture([0.5, 0.5], [-3, 3], [0.1, 0.1]), rc.Normal(0, 3)
    fine = rc.wasserstein_law(u, v, 1, rtol=1e-12)
    coarse = rc.wasserstein_law(u, v, 1, rtol=1e-4)
    assert coarse.evaluations < fine.evaluations
    assert abs(coarse.distance - fine.distance) <= coarse.error
    assert coarse.error <= 1e-4 * coarse.distance
    assert float(coarse) == coarse.distance


@pytest.mark.parametrize(
    ("u", "v", "options", "message"),
    [
        (rc.Normal(), "law", {}, "v must be a law"),
        (rc.Normal(), [1.0, np.nan], {}, "v must be finite"),
        (rc.Normal(), rc.Normal(), {"p": 0.5}, "p must be at least 1"),
        (rc.Normal(), rc.NormalMixture([1], [0], [1]), {"p": np.inf}, "p must be finite"),
        (rc.Normal(), rc.Normal(), {"u_weights": [1]}, "weights must be left out beside a law"),
    ],
)
def test_bad_input_is_named(u: Any, v: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rc.wasserstein_1d(u, v, **options)


def test_the_energy_distance_is_its_double_sums() -> None:
    rng = np.random.default_rng(0)
    u, v, a, b = rng.normal(size=30), rng.normal(size=40) + 1, rng.random(30), rng.random(40)

    def mean_gap(x: Any, y: Any, w: Any, z: Any) -> float:
        return float(w @ np.abs(x[:, None] - y[None]) @ z / w.sum() / z.sum())

    squared = 2 * mean_gap(u, v, a, b) - mean_gap(u, u, a, a) - mean_gap(v, v, b, b)
    assert rc.energy_distance(u, v, a, b) == pytest.approx(np.sqrt(squared), rel=1e-12)
    expected = scipy_stats.energy_distance(u, v, a, b)
    assert rc.energy_distance(u, v, a, b) == pytest.approx(expected, rel=1e-13)
    assert rc.energy_distance(u, u[::-1]) == 0
    with pytest.raises(ValueError, match="u_weights must not be negative"):
        rc.energy_distance([1, 2], [1], [-1, 2])
    with pytest.raises(ValueError, match="v_weights must have a positive"):
        rc.energy_distance([1, 2], [1], None, [0])
