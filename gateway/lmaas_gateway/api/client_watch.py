"""The client at the other end of one call: it may leave, and a stream must not leave it in silence.

A stream that says nothing for long, in a long prefill or between two events, gets a comment of SSE, so that
neither the client nor a proxy on the way takes it for dead. Before its first event that means to send the
head, with status 200, while nothing is known of the reply: another replica may still be tried, since a
comment is nothing of the model's, but a failure can only be told as an error event then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmaas_gateway.api.timing import add_timing
from lmaas_gateway.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping

    from lmaas_gateway.meter import Meter

    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_COMMENT = b": keep-alive\n\n"
# A silence is seen at most this part of its length too late, and at most this late.
_SWEEPS = 5
_LONGEST_SWEEP_S = 1.0

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    # So that no proxy keeps or gathers events.
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class ClientWatch:
    """Watches one client.

    Args:
        meter: Of its call.
        send: Of its connection (ASGI).

    Attributes:
        is_gone: It has closed its connection; the call's task is cancelled.
        has_head: The head of its reply is on its way.
        is_heard: It was sent a piece of a reply since the last look; the endpoint says so.
    """

    __slots__ = (
        "_meter",
        "_send",
        "_silent_since_s",
        "has_head",
        "is_gone",
        "is_heard",
    )

    def __init__(self, meter: Meter, send: Send) -> None:
        self._meter = meter
        self._send = send
        self._silent_since_s = 0.0
        self.is_gone = self.has_head = False
        self.is_heard = True

    def __call__(self) -> None:
        """Take note that it has left."""
        self.is_gone = True
        self._meter.cut()

    def listen(self, now_s: float, longest_s: float) -> None:
        """Break its silence if it has lasted for `longest_s`."""
        if self.is_heard or not self._meter.is_sent:
            self.is_heard = False
            self._silent_since_s = now_s
        elif now_s - self._silent_since_s >= longest_s:
            self._silent_since_s = now_s
            self._break_silence()

    def _break_silence(self) -> None:
        if not self.has_head:
            self.has_head = self._say(
                {"type": "http.response.start", "status": 200, "headers": stream_head(self._meter)}
            )
        if self.has_head:
            self._meter.status = 200
            self._say({"type": "http.response.body", "body": _COMMENT, "more_body": True})

    def _say(self, message: MutableMapping[str, Any]) -> bool:
        """Send without waiting; tell whether it has gone out.

        It has not where the client does not read, or the connection is ending, as what it raises tells.
        """
        sending: Coroutine[None, None, None] = self._send(message)  # type: ignore[assignment]  # as ASGI servers do
        try:
            sending.send(None)
        except StopIteration:
            return True
        except Exception:  # whatever it is, the call's own next write meets it, and tells
            return False
        sending.close()
        return False


class Silences:
    """All open streams, looked at by one sweep.

    Args:
        longest_s: How long a stream may be silent.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._open = Rounds(self._listen, min(longest_s / _SWEEPS, _LONGEST_SWEEP_S))

    def add(self, watch: ClientWatch) -> Callable[[], object]:
        """Look after one more stream; call what is given when it ends."""
        self._open.add(watch)
        return lambda: self._open.discard(watch)

    def _listen(self, watches: Iterable[ClientWatch], now_s: float) -> None:
        for watch in watches:
            watch.listen(now_s, self._longest_s)


def stream_head(meter: Meter) -> list[tuple[bytes, bytes]]:
    """Write the head of a stream, as far as it is known by now."""
    headers = [*_STREAM_HEADERS, (b"x-request-id", meter.request_id.encode()), *meter.reply_headers]
    return add_timing(headers, meter)
