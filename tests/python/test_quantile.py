"""Certified tables, quantiles of a bare cdf, maps between laws, rows of laws."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import recouple as rc

EPS = 2.0**-52

LAWS: dict[str, Any] = {
    "mixture": lambda: rc.NormalMixture([0.3, 0.5, 0.2], [-2, 0, 3], [0.5, 1, 0.2]),
    "narrow and wide": lambda: rc.NormalMixture([0.5, 0.5], [0, 100], [1, 0.01]),
    "gap": lambda: rc.NormalMixture([0.3, 0.7], [0, 1000], [1, 1]),
    "heavy tails": lambda: rc.as_marginal(scipy.stats.t(3)),
    "heavier tails": lambda: rc.as_marginal(scipy.stats.cauchy()),
    "bounded": lambda: rc.as_marginal(scipy.stats.beta(2, 3)),
    "unbounded density": lambda: rc.as_marginal(scipy.stats.gamma(0.3)),
    "jumps": lambda: rc.Histogram([0, 1, 2, 5], [0.2, 0.01, 0.79]),
    "gap between bins": lambda: rc.Histogram([0, 1, 2, 5], [0.2, 0, 0.8]),
    "kink": lambda: rc.as_marginal(scipy.stats.laplace()),
    "smoothed": lambda: rc.smoothed(np.random.default_rng(0).normal(size=200)),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_table_keeps_its_word_and_increases(name: str) -> None:
    law = LAWS[name]()
    table = rc.tabulate(law, 1e-12)
    assert table.u_error <= 1e-12
    rng = np.random.default_rng(7)
    u = np.concatenate([rng.random(30_000), 2.0 ** -rng.uniform(1, 40, 2000)])
    u = np.unique(np.concatenate([u, 1 - u, np.nextafter(u, 1)]))
    x = table.ppf(u)
    assert np.isfinite(x).all()
    assert (np.diff(x) >= 0).all()
    assert np.abs(law.cdf(x) - u).max() <= 1e-12
    v = np.minimum(u, 0.5)
    assert np.abs(law.sf(table.isf(v)) - v).max() <= 1e-12
    for deep in (0.0, 1e-200, 2.0**-41):
        assert table.ppf(deep) == min(law.ppf(deep), table.ppf(2.0**-40))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), components=st.integers(1, 6))
def test_tables_of_random_mixtures_hold(seed: int, components: int) -> None:
    rng = np.random.default_rng(seed)
    law = rc.NormalMixture(
        10.0 ** rng.uniform(-6, 0, components),
        rng.normal(size=components) * 3,
        10.0 ** rng.uniform(-2, 0.5, components),
    )
    table = rc.tabulate(law)
    u = np.sort(rng.random(5000))
    x = table.ppf(u)
    assert np.abs(law.cdf(x) - u).max() <= 1e-12
    assert (np.diff(x) >= 0).all()


def test_tables_refuse_what_they_cannot_certify() -> None:
    with pytest.raises(ValueError, match="cannot be certified"):
        rc.tabulate(rc.Empirical([1, 2, 3]))
    with pytest.raises(ValueError, match="too steep for float64"):
        rc.tabulate(scipy.stats.beta(2, 0.5))
    with pytest.raises(ValueError, match=r"u_error must lie in \[1e-14"):
        rc.tabulate(rc.Normal(), 1e-20)

    wrong = rc.as_marginal(lambda x: np.where(x < 0.5, x, 0.5 * x + 0.5), support=(0, 1))
    with pytest.raises(ValueError, match="cannot be certified"):
        rc.tabulate(wrong)


def test_tables_pickle_and_say_what_they_are() -> None:
    table = rc.tabulate(rc.Normal(1, 2), 1e-10)
    again = pickle.loads(pickle.dumps(table))
    assert again.ppf(0.3) == table.ppf(0.3)
    assert again.u_error == table.u_error
    assert "cells" in repr(table)
    assert (table.mean(), table.std()) == (1, 2)


@pytest.mark.parametrize(
    ("peer", "support"),
    [
        (scipy.stats.norm(1, 2), (-np.inf, np.inf)),
        (scipy.stats.t(5), (-np.inf, np.inf)),
        (scipy.stats.expon(3), (3, np.inf)),
        (scipy.stats.beta(0.5, 2), (0, 1)),
    ],
    ids=["normal", "t", "exponential", "beta"],
)
def test_a_bare_cdf_is_a_law(peer: Any, support: tuple[float, float]) -> None:
    law = rc.as_marginal(peer.cdf, support=support, pdf=peer.pdf)
    u = np.random.default_rng(0).random(300)
    x = law.ppf(u)
    # 2 eps of u where the root is found, one ulp of x where the bracket closes.
    allowed = 4 * EPS + np.spacing(np.abs(x)) * np.minimum(peer.pdf(x), 1e12)
    assert (np.abs(peer.cdf(x) - u) <= allowed).all()
    # Beyond 1 - 2^-53 a cdf alone knows nothing of the upper tail.
    assert law.mean() == pytest.approx(peer.mean(), rel=1e-9)
    assert law.std() == pytest.approx(peer.std(), rel=1e-5)
    np.testing.assert_array_equal(law.pdf(x), peer.pdf(x))


def test_the_quantile_on_a_flat_stretch_is_its_left_end() -> None:
    def cdf(x: Any) -> Any:
        return np.where(x < 1, x / 4, np.where(x < 2, 0.25, 0.25 + 0.75 * (x - 2)))

    law = rc.as_marginal(cdf, support=(0, 3))
    np.testing.assert_allclose(law.ppf([0.1, 0.25, 0.5, 1.0]), [0.4, 1, 2 + 1 / 3, 3], rtol=1e-15)


@pytest.mark.parametrize(
    ("cdf", "support", "words"),
    [
        (lambda x: 1 - x, (0, 1), "cdf must not decrease"),
        (lambda x: 0.5 * x, (0, 1), "cdf must reach 1"),
        (lambda x: 0.5 + 0.5 * x, (0, 1), "cdf must reach 0"),
        (lambda x: x * np.nan, (0, 1), r"cdf must lie in \[0, 1\], got nan"),
        (lambda x: 2 * x, (0, 1), r"cdf must lie in \[0, 1\]"),
        (lambda x: x[:3], (0, 1), "one value per point"),
        (lambda x: x, (1, 0), "support must increase"),
        (lambda x: x, (0, np.nan), "support must increase"),
    ],
)
def test_what_is_not_a_cdf_is_refused(cdf: Any, support: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rc.as_marginal(cdf, support=support)


def test_an_exception_of_the_users_cdf_comes_out() -> None:
    calls = []

    def cdf(x: Any) -> Any:
        calls.append(x.size)
        if len(calls) > 40:
            raise ZeroDivisionError("mine")
        return x

    law = rc.as_marginal(cdf, support=(0, 1))
    calls.extend([0] * 40)
    with pytest.raises(ZeroDivisionError, match="mine"):
        law.cdf(np.array([0.5]))


@settings(max_examples=25, deadline=None)
@given(m=st.floats(-5, 5), s=st.floats(0.1, 5))
def test_the_map_between_normals_is_affine(m: float, s: float) -> None:
    to = rc.transport_map(rc.Normal(0, 1), rc.Normal(m, s))
    x = np.linspace(-30, 30, 61)
    # Through a tail at z, an error of 4 eps is 4 eps / z of z, and the sum with m rounds.
    np.testing.assert_allclose(to(x), m + s * x, rtol=1e-13, atol=1e-13 * (abs(m) + s))
    np.testing.assert_allclose(to.derivative(x), np.full(61, s), rtol=1e-11)


def test_the_map_pushes_the_source_to_the_target_and_back() -> None:
    source = rc.NormalMixture([0.3, 0.7], [-2, 1], [0.5, 1])
    target = rc.as_marginal(scipy.stats.gamma(2))
    to = rc.transport_map(source, target)
    x = np.linspace(-4, 5, 40)
    np.testing.assert_allclose(target.cdf(to(x)), source.cdf(x), rtol=1e-12)
    np.testing.assert_allclose(to.inverse()(to(x)), x, rtol=1e-10, atol=1e-10)
    h = 1e-5
    slope = (to(x + h) - to(x - h)) / (2 * h)
    np.testing.assert_allclose(to.derivative(x), slope, rtol=1e-6)  # h^2 and eps / h
    again = pickle.loads(pickle.dumps(rc.transport_map(source, rc.Normal())))
    assert again(0.5) == rc.transport_map(source, rc.Normal())(0.5)


def test_rows_are_the_laws_one_by_one() -> None:
    rng = np.random.default_rng(0)
    laws: list[rc.Marginal]
    laws = [rc.NormalMixture(rng.random(3), rng.normal(size=3), rng.random(3)) for _ in range(40)]
    laws.append(rc.Normal(2, 3))
    u = rng.random((41, 50))
    rows = rc.evaluate_rows(laws, "ppf", u)
    np.testing.assert_array_equal(rows, [law.ppf(v) for law, v in zip(laws, u, strict=True)])
    np.testing.assert_array_equal(rc.evaluate_rows(laws, "ppf", u, num_threads=2), rows)
    np.testing.assert_array_equal(rc.evaluate_rows(laws, "cdf", [0.5])[-1], laws[-1].cdf([0.5]))
