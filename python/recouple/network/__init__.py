"""Two-layer ReLU networks as velocity fields, and their training on flow-matching pairs."""

from recouple.network.net import ReluNetwork
from recouple.network.train import Trace, train

__all__ = ["ReluNetwork", "Trace", "train"]
