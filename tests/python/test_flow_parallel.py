from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import recouple as rc
from test_flow import MILD, MODERATE, points


def test_no_bit_depends_on_the_number_of_threads() -> None:
    field, x0 = rc.velocity_field(MODERATE["three components"]), points(5000)
    options: list[dict[str, Any]] = [
        {"rtol": 1e-7, "log_density": True, "t_eval": [0.3, 1.0]},
        {"method": "rk4", "steps": 20, "log_density": True},
    ]
    for option in options:
        one = rc.integrate(field, x0, num_threads=1, **option)
        for threads in (2, 3):
            many = rc.integrate(field, x0, num_threads=threads, **option)
            assert_array_equal(one.x, many.x)
            assert_array_equal(one.log_det, many.log_det)
            assert_array_equal(one.steps, many.steps)


@pytest.mark.parametrize("policy", ["active", "passive"])
def test_waiting_threads_change_no_bit(policy: str) -> None:
    code = (
        "import recouple as rc, numpy as np\n"
        "p = rc.MixturePlan([.5, .5], [[0, -1.], [0, 1.]], [[[1, .3], [.3, .6]]] * 2)\n"
        "f = rc.integrate(rc.velocity_field(p), np.linspace(-2, 2, 3000), num_threads=2)\n"
        "print(f.x.sum().hex(), f.steps.sum())\n"
    )
    environment = {**os.environ, "OMP_WAIT_POLICY": policy, "OMP_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    flow = rc.integrate(
        rc.velocity_field(MODERATE["two modes"]), np.linspace(-2, 2, 3000), num_threads=1
    )
    assert run.stdout.split() == [float(flow.x.sum()).hex(), str(flow.steps.sum())]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*")  # NumPy's threads, jax
def test_a_forked_child_integrates_too() -> None:
    field, x0 = rc.velocity_field(MILD), points(4000)
    here = rc.integrate(field, x0, num_threads=2).x.sum()
    child = os.fork()
    if child == 0:
        same = rc.integrate(field, x0, num_threads=2).x.sum() == here
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_long_work_tells_its_progress_and_stops_when_asked(threads: int) -> None:
    calls: list[tuple[int, int]] = []
    field = rc.velocity_field(MILD)
    rc.integrate(
        field, points(3000), rtol=1e-6, num_threads=threads,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert calls[-1] == (3000, 3000)
    assert all(a[0] <= b[0] for a, b in pairwise(calls))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rc.integrate(field, points(3000), rtol=1e-6, num_threads=threads, progress=stop)


def test_ctrl_c_stops_a_long_integration() -> None:
    import signal
    import threading
    import time

    field = rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 2.0))
    threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,)).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        rc.integrate(field, np.zeros(100_000), method="rk4", steps=100_000)
    assert time.perf_counter() - start < 60  # of several minutes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX's resource usage")
def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    import subprocess
    import sys

    code = """
import resource, sys, numpy as np, recouple as rc
field = rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 2.0))
x0 = np.random.default_rng(0).normal(size=1_000_000)
rc.integrate(field, x0, method="rk4", steps=1, num_threads=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rc.integrate(field, x0, method="rk4", steps=int(sys.argv[1]), num_threads=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = [
        int(subprocess.run([sys.executable, "-c", code, n], check=True, capture_output=True).stdout)
        for n in ("2", "20")
    ]
    # Kilobytes; one more array of the points would take 8000.
    assert abs(grown[1] - grown[0]) < 4000
