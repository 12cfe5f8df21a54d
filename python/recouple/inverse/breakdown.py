"""Where a flow breaks down: the time and the place, for the message."""

from __future__ import annotations

import numpy as np

from recouple.arguments import FloatArray
from recouple.field import VelocityField

FAR = 1e6  # times as far out as the points began: no place to ask a field about


def breakdown(
    field: VelocityField,
    x: FloatArray,
    before: float,
    after: float,
    steps: int,
    otherwise: str = "field must carry points to finite places",
) -> str:
    """Return what is wrong where RK4 leaves the numbers on its way from one time to another.

    Takes the steps again from ``x``, (n,) or (n, D), and looks at each value of the field;
    ``otherwise`` if they stay finite.
    """
    x = x.reshape(-1) if field.dim == 1 else x
    far = FAR * float(np.abs(x).max())
    h = (after - before) / steps
    with np.errstate(all="ignore"):
        for k in range(steps):
            slopes = [np.zeros_like(x)]
            for part in (0.0, 0.5, 0.5, 1.0):
                t, place = before + (k + part) * h, x + part * h * slopes[-1]
                if not np.abs(place).max() <= far:
                    return (
                        "field must carry points to finite places: a trajectory leaves the "
                        f"numbers at t = {t:.4g}"
                    )
                slopes.append(field(t, place))
                bad = np.flatnonzero(~np.isfinite(slopes[-1].reshape(len(x), -1)).all(axis=1))
                if bad.size:
                    value, point = slopes[-1][bad[0]], np.array2string(place[bad[0]], precision=6)
                    return f"field must be finite, got {value} at t = {t:.6g}, x = {point}"
            x = x + h / 6 * (slopes[1] + 2 * slopes[2] + 2 * slopes[3] + slopes[4])
    return otherwise
