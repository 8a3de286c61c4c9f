"""The section `overload`: twenty times as many calls as the replicas can serve, and how soon it is over."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.arrivals import Account, Arrivals, Phase, PhaseFigures
from bench.configuration import KEY, write_config
from bench.gateways import lmaas_command
from bench.loadgen import Load
from bench.processes import Process, ServerError, free_port, on_core, serving, wait_until
from bench.running import GATEWAY_CORE, LOAD_CORE, answers, mock_replica, run_load
from bench.section import Say, Section, Verdict, table

GENERATOR = Path(__file__).with_name("arrivals.py")

_REPLICAS, _SLOTS, _SERVICE_MS = 2, 16, 400
_CAPACITY_PER_S = _REPLICAS * _SLOTS / (_SERVICE_MS / 1e3)
_FACTOR = 20
_CALM = 0.5
_SLOWER = 1.25
"""A second is as quick as before if its median call takes at most so many times the calm one's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overloaded:
    """What an overload came to.

    Attributes:
        peak_per_s: Calls served a second with just as many in flight as the replicas have slots.
        gateway_cpu_share: Of a core, during the overload.
        rss_bytes: Of the gateway at its end.
    """

    capacity_per_s: float
    peak_per_s: float
    account: Account
    gateway_cpu_share: float
    rss_bytes: int

    @property
    def over(self) -> PhaseFigures:
        """The overload."""
        return self.account.phase("over")

    @property
    def recovery_s(self) -> float | None:
        """Seconds after the overload until every further second is as before it; None if they never are."""
        calm_ms = self.account.phase("calm").served_p50_ms
        seconds = self.account.phase("after").seconds
        bad = [
            number
            for number, one in enumerate(seconds)
            if one.refused or one.p50_ms > _SLOWER * calm_ms or not one.served
        ]
        recovered = bad[-1] + 1 if bad else 0
        return float(recovered) if recovered < len(seconds) else None


def measure(is_quick: bool, say: Say) -> Overloaded:
    """Measure the peak, then let calls come: few, far too many, few.

    Raises:
        ServerError: the gateway or a replica did not start.
    """
    spans = (3, 6, 20) if is_quick else (8, 60, 30)
    names, factors = ("calm", "over", "after"), (_CALM, _FACTOR, _CALM)
    phases = tuple(
        Phase(name=name, seconds=span, calls_per_s=factor * _CAPACITY_PER_S)
        for name, span, factor in zip(names, spans, factors, strict=True)
    )
    limits = ["--ttft-ms", str(_SERVICE_MS), "--slots", str(_SLOTS), "--queue", str(_SLOTS)]
    with ExitStack() as stack:
        replicas = [stack.enter_context(mock_replica(*limits)) for _ in range(_REPLICAS)]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        config, port = folder / "lmaas.yaml", free_port()
        write_config(config, replicas, model={"max_in_flight": _SLOTS})
        command = lmaas_command(str(Path(sys.executable).with_name("lmaas")), port, config)
        process = stack.enter_context(serving("lmaas", command, core=GATEWAY_CORE))
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{address}/readyz"), process, within_s=60)
        peak_per_s = _peak(address, seconds=3 if is_quick else 8)
        say(f"peak {peak_per_s:.1f} calls/s of a capacity of {_CAPACITY_PER_S:.0f}")
        result = _overload(Arrivals(address=address, phases=phases, key=KEY), process, peak_per_s)
    over = result.over
    say(f"overload: {over.served_per_s:.1f} calls/s served, refused in {over.refused_p99_ms:.1f} ms at p99")
    return result


def _peak(address: str, *, seconds: float) -> float:
    slots = _REPLICAS * _SLOTS
    load = Load(address=address, key=KEY, connections=slots, requests=round(_CAPACITY_PER_S * seconds))
    run_load(Load(address=address, key=KEY, connections=slots, requests=slots))
    return run_load(load).calls_per_s


