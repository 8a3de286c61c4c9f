"""`lmaas bench`: measure platforms under one's own workload."""

from __future__ import annotations

import argparse
import shlex
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note, write

if TYPE_CHECKING:
    from lmaas.measuring import Workload
    from lmaas.measuring._journal import Journal
    from lmaas.measuring._record import BenchReport
    from lmaas.measuring._rows import Leg
    from lmaas.measuring._run import BenchPlan
    from lmaas.platforms import Catalogue

_EPILOG: Final = """targets:
  PLATFORM/MODEL        of the catalogue (lmaas platforms list); its key is read from the environment
  [LABEL=]URL           any server with the OpenAI API; the key is LMAAS_API_KEY

examples:
  lmaas bench http://127.0.0.1:8000/v1 --workload chat.yaml
  lmaas bench lmaas groq/llama-3.1-8b-instant --workload log.jsonl --rates 1,2,4 --max-usd 0.50
  lmaas bench near=http://10.0.0.5:8000/v1 far=https://llm.example/v1 --workload chat.yaml --model m --png
  lmaas bench --resume lmaas-bench/20261126-101500-3f2a
  lmaas bench --live http://127.0.0.1:8000/metrics --model m --window 60
"""
_DEFAULT_RATES: Final = (1.0, 2.0, 4.0, 8.0)
_DEFAULT_LADDER: Final = (0.5, 1.0, 2.0)
"""Where the workload's rate is known: multiples of it."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "bench",
        help="measure platforms under your own workload",
        description="Send the calls of a workload when they are due, and tell how each platform fared.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="what to measure")
    parser.add_argument(
        "--workload", type=Path, metavar="FILE", help="description (YAML, JSON) or log (JSONL)"
    )
    parser.add_argument("--model", metavar="MODEL", help="of targets that name none (default: the first)")
    parser.add_argument("--overrides", type=Path, metavar="FILE", help="platforms and prices of your own")
    _add_load(parser)
    _add_output(parser)
    live = parser.add_argument_group("live traffic instead")
    live.add_argument("--live", metavar="URL", help="read a gateway's metrics; LMAAS_API_KEY is sent")
    live.add_argument(
        "--window", type=float, metavar="S", help="count for so long (default: since its start)"
    )
    parser.set_defaults(run=_run)


def _add_load(parser: argparse.ArgumentParser) -> None:
    load = parser.add_argument_group("load")
    load.add_argument("--rates", type=_rates, metavar="A,B,…", help="calls a second, the ladder")
    load.add_argument("--seconds", type=float, default=30.0, metavar="S", help="measured at each rate (30)")
    load.add_argument("--warmup", type=float, default=5.0, metavar="S", help="before that, not counted (5)")
    load.add_argument("--blocks", type=int, default=3, metavar="N", help="how often all is repeated (3)")
    load.add_argument("--seed", type=int, default=0, metavar="N", help="other texts and other arrivals")
    load.add_argument(
        "--exact-lengths", action="store_true", help="answers of exactly the length; vLLM and lmaas can"
    )
    load.add_argument("--max-usd", type=float, metavar="USD", help="stop before it costs more")


def _add_output(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output", type=Path, metavar="DIR", help="folder of the run (default: lmaas-bench/RUN)"
    )
    output.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run of a folder")
    output.add_argument("--png", action="store_true", help="plots as PNG files too")
    output.add_argument("--json", action="store_true", help="print the report as JSON")


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        rates = ()
    if not rates or not all(0 < rate < inf for rate in rates):
        message = f"{text!r} is no list of rates; give calls a second above 0, such as 1,2,4"
        raise argparse.ArgumentTypeError(message)
    return rates


def _run(options: argparse.Namespace) -> int:
    if options.live is not None:
        from lmaas.cli._bench_live import show_live

        return show_live(options)
    if options.resume is not None:
        return _resume(options)
    if not options.targets or options.workload is None:
        raise CommandError("name what to measure and --workload FILE; `lmaas bench --help` has examples")
    from lmaas.measuring._measure import new_run_id

    started_at = datetime.now(UTC)
    run_id = new_run_id(started_at)
    folder = options.output or Path("lmaas-bench") / run_id
    arguments = _arguments(options)
    plan = _plan(options)
    journal = _journal_in(folder)
    journal.begin(
        {
            "run": run_id,
            "started_at": started_at.isoformat(),
            "arguments": arguments,
            "plan": plan.fingerprint(),
        }
    )
    return _measure(options, plan, journal, run_id, started_at, arguments)


def _resume(options: argparse.Namespace) -> int:
    folder = options.resume
    journal = _journal_in(folder)
    head, legs = journal.read()
    arguments = [str(one) for one in head["arguments"]]
    again = argparse.ArgumentParser()
    add_parser(again.add_subparsers())
    begun = again.parse_args(["bench", *arguments])
    begun.output, begun.png, begun.json = folder, begun.png or options.png, options.json
    plan = _plan(begun)
    if plan.fingerprint() != head["plan"]:
        raise CommandError("the workload or a target is no longer what the run began with; begin another run")
    started_at = datetime.fromisoformat(head["started_at"])
    return _measure(
        begun, plan, journal, str(head["run"]), started_at, arguments, done=legs, models=head.get("models")
    )


def _measure(
    options: argparse.Namespace,
    plan: BenchPlan,
    journal: Journal,
    run_id: str,
    started_at: datetime,
    arguments: list[str],
    done: tuple[Leg, ...] = (),
    models: dict[str, str] | None = None,
) -> int:
    from lmaas.cli._bench_progress import watching
    from lmaas.measuring._record import report_of
    from lmaas.measuring._run import Bench, run_in_own_loop

    with watching(plan, len(done)) as watchers:
        result = run_in_own_loop(Bench(plan, journal=journal, done=done, models=models, watching=watchers))
    command = shlex.join(["lmaas", "bench", *arguments])
    report = report_of(plan, result, run_id=run_id, started_at=started_at, command=command)
    if not any(one.levels for one in report.measurements):
        raise CommandError(f"nothing was measured: {report.stopped or 'no call was due; measure for longer'}")
    _write_files(report, journal.path.parent, with_png=options.png)
    _show(report, as_json=options.json)
    return 0


def _write_files(report: BenchReport, folder: Path, *, with_png: bool) -> None:
    from lmaas.measuring._charts import charts_of
    from lmaas.measuring._markdown import markdown_of
    from lmaas.measuring._page import page_of
    from lmaas.measuring._png import write_pngs

    pictures = write_pngs(charts_of(report.measurements), folder, "report") if with_png else []
    (folder / "report.json").write_text(report.to_json(), "utf-8")
    (folder / "report.md").write_text(markdown_of(report, [path.name for path in pictures]), "utf-8")
    (folder / "report.html").write_text(page_of(report), "utf-8")
    note(f"wrote report.json, report.md and report.html in {folder}")


def _show(report: BenchReport, *, as_json: bool) -> None:
    from lmaas.cli._rich_tables import show_table
    from lmaas.measuring._tables import headline, tables_of

    if as_json:
        write(report.to_json())
        return
    write(f"{headline(report)}\n")
    for one in tables_of(report):
        show_table(one.title, one.header, one.rows)


def _plan(options: argparse.Namespace) -> BenchPlan:
    from lmaas.measuring import Workload
    from lmaas.measuring._run import BenchPlan
    from lmaas.measuring._targets import target_of

    workload = Workload.load(options.workload)
    catalogue = _catalogue(options)
    return BenchPlan(
        targets=tuple(target_of(spec, catalogue, model=options.model) for spec in options.targets),
        workload=workload,
        rates=options.rates or _ladder(workload),
        blocks=options.blocks,
        warmup_s=options.warmup,
        measured_s=options.seconds,
        max_usd=options.max_usd,
        seed=options.seed,
        has_exact_lengths=options.exact_lengths,
    )


def _catalogue(options: argparse.Namespace) -> Catalogue:
    from lmaas.platforms import Catalogue

    # Only targets of the catalogue have list prices, which take a second to read.
    return Catalogue.load(options.overrides, list_prices=not all("://" in spec for spec in options.targets))


def _ladder(workload: Workload) -> tuple[float, ...]:
    if workload.calls_per_s is None:
        return _DEFAULT_RATES
    peak = workload.peak_calls_per_s or workload.calls_per_s
    return (*(workload.calls_per_s * multiple for multiple in _DEFAULT_LADDER), peak)


def _journal_in(folder: Path) -> Journal:
    from lmaas.measuring._journal import Journal

    return Journal(folder / "journal.jsonl")


def _arguments(options: argparse.Namespace) -> list[str]:
    """Return what does the run again; no key is among it."""
    named = {
        "--workload": options.workload,
        "--model": options.model,
        "--overrides": options.overrides,
        "--rates": None if options.rates is None else ",".join(map(_written, options.rates)),
        "--seconds": options.seconds,
        "--warmup": options.warmup,
        "--blocks": options.blocks,
        "--seed": options.seed,
        "--max-usd": options.max_usd,
    }
    flags = ["--exact-lengths"] if options.exact_lengths else []
    shown = {name: _written(value) if isinstance(value, float) else value for name, value in named.items()}
    given = [part for name, value in shown.items() if value is not None for part in (name, str(value))]
    return [*options.targets, *given, *flags]


def _written(number: float) -> str:
    """Return a number as short as it is still read as the same: a resumed run has the rates it began with."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)
