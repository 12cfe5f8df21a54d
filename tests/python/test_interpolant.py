"""Interpolants: their ends, derivatives and time changes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import recouple as rc
from recouple import _core
from recouple.interpolant import Interpolant

CUSTOM = rc.custom_interpolant(lambda t: 1 - t**3, lambda t: np.sin(np.pi / 2 * t), name="mixed")
ALL = [rc.LINEAR, rc.TRIGONOMETRIC, rc.COSINE, CUSTOM]


@pytest.mark.parametrize("interpolant", ALL, ids=lambda i: i.name)
def test_the_ends_are_exact_and_the_derivatives_are_derivatives(interpolant: Interpolant) -> None:
    tight = 1e-15 if interpolant != CUSTOM else 1e-13
    assert _core.coefficients(interpolant, 0.0)[:2] == pytest.approx((1, 0), rel=0, abs=tight)
    assert _core.coefficients(interpolant, 1.0)[:2] == pytest.approx((0, 1), rel=0, abs=tight)
    h = 1e-3
    for t in np.linspace(0.01, 0.99, 15):
        values = np.array([_core.coefficients(interpolant, t + s * h) for s in (-2, -1, 1, 2)])
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3])[:2] / (12 * h)
        assert np.allclose(_core.coefficients(interpolant, t)[2:], slope, atol=1e-9)


def test_named_interpolants_are_what_they_say() -> None:
    t = 0.3
    assert _core.coefficients(rc.TRIGONOMETRIC, t) == pytest.approx(
        (np.cos(np.pi * t / 2), np.sin(np.pi * t / 2))
        + (-np.pi / 2 * np.sin(np.pi * t / 2), np.pi / 2 * np.cos(np.pi * t / 2)),
        rel=1e-15,
    )
    a, b, da, db = _core.coefficients(rc.COSINE, t)
    assert (a + b, da + db) == pytest.approx((1, 0), abs=1e-15)
    assert a == pytest.approx((1 + np.cos(np.pi * t)) / 2, rel=1e-15)


@pytest.mark.parametrize("interpolant", ALL, ids=lambda i: i.name)
def test_the_time_of_a_ratio_inverts_it(interpolant: Interpolant) -> None:
    for t in np.linspace(0, 1, 11):
        a, b, _, _ = _core.coefficients(interpolant, float(t))
        # Where both derivatives vanish (the ends of COSINE) the ratio says sqrt(eps) of the time.
        assert interpolant.time_of(3 * a, 3 * b) == pytest.approx(t, abs=2e-8)


@pytest.mark.parametrize("interpolant", ALL, ids=lambda i: i.name)
def test_interpolants_are_values(interpolant: Interpolant) -> None:
    again = pickle.loads(pickle.dumps(interpolant))
    assert again == interpolant
    assert hash(again) == hash(interpolant)
    assert _core.coefficients(again, 0.3) == _core.coefficients(interpolant, 0.3)
    assert sum(other == interpolant for other in ALL) == 1
    assert interpolant.name in repr(interpolant)


def test_a_tabulated_curve_follows_its_source_to_rounding() -> None:
    sharp = rc.custom_interpolant(
        lambda t: 1 - np.tanh(12 * t) / np.tanh(12), lambda t: np.tanh(3 * t) / np.tanh(3)
    )
    t = np.random.default_rng(0).random(300)
    values = np.array([_core.coefficients(sharp, s) for s in t])
    assert np.abs(values[:, 0] - (1 - np.tanh(12 * t) / np.tanh(12))).max() < 3e-13
    # Derivatives from the table lose the square of the degree times the pieces.
    assert np.abs(values[:, 2] + 12 / np.cosh(12 * t) ** 2 / np.tanh(12)).max() < 1e-9
    given = rc.custom_interpolant(
        lambda t: 1 - t**2, lambda t: t**2, lambda t: -2 * t, lambda t: 2 * t
    )
    assert _core.coefficients(given, 0.3)[2:] == pytest.approx((-0.6, 0.6), rel=1e-14)


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        (lambda t: 1 - t, lambda t: 2 * t, {}, r"b\(1\) must be 1, got 2"),
        (lambda t: 2 - t, lambda t: t, {}, r"a\(0\) must be 1"),
        (lambda t: np.sqrt(1 - t * t), lambda t: t, {}, "a must be smooth"),
        (lambda t: 1 - t, lambda t: t + 0.4 * np.sin(9.42477796 * t), {}, "without stopping"),
        (lambda t: 1 - t, lambda t: t, {"da": lambda t: -2.0}, "da must be the derivative"),
        (lambda t: 1 - t if t < 0.5 or t == 1 else np.nan, lambda t: t, {}, "finite"),
        (3, lambda t: t, {}, "callable"),
    ],
)
def test_curves_that_are_no_interpolant_are_refused(
    a: object, b: object, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rc.custom_interpolant(a, b, **options)  # type: ignore[arg-type]
