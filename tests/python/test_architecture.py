"""The arrows between rooms, as rules over includes and imports.

The table is that of docs/design.md: a room may use itself and the rooms listed here. The tests read
the checkout; an installed package alone has nothing to check.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Rooms of the compiled core, each with all the rooms it may include.
FOUNDATION = {"parallel", "simd"}
CPP = {
    "parallel": set(),
    "simd": set(),
    "numeric": set(),
    "cholesky": {"parallel"},
    "interpolant": set(),
    "plan": {"marginal", "interpolant"},
    "field": {"plan", "interpolant"},
    "inverse": {"plan", "field", "flow", "quantile", "cholesky"},
}

# Modules of the package; "core" modules serve all of them.
SHARED = {"_core", "arguments", "progress"}
PYTHON = {
    "arguments": set(),
    "progress": set(),
    "interpolant": set(),
    "plan": {"marginal", "interpolant", "field"},
    "field": {"plan", "interpolant"},
    "inverse": {"plan", "field", "flow", "quantile", "marginal", "interpolant"},
}


def cpp_room(path: Path) -> str:
    return path.stem


def included_rooms(path: Path) -> set[str]:
    text = path.read_text()
    return set(re.findall(r'#include "(?:recouple|kernels)/(\w+)\.hpp"', text)) - {
        "dispatch",
        "vecmath",
    }


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "cpp").rglob("*.[ch]pp")),
    ids=lambda p: str(p.relative_to(ROOT / "cpp")),
)
def test_a_source_of_the_core_includes_only_rooms_it_may_use(path: Path) -> None:
    room = cpp_room(path)
    if room in {"dispatch", "vecmath"}:
        assert included_rooms(path) <= FOUNDATION
        return
    assert room in CPP, f"{room} is not a room: add it to docs/design.md and to this table"
    assert included_rooms(path) <= CPP[room] | FOUNDATION | {room}


def test_the_core_knows_no_python_and_one_file_knows_openmp() -> None:
    for path in (ROOT / "cpp").rglob("*.[ch]pp"):
        text = path.read_text()
        assert "pybind11" not in text, path
        assert "Python.h" not in text, path
        if path.name != "parallel.cpp":
            assert "#pragma omp" not in text, path
            assert "omp.h" not in text, path


def imported_rooms(path: Path) -> set[str]:
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "recouple":
            rooms |= {alias.name for alias in node.names if not alias.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("recouple."):
            rooms.add((node.module or "").split(".")[1])
    return rooms


@pytest.mark.parametrize(
    "path",
    sorted(p for p in (ROOT / "python" / "recouple").glob("*.py") if p.stem != "__init__"),
    ids=lambda p: p.stem,
)
def test_a_module_imports_only_rooms_it_may_use(path: Path) -> None:
    assert path.stem in PYTHON, f"{path.stem} is not a room: add it to docs/design.md and here"
    allowed = PYTHON[path.stem] | SHARED | {path.stem}
    assert imported_rooms(path) <= allowed


def test_importing_the_package_needs_numpy_alone() -> None:
    import subprocess
    import sys

    hidden = ["scipy", "ot", "matplotlib", "torch", "jax", "sklearn", "tqdm", "mpmath", "pandas"]
    code = f"import sys\nfor name in {hidden}: sys.modules[name] = None\nimport recouple\n"
    subprocess.run([sys.executable, "-c", code], check=True)
