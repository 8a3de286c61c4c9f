"""What a gateway's process takes while so many people look at its live page, and calls come."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.arrivals import Arrivals, Phase
from bench.processes import ServerError, on_core
from bench.running import LOAD_CORE, run_arrivals
from bench.seen_site import SeenSite
from bench.watchers import Watch, Watched

WATCHERS = Path(__file__).with_name("watchers.py")
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Some seconds of the gateway with so many viewers, and a light load of calls.

    Attributes:
        cpu_share: Of a core, of the gateway's process.
        events: That all viewers got.
        event_bytes: Mean size of one.
        calls: That were served.
        failed_calls: That were not.
    """

    viewers: int
    seconds: float
    cpu_share: float
    events: int
    event_bytes: float
    calls: int
    failed_calls: int


def take_turn(site: SeenSite, viewers: int, *, seconds: float, calls_per_s: float) -> Turn:
    """Measure the gateway while so many look and calls come.

    Raises:
        ServerError: a viewer was sent away, or the load failed.
    """
    phase = Phase(name="steady", seconds=seconds, calls_per_s=calls_per_s)
    arrivals = Arrivals(address=site.address, phases=(phase,), key=site.key)
    with _watching(site, viewers) as watched:
        before_s, begun_s = site.process.cpu_s(), time.monotonic()
        steady = run_arrivals(arrivals).phase("steady")
        spent_s, took_s = site.process.cpu_s() - before_s, time.monotonic() - begun_s
    (saw,) = watched
    served = steady.statuses.get(200, 0)
    return Turn(
        viewers=viewers,
        seconds=took_s,
        cpu_share=spent_s / took_s,
        events=saw.events,
        event_bytes=saw.received_bytes / max(saw.events, 1),
        calls=served,
        failed_calls=steady.due - served,
    )


@contextmanager
def _watching(site: SeenSite, count: int) -> Iterator[list[Watched]]:
    """Let so many look meanwhile; what they saw is known after the block."""
    watched: list[Watched] = []
    if not count:
        yield watched
        watched.append(Watched(events=0, received_bytes=0, seconds=0))
        return
    wanted = Watch(address=site.address, cookie=site.cookie(), count=count)
    command = on_core(LOAD_CORE, [sys.executable, str(WATCHERS), msgspec.json.encode(wanted).decode()])
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as watchers:
        assert watchers.stdout is not None
        if watchers.stdout.readline().strip() == "open":
            yield watched
        out, error = watchers.communicate(timeout=_PATIENCE_S)
    if watchers.returncode:
        message = f"the viewers failed: {error.strip()[-500:]}"
        raise ServerError(message)
    watched.append(msgspec.json.decode(out, type=Watched))
