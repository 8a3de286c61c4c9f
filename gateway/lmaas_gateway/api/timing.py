"""The `Server-Timing` header: where the time went until the reply began.

    server-timing: queue;dur=120.4, route;dur=0.31, upstream;dur=18.2, retries;desc=1

`queue` is the wait for a turn, `route` all else that the gateway did before the call went to the replica that
answered, failed attempts included, and `upstream` the time from then to the first byte of its reply. A call
that comes to no replica has a `total` instead. In milliseconds.

Source: W3C Server Timing.
"""

from __future__ import annotations

from functools import lru_cache
from math import floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmaas_gateway.meter import Meter

NAME = b"server-timing"


def add_timing(headers: list[tuple[bytes, bytes]], meter: Meter) -> list[tuple[bytes, bytes]]:
    """Add the header to those of a head that goes out now, if it is to tell; give them."""
    if meter.tells_timing:
        headers.append((NAME, timing_of(meter)))
    return headers


def timing_of(meter: Meter) -> bytes:
    """Write the value for a head that goes out now."""
    sent_s, queued_s = meter.sent_s, meter.queued_s
    began_s = meter.first_byte_s() or meter.duration_s()
    if not sent_s:
        text = b"total;dur=%.2f" % (began_s * 1e3)
        return b"cache;desc=%b, %b" % (meter.cache.encode(), text) if meter.cache else text
    text = _route(floor((sent_s - queued_s) * 1e5 + 0.5)) + _upstream(floor((began_s - sent_s) * 1e4 + 0.5))
    if queued_s:
        text = b"queue;dur=%.1f, %b" % (queued_s * 1e3, text)
    if meter.attempts > 1:
        text = b"%b, retries;desc=%d" % (text, meter.attempts - 1)
    return text


# To write a number costs several times what it costs to find one that was written before.
@lru_cache(maxsize=4096)
def _route(hundredths: int) -> bytes:
    return b"route;dur=%.2f" % (max(0, hundredths) / 100)


@lru_cache(maxsize=16384)
def _upstream(tenths: int) -> bytes:
    return b", upstream;dur=%.1f" % (tenths / 10)
