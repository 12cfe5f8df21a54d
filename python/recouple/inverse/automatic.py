"""The family of a plan on the line, chosen by what the field shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike

from recouple.arguments import real_number
from recouple.field import VelocityField
from recouple.inverse.descent import recover_on_grid
from recouple.inverse.dual import read_law
from recouple.inverse.graph import SPREADING, find_graph, graph_of, graph_recovery
from recouple.inverse.recovery import Recovery
from recouple.marginal import Marginal
from recouple.plan import Plan
from recouple.progress import Progress

STEPS, MOST_STEPS = 96, 1000  # of RK4
THIN = 0.01  # of the variance of X1, left once X0 is known: a flow that may ask for more steps


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
    steps: int | None = None,
    solver: str | None = None,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Recovery:
    """Recover a plan on the line as the graph of a map if it is one, else on a grid.

    ``steps`` of None are 96, and more for a plan that is all but a map.
    """
    if noise is not None:
        noise = real_number("noise", noise, minimum=0.0)
    law0 = read_law("source", source)
    law1 = None if target is None else read_law("target", target)
    forward = graph_of(velocity, law0, law1, noise)
    graph = find_graph(velocity, law0, law1, noise, forward)
    if graph is not None:
        return graph_recovery(graph, law0, law1)
    if steps is None:
        finely = forward.diffusion.within(1) < THIN
        steps = min(max(STEPS, forward.diffusion.steps), MOST_STEPS) if finely else STEPS
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
    rec = replace(rec, evidence=(f"no graph of a map: {forward.finding}", *rec.evidence))
    if forward.spreading > SPREADING and rec.status != "converged":
        reason = "the atoms of X0 spread, and became kernels of some width, with another field"
        advice = "give the source a density, as narrow as the field's own"
        rec = replace(rec, reason=reason, message=f"{rec.message}; {reason}: {advice}")
    return rec
