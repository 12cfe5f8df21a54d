"""Laws on the line: exact tails, quantiles that invert them, peers, bad input."""

from __future__ import annotations

import pickle
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given, settings
from hypothesis import strategies as st

import recouple as rc

EPS = 2.0**-52
CURVES = ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf")


def probabilities(rng: np.random.Generator, n: int) -> Any:
    """Both tails at every scale float64 has, from 1e-300 to 1 - 1e-16."""
    u = [rng.random(n), 10.0 ** -rng.uniform(0, 300, n), 1 - 2.0 ** -rng.uniform(1, 53, n)]
    return np.clip(np.concatenate(u), 1e-300, 1 - 2.0**-53)


def random_mixture(seed: int, components: int, decades: float = 6) -> rc.NormalMixture:
    rng = np.random.default_rng(seed)
    weights = 10.0 ** rng.uniform(-12, 0, components)
    means = rng.normal(size=components) * 10.0 ** rng.uniform(-3, 3)
    stds = 10.0 ** (rng.uniform(-decades, 0, components) + rng.uniform(-2, 2))
    return rc.NormalMixture(weights, means, stds)


def exact_tail(law: rc.NormalMixture, x: float, upper: bool) -> Any:
    sign = -1 if upper else 1
    parts = zip(law.weights.tolist(), law.means.tolist(), law.stds.tolist(), strict=True)
    total = mpmath.fsum(law.weights.tolist())
    return (
        mpmath.fsum(
            w * mpmath.ncdf(sign * (mpmath.mpf(x) - m) / mpmath.mpf(s)) for w, m, s in parts
        )
        / total
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), components=st.sampled_from([1, 2, 3, 10, 40, 200]))
@example(seed=0, components=1000)
def test_mixture_quantiles_invert_the_tails(seed: int, components: int) -> None:
    law = random_mixture(seed, components)
    u = probabilities(np.random.default_rng(seed), 60)
    x = law.ppf(u)
    assert np.isfinite(x).all()
    assert law._core.mixture_iterations(u) <= 60
    small = np.minimum(u, 1 - u)
    tail = np.where(u <= 0.5, law.cdf(x), law.sf(x))
    # What one ulp of x changes, and 4 eps.
    allowed = 4 * EPS * small + np.spacing(np.abs(x)) * law.pdf(x)
    assert (np.abs(tail - small) <= allowed).all()


@pytest.mark.parametrize(("seed", "components"), [(1, 1), (2, 3), (3, 10), (4, 30), (5, 2)])
def test_mixture_quantiles_are_exact_to_what_float64_allows(seed: int, components: int) -> None:
    law = random_mixture(seed, components)
    u = probabilities(np.random.default_rng(seed), 12)
    x = law.ppf(u)
    density = law.pdf(x)
    with mpmath.workdps(60):
        for ui, xi, fi in zip(u.tolist(), x.tolist(), density.tolist(), strict=True):
            upper = ui > 0.5
            small = 1 - mpmath.mpf(ui) if upper else mpmath.mpf(ui)
            error = abs(exact_tail(law, xi, upper) - small)
            assert error <= 4 * EPS * small + float(np.spacing(abs(xi))) * fi


@pytest.mark.parametrize("seed", range(4))
def test_mixture_tails_are_accurate_relative_to_themselves(seed: int) -> None:
    law = random_mixture(seed, 5, decades=3)
    x = law.ppf(probabilities(np.random.default_rng(seed), 8))
    with mpmath.workdps(60):
        for upper, got in ((False, law.cdf(x)), (True, law.sf(x))):
            for xi, p in zip(x.tolist(), got.tolist(), strict=True):
                exact = exact_tail(law, xi, upper)
                if exact > 1e-300:
                    # One component rounds by 3 eps, the sum by another.
                    assert abs(p / exact - 1) <= 4 * EPS


