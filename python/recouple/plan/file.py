"""Plans from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from recouple.marginal import Empirical, Normal, NormalMixture
from recouple.plan.atomic import AtomicPlan
from recouple.plan.base import LAYOUT, Plan, below
from recouple.plan.curve import MonotonePlan
from recouple.plan.dataset import DatasetPlan
from recouple.plan.grid import GridPlan
from recouple.plan.law import Atoms, Gaussian, GaussianMixture, GridLaw
from recouple.plan.mixture import GaussianPlan, MixturePlan
from recouple.plan.product import ProductPlan
from recouple.plan.several import PlanMixture

__all__ = ["load_plan"]

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        AtomicPlan,
        Atoms,
        DatasetPlan,
        Empirical,
        Gaussian,
        GaussianMixture,
        GaussianPlan,
        GridLaw,
        GridPlan,
        MixturePlan,
        MonotonePlan,
        Normal,
        NormalMixture,
        PlanMixture,
        ProductPlan,
    )
}


def load_plan(path: Any) -> Any:
    """Read a plan that ``plan.save(path)`` wrote.

    Raises
    ------
    ValueError
        If the file holds no plan, one of a later layout or of an unknown kind, or bad arrays.

    Examples
    --------
    >>> import io, recouple as rc
    >>> file = io.BytesIO()
    >>> rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 1.0).save(file)
    >>> _ = file.seek(0)
    >>> rc.load_plan(file)
    GaussianPlan(D = 1)
    """
    arrays = read_arrays(path, "plan.save")
    if "kind" not in arrays or "version" not in arrays:
        raise ValueError(f"{path} must be a file written by plan.save, it holds no plan")
    if int(arrays["version"]) > LAYOUT:
        raise ValueError(
            f"{path} has layout {arrays['version']}, this version reads up to {LAYOUT}"
        )
    plan = _unpack("", arrays, path)
    if not isinstance(plan, Plan):
        raise ValueError(f"{path} must hold a plan, got {type(plan).__name__}")
    return plan


def read_arrays(path: Any, writer: str) -> dict[str, Any]:
    """Return the arrays of a ``.npz`` file, whose ending may be left out as in writing it."""
    if isinstance(path, str | Path) and not Path(path).exists():
        path = Path(f"{path}.npz") if Path(f"{path}.npz").exists() else path
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file}
    except (EOFError, AttributeError, ValueError, BadZipFile):
        raise ValueError(f"{path} must be a .npz file written by {writer}, it is none") from None


def _unpack(name: str, arrays: dict[str, Any], path: Any) -> Any:
    if below(name, "kind") not in arrays:
        if name not in arrays:
            raise ValueError(f"{path} must hold {name}, it is missing")
        value = arrays[name]
        return value if value.ndim else value[()]
    kind = str(arrays[below(name, "kind")])
    if kind != "tuple" and kind not in _KINDS:
        raise ValueError(f"{path} holds a {kind}, which this version does not know")
    maker = _KINDS.get(kind)
    if maker is not None and issubclass(maker, Plan):
        return maker(*(_unpack(below(name, part), arrays, path) for part in maker._fields))
    parts: list[Any] = []
    while any(below(name, len(parts)) in (key, key.removesuffix(".kind")) for key in arrays):
        parts.append(_unpack(below(name, len(parts)), arrays, path))
    return tuple(parts) if maker is None else maker(*parts)
