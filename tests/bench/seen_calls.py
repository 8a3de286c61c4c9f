"""What it costs a call to be seen: the same gateway with all of that on and off, in many short turns.

Both are started afresh several times, since no two processes have the same luck with memory and hashes. Each
time both first serve more calls than there are records, and then take turns, four of them a comparison: one
gateway, the other twice, the one again. What is compared is measured within a few seconds, so that a machine
that grows slower or faster meanwhile hits both alike; the median of all comparisons is what counts.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.confidence import median_interval
from bench.configuration import write_config
from bench.gateways import Gateway, lmaas_command
from bench.loadgen import Load
from bench.running import mock_replica
from bench.section import Say
from bench.side_by_side import Standing, in_turns, stand
from support.collecting import Collector

SEEN, UNSEEN = "lmaas, seen", "lmaas, unseen"
_UNSEEN: Mapping[str, Any] = {
    "records": {"calls": 0, "server_timing": False},
    "quality": {"sample_rate": 0},
    "dashboard": {"enabled": False},
}
_TRACED_RATIO = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """How much is measured.

    Attributes:
        starts: How often both gateways are started.
        comparisons: Of plain calls, after each start.
        calls: Of one turn.
        stream_comparisons: Of streams, after each start.
        streams: Of one turn.
        warm_calls: That each serves before it is measured.
    """

    starts: int
    comparisons: int
    calls: int
    stream_comparisons: int
    streams: int
    warm_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """CPU microseconds a unit of work, in four turns within some seconds."""

    seen_us: float
    unseen_us: float
    errors: int = 0

    @property
    def ratio(self) -> float:
        """The gateway that is seen, as a share of the other."""
        return self.seen_us / self.unseen_us


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCalls:
    """What being seen costs.

    Attributes:
        calls: Comparisons of plain calls.
        events: Of streamed events.
        traces: Messages with spans that the collector got.
        spans: Spans in them.
    """

    calls: tuple[Comparison, ...]
    events: tuple[Comparison, ...]
    traces: int
    spans: int

    def grown(self) -> float:
        """Give the share by which CPU per plain call grows: the median of all comparisons."""
        return median(one.ratio for one in self.calls) - 1

    def grown_between(self) -> tuple[float, float]:
        """Give an interval that holds the true median with 95 % certainty."""
        low, high = median_interval([one.ratio for one in self.calls])
        return low - 1, high - 1

    @property
    def errors(self) -> int:
        """Calls that failed."""
        return sum(one.errors for one in (*self.calls, *self.events))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenGateway(Gateway):
    """lmaas as it comes, but for what is seen of its calls.

    Attributes:
        settings: Which say what that is.
    """

    settings: Mapping[str, Any]

    def command(self, *, port: int, replicas: Sequence[str], folder: Path) -> list[str]:
        """Write its configuration into `folder`, and return what serves on `port`."""
        assert self.python is not None
        config = write_config(folder / f"seen-{port}.yaml", replicas, is_bare=True, **self.settings)
        return lmaas_command(str(self.python.with_name(self.package)), port, config)


def compare(turns: Turns, folder: Path, say: Say) -> SeenCalls:
    """Compare both gateways.

    Raises:
        ServerError: a gateway, a replica or a load did not do what it should.
    """
    calls: list[Comparison] = []
    events: list[Comparison] = []
    with ExitStack() as stack:
        collector = stack.enter_context(closing(Collector()))
        replicas = [stack.enter_context(mock_replica()) for _ in range(2)]
        gateways = seen_gateways(collector.url)
        for number in range(turns.starts):
            # Each is the first to start, and the first in turns, as often as the other.
            order = gateways if number % 2 == 0 else gateways[::-1]
            with ExitStack() as started:
                both = [started.enter_context(stand(one, replicas, folder)) for one in order]
                in_turns(both, _load(turns.warm_calls // 2))
                calls += _comparisons(both, turns.comparisons, _load(turns.calls))
                events += _comparisons(both, turns.stream_comparisons, _load(turns.streams, stream=True))
            growth = median(one.ratio for one in calls) - 1
            say(f"start {number + 1} of {turns.starts}: a call costs {growth:+.1%}, {len(calls)} comparisons")
        return SeenCalls(
            calls=tuple(calls),
            events=tuple(events),
            traces=len(collector.bodies),
            spans=len(collector.all_spans()),
        )


def seen_gateways(collector: str) -> list[SeenGateway]:
    """Give the gateway that is seen, with spans for this collector, and the one that is not."""
    tracing = {"tracing": {"endpoint": collector, "ratio": _TRACED_RATIO}}
    return [
        SeenGateway(name=name, package="lmaas", python=Path(sys.executable), settings=settings)
        for name, settings in ((SEEN, tracing), (UNSEEN, _UNSEEN))
    ]


def _load(requests: int, *, stream: bool = False) -> Load:
    return Load(address="", requests=requests, stream=stream)


def _comparisons(both: Sequence[Standing], count: int, load: Load) -> list[Comparison]:
    return [_comparison(both if number % 2 == 0 else both[::-1], load) for number in range(count)]


def _comparison(order: Sequence[Standing], load: Load) -> Comparison:
    done = in_turns(order, load)
    seen, unseen = done[SEEN], done[UNSEEN]
    return Comparison(seen_us=seen.cpu_us, unseen_us=unseen.cpu_us, errors=seen.errors + unseen.errors)
