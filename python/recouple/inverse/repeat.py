"""Fields that are not the same twice: estimated by sampling, or with dropout left on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from recouple.field import VelocityField
from recouple.inverse.end import read_end
from recouple.inverse.recovery import Recovery

POINTS = 256
TIMES = 16  # errors common to a call are as many samples; the last is before 1, where poles are
ROUNDING = 1e-6  # relative difference that the order of sums in single precision explains
# Of an error drawn anew in every call 96 steps of RK4 leave sqrt(10 / (36 96)) = 0.054 along a
# trajectory, where the smooth error of the noise model leaves 0.76: what the one counts as of the
# other.
REMAINS = 0.07


def disagreement(field: Any, source: Any) -> float:
    r"""Return the relative error of a field that two evaluations at the same points tell.

    .. math:: \sqrt{E|v - v'|^2 / 2} \;/\; \sqrt{E|v|^2}

    over 256 points that 16 steps of Euler's method carry from the source along the field: 0 for
    native fields, which are not asked, and for those that differ by rounding.

    It is no level of the smooth error that ``noise`` stands for: what is drawn anew in every call
    averages along a trajectory, to ``REMAINS`` of it, and what is drawn anew at every point also
    over the points that a moment weighs. Where no noise is given none is needed: the residual of
    the fit tells what remains, and taking the whole for smooth costs up to ten times the accuracy.
    A noise that is given is at least what remains.
    """
    if not isinstance(field, VelocityField) or field.native:
        return 0.0
    rng = np.random.default_rng(0)
    try:
        x = np.asarray(read_end("source", source, field.dim, regular=False).draw(POINTS, rng))
    except ValueError:  # which the recovery words, if it cannot do with the source either
        return 0.0
    x = x[:, 0] if field.dim == 1 else x
    apart, size = 0.0, 0.0
    with np.errstate(all="ignore"):
        for t in np.arange(TIMES) / TIMES:
            v, again = field(float(t), x), field(float(t), x)
            apart += float(np.sum((v - again) ** 2))
            size += float(np.sum(v**2))
            x = x + v / TIMES
    level = np.sqrt(0.5 * apart / size) if size > 0 else 0.0
    return float(level) if ROUNDING < level < np.inf else 0.0


def with_disagreement(rec: Recovery, level: float) -> Recovery:
    """Return a recovery that says so, where it says what the field is like."""
    message = rec.message
    if rec.status == "inconsistent":
        message += f"; it is not the same twice, by {level:.2g} of its size: average several calls"
    line = (
        f"the field is not the same twice: a random error of {level:.1e} of its size in each call. "
        "It averages along trajectories, but the plan's own field differs by as much; means of "
        "several calls lessen it"
    )
    return replace(rec, message=message, evidence=(*rec.evidence, line))
