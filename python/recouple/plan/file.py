"""Plans from disk."""

from __future__ import annotations

from typing import Any

import numpy as np

from recouple.plan.atomic import AtomicPlan
from recouple.plan.base import LAYOUT, Plan
from recouple.plan.grid import GridPlan
from recouple.plan.mixture import GaussianPlan, MixturePlan

__all__ = ["load_plan"]

_KINDS: dict[str, type[Plan]] = {
    kind.__name__: kind for kind in (AtomicPlan, GaussianPlan, GridPlan, MixturePlan)
}


def load_plan(path: Any) -> Any:
    """Read a plan that ``plan.save(path)`` wrote.

    Raises
    ------
    ValueError
        If the file holds no plan, one of a kind this version does not know, or bad arrays.

    Examples
    --------
    >>> import io, recouple as rc
    >>> file = io.BytesIO()
    >>> rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 1.0).save(file)
    >>> _ = file.seek(0)
    >>> rc.load_plan(file)
    GaussianPlan(D = 1)
    """
    with np.load(path, allow_pickle=False) as file:
        if "kind" not in file or "version" not in file:
            raise ValueError(f"{path} must be a file written by plan.save, it has no kind")
        kind, version = str(file["kind"]), int(file["version"])
        if kind not in _KINDS or version > LAYOUT:
            raise ValueError(
                f"{path} holds a {kind} of layout {version}; this version reads "
                f"{', '.join(sorted(_KINDS))} up to layout {LAYOUT}"
            )
        plan = _KINDS[kind]
        missing = [name for name in plan._fields if name not in file]
        if missing:
            raise ValueError(f"{path} must hold {', '.join(plan._fields)}, lacks {missing[0]}")
        return plan(*(file[name] for name in plan._fields))
