"""The one entry to recovery: what it says of arguments, of broken fields and of unsteady ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recouple as rc

PLAN = rc.GaussianPlan(0, 0, 1, 0.5, 1)


def late(value: float) -> Any:
    """The field of PLAN, broken after t = 0.7."""
    return lambda t, x: np.where(np.asarray(t) > 0.7, value, PLAN.velocity(t, x))


@pytest.mark.parametrize(
    "family", ["foo", None, 3, ["line"], {"line": 1}, np.array(["line", "free"])]
)
def test_families_that_are_none_are_named(family: Any) -> None:
    with pytest.raises(ValueError, match="family must be 'auto' or one of"):
        rc.recover_plan(PLAN.velocity, PLAN.source, family=family)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("family", ["auto", "line", "gaussian", "mixture", "free"])
def test_a_field_that_breaks_late_is_told_when_and_where(value: float, family: str) -> None:
    with pytest.raises(ValueError, match=rf"field must be finite, got \[?{value}\]?") as caught:
        rc.recover_plan(late(value), PLAN.source, family=family)
    time, place = str(caught.value).split("t = ")[1].split(", x = ")
    assert 0.7 < float(time) <= 1.0
    assert abs(float(place.strip("[]"))) < 6  # of a normal law, no further out than it was drawn


@pytest.mark.parametrize("family", ["line", "mixture", "free"])
def test_a_flow_that_runs_away_is_told_when(family: str) -> None:
    # x' = 20 x^3 reaches infinity at t = 1 / (40 x^2): from the five deviations that are
    # followed at most at 1e-3, which steps of 1/96 or more see some steps later.
    left = pytest.raises(ValueError, match="a trajectory leaves the numbers at t = ")
    with np.errstate(over="ignore", invalid="ignore"), left as caught:
        rc.recover_plan(lambda t, x: 20 * x**3, PLAN.source, family=family)
    assert 0 < float(str(caught.value).split("t = ")[1]) < 0.1
