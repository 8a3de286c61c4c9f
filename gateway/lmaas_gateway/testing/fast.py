"""The fake replica of benchmarks: chat and embeddings from bytes made beforehand, nothing recorded.

It must cost less than any gateway in front of it, so a plain call is one dictionary look-up and one write,
and streams with pauses share one timer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import httptools
import msgspec

from lmaas_gateway.testing import pooling, replies
from lmaas_gateway.testing.model import FakeModel, Generation
from lmaas_gateway.testing.pacing import Capacity, Timing, Wheel
from lmaas_gateway.testing.streams import DONE, ChatChunks
from lmaas_gateway.testing.wire import EVENT_STREAM, JSON, LAST_CHUNK, chunk, head, json_bytes

_TOKENS = 64
_REQUEST_ID = "0123456789abcdef0123456789abcdef"
_WORDS = ("The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog.")


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _StreamRequest(msgspec.Struct):
    """The few fields of a streamed call that bear on its length."""

    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream_options: _StreamOptions | None = None


@dataclass(frozen=True, slots=True)
class FastReplies:
    """Every byte that a fast replica can send; routes are whole replies, the rest pieces of a chat stream."""

    routes: Mapping[bytes, bytes]
    not_found: bytes
    opening: bytes
    token: bytes
    stamped_token: bytes
    last: bytes
    usage: bytes
    busy: bytes

    @classmethod
    def of(cls, model: FakeModel) -> FastReplies:
        """Make them for one model."""
        said = Generation(_REQUEST_ID, model.name, 23, _TOKENS, _WORDS, is_cut=False)
        stream = ChatChunks(said, {"stream_options": {"include_usage": True}})
        stream_head = head(200, (("content-type", EVENT_STREAM), ("transfer-encoding", "chunked")))
        embedded = pooling.embeddings(model, {"input": "fast"}, _REQUEST_ID)
        return cls(
            routes={
                b"/v1/chat/completions": _plain(200, json_bytes(replies.chat(said))),
                b"/v1/embeddings": _plain(200, json_bytes(embedded)),
                b"/v1/models": _plain(200, json_bytes(replies.models(model))),
                b"/version": _plain(200, json_bytes({"version": "0.32.0"})),
                b"/health": _plain(200, b""),
            },
            not_found=_plain(404, json_bytes({"detail": "Not Found"})),
            opening=stream_head + b"".join(map(chunk, stream.opening())),
            token=b"".join(map(chunk, stream.token(0, " token", is_last=False))),
            stamped_token=_stamped(stream),
            last=b"".join(map(chunk, stream.token(0, " token", is_last=True))),
            usage=b"".join(map(chunk, stream.closing())),
            busy=_plain(503, json_bytes(replies.BUSY)),
        )


def _stamped(stream: ChatChunks) -> bytes:
    """Make a token whose text takes a time of 15 digits."""
    (event,) = stream.token(0, " 000000000000000", is_last=False)
    return chunk(event).replace(b"%", b"%%").replace(b"0" * 15, b"%015d")


def _plain(status: int, body: bytes, content_type: str = JSON) -> bytes:
    return head(status, (("content-type", content_type), ("content-length", str(len(body))))) + body


class FastReplica:
    """What the connections of one fast replica share.

    Args:
        prepared: What it can send.
        timing: How fast it is.
        slots: Plain calls that it serves at once; 0 serves all.
        queue: Plain calls that may wait for a slot; more are refused as vLLM does, with 503.
    """

    def __init__(
        self, prepared: FastReplies, timing: Timing | None = None, *, slots: int = 0, queue: int = 0
    ) -> None:
        self.prepared = prepared
        self.timing = timing or Timing()
        self.capacity = Capacity(slots, queue)
        self.wheel = Wheel(asyncio.get_running_loop(), self.timing, self.token)
        self.streams = 0

    def connect(self) -> FastConnection:
        """Make the protocol of a new connection."""
        return FastConnection(self)

    def metrics(self) -> bytes:
        """Answer `/metrics`."""
        running = self.capacity.running + self.streams
        text = f"vllm:num_requests_running {running}.0\nvllm:num_requests_waiting {self.capacity.waiting}.0\n"
        return _plain(200, text.encode(), "text/plain")

    def token(self) -> bytes:
        """Make the token of this moment."""
        if not self.timing.is_stamped:
            return self.prepared.token
        return self.prepared.stamped_token % (time.monotonic_ns() // 1000)


class FastConnection(asyncio.Protocol):
    """One client's connection; it serves one request after another and pipelines none."""

    def __init__(self, replica: FastReplica) -> None:
        self._replica = replica
        self._prepared = replica.prepared
        self._timing = replica.timing
        self._parser = httptools.HttpRequestParser(self)
        self._stop: Callable[[], object] | None = None
        self._take_off: Callable[[], object] = lambda: None
        self._left = 0
        self._tail = b""
        self._is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what is under way for a client that has gone."""
        del exc
        self._is_lost = True
        self._end()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what is no HTTP gets the connection closed."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        """Start a request (httptools)."""
        self._url, self._body = b"", b""

    def on_url(self, url: bytes) -> None:
        """Collect the target (httptools)."""
        self._url += url

    def on_body(self, data: bytes) -> None:
        """Collect a piece of the body (httptools)."""
        self._body += data

    def on_message_complete(self) -> None:
        """Answer (httptools)."""
        path = self._url.partition(b"?")[0]
        if b'"stream"' in self._body and path == b"/v1/chat/completions":
            request = msgspec.json.decode(self._body, type=_StreamRequest)
            if request.stream:
                self._begin(request)
                return
        if path == b"/metrics":
            self._transport.write(self._replica.metrics())
            return
        reply = self._prepared.routes.get(path, self._prepared.not_found)
        if not (self._timing.first_token_s and self._body):
            self._transport.write(reply)
        elif not self._replica.capacity.enter(partial(self._work, reply)):
            self._transport.write(self._prepared.busy)

    def _work(self, reply: bytes) -> bool:
        """Be at work on a plain reply, unless its client has left the queue."""
        if self._is_lost:
            return False
        pause = self._loop.call_later(self._timing.first_token_s, self._finish, reply)
        self._stop = partial(self._leave, pause)
        return True

    def _leave(self, pause: asyncio.TimerHandle) -> None:
        pause.cancel()
        self._replica.capacity.leave()

    def _finish(self, reply: bytes) -> None:
        self._end()
        self._transport.write(reply)

    def _begin(self, request: _StreamRequest) -> None:
        self._left = request.max_completion_tokens or request.max_tokens or _TOKENS
        has_usage = request.stream_options is not None and request.stream_options.include_usage
        usage = self._prepared.usage if has_usage else b""
        self._tail = self._prepared.last + usage + chunk(DONE) + LAST_CHUNK
        self._stop = self._loop.call_later(self._timing.first_token_s, self._open).cancel

    def _open(self) -> None:
        self._replica.streams += 1
        self._stop = self._close_stream
        self._transport.write(self._prepared.opening)
        if not self._timing.token_gap_s:
            self._run_on()
            return
        self.step(self._replica.token())
        if self._left:
            self._take_off = self._replica.wheel.add(self)

    def _run_on(self) -> None:
        self.step(self._prepared.token)
        if self._left:
            self._take_off = self._loop.call_soon(self._run_on).cancel

    def step(self, token: bytes) -> None:
        """Send one more token, the last one in its own way."""
        self._left -= 1
        if self._left:
            self._transport.write(token)
        else:
            self._transport.write(self._tail)
            self._end()

    def _close_stream(self) -> None:
        self._replica.streams -= 1
        self._take_off()

    def _end(self) -> None:
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()
