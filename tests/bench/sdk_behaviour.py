"""What clients make of servers that misbehave: openai, anthropic and lmaas, each against the same bytes.

    python tests/bench/sdk_behaviour.py            # prints the table
    python tests/bench/sdk_behaviour.py --write    # and writes it into docs/sdk.md

A hostile server on a real socket plays each case, once a library, in the library's own dialect. Nothing is
averaged: what a client does is the same each time, times are told to a tenth of a second.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

if __package__ in {None, ""}:  # run as a file
    sys.path[0] = str(Path(__file__).parents[1])  # not this folder: it has an sdk.py

import anthropic
import openai

import lmaas
from sdk.hostile import CHAT_BODY, DONE, STREAM_HEAD, Connection, HostileServer, Script, chunked, head, reply

PAGE = Path(__file__).parents[2] / "docs" / "sdk.md"
PATIENCE_S = 10.0
"""How long a client is watched."""

MESSAGES: Any = [{"role": "user", "content": "hi"}]
FAULT = {"error": {"message": "the engine died", "type": "InternalServerError", "code": 500}}


@dataclass(frozen=True)
class Dialect:
    """How a library's server tells a stream that says "Hel", and a whole reply.

    Attributes:
        error: An error event; `unnamed_error` is one without `event:`, empty where there is no such thing.
        done: The terminal event, which comes too early.
        broken: An event that is no JSON.
    """

    opening: bytes
    token: bytes
    error: bytes
    unnamed_error: bytes
    done: bytes
    broken: bytes
    whole: bytes


def event(data: object, name: str | None = None) -> bytes:
    """Return one event; with a name where the dialect has them."""
    return (f"event: {name}\n" if name else "").encode() + f"data: {json.dumps(data)}\n\n".encode()


def chat_chunk(delta: dict[str, Any]) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event({**head, "choices": [choice]})


MESSAGE = {"id": "msg", "type": "message", "role": "assistant", "model": "m", "content": []}
COUNTED = {"usage": {"input_tokens": 1, "output_tokens": 1}, "stop_reason": None, "stop_sequence": None}
OPENAI = Dialect(
    opening=chat_chunk({"role": "assistant", "content": ""}),
    token=chat_chunk({"content": "Hel"}),
    error=event(FAULT, "error"),
    unnamed_error=event(FAULT),
    done=DONE,
    broken=b'data: {"id": \n\n',
    whole=CHAT_BODY,
)
ANTHROPIC = Dialect(
    opening=event({"type": "message_start", "message": {**MESSAGE, **COUNTED}}, "message_start")
    + event(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        "content_block_start",
    ),
    token=event(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        "content_block_delta",
    ),
    error=event({"type": "error", "error": {"type": "api_error", "message": "the engine died"}}, "error"),
    unnamed_error=b"",
    done=event({"type": "message_stop"}, "message_stop"),
    broken=b'event: content_block_delta\ndata: {"type": \n\n',
    whole=json.dumps({**MESSAGE, **COUNTED, "content": [{"type": "text", "text": "Hi."}]}).encode(),
)


class Library(Protocol):
    """A client library under test."""

    name: str
    dialect: Dialect

    def ask(self, url: str, **options: Any) -> str:
        """Make one call and return what was said."""
        ...

    def stream(self, url: str, **options: Any) -> str:
        """Make one streamed call and return what was said."""
        ...


class OpenAILike:
    """openai, and what is called as openai is."""

    dialect = OPENAI

    def __init__(self, name: str, client: Callable[..., Any]) -> None:
        self.name = name
        self._client = client

    def ask(self, url: str, **options: Any) -> str:
        client = self._client(base_url=f"{url}/v1", api_key="k", **options)
        return str(client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content)

    def stream(self, url: str, **options: Any) -> str:
        client = self._client(base_url=f"{url}/v1", api_key="k", **options)
        chunks = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices or ())


class Anthropic:
    """anthropic, on `/v1/messages`."""

    name = "anthropic"
    dialect = ANTHROPIC

    def __init__(self, client: Callable[..., Any]) -> None:
        self._client = client

    def ask(self, url: str, **options: Any) -> str:
        return str(self._create(url, options).content[0].text)

    def stream(self, url: str, **options: Any) -> str:
        events = self._create(url, options, stream=True)
        return "".join(one.delta.text for one in events if one.type == "content_block_delta")

    def _create(self, url: str, options: dict[str, Any], **params: Any) -> Any:
        client = self._client(base_url=url, api_key="k", **options)
        return client.messages.create(model="m", max_tokens=5, messages=MESSAGES, **params)


def streaming(*parts: bytes, end: bytes = chunked(b"")) -> Script:
    """Answer with a chunked stream of `parts`, then `end`, then hang up."""

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(STREAM_HEAD + b"".join(map(chunked, parts)) + end)

    return script


def until_close(body: bytes) -> Script:
    """Answer with a stream whose length only the end of the connection tells."""

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(head(200, "content-type: text/event-stream", "connection: close") + body)

    return script


def whole(data: bytes) -> Script:
    """Answer request after request with the same bytes."""

    def script(connection: Connection) -> None:
        while connection.receive() is not None:
            connection.send(data)

    return script


def comments(opening: bytes) -> Script:
    """Begin a stream, then send nothing but comments for as long as anyone watches."""

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(STREAM_HEAD + chunked(opening))
        while not connection.is_left(within_s=0.3):
            connection.send(chunked(b": ping\n\n"))

    return script


def dripping(body: bytes) -> Script:
    """Send a whole reply a byte each half second."""

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(head(200, "content-type: application/json", f"content-length: {len(body)}"))
        for byte in body:
            if connection.is_left(within_s=0.5):
                return
            connection.send(bytes([byte]))

    return script


def silent(connection: Connection) -> None:
    """Read the request and say nothing."""
    connection.receive()
    connection.is_left(within_s=PATIENCE_S)


@dataclass(frozen=True)
class Case:
    """One way to misbehave, and how a client is asked to meet it."""

    name: str
    script: Callable[[Dialect], Script]
    is_stream: bool = True
    options: tuple[tuple[str, Any], ...] = (("max_retries", 0),)


ONE_SECOND: tuple[tuple[str, Any], ...] = (("timeout", 1.0),)
CASES: Sequence[Case] = (
    Case("the connection breaks inside a chunked stream", lambda d: streaming(d.opening, d.token, end=b"")),
    Case("a stream ends cleanly, but without its end", lambda d: streaming(d.opening, d.token)),
    Case(
        "the same where only the connection's end ends the body", lambda d: until_close(d.opening + d.token)
    ),
    Case("the terminal event, but no finish reason", lambda d: streaming(d.opening, d.token, d.done)),
    Case("an error without `event:`", lambda d: streaming(d.opening, d.token, d.unnamed_error)),
    Case("an error as `event: error`", lambda d: streaming(d.opening, d.token, d.error)),
    Case("an event of broken JSON", lambda d: streaming(d.opening, d.token, d.broken, d.done)),
    Case(
        "200 with HTML in place of a stream",
        lambda _: whole(reply(b"<html>hello</html>", kind="text/html")),
    ),
    Case(
        "200 with HTML in place of a reply",
        lambda _: whole(reply(b"<html>hello</html>", kind="text/html")),
        is_stream=False,
    ),
    Case(
        "comments alone, `timeout=1`",
        lambda d: comments(d.opening),
        options=(("max_retries", 0), *ONE_SECOND),
    ),
    Case("no answer, `timeout=1`, default retries", lambda _: silent, is_stream=False, options=ONE_SECOND),
    Case(
        "a byte each half second, `timeout=1`",
        lambda d: dripping(d.whole),
        is_stream=False,
        options=(("max_retries", 0), *ONE_SECOND),
    ),
    Case(
        "429 with `Retry-After: 300`",
        lambda _: whole(reply(b"{}", 429, "retry-after: 300")),
        is_stream=False,
        options=(),
    ),
    Case("two 503, then a reply", lambda d: fails_twice(d.whole), is_stream=False, options=()),
)


def fails_twice(body: bytes) -> Script:
    """Fail two requests, answer the third; requests are told apart by the server's own count."""
    answers = [reply(b"{}", 503, "retry-after-ms: 1"), reply(b"{}", 503, "retry-after-ms: 1"), reply(body)]

    def script(connection: Connection) -> None:
        while connection.receive() is not None:
            connection.send(answers.pop(0) if len(answers) > 1 else answers[0])

    return script


