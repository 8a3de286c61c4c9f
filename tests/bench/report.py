"""The page: the verdict on every goal, then each section's method and figures, out of the kept records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import records
from bench.configuration import ALWAYS_ON
from bench.records import Setting
from bench.section import Section, Verdict, table

_HEAD = (
    "# Benchmarks\n\n"
    "Written by `make bench`; do not edit by hand. Each section can be measured again alone, with the "
    "command that it names; the others keep their last figures. Compare figures of one section only: "
    "absolute ones depend on the machine and on what else it does. Idle cores are kept awake where the "
    "kernel lets us (`/dev/cpu_dma_latency`, as root), for everybody measured: how soon the host of a "
    "virtual machine wakes a sleeping core depends on its other guests.\n\n"
    f"lmaas runs with everything on that it can do for a call: {ALWAYS_ON}; before mock replicas also "
    "an alias, a fallback model and the reply cache, which finds nothing to keep there."
)


def verdicts(sections: Sequence[Section[Any]], folder: Path = records.FOLDER) -> list[Verdict]:
    """Judge every section's kept record."""
    judged: list[Verdict] = []
    for section in sections:
        kept = records.load(section, folder)
        judged += section.judge(None if kept is None else kept[1])
    return judged


def page(sections: Sequence[Section[Any]], folder: Path = records.FOLDER) -> str:
    """Write the page."""
    judged = [[verdict.goal, verdict.shown, verdict.word] for verdict in verdicts(sections, folder)]
    parts = [_HEAD, "## Verdict", table(("goal", "measured", "verdict"), judged)]
    for section in sections:
        if (kept := records.load(section, folder)) is not None:
            setting, result = kept
            parts += [f"## {section.title}", _setting(setting), section.describe(result)]
    return "\n\n".join(parts) + "\n"


def _setting(setting: Setting) -> str:
    host = setting.machine
    awake = " · idle cores kept awake" if setting.is_awake else ""
    quick = " A short run, whose figures mean little." if setting.is_quick else ""
    return (
        f"`{setting.command}` · {setting.date.isoformat()} · {setting.seconds:.0f} s · {host.cores} cores of "
        f"{host.cpu}, {host.memory_bytes / 2**30:.0f} GiB, {host.system}, Python {host.python} · load "
        f"average before it {setting.load_before:.1f} · CPU time that the host gave to others "
        f"{setting.stolen_share:.1%}{awake}.{quick}"
    )
