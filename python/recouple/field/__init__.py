"""Velocity fields v(t, x) = E[dX_t/dt | X_t = x]: of plans, on grids, of anything callable."""

from recouple.field.adapter import as_field
from recouple.field.base import VelocityField, velocity_field
from recouple.field.grid import GridField

__all__ = ["GridField", "VelocityField", "as_field", "velocity_field"]