def test_logarithms_neither_underflow_nor_lose_digits() -> None:
    law = rc.Normal()
    x = np.concatenate([np.linspace(-200, 35, 95), [-1e6, -1e-3, 0.0, 1e-3]])
    got, other = law.logcdf(x), law.logsf(-x)
    np.testing.assert_array_equal(got, other)
    with mpmath.workdps(400):  # log Phi(35) = -1e-268
        exact = np.array([float(mpmath.log(mpmath.ncdf(v))) for v in x.tolist()])
    # Phi is good to 3 eps, the logarithm to 1.
    np.testing.assert_allclose(got, exact, rtol=5 * EPS)
    np.testing.assert_allclose(law.logpdf(x), -0.5 * x * x - 0.5 * np.log(2 * np.pi), rtol=4 * EPS)
    assert law.logpdf(1e160) == -np.inf
    mixture = rc.NormalMixture([1, 3], [0, 5], [1, 2])
    far = np.array([-1e4, 1e4])  # the wide component alone is left
    one = rc.Normal(5, 2)
    np.testing.assert_allclose(mixture.logpdf(far), one.logpdf(far) + np.log(0.75), rtol=4 * EPS)
    np.testing.assert_allclose(mixture.logcdf(far[0]), one.logcdf(far[0]) + np.log(0.75))


