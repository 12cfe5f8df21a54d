"""Flows: the trajectories of dx/dt = v(t, x) from many starting points, and what they transport."""

from recouple.flow.affine import AffineFlow, affine_flow
from recouple.flow.law import PushedLaw
from recouple.flow.map import FlowMap, log_likelihood
from recouple.flow.solution import Flow, FlowStatus
from recouple.flow.solve import crossings, integrate

__all__ = [
    "AffineFlow",
    "Flow",
    "FlowMap",
    "FlowStatus",
    "PushedLaw",
    "affine_flow",
    "crossings",
    "integrate",
    "log_likelihood",
]
