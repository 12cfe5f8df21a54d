"""The command line as a person meets it: what it prints, writes and complains about."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import recouple as rc
from recouple.cli import main


def run(*words: str) -> int:
    return main(list(words))


def test_info_says_what_was_built(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info") == 0
    text = capsys.readouterr().out
    assert rc.__version__ in text
    for word in ("compiler", "simd", "openmp", "threads"):
        assert word in text
    assert run("info", "--json") == 0
    assert json.loads(capsys.readouterr().out)["version"] == rc.__version__


def test_the_demo_prints_a_table_and_writes_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "demo.png"
    command = [sys.executable, "-m", "recouple", "demo", "--figure", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    table = dict(re.findall(r"^(\S.*?)  +(\S+)", done.stdout, flags=re.M))
    assert table["verdict"] == "unique"
    assert float(table["total variation, recovered against true plan"]) <= 0.02
    true, found = (float(table[f"correlation, {name}"]) for name in ("true", "recovered"))
    assert abs(found - true) <= 5e-4
    assert float(table["field consistency"]) <= 0.02
    if importlib.util.find_spec("matplotlib") is None:
        assert "no picture" in done.stderr
    else:
        assert picture.read_bytes().startswith(b"\x89PNG")


TRUTH = rc.GaussianPlan(0, 0, 1, 0.5, 1)


def test_a_function_is_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The field of the Gaussian plan above, written out.
    (tmp_path / "teacher_a.py").write_text(
        "def velocity(t, x):\n"
        "    return (2 * t - 1) * 0.5 * x / ((1 - t) ** 2 + t * (1 - t) + t * t)\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ("recover", "--field", "teacher_a:velocity", "--source", "normal(0,1)")
    assert run(*words, "--grid", "48", "--out", "plan.npz") == 0
    assert "verdict           unique" in capsys.readouterr().out
    plan = rc.load_plan("plan.npz")
    assert plan.correlation == pytest.approx(0.5, abs=1e-3)


def test_a_grid_of_values_is_recovered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    field = rc.velocity_field(TRUTH)
    t, x = np.linspace(0, 1, 41), np.linspace(-7, 7, 141)
    path = tmp_path / "grid.npz"
    np.savez(path, t=t, x=x, v=np.stack([field(float(s), x) for s in t]))
    words = ("recover", "--field", str(path), "--source", "mixture(1,0,1)", "--json")
    assert run(*words, "--grid", "48") == 0
    found = json.loads(capsys.readouterr().out)
    # The field is affine in x, which cubics reproduce, and smooth in t.
    assert found["error_bars"]["correlation"]["value"] == pytest.approx(0.5, abs=5e-3)


def test_snapshots_are_recovered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    rows = ["t,x"]
    for k, t in enumerate(np.linspace(0, 1, 7)):
        x0, x1 = TRUTH.sample(1500, k)
        rows += [f"{t:.6f},{x:.9g}" for x in (1 - t) * x0 + t * x1]
    path, picture = tmp_path / "cloud.csv", tmp_path / "plan.png"
    path.write_text("\n".join(rows))
    words = ("recover", "--snapshots", str(path), "--grid", "48", "--figure", str(picture))
    assert run(*words) == 0
    assert "verdict" in capsys.readouterr().out
    assert picture.stat().st_size > 1000


BAD = {
    "no source": (("--field", "os:getcwd"), "--field needs --source"),
    "unknown law": (("--field", "os:getcwd", "--source", "cauchy(0,1)"), "neither a file"),
    "bad law": (("--field", "os:getcwd", "--source", "normal(0)"), "cannot read 'normal(0)'"),
    "negative std": (("--field", "os:getcwd", "--source", "normal(0,-1)"), "std"),
    "no module": (("--field", "absent_module:v", "--source", "normal(0,1)"), "absent_module"),
    "no function": (("--field", "os:absent", "--source", "normal(0,1)"), "has no 'absent'"),
    "no colon": (("--field", "os", "--source", "normal(0,1)"), "neither module:function"),
    "raises": (("--field", "os:getcwd", "--source", "normal(0,1)"), "the field raised TypeError"),
    "no file": (("--snapshots", "absent.csv"), "absent.csv"),
    "no format": (
        ("--field", "os:getcwd", "--source", "normal(0,1)", "--figure", "plan.xyz"),
        "--figure: plan.xyz must end in",
    ),
    "no folder": (
        ("--field", "os:getcwd", "--source", "normal(0,1)", "--out", "absent/plan.npz"),
        "there is no folder",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, complaint = BAD[case]
    assert run("recover", *words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("recouple: ")
    assert captured.err.count("\n") == 1
    assert complaint in captured.err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no rows"),
        ("t,x\n", "holds no rows"),
        ("t,x\n0.5,1\n0.5,2\n", "one time only"),
        ("t,x\n0.5,1\n0.2,2\n", "line 3: rows must be sorted by t"),
        ("t,x\n0,1\n1,nan\n", "line 3: t and x must be finite"),
        ("t,x\n0,1\n1\n", "line 3: need two numbers"),
        ("t,x\n0,1\n1,tea\n", "line 3: need two numbers"),
    ],
)
def test_a_bad_csv_is_named_with_its_line(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cloud.csv"
    path.write_text(text)
    assert run("recover", "--snapshots", str(path)) == 2
    error = capsys.readouterr().err
    assert "cloud.csv" in error
    assert complaint in error
    assert error.count("\n") == 1


def test_a_grid_file_without_its_arrays_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "grid.npz"
    np.savez(path, t=np.zeros(3))
    assert run("recover", "--field", str(path), "--source", "normal(0,1)") == 2
    assert "it lacks x, v" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["grid.npz", "x0.npy", "cloud.csv", "x0.txt"])
@pytest.mark.parametrize("content", [b"", b"\x93\xff\x00\x01 not a file of this kind"])
def test_a_broken_file_is_named_with_its_option(
    name: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    words = {
        "grid.npz": ("--field", str(path), "--source", "normal(0,1)"),
        "cloud.csv": ("--snapshots", str(path)),
    }.get(name, ("--field", "os:getcwd", "--source", str(path)))
    assert run("recover", *words) == 2
    error = capsys.readouterr().err
    assert name in error
    assert "--" in error
    assert error.count("\n") == 1


def test_a_csv_from_a_spreadsheet_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    from recouple.cli import _read_snapshots

    path = tmp_path / "cloud.csv"
    path.write_text("t,x\n0,1\n0,2\n1,3\n", encoding="utf-8-sig")
    times, clouds = _read_snapshots(path)
    assert times.tolist() == [0, 1]
    assert [c.tolist() for c in clouds] == [[1, 2], [3]]


def test_a_recovery_that_did_not_converge_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "teacher_c.py").write_text("def velocity(t, x):\n    return -3 * x\n")
    monkeypatch.chdir(tmp_path)
    words = ("recover", "--field", "teacher_c:velocity", "--source", "normal(0,1)", "--grid", "32")
    assert run(*words) == 1
    assert "inconsistent" in capsys.readouterr().out


def test_a_source_may_be_a_file_of_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "teacher_b.py").write_text("def velocity(t, x):\n    return 0 * x + 1\n")
    np.save(tmp_path / "x0.npy", np.random.default_rng(0).normal(size=500))
    monkeypatch.chdir(tmp_path)
    assert (
        run("recover", "--field", "teacher_b:velocity", "--source", "x0.npy", "--grid", "32") == 0
    )
    assert "verdict" in capsys.readouterr().out
