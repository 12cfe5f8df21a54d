"""A C++ project finds the library inside the installed package, with CMake alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import recouple as rc


def test_the_package_says_where_its_headers_and_cmake_files_are() -> None:
    assert (Path(rc.include_dir()) / "recouple" / "field.hpp").is_file()
    assert (Path(rc.cmake_dir()) / "recouple-config.cmake").is_file()


@pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("ninja") is None, reason="needs cmake and ninja"
)
def test_a_consumer_builds_against_the_installed_package_and_runs(tmp_path: Path) -> None:
    source = Path(__file__).parents[1] / "consumer"
    build = tmp_path / "build"
    configure = ["cmake", "-S", str(source), "-B", str(build), "-G", "Ninja"]
    subprocess.run(
        [*configure, f"-Drecouple_DIR={rc.cmake_dir()}"], check=True, capture_output=True
    )
    subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)
    done = subprocess.run([build / "consumer"], check=True, capture_output=True, text=True)
    version, *lines = done.stdout.splitlines()
    assert version == f"recouple {rc.__version__}"
    found = dict(line.rsplit(" ", 1) for line in lines)
    # What each line must be close to is in the consumer, which fails if it is not.
    assert list(found) == [
        "median", "cdf of the first decile", "decay", "wasserstein", "velocity", "covariance"
    ]  # fmt: skip
    assert found["decay"] == "0.367879"
    assert found["wasserstein"] == "5.000000"
