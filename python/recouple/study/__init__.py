"""Worked studies: the demo on real households, and nine experiments that validate the theory."""

from recouple.study.experiment import Experiment, Table
from recouple.study.households import Demo, demo, engel_pairs
from recouple.study.validate import EXPERIMENTS, validate, write

__all__ = [
    "EXPERIMENTS",
    "Demo",
    "Experiment",
    "Table",
    "demo",
    "engel_pairs",
    "validate",
    "write",
]