def _overload(arrivals: Arrivals, process: Process, peak_per_s: float) -> Overloaded:
    command = on_core(LOAD_CORE, [sys.executable, str(GENERATOR), msgspec.json.encode(arrivals).decode()])
    marks: dict[str, float] = {}
    rss = 0
    patience_s = sum(phase.seconds for phase in arrivals.phases) + 2 * arrivals.patience_s
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as generator:
        assert generator.stdout is not None
        for _ in (*arrivals.phases, "end"):
            name = generator.stdout.readline().strip()
            marks[name] = process.cpu_s()
            rss = process.rss_bytes() if name == "after" else rss
        out, error = generator.communicate(timeout=patience_s)
    if generator.returncode:
        message = f"the generator of arrivals failed: {error.strip()[-500:]}"
        raise ServerError(message)
    seconds = {phase.name: phase.seconds for phase in arrivals.phases}
    return Overloaded(
        capacity_per_s=_CAPACITY_PER_S,
        peak_per_s=peak_per_s,
        account=msgspec.json.decode(out, type=Account),
        gateway_cpu_share=(marks["after"] - marks["over"]) / seconds["over"],
        rss_bytes=rss,
    )


def judge(result: Overloaded | None) -> Sequence[Verdict]:
    """Hold the overload against the goals."""
    goodput = lost = recovery = unnamed = None
    if result is not None:
        goodput = result.over.served_per_s / result.peak_per_s
        recovery = float("inf") if result.recovery_s is None else result.recovery_s
        lost = float(sum(_lost(phase) for phase in result.account.phases))
        unnamed = float(sum(phase.without_retry_after for phase in result.account.phases))
    at = f"at {_FACTOR} times capacity for 60 s"
    return [
        Verdict(f"goodput ≥ 0.90 of peak {at}", goodput, 0.9, is_floor=True),
        Verdict(f"recovery < 30 s after {_FACTOR} times capacity", recovery, 29.9),
        Verdict(f"calls that got neither a reply nor a refusal {at}", lost, 0),
        Verdict(f"refusals without Retry-After {at}", unnamed, 0),
    ]


def _lost(phase: PhaseFigures) -> int:
    return phase.due - sum(phase.statuses.get(status, 0) for status in (200, 429, 503))


def describe(result: Overloaded) -> str:
    """Tell how it was measured, and every figure."""
    seconds = [len(phase.seconds) for phase in result.account.phases]
    method = (
        f"{_REPLICAS} mock replicas, each with {_SLOTS} slots of {_SERVICE_MS} ms and room for {_SLOTS} "
        f"calls more, beyond which it answers 503 as vLLM does: a capacity of {result.capacity_per_s:.0f} "
        f"calls/s. lmaas with everything on, `max_in_flight: {_SLOTS}` and its queue as it comes. Calls come "
        f"at random moments, whether or not earlier ones are answered: {_CALM:g} times the capacity for "
        f"{seconds[0]} s, {_FACTOR} times for {seconds[1]} s, {_CALM:g} times for {seconds[2]} s; a call's "
        "time counts from the moment it was due. The peak is what a closed loop with one call for each slot "
        f"gets. Recovered is the gateway from the second on after which nothing is refused and no second's "
        f"median is more than {_SLOWER:g} times the calm one."
    )
    recovery = "not within the run" if result.recovery_s is None else f"{result.recovery_s:.0f} s"
    summary = (
        f"Peak {result.peak_per_s:.1f} calls/s; goodput under overload {result.over.served_per_s:.1f} "
        f"calls/s; recovery {recovery}. The gateway took {result.gateway_cpu_share:.0%} of a core during the "
        f"overload, and {result.rss_bytes / 1e6:.0f} MB at its end."
    )
    header = (
        "phase",
        "calls due",
        "by status",
        "served a second",
        "served p50 / p99 ms",
        "refused p50 / p99 ms",
        "sent late p99 ms",
    )
    return f"{method}\n\n{summary}\n\n{table(header, [_shown(phase) for phase in result.account.phases])}"


def _shown(phase: PhaseFigures) -> list[str]:
    statuses = ", ".join(f"{status or 'none'}: {count:,}" for status, count in sorted(phase.statuses.items()))
    return [
        phase.name,
        f"{phase.due:,}",
        statuses,
        f"{phase.served_per_s:.1f}",
        f"{phase.served_p50_ms:,.0f} / {phase.served_p99_ms:,.0f}",
        f"{phase.refused_p50_ms:,.2f} / {phase.refused_p99_ms:,.2f}",
        f"{phase.late_p99_ms:,.1f}",
    ]


SECTION = Section(
    name="overload",
    title="Overload",
    result=Overloaded,
    measure=measure,
    judge=judge,
    describe=describe,
)
