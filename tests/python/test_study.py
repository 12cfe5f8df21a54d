"""The demo's figures, which the README quotes."""

from __future__ import annotations

import numpy as np
import pytest

from recouple import study


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
