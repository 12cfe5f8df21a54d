"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import recouple

MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(recouple.__path__, "recouple.")
    if not m.name.endswith(("._core", ".__main__"))
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name: str) -> None:
    if name.startswith("recouple.interop."):
        pytest.importorskip(name.rpartition(".")[2])
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0