@pytest.mark.parametrize("bandwidth", [0.01, 0.3, 2.0])
def test_smoothed_samples_equal_the_sum_over_all_components(bandwidth: float) -> None:
    rng = np.random.default_rng(0)
    samples, weights = rng.normal(size=500) ** 3, rng.random(500) ** 8
    law = rc.smoothed(samples, weights, bandwidth=bandwidth)
    x = np.concatenate([np.linspace(-60, 60, 31), rng.normal(size=30)])
    w = np.sort(samples)[:, None]
    share = (weights / weights.sum())[np.argsort(samples)][:, None]
    for curve in ("pdf", "cdf", "sf"):
        z = getattr(scipy.stats.norm(w, bandwidth), curve)(x)
        keep = getattr(law, curve)(x) > 1e-290
        # SciPy rounds z: z^2 eps relative, at most 38^2 eps where the density has not underflowed.
        np.testing.assert_allclose(
            getattr(law, curve)(x)[keep], (share * z).sum(axis=0)[keep], rtol=3e3 * EPS
        )
    u = rng.random(200)
    # A cdf of slope f cannot be met closer than half an ulp of x.
    np.testing.assert_allclose(law.cdf(law.ppf(u)), u, rtol=4 * EPS, atol=1e-14 / bandwidth)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=20),
    st.integers(0, 2**32),
)
def test_empirical_quantiles_are_numpys(values: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = len(values)
    u = np.concatenate([rng.random(20), np.arange(n + 1) / n])
    law = rc.Empirical(values)
    np.testing.assert_array_equal(law.ppf(u), np.quantile(values, u, method="inverted_cdf"))
    np.testing.assert_allclose(
        law.interpolated().ppf(u) if n > 1 else law.ppf(u),
        np.quantile(values, u),
        atol=1e-13,  # a few roundings of values up to 5
    )
    x = law.ppf(u)
    assert (law.cdf(x) >= u).all()
    below = np.nextafter(x, -np.inf)
    assert ((law.cdf(below) < u) | (u == 0)).all()
    # Integer weights are repeated values.
    counts = rng.integers(0, 4, n) + (np.arange(n) == 0)
    weighted, repeated = rc.Empirical(values, counts), rc.Empirical(np.repeat(values, counts))
    v = rng.random(30)
    np.testing.assert_array_equal(weighted.ppf(v), repeated.ppf(v))
    assert weighted.mean() == pytest.approx(repeated.mean(), abs=1e-14)
    assert weighted.std() == pytest.approx(repeated.std(), abs=1e-14)


def test_histograms_follow_their_polygon() -> None:
    law = rc.Histogram([0, 1, 2, 5], [1, 0, 3])
    peer = scipy.stats.rv_histogram((np.array([1, 0, 3]), np.array([0, 1, 2, 5])), density=False)
    x = np.linspace(-1, 6, 57)
    for curve in ("pdf", "cdf", "sf"):
        np.testing.assert_allclose(
            getattr(law, curve)(x[x != 5]), getattr(peer, curve)(x[x != 5]), atol=4 * EPS
        )
    assert law.mean() == pytest.approx(peer.mean(), rel=1e-14)
    assert law.std() == pytest.approx(peer.std(), rel=1e-14)
    np.testing.assert_allclose(law.ppf([0, 0.125, 0.25, 0.625, 1]), [0, 0.5, 1, 3.5, 5], rtol=1e-15)
    u = np.random.default_rng(0).random(100)
    np.testing.assert_allclose(law.cdf(law.ppf(u)), u, atol=4 * EPS)


@settings(max_examples=25, deadline=None)
@given(shift=st.floats(-10, 10), scale=st.floats(0.1, 10), flip=st.booleans())
def test_affine_laws_shift_and_scale_and_turn_the_tails(
    shift: float, scale: float, flip: bool
) -> None:
    b = -scale if flip else scale
    base = scipy.stats.gamma(2.0)
    law = rc.affine(base, shift, b)
    y = np.linspace(0.01, 12, 20)
    x = shift + b * y
    # x rounds, and y with it: 1e-12 covers eps times 40, the largest condition number here.
    np.testing.assert_allclose(
        law.cdf(x), (base.sf if flip else base.cdf)(y), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(law.pdf(x), base.pdf(y) / scale, rtol=1e-12, atol=1e-12)
    assert law.mean() == pytest.approx(shift + b * base.mean())
    assert law.std() == pytest.approx(scale * base.std())
    assert isinstance(rc.affine(rc.Normal(1, 2), shift, b), rc.Normal)


def test_truncated_laws_match_scipy_and_keep_far_tails() -> None:
    law, peer = rc.truncated(rc.Normal(), 1, 2), scipy.stats.truncnorm(1, 2)
    x, u = np.linspace(0.9, 2.1, 25), np.linspace(0, 1, 25)
    for curve in ("pdf", "cdf", "sf"):
        np.testing.assert_allclose(
            getattr(law, curve)(x), getattr(peer, curve)(x), rtol=1e-13, atol=1e-15
        )
    np.testing.assert_allclose(law.ppf(u), peer.ppf(u), rtol=1e-14)
    assert law.mean() == pytest.approx(peer.mean(), rel=1e-13)
    assert law.std() == pytest.approx(peer.std(), rel=1e-12)
    far = rc.truncated(rc.Normal(), 30.0)
    with mpmath.workdps(40):
        mills = mpmath.ncdf(-30) / mpmath.npdf(30)
        mean = 1 / mills
        std = mpmath.sqrt(1 + 30 * mean - mean**2)
        assert far.mean() == pytest.approx(float(mean), rel=1e-14)
        # x holds only eps * 30 of a std of 1/30.
        assert far.std() == pytest.approx(float(std), rel=1e-12)
        assert far.sf(30.5) == pytest.approx(
            float(mpmath.ncdf(-30.5) / mpmath.ncdf(-30)), rel=1e-13
        )
    assert rc.truncated([1, 2, 3, 4], 2, 3).support() == (2, 3)


def test_scipy_distributions_old_and_new_are_laws() -> None:
    assert repr(rc.as_marginal(scipy.stats.norm(1, 2))) == "Normal(mean=1, std=2)"
    peer = scipy.stats.t(5)
    law = rc.as_marginal(peer)
    x = np.linspace(-3, 3, 7).reshape(7, 1)
    for curve in CURVES:
        np.testing.assert_array_equal(getattr(law, curve)(x), getattr(peer, curve)(x))
    if hasattr(scipy.stats, "Normal"):
        new = rc.as_marginal(scipy.stats.Normal(mu=1.0, sigma=2.0))
        assert (new.mean(), new.std()) == (1.0, 2.0)
    assert rc.as_marginal(law) is law


def test_shapes_and_precision_pass_through() -> None:
    law = rc.NormalMixture([1, 2], [0, 3], [1, 2])
    u = np.random.default_rng(0).random((3, 4, 5))
    assert law.ppf(u).shape == u.shape
    assert law.ppf(u.T).shape == u.T.shape
    np.testing.assert_array_equal(law.ppf(u.T), law.ppf(u).T)
    assert law.ppf(u.astype(np.float32)).dtype == np.float32
    assert isinstance(law.ppf(0.3), float)
    assert law.cdf([]).shape == (0,)
    assert isinstance(law.rvs(), float)
    assert law.rvs((2, 3), rng=1).shape == (2, 3)


@pytest.mark.parametrize(
    "law",
    [
        rc.Normal(1, 2),
        rc.NormalMixture([1, 2, 1e-9], [0, 3, -50], [1, 0.01, 2]),
        rc.NormalMixture(np.ones(40), np.arange(40.0), np.full(40, 0.5)),
        rc.NormalMixture(np.ones(50), np.arange(50.0), np.linspace(0.1, 1, 50)),
        rc.Empirical(np.arange(100.0)),
        rc.Histogram([0, 1, 3], [1, 2]),
        rc.tabulate(rc.NormalMixture([1, 2], [0, 3], [1, 0.3])),
    ],
    ids=repr,
)
def test_draws_do_not_depend_on_threads_or_on_their_place(law: rc.Marginal) -> None:
    one = law.rvs(20_000, rng=3, num_threads=1)
    np.testing.assert_array_equal(law.rvs(20_000, rng=3, num_threads=2), one)
    u = np.maximum(np.random.default_rng(3).random(20_000), 2.0**-54)
    np.testing.assert_array_equal(law.ppf(np.ascontiguousarray(u[5:90])), one[5:90])
    np.testing.assert_array_equal([law.ppf(float(v)) for v in u[:20]], one[:20])
    # The mean of n draws is normal about the law's, 5 standard deviations wide.
    assert abs(one.mean() - law.mean()) < 5 * law.std() / np.sqrt(one.size)
    again = pickle.loads(pickle.dumps(law))
    np.testing.assert_array_equal(again.ppf(u[:50]), one[:50])


def test_edges_of_probability_are_the_support() -> None:
    for law in (rc.Normal(), rc.NormalMixture([1, 1], [0, 1], [1, 1])):
        np.testing.assert_array_equal(law.ppf([0.0, 1.0]), [-np.inf, np.inf])
        np.testing.assert_array_equal(law.isf([0.0, 1.0]), [np.inf, -np.inf])
        np.testing.assert_array_equal(law.cdf([-np.inf, np.inf]), [0, 1])
        np.testing.assert_array_equal(law.sf([-np.inf, np.inf]), [1, 0])
        assert np.isfinite(law.ppf(5e-324))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rc.Normal(0, 0), "std must be positive"),
        (lambda: rc.Normal(np.nan), "mean must be finite"),
        (lambda: rc.NormalMixture([], [], []), "weights must not be empty"),
        (lambda: rc.NormalMixture([1, -1], [0, 0], [1, 1]), r"weights\[1\] must be finite and not"),
        (lambda: rc.NormalMixture([0, 0], [0, 0], [1, 1]), "positive, finite sum"),
        (lambda: rc.NormalMixture([1], [0], [0]), r"stds\[0\] must be positive"),
        (lambda: rc.NormalMixture([1, 1], [0], [1]), "one length"),
        (lambda: rc.Empirical([]), "values must not be empty"),
        (lambda: rc.Empirical([1, np.inf]), "values must be finite"),
        (lambda: rc.Empirical([1, 2], [0, 0]), "positive, finite sum"),
        (lambda: rc.Empirical([1, 2], [1]), "weights must have shape"),
        (lambda: rc.Empirical([1.0]).pdf(0.0), "pdf needs a law with a density"),
        (lambda: rc.Empirical([1.0]).interpolated(), "at least 2 values"),
        (lambda: rc.Histogram([0, 0, 1], [1, 1]), "edges must increase"),
        (lambda: rc.Histogram([0, 1], [-1]), r"mass\[0\]"),
        (lambda: rc.Histogram([0, 1], [1, 1]), "one entry more"),
        (lambda: rc.Normal().ppf(1.5), r"u must lie in \[0, 1\], got 1.5"),
        (lambda: rc.Normal().ppf([0.5, np.nan]), "u must not be NaN, got NaN at position 1"),
        (lambda: rc.Normal().cdf(np.nan), "x must not be NaN"),
        (lambda: rc.Normal().cdf(1j), "x must hold real numbers"),
        (lambda: rc.Normal().cdf("a"), "x must"),
        (lambda: rc.Normal().cdf(0.0, num_threads=0), "num_threads must be at least 1"),
        (lambda: rc.affine(rc.Normal(), 0, 0), "scale must not be zero"),
        (lambda: rc.truncated(rc.Normal(), 2, 1), "lower must be less than upper"),
        (lambda: rc.truncated(rc.Normal(), 50, 51), "must have mass between"),
        (lambda: rc.smoothed([1.0, 1.0]), "bandwidth must be given"),
        (lambda: rc.as_marginal(np.sin), "law must be a law"),
        (lambda: rc.as_marginal(None), "law must be a law"),
        (lambda: rc.as_marginal(scipy.stats.poisson(2)), "continuous distribution, got poisson"),
        (lambda: rc.evaluate_rows([], "ppf", [0.5]), "laws must not be empty"),
        (lambda: rc.evaluate_rows([rc.Normal()], "foo", [0.5]), "curve must be"),
        (lambda: rc.evaluate_rows([rc.Normal()], "ppf", [[0.5]] * 2), r"shape \(1, n\)"),
    ],
)
def test_bad_input_is_named(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
