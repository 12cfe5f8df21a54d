"""The family of a plan on the line, chosen by what the field shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike

from recouple.arguments import real_number
from recouple.field import VelocityField
from recouple.inverse.descent import recover_on_grid
from recouple.inverse.dual import read_law
from recouple.inverse.graph import find_graph, graph_of, graph_recovery
from recouple.inverse.recovery import Recovery
from recouple.marginal import Empirical, Marginal
from recouple.plan import Plan
from recouple.progress import Progress


def recover_automatically(
    velocity: VelocityField,
    source: Marginal | ArrayLike,
    target: Marginal | ArrayLike | None = None,
    *,
    grid: int | None = None,
    times: int = 17,
    splines: int | None = None,
    degree: int = 5,
    reference: str | Plan = "auto",
    regularization: float | None = None,
    noise: float | None = None,
    tail: float = 1e-6,
    steps: int = 96,
    solver: str | None = None,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Recovery:
    """Recover a plan on the line as the graph of a map if it is one, else on a grid."""
    if noise is not None:
        noise = real_number("noise", noise, minimum=0.0)
    law0 = read_law("source", source)
    law1 = None if target is None else read_law("target", target)
    graph = find_graph(velocity, law0, law1, noise)
    if graph is not None:
        return graph_recovery(*graph, law0, law1)
    options: dict[str, Any] = {
        "grid": grid,
        "times": times,
        "splines": splines,
        "degree": degree,
        "reference": reference,
        "regularization": regularization,
        "noise": noise,
        "tail": tail,
        "steps": steps,
        "solver": solver,
        "num_threads": num_threads,
        "progress": progress,
    }
    rec = recover_on_grid(velocity, source, target, **options)
    if isinstance(law0, Empirical):
        return rec
    forward = graph_of(velocity, law0, law1, noise)
    finding = (
        f"D0 = {forward.diffusion:.3g} of the variance of X1 is left once X0 is known: no graph"
    )
    return replace(rec, evidence=(finding, *rec.evidence))
