"""The fake replica of benchmarks: chat and embeddings from bytes made beforehand, nothing recorded.

It must cost less than any gateway in front of it, so a plain call is one dictionary look-up and one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import httptools
import msgspec

from lmaas_gateway.testing import pooling, replies
from lmaas_gateway.testing.model import FakeModel, Generation
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
class Timing:
    """Pauses of a stream, in seconds; 0 sends as fast as the loop turns."""

    first_token_s: float = 0.0
    token_gap_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FastReplies:
    """Every byte that a fast replica can send; routes are whole replies, the rest pieces of a chat stream."""

    routes: Mapping[bytes, bytes]
    not_found: bytes
    opening: bytes
    token: bytes
    last: bytes
    usage: bytes

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
                b"/metrics": _plain(200, b"vllm:num_requests_running 0.0\n", "text/plain"),
            },
            not_found=_plain(404, json_bytes({"detail": "Not Found"})),
            opening=stream_head + b"".join(map(chunk, stream.opening())),
            token=b"".join(map(chunk, stream.token(0, " token", is_last=False))),
            last=b"".join(map(chunk, stream.token(0, " token", is_last=True))),
            usage=b"".join(map(chunk, stream.closing())),
        )


def _plain(status: int, body: bytes, content_type: str = JSON) -> bytes:
    return head(status, (("content-type", content_type), ("content-length", str(len(body))))) + body


class FastConnection(asyncio.Protocol):
    """One client's connection; it serves one request after another and pipelines none."""

    def __init__(self, prepared: FastReplies, timing: Timing) -> None:
        self._prepared = prepared
        self._timing = timing
        self._parser = httptools.HttpRequestParser(self)
        self._pause: asyncio.Handle | None = None
        self._left = 0
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop a stream whose client has gone."""
        del exc
        if self._pause is not None:
            self._pause.cancel()

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
        reply = self._prepared.routes.get(path, self._prepared.not_found)
        if self._timing.first_token_s and self._body:
            self._pause = self._loop.call_later(self._timing.first_token_s, self._transport.write, reply)
        else:
            self._transport.write(reply)

    def _begin(self, request: _StreamRequest) -> None:
        self._left = request.max_completion_tokens or request.max_tokens or _TOKENS
        has_usage = request.stream_options is not None and request.stream_options.include_usage
        usage = self._prepared.usage if has_usage else b""
        self._tail = self._prepared.last + usage + chunk(DONE) + LAST_CHUNK
        self._pause = self._loop.call_later(self._timing.first_token_s, self._open)

    def _open(self) -> None:
        self._transport.write(self._prepared.opening)
        self._next()

    def _next(self) -> None:
        self._left -= 1
        if not self._left:
            self._transport.write(self._tail)
            self._pause = None
            return
        self._transport.write(self._prepared.token)
        gap = self._timing.token_gap_s
        self._pause = self._loop.call_later(gap, self._next) if gap else self._loop.call_soon(self._next)
