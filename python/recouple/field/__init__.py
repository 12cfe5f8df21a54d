"""Velocity fields v(t, x) = E[dX_t/dt | X_t = x]: of plans, on grids, of anything callable."""

from recouple.field.adapter import FieldReport, as_field, check_field
from recouple.field.base import VelocityField, velocity_field
from recouple.field.change import (
    change_interpolant,
    expected_ends,
    reversed_time,
    score_from_velocity,
    velocity_from_denoiser,
    velocity_from_score,
)
from recouple.field.grid import GridField

__all__ = [
    "FieldReport",
    "GridField",
    "VelocityField",
    "as_field",
    "change_interpolant",
    "check_field",
    "expected_ends",
    "reversed_time",
    "score_from_velocity",
    "velocity_field",
    "velocity_from_denoiser",
    "velocity_from_score",
]
