"""The end of a call: it is counted, written as one line of the access log, and handed to the books."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from lmaas_gateway.call import NOBODY, Usage
from lmaas_gateway.logs.lines import ACCESS
from lmaas_gateway.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmaas_gateway.envelope import Envelope
    from lmaas_gateway.metrics import Metrics

_NO_USAGE = Usage()
# Every field stands in every line. What many calls have in common is encoded once; of what is left only the
# request id is text, and that has no character to escape (`api/inference.py`).
_LINE = (
    b'{"time":"%b.%03dZ","request_id":"%b",%b,"attempts":%d,"queue_ms":%.3f,"duration_ms":%.3f,'
    b'"first_byte_ms":%.3f,"prompt_tokens":%d,"cached_tokens":%d,"completion_tokens":%d,"usage_estimated":%b}'
)
_MAX_KINDS = 10_000
_WELL = frozenset({"ok", "client_gone", "limited"})

_Kind = tuple[str, str, str, str, str, bool, int, str, str, str]


class Books(Protocol):
    """What keeps calls for ever."""

    def close(self, meter: Meter) -> None:
        """Write down a call that has ended."""
        ...


class Records(Protocol):
    """What keeps the last calls, to explain them."""

    def close(self, meter: Meter, ended_s: float, duration_s: float, first_byte_s: float) -> None:
        """Write down a call that ended at `ended_s`, in Unix seconds; the others count from its arrival."""
        ...


class Traces(Protocol):
    """What traces a part of the calls."""

    def carry(self, fields: Mapping[bytes, bytes], lines: bytes, meter: Meter, wanted: Envelope) -> bytes:
        """Decide whether a call is traced; give the header lines for its replica."""
        ...

    def close(self, meter: Meter, ended_s: float, duration_s: float) -> None:
        """Export the spans of a call that ended at `ended_s`, in Unix seconds, after `duration_s`."""
        ...


class Accounting:
    """Keeps account of calls: metrics, log, books, records and traces, as far as there are any.

    Args:
        metrics: Where calls and tokens are counted.
        log: Takes one encoded line; None keeps no access log.
        books: None keeps none.
        records: None keeps none.
        traces: None makes none.
        tells_timing: Whether the heads of replies say where the time went.
        clock: Monotonic seconds.
        wall_clock: Unix seconds.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        log: Callable[[bytes], None] | None,
        books: Books | None = None,
        records: Records | None = None,
        traces: Traces | None = None,
        tells_timing: bool = False,
        clock: Callable[[], float] = time.perf_counter,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._metrics = metrics
        self._log = None if log is None else AccessLog(log)
        self._books = books
        self._records = records
        self.traces = traces
        self._tells_timing = tells_timing
        self._clock = clock
        self._wall_clock = wall_clock

    def open(self, request_id: str, route: str) -> Meter:
        """Begin the record of a call."""
        return Meter(request_id, route, self._clock, tells_timing=self._tells_timing)

    def close(self, meter: Meter) -> None:
        """Count a call that has ended, and log it."""
        if meter.is_whole and meter.outcome == "client_gone":
            meter.status, meter.outcome = 200, "ok"
        duration_s = meter.duration_s()
        first_byte_s = meter.first_byte_s()
        self._metrics.count_call(meter, duration_s, first_byte_s)
        now_s = self._wall_clock()
        if self._log is not None:
            self._log.write(meter, now_s, duration_s, first_byte_s)
        if self._books is not None:
            self._books.close(meter)
        if self._records is not None:
            self._records.close(meter, now_s, duration_s, first_byte_s)
        if meter.trace is not None and self.traces is not None:
            self.traces.close(meter, now_s, duration_s)


class AccessLog:
    """Writes calls as lines of JSON, without prompt, completion or key.

    Lines are formatted, not encoded field by field: on the hot route that is a third of the cost.

    Args:
        log: Takes one line.
    """

    def __init__(self, log: Callable[[bytes], None]) -> None:
        self._log = log
        self._second = -1
        self._stamp = b""
        self._kinds: dict[_Kind, bytes] = {}

    def write(self, meter: Meter, now: float, duration_s: float, first_byte_s: float) -> None:
        """Write one call that ended `now`, in Unix seconds."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        caller = meter.caller or NOBODY
        kind = (
            meter.route,
            meter.principal,
            caller.project,
            meter.model,
            meter.replica,
            meter.is_stream,
            meter.status,
            meter.outcome,
            meter.code,
            meter.cache,
        )
        usage = meter.usage or _NO_USAGE
        line = _LINE % (
            self._stamp,
            (now - second) * 1e3,
            meter.request_id.encode(),
            self._kinds.get(kind) or self._encode(kind, caller.organization),
            meter.attempts,
            meter.queued_s * 1e3,
            duration_s * 1e3,
            first_byte_s * 1e3,
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.completion_tokens,
            b"true" if usage.is_estimated else b"false",
        )
        self._log(line)

    def _encode(self, kind: _Kind, organization: str) -> bytes:
        route, principal, project, model, replica, is_stream, status, outcome, code, cache = kind
        fields = {
            "level": _level(status, outcome),
            "logger": ACCESS,
            "event": "call",
            "method": "POST",
            "route": route,
            "organization": organization,
            "project": project,
            "principal": principal,
            "model": model,
            "replica": replica,
            "stream": is_stream,
            "status": status,
            "outcome": outcome,
            "code": code,
            "cache": cache,
        }
        if len(self._kinds) >= _MAX_KINDS:
            self._kinds.clear()
        encoded = self._kinds[kind] = msgspec.json.encode(fields)[1:-1]
        return encoded


def _level(status: int, outcome: str) -> str:
    """Say how much of a failure a call was: ours is an error, one of its client a warning."""
    if outcome == "interrupted" or status >= 500:
        return "error"
    return "info" if outcome in _WELL else "warning"
