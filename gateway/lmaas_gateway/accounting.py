"""One record a call: opened when it arrives, closed when its reply ends, however it ends."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.call import Usage
from lmaas_gateway.meter import Meter, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.metrics import Metrics

_NO_USAGE = Usage()


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
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._encode = msgspec.json.Encoder().encode

    def open(self, request_id: str, route: str) -> Meter:
        """Begin the record of a call."""
        return Meter(request_id, route, self._clock)

    def close(self, meter: Meter) -> None:
        """Count a call that has ended, and log it."""
        duration_s = meter.duration_s()
        first_byte_s = meter.first_byte_s()
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
