"""Threads and instruction sets: no bit depends on the first, no digit on the second."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import recouple as rc

WORK = """
import numpy as np, recouple as rc
plan = rc.MixturePlan([.5, .5], [[0, 0], [1, 2]], [np.eye(2)] * 2)
x = np.linspace(-3, 3, 200_000)
v = rc.velocity_field(plan)(0.3, x, num_threads={threads})
print(rc._core.simd_level(), repr(float(v.sum())))
"""


def run(threads: int = 2, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(threads=threads)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_every_instruction_set_gives_the_same_answer(level: str) -> None:
    levels = ["baseline", "avx2", "avx512"]
    best, expected = run()
    chosen, found = run(RECOUPLE_SIMD=level)
    assert chosen == min(level, best, key=levels.index)
    # Fused multiply-add or not: a few ulp of each of 2e5 values.
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("policy", ["active", "passive"])
def test_waiting_threads_change_no_bit(policy: str) -> None:
    assert run(1) == run(2, OMP_WAIT_POLICY=policy)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*")  # NumPy's threads, jax
def test_a_forked_child_works_after_the_parent_used_threads() -> None:
    field = rc.velocity_field(rc.GaussianPlan(0, 0, 1, 0.5, 1))
    x = np.linspace(-3, 3, 200_000)
    expected = field(0.3, x, num_threads=2)
    child = os.fork()
    if child == 0:  # leave by _exit alone, whatever happens
        code = 1
        try:
            code = 0 if np.array_equal(field(0.3, x, num_threads=2), expected) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
