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
    (tmp_path / "teacher_steep.py").write_text("def velocity(t, x):\n    return -3 * x\n")
    monkeypatch.chdir(tmp_path)
    words = (
        "recover",
        "--field",
        "teacher_steep:velocity",
        "--source",
        "normal(0,1)",
        "--grid",
        "32",
    )
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


def test_rows_of_a_csv_come_in_any_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    x0, x1 = rng.normal(size=(2, 400))
    rows = [(t, x) for t in (0.0, 0.5, 1.0) for x in (1 - t) * x0 + t * x1]
    lines = [f"{t},{x}" for t, x in rows]
    found = []
    for order in (range(len(rows)), rng.permutation(len(rows))):
        path = tmp_path / "cloud.csv"
        path.write_text("t,x\n" + "\n".join(lines[i] for i in order))
        assert run("recover", "--snapshots", str(path), "--grid", "32", "--json") in (0, 1)
        found.append(json.loads(capsys.readouterr().out)["error_bars"]["correlation"]["value"])
    assert found[0] == pytest.approx(
        found[1], abs=0.05
    )  # halves of other samples choose the penalty


def test_distill_writes_a_sampler_and_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "teacher_distil.py").write_text(
        "def velocity(t, x):\n"
        "    return (2 * t - 1) * 0.5 * x / ((1 - t) ** 2 + t * (1 - t) + t * t)\n"
    )
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "sampler.npz"
    arguments = [
        "distill",
        "--field",
        "teacher_distil:velocity",
        "--source",
        "normal(0,1)",
        "--grid",
        "48",
    ]
    code = run(*arguments, "--samples", "2000", "--out", str(out), "--json")
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert report["recovery"]["verdict"] == "unique"
    assert report["report"]["w2"] < 4 * report["report"]["w2_floor"]
    assert rc.load_sampler(out)([0.0], rng=1).shape == (1,)


def fake_script(folder: Path, body: str) -> Path:
    path = folder / "bench_fake.py"
    path.write_text(
        "import argparse, json\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--json')\n"
        "parser.add_argument('--quick', action='store_true')\n"
        "arguments = parser.parse_args()\n" + body
    )
    return path


def test_bench_sums_up_what_the_scripts_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"name": "fast", "ratio": 3.0, "target": 2.0, "holds": True},
        {"name": "small", "ratio": 0.5, "target": 0.4, "holds": False, "sense": "at most"},
        {"name": "told", "ratio": 1.0, "target": None},
    ]
    script = fake_script(tmp_path, f"json.dump({rows!r}, open(arguments.json, 'w'))\n")
    monkeypatch.setattr("recouple.bench.peer_scripts", lambda: {"fake": script})
    assert run("bench") == 1  # a target was missed
    out = capsys.readouterr().out
    assert "1 of 2 targets met" in out
    assert "<= 0.4" in out
    assert run("bench", "fake", "--json") == 1
    verdicts = [row["verdict"] for row in json.loads(capsys.readouterr().out)]
    assert verdicts == ["met", "missed", "-"]
    script = fake_script(tmp_path, "import no_such_peer\n")
    assert run("bench") == 1
    assert "did not run: ModuleNotFoundError" in capsys.readouterr().out
    assert run("bench", "unheard") == 2
    assert "rooms must be among fake" in capsys.readouterr().err


def test_the_peer_scripts_travel_with_the_package() -> None:
    from recouple import bench

    scripts = bench.peer_scripts()
    assert {"quantile", "flow", "wasserstein", "plan", "inverse"} <= scripts.keys()
    for path in scripts.values():  # what run_peers relies on
        assert '"--json"' in path.read_text()
        assert '"--quick"' in path.read_text()


def test_native_benchmarks_need_a_folder_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", "--native", str(tmp_path)) == 2
    assert "native must be a folder of executables" in capsys.readouterr().err


def test_a_missing_torch_file_is_named_with_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    assert run("distill", "--field", "nosuch.pt", "--source", "normal(0,1)") == 2
    error = capsys.readouterr().err
    assert error.startswith("recouple: --field: ")
    assert "nosuch.pt" in error
