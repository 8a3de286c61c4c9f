"""Calls that come when they come, however the server fares: the load of an overload test.

As a program it takes one `Arrivals` as JSON. It prints each phase's name when it begins and `end` after the
last one, and then an `Account` of all calls as JSON. A call counts from the moment it was due, so that a
generator or a server that falls behind shows.

    python tests/bench/arrivals.py '{"address": "http://127.0.0.1:9001", "phases": [{"name": "calm", …}]}'
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

_TICK_S = 0.001
_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of time with so many calls a second, at random moments."""

    name: str
    seconds: float
    calls_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What comes, phase after phase.

    Attributes:
        patience_s: How long the last calls' replies are waited for.
    """

    address: str
    phases: tuple[Phase, ...]
    key: str = "sk-benchmark-0000"
    patience_s: float = 20.0
    seed: int = 1


class Note(NamedTuple):
    """One call: when it was due, counted from the start, and what became of it.

    Attributes:
        late_s: How long after it was due the generator sent it.
        status: 0 is no reply.
    """

    due_s: float
    latency_s: float
    status: int
    has_retry_after: bool
    late_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """The calls that were due in one second; latencies of those that were served."""

    served: int
    refused: int
    p50_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFigures:
    """One phase: calls by when they were due, `served_per_s` by when their replies came.

    Attributes:
        late_p99_ms: How far the generator itself fell behind.
    """

    name: str
    due: int
    statuses: Mapping[int, int]
    served_per_s: float
    served_p50_ms: float
    served_p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    without_retry_after: int
    late_p99_ms: float
    seconds: tuple[Second, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """Every phase."""

    phases: tuple[PhaseFigures, ...]

    def phase(self, name: str) -> PhaseFigures:
        """Find one by its name."""
        return next(one for one in self.phases if one.name == name)


def due_times(phases: Sequence[Phase], source: random.Random) -> Iterator[float]:
    """Draw the moments of all calls: a Poisson process in each phase."""
    begin_s = 0.0
    for phase in phases:
        due_s = begin_s + source.expovariate(phase.calls_per_s)
        while due_s < begin_s + phase.seconds:
            yield due_s
            due_s += source.expovariate(phase.calls_per_s)
        begin_s += phase.seconds


def account(notes: Sequence[Note], phases: Sequence[Phase]) -> Account:
    """Sum up every phase."""
    begin_s, summed = 0.0, []
    for phase in phases:
        summed.append(_phase(phase, begin_s, notes))
        begin_s += phase.seconds
    return Account(tuple(summed))


def _phase(phase: Phase, begin_s: float, notes: Sequence[Note]) -> PhaseFigures:
    end_s = begin_s + phase.seconds
    due = [note for note in notes if begin_s <= note.due_s < end_s]
    came = [note for note in notes if note.status == 200 and begin_s <= note.due_s + note.latency_s < end_s]
    served = [note.latency_s * 1e3 for note in due if note.status == 200]
    refused = [note for note in due if note.status in {429, 503}]
    refusals = [note.latency_s * 1e3 for note in refused]
    starts = [begin_s + second for second in range(int(phase.seconds))]
    return PhaseFigures(
        name=phase.name,
        due=len(due),
        statuses=Counter(note.status for note in due),
        served_per_s=len(came) / phase.seconds,
        served_p50_ms=quantile(served, 0.5),
        served_p99_ms=quantile(served, 0.99),
        refused_p50_ms=quantile(refusals, 0.5),
        refused_p99_ms=quantile(refusals, 0.99),
        without_retry_after=sum(not note.has_retry_after for note in refused),
        late_p99_ms=quantile([note.late_s * 1e3 for note in due], 0.99),
        seconds=tuple(_second([note for note in due if start <= note.due_s < start + 1]) for start in starts),
    )


def _second(due: Sequence[Note]) -> Second:
    served = [note.latency_s * 1e3 for note in due if note.status == 200]
    return Second(served=len(served), refused=len(due) - len(served), p50_ms=quantile(served, 0.5))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the nearest rank; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def request_bytes(arrivals: Arrivals) -> bytes:
    """Write the one request that is sent again and again."""
    body = (
        b'{"model":"mock","max_tokens":64,"messages":[{"role":"user","content":"Explain paged attention."}]}'
    )
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(arrivals.address).netloc}\r\n"
        f"authorization: Bearer {arrivals.key}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Caller(asyncio.Protocol):
    """One connection; it goes back to the idle ones after each reply."""

    def __init__(self, crowd: Crowd, due_s: float, late_s: float) -> None:
        self._crowd = crowd
        self._due_s: float | None = due_s
        self._late_s = late_s
        self._parser = httptools.HttpResponseParser(self)
        self._has_retry_after = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the call that it was opened for."""
        self._transport = cast("asyncio.Transport", transport)
        self._crowd.open.add(self)
        self._transport.write(self._crowd.request)

    def call(self, due_s: float, late_s: float) -> None:
        """Send another one."""
        self._due_s, self._late_s, self._has_retry_after = due_s, late_s, False
        self._transport.write(self._crowd.request)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what is no HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Look for the one header that matters (httptools)."""
        del value
        if len(name) == 11 and name.lower() == b"retry-after":
            self._has_retry_after = True

    def on_message_complete(self) -> None:
        """Note the reply (httptools)."""
        self._note(self._parser.get_status_code())
        if self._parser.should_keep_alive():
            self._crowd.idle.append(self)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note a call that gets no reply."""
        del exc
        self._crowd.open.discard(self)
        with contextlib.suppress(ValueError):
            self._crowd.idle.remove(self)
        self._note(0)

    def close(self) -> None:
        """Give up."""
        self._transport.abort()

    def _note(self, status: int) -> None:
        if self._due_s is not None:
            latency_s = time.perf_counter() - self._crowd.begun_s - self._due_s
            self._crowd.note(Note(self._due_s, latency_s, status, self._has_retry_after, self._late_s))
            self._due_s = None


