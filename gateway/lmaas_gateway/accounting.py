"""One record a call: opened when it arrives, closed when its reply ends, however it ends."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING, Literal

import msgspec

from lmaas_gateway.call import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.metrics import Metrics

Outcome = Literal["ok", "error", "interrupted", "client_gone"]

_NO_USAGE = Usage()

# nginx's code for a client that left before the answer; it is never sent.
CLIENT_GONE_STATUS = 499


class AccessLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the access log. It holds no prompt, no completion and no key."""

    time: datetime.datetime
    request_id: str
    method: str
    route: str
    status: int
    outcome: Outcome
    duration_ms: float
    principal: str = ""
    model: str = ""
    replica: str = ""
    code: str = ""
    stream: bool = False
    first_byte_ms: float | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


class Meter:
    """What is learned of one call on its way. `close` writes it down, once."""

    __slots__ = (
        "_accounting",
        "_first_byte",
        "_started",
        "code",
        "is_stream",
        "model",
        "outcome",
        "principal",
        "replica",
        "request_id",
        "route",
        "status",
        "usage",
    )

    def __init__(self, accounting: Accounting, request_id: str, route: str) -> None:
        self._accounting = accounting
        self._started = accounting.clock()
        self._first_byte = 0.0
        self.request_id = request_id
        self.route = route
        self.principal = self.model = self.replica = self.code = ""
        self.is_stream = False
        self.status = 0
        self.outcome: Outcome = "ok"
        self.usage: Usage | None = None

    def see_first_byte(self) -> None:
        """Note the time of the first body byte."""
        self._first_byte = self._accounting.clock()

    def close(self) -> None:
        """Count the call and log it."""
        now = self._accounting.clock()
        first_byte_s = self._first_byte - self._started if self._first_byte else 0.0
        self._accounting.settle(self, now - self._started, first_byte_s)


class Accounting:
    """Keeps the books: metrics, and the access log if there is one.

    Args:
        metrics: Where calls and tokens are counted.
        log: Takes one encoded line; None keeps no access log.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        log: Callable[[bytes], None] | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock = clock
        self._metrics = metrics
        self._log = log
        self._encode = msgspec.json.Encoder().encode

    def open(self, request_id: str, route: str) -> Meter:
        """Begin the record of a call."""
        return Meter(self, request_id, route)

    def settle(self, meter: Meter, duration_s: float, first_byte_s: float) -> None:
        """Write a finished record down."""
        self._metrics.count_call(
            meter.model, meter.route, meter.status, duration_s=duration_s, first_byte_s=first_byte_s
        )
        if meter.usage is not None:
            self._metrics.count_usage(meter.model, meter.usage)
        if self._log is not None:
            self._log(self._encode(_line(meter, duration_s, first_byte_s)))


def _line(meter: Meter, duration_s: float, first_byte_s: float) -> AccessLine:
    usage = meter.usage or _NO_USAGE
    return AccessLine(
        time=datetime.datetime.now(datetime.UTC),
        request_id=meter.request_id,
        method="POST",
        route=meter.route,
        status=meter.status,
        outcome=meter.outcome,
        duration_ms=round(duration_s * 1e3, 3),
        principal=meter.principal,
        model=meter.model,
        replica=meter.replica,
        code=meter.code,
        stream=meter.is_stream,
        first_byte_ms=round(first_byte_s * 1e3, 3) if first_byte_s else None,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
    )
