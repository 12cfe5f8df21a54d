"""The typed face of the compiled core is generated, and what is committed is what it generates."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import recouple as rc


def test_the_committed_stub_is_the_generated_one(tmp_path: Path) -> None:
    pytest.importorskip("pybind11_stubgen")
    committed = Path(__file__).parents[2] / "python" / "recouple" / "_core.pyi"
    command = [sys.executable, "-m", "pybind11_stubgen", "recouple._core", "-o", str(tmp_path)]
    subprocess.run([*command, "--numpy-array-use-type-var"], check=True, capture_output=True)
    generated = (tmp_path / "recouple" / "_core.pyi").read_text()
    assert committed.read_text() == generated, f"regenerate it: {' '.join(command[1:])}"


def test_the_version_is_that_of_the_installed_package() -> None:
    assert rc.__version__ == importlib.metadata.version("recouple")
