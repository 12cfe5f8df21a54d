"""The inverse problem: from a velocity field, or from snapshots of X_t, back to the plan.

On the line the plan is unique, and :func:`recover_plan` finds it in four steps: trace points of
each p_t along the ODE to both ends and read the cdf there; turn the cdfs into B-spline moments;
find the plan on a grid that has these moments and is closest to a reference (the entropic dual,
solved by Newton's method for smaller and smaller regularisation); stop where the data stop
answering.
"""

from recouple.inverse.dual import Stage
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.gaussian_data import recover_plan_from_trajectories
from recouple.inverse.identifiability import Identifiability, ambiguous_pair, identifiability
from recouple.inverse.mixture import MixtureFit, fit_mixture
from recouple.inverse.moment import MixedMoments
from recouple.inverse.recover import recover_plan
from recouple.inverse.recovery import Recovery, Residuals
from recouple.inverse.snapshots import recover_plan_from_snapshots

__all__ = [
    "ErrorBar",
    "Identifiability",
    "MixedMoments",
    "MixtureFit",
    "Recovery",
    "Residuals",
    "Stage",
    "ambiguous_pair",
    "fit_mixture",
    "identifiability",
    "recover_plan",
    "recover_plan_from_snapshots",
    "recover_plan_from_trajectories",
]
