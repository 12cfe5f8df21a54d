"""The one entry to recovery: what it says of arguments, of broken fields and of unsteady ones."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.stats

import recouple as rc
from recouple.inverse.noise import DURATION
from recouple.inverse.recovery import TAILS, tail_index, verdict_of
from recouple.inverse.repeat import REMAINS, disagreement
from recouple.progress import progress_callback

PLAN = rc.GaussianPlan(0, 0, 1, 0.5, 1)


def late(value: float) -> Any:
    """The field of PLAN, broken after t = 0.7."""
    return lambda t, x: np.where(np.asarray(t) > 0.7, value, PLAN.velocity(t, x))


@pytest.mark.parametrize(
    "family", ["foo", None, 3, ["line"], {"line": 1}, np.array(["line", "free"])]
)
def test_families_that_are_none_are_named(family: Any) -> None:
    with pytest.raises(ValueError, match="family must be 'auto' or one of"):
        rc.recover_plan(PLAN.velocity, PLAN.source, family=family)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("family", ["auto", "line", "gaussian", "mixture", "free"])
def test_a_field_that_breaks_late_is_told_when_and_where(value: float, family: str) -> None:
    with pytest.raises(ValueError, match=rf"field must be finite, got \[?{value}\]?") as caught:
        rc.recover_plan(late(value), PLAN.source, family=family)
    time, place = str(caught.value).split("t = ")[1].split(", x = ")
    assert 0.7 < float(time) <= 1.0
    assert abs(float(place.strip("[]"))) < 6  # of a normal law, no further out than it was drawn


@pytest.mark.parametrize("family", ["line", "mixture", "free"])
def test_a_flow_that_runs_away_is_told_when(family: str) -> None:
    # x' = 20 x^3 reaches infinity at t = 1 / (40 x^2): from the five deviations that are
    # followed at most at 1e-3, which steps of 1/96 or more see some steps later.
    left = pytest.raises(ValueError, match="a trajectory leaves the numbers at t = ")
    with np.errstate(over="ignore", invalid="ignore"), left as caught:
        rc.recover_plan(lambda t, x: 20 * x**3, PLAN.source, family=family)
    assert 0 < float(str(caught.value).split("t = ")[1]) < 0.1


# Progress.


def test_a_callable_that_asks_for_three_is_told_the_residual_of_each_stage() -> None:
    told: list[tuple[int, int, str]] = []

    def tell(done: int, total: int, note: str) -> None:
        told.append((done, total, note))

    for solver in ("newton", "descent"):
        told.clear()
        rec = rc.recover_plan(
            PLAN.velocity, PLAN.source, family="line", grid=32, times=5, solver=solver,
            progress=tell,
        )  # fmt: skip
        assert told[0][2] == ""  # nothing is solved yet
        assert told[-1][0] == told[-1][1]
        assert told[-1][2] == rec.history[-1].note
        notes = list(dict.fromkeys(note for _, _, note in told if note))
        assert len(notes) > 2
        assert [s.note for s in rec.history[:-1] if s.note not in notes] == []


def test_callables_get_as_many_arguments_as_they_take() -> None:
    seen: list[Any] = []
    cases: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "two": (lambda done, total: seen.append((done, total)), (1, 2)),
        "two or more": (lambda *all: seen.append(all), (1, 2)),
        "a third of its own": (lambda d, t, name="mine": seen.append((d, t, name)), (1, 2, "mine")),
        "three": (lambda done, total, note: seen.append((done, total, note)), (1, 2, "so")),
    }
    for callable_, given in cases.values():
        tell = progress_callback(callable_, "work")
        assert tell is not None
        tell(1, 2, "so")
        assert seen.pop() == given
    for bad in (lambda: None, lambda a: None, lambda a, b, c, d: None, 3, "yes"):
        with pytest.raises(ValueError, match="progress must be"):
            progress_callback(bad, "work")  # type: ignore[arg-type]


def test_the_bar_and_the_counter_show_the_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    tell = progress_callback(True, "work")
    assert tell is not None
    tell(0, 2)
    tell(1, 2, "residual 1e-3")
    tell(2, 2, "end")
    lines = capsys.readouterr().err.replace("\n", "\r").rstrip("\r").split("\r")
    assert [line.rstrip() for line in lines] == [
        "work: 0/2",
        "work: 1/2, residual 1e-3",
        "work: 2/2, end",
    ]
    assert len(lines[2]) == len(lines[1])  # nothing of the line before is left standing

    class Bar:
        total, n, notes, closed = 0, 0, [""], False

        def __init__(self, **options: Any):
            pass

        def set_postfix_str(self, note: str, refresh: bool) -> None:
            self.notes.append(note)

        def update(self, n: int) -> None:
            Bar.n += n
            self.n = Bar.n

        def close(self) -> None:
            Bar.closed = True

    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(tqdm=Bar))
    tell = progress_callback(True, "work")
    assert tell is not None
    tell(1, 2, "residual 1e-3")
    tell(2, 2)
    assert (Bar.n, Bar.notes, Bar.closed) == (2, ["", "residual 1e-3"], True)


# Fields that are not the same twice.


def unsteady(level: float, per_point: bool = True, dim: int = 1) -> Any:
    """The field of independent normal ends, or of PLAN, with an error drawn anew in every call."""
    rng = np.random.default_rng(7)

    def field(t: Any, x: Any) -> Any:
        v = PLAN.velocity(t, x) if dim == 1 else (2 * t - 1) / ((1 - t) ** 2 + t**2) * x
        return v * (1 + level * rng.normal(size=x.shape if per_point else ()))

    return field


@pytest.mark.parametrize("dim", [1, 2])
def test_two_evaluations_tell_the_random_error_of_a_field(dim: int) -> None:
    source = rc.Normal() if dim == 1 else rc.Gaussian(np.zeros(2), np.eye(2))
    field = rc.as_field(unsteady(0.1, dim=dim), dim)
    # From 4096 D normal errors, weighted by v^2 of kurtosis 3 or so: to 2% in standard deviation,
    # and E v^2 is 1% more than the exact field's.
    assert disagreement(field, source) == pytest.approx(0.1, rel=0.08)


def test_what_is_the_same_twice_is_left_alone() -> None:
    calls = []

    def field(t: Any, x: Any) -> Any:
        calls.append(t)
        return PLAN.velocity(t, x)

    assert disagreement(rc.as_field(field), PLAN.source) == 0.0
    assert len(calls) == 32
    assert disagreement(rc.velocity_field(PLAN), PLAN.source) == 0.0
    sums = rc.as_field(unsteady(1e-7))  # a graphics card's order of summation
    assert disagreement(sums, PLAN.source) == 0.0
    assert disagreement(rc.as_field(lambda t, x: x * np.nan), PLAN.source) == 0.0
    assert disagreement(rc.as_field(lambda t, x: 0 * x), PLAN.source) == 0.0
    assert disagreement(rc.as_field(field), "no law") == 0.0  # for the recovery to say
    rec, same = (
        rc.recover_plan(f, PLAN.source, family="line", grid=32, times=5)
        for f in (rc.as_field(field), rc.velocity_field(PLAN))
    )
    assert rec.evidence == same.evidence
    assert np.array_equal(rec.plan.mass, same.plan.mass)


def test_random_errors_average_along_trajectories_to_what_is_stated() -> None:
    # Of dx = e dt, e anew in every call, a step of RK4 leaves h e sqrt(1 + 4 + 4 + 1) / 6.
    rng, n = np.random.default_rng(1), 4000
    moved = rc.integrate(
        lambda t, x: rng.normal(size=x.shape), np.zeros(n), method="rk4", steps=96
    ).x
    random = np.sqrt(10 / (36 * 96))
    assert np.std(moved) == pytest.approx(random, rel=4 / np.sqrt(2 * n))  # four deviations
    u = np.linspace(0, 1, 2001)[1:] - 0.00025
    smooth = np.sqrt(np.mean(2 * (1 - u) * np.exp(-0.5 * (u / DURATION) ** 2)))
    assert random / smooth == pytest.approx(REMAINS, rel=0.02)


@pytest.mark.parametrize("per_point", [True, False])
def test_an_unsteady_field_is_recovered_and_says_so(per_point: bool) -> None:
    def recovered(**options: Any) -> rc.Recovery:
        field = unsteady(0.05, per_point)
        return rc.recover_plan(field, PLAN.source, family="line", grid=32, times=9, **options)

    rec = recovered()
    bar = rec.error_bars["correlation"]
    assert rec.status == "converged"
    assert "not the same twice" in rec.evidence[-1]
    assert bar.error < 0.01
    assert abs(bar.value - 0.5) < 3 * bar.error
    # A noise that is given is no less than what remains of the error.
    assert REMAINS * 0.03 < recovered(noise=1e-4).settings["noise"] < REMAINS * 0.08
    assert recovered(noise=0.02).settings["noise"] == 0.02
    with pytest.raises(ValueError, match="noise must be at least 0"):
        recovered(noise=-1.0)


def test_a_field_that_is_all_error_is_told_to_be_averaged() -> None:
    rec = rc.recover_plan(unsteady(0.6), PLAN.source, family="line", grid=32, times=5)
    assert rec.status == "inconsistent"  # sqrt(1 - 1 / (1 + 0.6^2)) of it is no plan's
    assert "not the same twice, by 0.5" in rec.message


def test_dropout_left_on_is_found_out() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(2, 64), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(64, 1)
    )

    def field(t: Any, x: Any) -> Any:
        rows = torch.as_tensor(np.column_stack([x, np.full(len(x), t)]), dtype=torch.float32)
        return net(rows)[:, 0]

    assert disagreement(rc.as_field(field), PLAN.source) > 0.01
    net.eval()
    assert disagreement(rc.as_field(field), PLAN.source) == 0.0


# Tails.


@pytest.mark.parametrize(
    ("law", "index", "within"),
    [
        (scipy.stats.pareto(2.5), 0.4, 1e-9),  # rounding of 1 - 1e-6, against steps of 1 to 1e4
        (scipy.stats.genpareto(-0.3), -0.3, 1e-9),
        (scipy.stats.genpareto(0.25), 0.25, 1e-9),
        (scipy.stats.expon(), 0.0, 1e-9),
        (scipy.stats.laplace(), 0.0, 1e-9),
        (scipy.stats.uniform(), -1.0, 1e-9),
        (scipy.stats.t(3), 1 / 3, 0.01),  # 1 + O(q^-2), q = 4.5 at the first level
        (scipy.stats.cauchy(), 1.0, 1e-3),  # 1 + O(q^-2), q = 32
    ],
    ids=lambda x: x.dist.name if hasattr(x, "dist") else str(x),
)
def test_the_tail_index_is_that_of_the_law(law: Any, index: float, within: float) -> None:
    assert tail_index(law.isf(TAILS), TAILS) == pytest.approx(index, abs=within)
    assert tail_index(3 - 2 * law.isf(TAILS), TAILS) == pytest.approx(index, abs=within)


def test_the_tail_index_of_a_normal_law_rises_to_nought_slowly() -> None:
    ratios = [np.array([r**-1, r**-2, r**-3]) for r in (1e2, 1e4, 1e8, 1e16)]
    found = [tail_index(scipy.stats.norm.isf(levels), levels) for levels in ratios]
    assert (np.diff(found) > 0).all()
    # Quantiles are sqrt(2 log(1 / p)) to first order.
    steps = np.diff(np.sqrt([1.0, 2.0, 3.0]))
    first = np.log(steps[1] / steps[0]) / np.log(1e16)
    assert found[-1] == pytest.approx(first, rel=0.1)
    assert -0.01 < found[-1] < 0


@pytest.mark.parametrize(
    ("law", "verdict", "said"),
    [
        (scipy.stats.t(3), "representative", r"heavier than exponential \(tail index 0.33"),
        # At a fifth, a 25th and a 125th the index is 0.99, to 0.05 from 20000 draws.
        (
            scipy.stats.cauchy().rvs(20_000, random_state=0),
            "representative",
            r"(0\.[89]|1\.[01])\d, of",
        ),
        (scipy.stats.laplace(), "unique", r"close to exponential \(tail index -?0.00"),
        (scipy.stats.norm(), "unique", "both ends have the exponential moment"),
        (scipy.stats.uniform(), "unique", "both ends have the exponential moment"),
        (np.repeat([0.0, 1.0, 2.0, 9.0], [1, 50, 50, 1]), "unique", "which samples cannot show"),
    ],
)
def test_the_verdict_names_the_tail_index(law: Any, verdict: str, said: str) -> None:
    found, reason = verdict_of([rc.as_marginal(law)])
    assert found == verdict
    assert re.search(said, reason)
