"""Sliced distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recouple as rc


@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_every_projection_is_a_problem_on_the_line(p: float) -> None:
    rng = np.random.default_rng(0)
    X, Y, a = rng.normal(size=(30, 3)), rng.normal(size=(40, 3)) + 1, rng.random(30)
    got = rc.sliced_wasserstein(X, Y, a, p=p, n_projections=17, rng=1)
    np.testing.assert_allclose(np.linalg.norm(got.projections, axis=1), 1)
    powers = [
        rc.wasserstein_1d(X @ theta, Y @ theta, a, p=p, power=True) for theta in got.projections
    ]
    np.testing.assert_allclose(got.powers, powers, rtol=1e-12)
    assert got.distance == pytest.approx(np.mean(powers) ** (1 / p), rel=1e-12)
    assert float(got) == got.distance
    again = rc.sliced_wasserstein(X, Y, a, p=p, projections=5 * got.projections)
    assert again.distance == pytest.approx(got.distance, rel=1e-12)


@pytest.mark.parametrize("directions", ["gaussian", "orthogonal", "quasi"])
@pytest.mark.parametrize("dim", [1, 2, 3, 6])
def test_a_shift_costs_its_length_over_the_root_of_the_dimension(directions: Any, dim: int) -> None:
    # E <theta, s>^2 = |s|^2 / D.
    X = np.random.default_rng(2).normal(size=(20, dim))
    shift = np.arange(1.0, dim + 1)
    got = rc.sliced_wasserstein(X, X + shift, n_projections=3000, directions=directions, rng=3)
    error = max(got.standard_error, 1e-12)
    assert abs(got.distance - np.linalg.norm(shift) / np.sqrt(dim)) < 5 * error
    if directions == "orthogonal":  # sets of D have the exact mean
        assert got.distance == pytest.approx(np.linalg.norm(shift) / np.sqrt(dim), rel=1e-12)


def test_the_standard_error_is_that_of_repeated_draws() -> None:
    rng = np.random.default_rng(4)
    X, Y = rng.normal(size=(50, 4)), rng.normal(size=(60, 4)) * [1, 2, 3, 4]
    runs = [rc.sliced_wasserstein(X, Y, n_projections=60, rng=k) for k in range(200)]
    spread = np.std([r.distance for r in runs])
    claimed = np.mean([r.standard_error for r in runs])
    assert claimed == pytest.approx(spread, rel=0.2)  # 200 runs know the spread to 5 %, 4 sigma


def test_even_directions_err_less() -> None:
    rng = np.random.default_rng(5)
    X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) * [1, 2, 4]
    exact = rc.sliced_wasserstein(X, Y, n_projections=40_000, directions="quasi", rng=0).distance
    spread = {}
    kinds: Any = ("gaussian", "orthogonal", "quasi")
    for kind in kinds:
        runs: Any = [
            rc.sliced_wasserstein(X, Y, n_projections=60, directions=kind, rng=k) for k in range(60)
        ]
        spread[kind] = np.sqrt(np.mean([(r.distance - exact) ** 2 for r in runs]))
    assert spread["orthogonal"] < 0.8 * spread["gaussian"]
    assert spread["quasi"] < 0.8 * spread["gaussian"]


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("power", [False, True])
def test_gradients_are_the_limits_of_differences(p: float, power: bool) -> None:
    rng = np.random.default_rng(6)
    X, Y, a = rng.normal(size=(5, 2)), rng.normal(size=(7, 2)) + 0.3, rng.random(5) + 0.1
    theta = rng.normal(size=(9, 2))

    given: dict[str, Any] = {"X": X, "Y": Y, "a": a, "b": rng.random(7) + 0.1}
    options: Any = {"p": p, "projections": theta, "power": power}
    gradient = rc.sliced_wasserstein_grad(**given, **options)
    start = rc.sliced_wasserstein(**given, **options).distance
    assert gradient.distance == pytest.approx(start, rel=1e-12)
    h = 1e-6  # central differences, as for the line
    for name, array in given.items():
        found = getattr(gradient, name)
        assert found.shape == array.shape
        for k in np.ndindex(array.shape):
            step = np.zeros(array.shape)
            step[k] = h
            up, down = (
                rc.sliced_wasserstein(**{**given, name: array + sign * step}, **options).distance
                for sign in (1, -1)
            )
            assert found[k] == pytest.approx((up - down) / (2 * h), rel=1e-6, abs=1e-8)


def test_the_greatest_slice_of_a_shift_is_along_it() -> None:
    X = np.random.default_rng(7).normal(size=(50, 5))
    shift = np.array([1.0, -2, 0, 3, 0.5])
    got = rc.max_sliced_wasserstein(X, X + shift, rng=0)
    length = np.linalg.norm(shift)
    # At the maximum the angle's error counts by its square: 1e-9 in slope, far below 1e-12.
    assert got.distance == pytest.approx(length, rel=1e-12)
    assert abs(got.direction @ shift) / length == pytest.approx(1, rel=1e-9)
    assert got.status == "converged"


def test_the_greatest_slice_in_the_plane_is_found() -> None:
    rng = np.random.default_rng(8)
    for p in (1, 2):
        X, Y = rng.normal(size=(40, 2)), rng.normal(size=(30, 2)) * [1, 3]
        angles = np.linspace(0, np.pi, 4001)
        theta = np.column_stack([np.cos(angles), np.sin(angles)])
        grid = rc.wasserstein_1d(theta @ X.T, theta @ Y.T, p=p).max()
        got = float(rc.max_sliced_wasserstein(X, Y, p=p, rng=0))
        assert got >= grid * (1 - 1e-7)  # the grid is 8e-4 apart, its maximum flat to 1e-7
        assert got <= grid * (1 + 1e-3)


def test_every_sliced_distance_is_below_the_greatest() -> None:
    rng = np.random.default_rng(9)
    X, Y = rng.normal(size=(30, 4)), rng.normal(size=(30, 4)) + 0.5
    assert float(rc.sliced_wasserstein(X, Y, rng=0)) <= float(
        rc.max_sliced_wasserstein(X, Y, rng=0)
    )


def test_peers_agree() -> None:
    ot = pytest.importorskip("ot")
    rng = np.random.default_rng(10)
    X, Y = rng.normal(size=(40, 3)), rng.normal(size=(50, 3))
    a = rng.random(40)
    a /= a.sum()
    theta = rng.normal(size=(20, 3))
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    for p in (1, 2):
        expected = ot.sliced_wasserstein_distance(X, Y, a=a, p=p, projections=theta.T)
        got = rc.sliced_wasserstein(X, Y, a, p=p, projections=theta)
        assert got.distance == pytest.approx(float(expected), rel=1e-10)


def test_progress_is_told_and_the_threads_change_no_bit() -> None:
    rng = np.random.default_rng(11)
    X, Y = rng.normal(size=(2000, 3)), rng.normal(size=(2000, 3))
    told: list[tuple[int, int]] = []
    one, two = (
        rc.sliced_wasserstein(
            X, Y, rng=0, num_threads=k, progress=lambda *done: told.append(done)
        ).distance
        for k in (1, 2)
    )
    assert one == two
    assert told[-1] == (100, 100)


def test_bad_input_is_named() -> None:
    X = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"Y must have shape \(m, 2\) as X, got \(3, 3\)"):
        rc.sliced_wasserstein(X, np.zeros((3, 3)))
    with pytest.raises(ValueError, match="X must be finite"):
        rc.sliced_wasserstein(X * np.nan, X)
    with pytest.raises(ValueError, match=r"a must have shape \(3\)"):
        rc.sliced_wasserstein(X, X, [1, 2])
    with pytest.raises(ValueError, match="b must not be negative"):
        rc.sliced_wasserstein(X, X, None, [1, -1, 1])
    with pytest.raises(ValueError, match="projections must not be zero"):
        rc.sliced_wasserstein(X, X, projections=[[0, 0]])
    with pytest.raises(ValueError, match="directions must be"):
        rc.sliced_wasserstein(X, X, directions="sobol")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_projections must be at least 1"):
        rc.sliced_wasserstein(X, X, n_projections=0)