def observed(library: Library, case: Case) -> str:
    """Play one case and say in a few words what the client did."""
    if "without `event:`" in case.name and not library.dialect.unnamed_error:
        return "(not of its dialect)"
    outcome: list[str] = []

    def run(url: str) -> None:
        call = library.stream if case.is_stream else library.ask
        try:
            outcome.append(f"**success**, {call(url, **dict(case.options))!r}")
        except Exception as error:
            outcome.append(f"`{type(error).__name__}`")

    with HostileServer(case.script(library.dialect)) as server:
        started = time.monotonic()
        thread = threading.Thread(target=run, args=(server.url,), daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        took_s = time.monotonic() - started
        what = outcome[0] if outcome else "**still waiting**"
        keys = [request.headers.get("idempotency-key") for request in server.requests]
    if case.name.startswith("two 503"):
        what += f", {_key_words(keys)}"
    elif len(keys) > 1:
        what += f", {len(keys)} requests"
    return f"{what}, {took_s:.1f} s" if took_s > 0.95 else what


def _key_words(keys: Sequence[str | None]) -> str:
    if None in keys:
        return "no idempotency key"
    return "one idempotency key" if len(set(keys)) == 1 else "a key each"


def libraries() -> list[Library]:
    """Return the libraries, the peers first."""
    return [
        OpenAILike("openai", openai.OpenAI),
        Anthropic(anthropic.Anthropic),
        OpenAILike("lmaas", lmaas.LMaaS),
    ]


def table(chosen: Sequence[Library]) -> list[str]:
    """Play every case and return the rows of a Markdown table."""
    names = [f"{library.name} {version(library.name)}" for library in chosen]
    rows = [f"| the server | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for case in CASES:
        cells = [observed(library, case) for library in chosen]
        rows.append(f"| {case.name} | {' | '.join(cells)} |")
    return rows


BEGIN = "<!-- behaviour: written by `python tests/bench/sdk_behaviour.py --write` -->\n"
END = "<!-- behaviour: end -->\n"
PREFACE = """
Each cell is one call against a server on a real socket, which plays the case in the library's own dialect.
Streams had said "Hel" when they failed. **Success** is a normal end as a program sees it, with what it was
given: wrong in every row but the last. Clients were watched for {patience_s:.0f} s.

"""


def write(page: Path, text: str) -> None:
    """Put the table between its marks."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(
        before + BEGIN + PREFACE.format(patience_s=PATIENCE_S) + text + "\n" + END + after, "utf-8"
    )


def main() -> None:
    """Print the table, and write the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/sdk.md")
    options = parser.parse_args()
    text = "\n".join(table(libraries())) + "\n"
    sys.stdout.write(text)
    if options.write:
        write(PAGE, text)


if __name__ == "__main__":
    main()
