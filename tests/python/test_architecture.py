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

# A room, and the other rooms it may use: the table of docs/design.md.
ROOMS: dict[str, set[str]] = {
    name: set(re.findall(r"\w+", used))
    for name, used in re.findall(
        r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|$",
        (ROOT / "docs" / "design.md").read_text(),
        flags=re.M,
    )
}
# Rooms of the package that serve every other, and rooms that may use every other.
EVERYWHERE = {"_core", "arguments", "progress", "parallel", "simd"}
ON_TOP = {"bench", "plot", "study", "cli", "interop"}
# A file that is part of a room without bearing its name.
PART_OF = {
    "flow_adaptive": "flow",
    "flow_lanes": "flow",
    "flow_system": "flow",
    "flow_tableau": "flow",
    "buffer": "sort",
    "cholesky": "numeric",
    "histogram": "marginal",
    "transformed": "marginal",
    "levels": "wasserstein",
    "field_change": "field",
    "field_dataset": "field",
    "field_grid": "field",
    "network_lanes": "network",
    "network_panels": "network",
    "network_signs": "network",
    "network_train": "network",
    "wasserstein_plan": "wasserstein",
    "field_mixture": "field",
    "inverse_dense": "inverse",
    "inverse_descent": "inverse",
    "inverse_mixture": "inverse",
    "inverse_newton": "inverse",
    "inverse_shared": "inverse",
}
# Headers for kernel sources of any room.
KERNEL_TOOLS = {"dispatch", "vecmath", "lanes8", "product"}


def room_of(name: str) -> str:
    return PART_OF.get(name, name)


def included_rooms(path: Path) -> set[str]:
    pattern = r'#include ["<](?:recouple/|kernels/|bind_)?(\w+)\.hpp[">]'
    names = re.findall(pattern, path.read_text())
    return {room_of(name) for name in names if name not in KERNEL_TOOLS}


def may_use(room: str) -> set[str]:
    assert room in ROOMS, f"{room} is not a room: add it to docs/design.md and to this table"
    return ROOMS[room] | EVERYWHERE | {room}


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "cpp").rglob("*.[ch]pp")),
    ids=lambda p: str(p.relative_to(ROOT / "cpp")),
)
def test_a_source_of_the_core_includes_only_rooms_it_may_use(path: Path) -> None:
    if path.stem in KERNEL_TOOLS:
        assert included_rooms(path) <= {"simd"}
    else:
        assert included_rooms(path) <= may_use(room_of(path.stem))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "python" / "bindings").glob("bind_*.cpp")), ids=lambda p: p.stem
)
def test_a_binding_includes_only_rooms_its_room_may_use(path: Path) -> None:
    room = room_of(path.stem.removeprefix("bind_"))
    assert included_rooms(path) - {"bind"} <= may_use(room)


def test_the_table_of_rooms_is_read() -> None:
    assert {"plan", "field", "flow", "inverse"} <= ROOMS.keys()
    assert ROOMS["flow"] == {"field", "marginal"}


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
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports name their module in full"
        elif isinstance(node, ast.Import):
            named = [alias.name.split(".") for alias in node.names]
            rooms |= {parts[1] for parts in named if parts[0] == "recouple" and len(parts) > 1}
    return rooms


PACKAGE = ROOT / "python" / "recouple"


@pytest.mark.parametrize(
    "path",
    sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.stem[:2] != "__"),
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_a_module_imports_only_rooms_it_may_use(path: Path) -> None:
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    imported = imported_rooms(path)
    if room in {"arguments", "progress"}:
        assert not imported
    elif room in ON_TOP:
        assert "cli" not in imported - {room}
    else:
        assert imported <= may_use(room)


def test_importing_the_package_needs_numpy_alone() -> None:
    import subprocess
    import sys

    hidden = ["scipy", "ot", "matplotlib", "torch", "jax", "sklearn", "tqdm", "mpmath", "pandas"]
    code = f"import sys\nfor name in {hidden}: sys.modules[name] = None\nimport recouple\n"
    subprocess.run([sys.executable, "-c", code], check=True)
