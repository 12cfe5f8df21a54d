"""The benchmarks that are installed, run and summed up: ratios to peers, a verdict for each target.

The scripts of ``bench/peers`` travel with the package, each a program of its own that times one
room beside what a careful user would use instead, in one run, with the answers checked. The native
benchmarks are executables of a checkout's build; :func:`run_native` takes their folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recouple import _core

__all__ = ["Figure", "Kernel", "peer_scripts", "run_native", "run_peers", "table"]


@dataclass(frozen=True)
class Figure:
    """One line of a room's benchmark."""

    room: str
    name: str
    ratio: float | None
    target: float | None
    at_most: bool  # whether the target is an upper bound
    verdict: str  # "met", "missed", "-" without a target, or why it did not run


@dataclass(frozen=True)
class Kernel:
    """One native benchmark: nanoseconds an iteration, and items a second where it counts them."""

    room: str
    name: str
    ns: float
    items_per_second: float | None


def peer_scripts() -> dict[str, Path]:
    """Return the scripts by room: those installed with the package."""
    folder = Path(_core.__file__).parent / "peers"
    return {path.stem.removeprefix("bench_"): path for path in sorted(folder.glob("bench_*.py"))}


def run_peers(
    rooms: Sequence[str] = (),
    *,
    quick: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> list[Figure]:
    """Run the scripts of these rooms (all by default), one after the other.

    Parameters
    ----------
    rooms : sequence of str
        Such as "quantile", "flow".
    quick : bool
        Smaller cases and fewer rounds.
    say : callable
        Told what is running.

    Raises
    ------
    ValueError
        If a room has no benchmark; the message lists those that have.
    """
    scripts = peer_scripts()
    unknown = sorted(set(rooms) - set(scripts))
    if unknown:
        raise ValueError(
            f"rooms must be among {', '.join(scripts) or 'none installed'}, "
            f"got {', '.join(unknown)}"
        )
    figures: list[Figure] = []
    for room, script in scripts.items():
        if not rooms or room in rooms:
            say(f"benchmarks of {room} ...")
            figures += _run(room, script, quick)
    return figures


def _run(room: str, script: Path, quick: bool) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [sys.executable, str(script), "--json", str(out), *(["--quick"] if quick else [])]
        # A spinning team of one library starves the other's on a small machine.
        passive = {**os.environ, "OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, env=passive, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not out.is_file():
            last = (done.stderr.strip() or "no figures").splitlines()[-1]
            return [Figure(room, script.name, None, None, False, f"did not run: {last}")]
        try:
            return [_figure(room, row) for row in _rows(json.loads(out.read_text()))]
        except (KeyError, TypeError, ValueError) as error:
            return [Figure(room, script.name, None, None, False, f"figures unreadable: {error}")]


def _rows(report: Any) -> list[dict[str, Any]]:
    return list(report["lines"] if isinstance(report, dict) else report)


def _figure(room: str, row: dict[str, Any]) -> Figure:
    target = row.get("target")
    name = str(row["name"])
    for extra, label in (("peer", "{}"), ("threads", "{} thread(s)")):
        if extra in row and str(row[extra]) not in name:
            name += ", " + label.format(row[extra])
    if target is None:
        verdict = "-"
    else:
        holds = row["holds"] if "holds" in row else row.get("verdict") in ("ok", "met", "holds")
        verdict = "met" if holds else "missed"
    return Figure(room, name, row.get("ratio"), target, row.get("sense") == "at most", verdict)


def run_native(folder: Path, rooms: Sequence[str] = ()) -> list[Kernel]:
    """Run the native benchmarks in a folder of executables ``bench_<room>``.

    Raises
    ------
    ValueError
        If the folder holds none.
    """
    programs = [
        path
        for path in sorted(folder.glob("bench_*"))
        if os.access(path, os.X_OK) and path.is_file()
    ]
    if not programs:
        raise ValueError(
            f"native must be a folder of executables bench_<room>, {folder} has none; build them "
            "with: cmake --preset bench && cmake --build --preset bench"
        )
    kernels: list[Kernel] = []
    for program in programs:
        room = program.stem.removeprefix("bench_")
        if rooms and room not in rooms:
            continue
        done = subprocess.run(
            [str(program), "--benchmark_format=json", "--benchmark_min_time=0.05"],
            capture_output=True,
            text=True,
            check=True,
        )
        scale = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
        kernels += [
            Kernel(
                room,
                row["name"],
                row["cpu_time"] * scale[row["time_unit"]],
                row.get("items_per_second"),
            )
            for row in json.loads(done.stdout)["benchmarks"]
            if "cpu_time" in row
        ]
    return kernels


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table, with a count of targets met below it."""
    if not figures:
        return "no benchmark is installed"
    width = max(len(f.name) for f in figures)
    lines = [f"{'room':<12} {'what':<{width}} {'ratio':>8} {'target':>8}  verdict"]
    for f in figures:
        ratio = "" if f.ratio is None else f"{f.ratio:.3g}"
        target = "" if f.target is None else f"{'<=' if f.at_most else '>='} {f.target:g}"
        lines.append(f"{f.room:<12} {f.name:<{width}} {ratio:>8} {target:>8}  {f.verdict}")
    judged = [f for f in figures if f.verdict in ("met", "missed")]
    met = sum(f.verdict == "met" for f in judged)
    lines.append(f"{met} of {len(judged)} targets met")
    return "\n".join(lines)
