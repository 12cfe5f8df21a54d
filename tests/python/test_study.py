"""The demo's figures, which the README quotes, and the validation experiments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recouple as rc
from recouple import study
from recouple.cli import main
from recouple.study.images import gaussian_heads, keep_moments


def test_the_engel_data_are_whole() -> None:
    income, food = study.engel_pairs()
    assert len(income) == len(food) == 235
    # Checksums of the published table: its extremes and the Engel law itself, food rises with
    # income less than in proportion.
    assert income.min() == pytest.approx(377.058369, abs=1e-6)
    assert income.max() == pytest.approx(4957.81302, abs=1e-5)
    assert 0.8 < np.polyfit(np.log(income), np.log(food), 1)[0] < 0.9


def test_the_demo_recovers_the_households() -> None:
    result = study.demo(samples=5000)
    assert result.total_variation <= 0.02
    assert abs(result.correlation_recovered - result.correlation_true) <= 5e-4
    assert result.field_consistency <= 0.02
    # Two samples of 5000 differ by the floor; the one-step draws by no more than thrice that.
    assert result.w2_one_step <= 3 * result.w2_floor
    assert result.w2_ode <= 3 * result.w2_floor
    assert "total variation" in result.table()


def test_experiments_find_what_they_should_and_can_be_written(tmp_path: Path) -> None:
    told: list[str] = []
    results = study.validate(["floor", "orders"], rng=1, told=lambda found: told.append(found.name))
    assert told == ["floor", "orders"]
    for found in results:
        assert all(check.met for check in found.checks), found.text()
        assert found.title in found.markdown()
    written = study.write(results, tmp_path / "out")
    names = {path.name for path in written}
    assert {"study.json", "study.md", "orders.png"} <= names
    read = json.loads((tmp_path / "out" / "study.json").read_text())
    assert [each["name"] for each in read["experiments"]] == told
    assert read["experiments"][0]["seed"] == 1


def test_gaps_are_means_of_a_difference_the_draw_does_not_move() -> None:
    from recouple.study.generalisation import _gap

    fresh = [_gap(50, 8, shared=False, heads=False, seed=k) for k in range(6)]
    shared = [_gap(50, 8, shared=True, heads=False, seed=k) for k in range(6)]
    assert 0 < np.mean(fresh) < np.mean(shared)


def test_gaussian_heads_are_the_gaussian_field_at_their_times() -> None:
    draw = np.random.default_rng(0)
    cov = np.diag([0.5, 2.0, 1.0])
    times = np.linspace(0, 1, 5)
    net = gaussian_heads(cov, 20, times, draw)
    zeros = np.zeros(3)
    field = rc.velocity_field(rc.GaussianPlan(zeros, zeros, np.eye(3), np.zeros((3, 3)), cov))
    x = draw.standard_normal((10, 3))
    for t in times:
        np.testing.assert_allclose(net(float(t), x), field(float(t), x), atol=1e-5)  # float32
    with pytest.raises(ValueError, match="width must be at least 2 D = 6"):
        gaussian_heads(cov, 5, times, draw)


def test_a_flow_keeps_the_moments_it_is_steered_by() -> None:
    cov = np.array([[1.5, 0.6], [0.6, 0.5]])
    turn = np.array([[-0.4, 2.0], [-1.0, 0.3]])

    def f(t: object, x: Any) -> Any:  # bends, turns, drifts
        return np.tanh(2 * x) @ turn + 0.5

    draws, start = np.random.default_rng(0).standard_normal((2, 4000, 2))
    affine = keep_moments(f, cov, draws, steps=40)
    field = rc.as_field(lambda t, x: f(t, x) + affine(t, x), dim=2)
    x = rc.integrate(field, start, method="rk4", steps=40).x
    # 4000 draws know a variance to 2 %, and Heun's 40 steps add less than that.
    np.testing.assert_allclose(np.cov(x.T), cov, atol=0.1)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=0.08)
    alone = rc.integrate(rc.as_field(f, dim=2), start, method="rk4", steps=40).x
    assert np.abs(np.cov(alone.T) - cov).max() > 0.3


def test_an_experiment_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="names must be among all, floor"):
        study.validate("nothing")


def test_the_command_runs_experiments(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["study", "floor", "--seed", "2", "--json", "--out", str(tmp_path)]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["name"] == "floor"
    assert found["seed"] == 2
    assert (tmp_path / "study.md").is_file()
    assert main(["study", "nothing"]) == 2