@dataclass(slots=True)
class Crowd:
    """Sends every call when it is due, on an idle connection or a new one."""

    arrivals: Arrivals
    request: bytes
    idle: list[Caller] = field(default_factory=list)
    open: set[Caller] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)
    begun_s: float = 0.0
    sent: int = 0
    connecting: set[asyncio.Task[None]] = field(default_factory=set)
    is_last_sent: bool = False
    all_noted: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> Account:
        """Send all calls, and wait for the last replies."""
        self.begun_s = time.perf_counter()
        announcer = asyncio.create_task(self._announce())
        for due_s in due_times(self.arrivals.phases, random.Random(self.arrivals.seed)):
            left_s = self.begun_s + due_s - time.perf_counter()
            # Behind its time it must still let replies in now and then.
            if left_s > _TICK_S or self.sent % _BATCH == 0:
                await asyncio.sleep(max(left_s, 0))
                left_s = self.begun_s + due_s - time.perf_counter()
            self._send(due_s, max(-left_s, 0.0))
        await announcer
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.arrivals.patience_s):
                await self._wait_for_all()
        notes = [*self.notes, *self._unanswered()]
        for caller in tuple(self.open):
            caller.close()
        await asyncio.sleep(0)
        return account(notes, self.arrivals.phases)

    async def _wait_for_all(self) -> None:
        self.is_last_sent = True
        if len(self.notes) < self.sent:
            await self.all_noted.wait()

    async def _announce(self) -> None:
        end_s = 0.0
        for phase in self.arrivals.phases:
            _say(phase.name)
            end_s += phase.seconds
            await asyncio.sleep(self.begun_s + end_s - time.perf_counter())
        _say("end")

    def _send(self, due_s: float, late_s: float) -> None:
        self.sent += 1
        if self.idle:
            self.idle.pop().call(due_s, late_s)
            return
        task = asyncio.create_task(self._connect(due_s, late_s))
        self.connecting.add(task)
        task.add_done_callback(self.connecting.discard)

    async def _connect(self, due_s: float, late_s: float) -> None:
        url = urlsplit(self.arrivals.address)
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(
                lambda: Caller(self, due_s, late_s), url.hostname or "127.0.0.1", url.port or 80
            )
        except OSError:
            self.note(Note(due_s, 0.0, 0, has_retry_after=False, late_s=late_s))

    def note(self, note: Note) -> None:
        """Take note of what became of a call."""
        self.notes.append(note)
        if self.is_last_sent and len(self.notes) == self.sent:
            self.all_noted.set()

    def _unanswered(self) -> Iterator[Note]:
        noted = {note.due_s for note in self.notes}
        for due_s in due_times(self.arrivals.phases, random.Random(self.arrivals.seed)):
            if due_s not in noted:
                yield Note(due_s, time.perf_counter() - self.begun_s - due_s, 0, has_retry_after=False)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def drive(arrivals: Arrivals) -> Account:
    """Send one load."""
    return await Crowd(arrivals, request_bytes(arrivals)).run()


def main() -> None:
    """Send the load of the first argument."""
    # What is noted stays; looking at it again and again would make the generator late.
    gc.disable()
    _say(msgspec.json.encode(uvloop.run(drive(msgspec.json.decode(sys.argv[1], type=Arrivals)))).decode())


if __name__ == "__main__":
    main()
