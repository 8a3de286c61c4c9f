"""A server for the command line: two models behind respx, which say what a test tells them to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from sdk.hostile import DONE, chat_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    import respx

BASE = "http://service.test/v1"
MODELS = {
    "object": "list",
    "data": [
        {"id": "embedder", "object": "model", "max_model_len": 256, "kind": "embedding", "state": "ready"},
        {"id": "talker", "object": "model", "max_model_len": 8192, "kind": "chat", "state": "starting"},
        {"id": "plain", "object": "model"},
    ],
}


class FakeService:
    """Answers the calls of the command line, and keeps what was asked."""

    def __init__(self, router: respx.MockRouter) -> None:
        self.models = router.get(f"{BASE}/models").mock(return_value=httpx.Response(200, json=MODELS))
        self._chat = router.post(f"{BASE}/chat/completions")
        self._embeddings = router.post(f"{BASE}/embeddings").mock(side_effect=embed)
        self.says("Hello", " there.")

    def says(self, *pieces: str, interrupted: bool = False) -> None:
        """Stream these pieces to each chat call; then end, or have the person press Ctrl-C."""
        self._chat.mock(side_effect=lambda _: stream_of(pieces, interrupted=interrupted))

    def refuses(self, status: int, message: str, code: str) -> None:
        """Answer each chat call with an error."""
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        self._chat.mock(return_value=httpx.Response(status, json={"error": error}))

    @property
    def chats(self) -> list[dict[str, Any]]:
        """The bodies of all chat calls."""
        return [json.loads(call.request.content) for call in self._chat.calls]

    @property
    def embedded(self) -> list[dict[str, Any]]:
        """The bodies of all embedding calls."""
        return [json.loads(call.request.content) for call in self._embeddings.calls]


class _Events(httpx.SyncByteStream):
    def __init__(self, pieces: tuple[str, ...], *, interrupted: bool) -> None:
        self._pieces = pieces
        self._interrupted = interrupted

    def __iter__(self) -> Iterator[bytes]:
        yield from (chat_event(piece) for piece in self._pieces)
        if self._interrupted:
            raise KeyboardInterrupt
        yield chat_event(finish="stop") + DONE


def stream_of(pieces: tuple[str, ...], *, interrupted: bool = False) -> httpx.Response:
    headers = {"content-type": "text/event-stream"}
    return httpx.Response(200, headers=headers, stream=_Events(pieces, interrupted=interrupted))


def embed(request: httpx.Request) -> httpx.Response:
    """Give the text at `index` the vector [index, length of the text, 0, 0, 0.5]."""
    body = json.loads(request.content)
    data = [
        {"index": index, "object": "embedding", "embedding": [index, len(text), 0, 0, 0.5]}
        for index, text in enumerate(body["input"])
    ]
    return httpx.Response(200, json={"object": "list", "model": body["model"], "data": data})
