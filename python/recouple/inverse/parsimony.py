"""The family of a plan in R^D, chosen by tests: the fewest parameters that the field accepts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from recouple.field import VelocityField
from recouple.inverse.components import recover_mixture
from recouple.inverse.free import recover_free
from recouple.inverse.gaussian import recover_gaussian
from recouple.inverse.recovery import Recovery
from recouple.progress import Progress

RESTARTS = 6  # of each mixture: a field that is one shows it soon


def recover_in_space(
    velocity: VelocityField,
    source: Any,
    target: Any = None,
    *,
    max_components: int = 5,
    rng: int = 0,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Recovery:
    """Try Gaussian plans, then mixtures, then free ones; the first that passes its tests is kept.

    What the others failed by leads the evidence.
    """
    one = recover_gaussian(
        velocity, source, target, rng=rng, num_threads=num_threads, progress=progress
    )
    if one.status == "converged":
        return _led(one, "Gaussian: passed every test")
    worst = min(one.p_values, key=lambda name: one.p_values[name])
    findings = [f"Gaussian: {worst} rejected, p = {one.p_values[worst]:.2g}"]
    try:
        several = recover_mixture(
            velocity,
            source,
            target,
            max_components=max_components,
            restarts=RESTARTS,
            rng=rng,
            num_threads=num_threads,
            progress=progress,
        )
    except ValueError as error:
        findings.append(f"mixture: {error}")
    else:
        count = several.settings["components"]
        if several.status == "converged":
            return _led(several, *findings, f"mixture: {count} components leave no structure")
        findings.append(
            f"mixture: {several.residuals.moments:.2g} of the field is left, with structure, at "
            f"the best number of components up to {max_components}, {count}"
        )
    free = recover_free(
        velocity, source, target, rng=rng, num_threads=num_threads, progress=progress
    )
    return _led(free, *findings, "free: no family left")


def _led(found: Recovery, *findings: str) -> Recovery:
    return replace(found, evidence=(*findings, *found.evidence))
