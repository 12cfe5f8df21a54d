"""Pictures, with matplotlib (the extra ``plot``). Every function takes ``ax`` and returns it.

What tells things apart is lightness, line style or marker beside colour, so that pictures survive
a printer without it.
"""

from recouple.plot.axes import formats
from recouple.plot.law import ellipses, quantiles, samples
from recouple.plot.motion import field, trajectories
from recouple.plot.plan import comparison, difference, marginal_path, plan
from recouple.plot.recovery import recovery

__all__ = [
    "comparison",
    "difference",
    "ellipses",
    "field",
    "formats",
    "marginal_path",
    "plan",
    "quantiles",
    "recovery",
    "samples",
    "trajectories",
]
