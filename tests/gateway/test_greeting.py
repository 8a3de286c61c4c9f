"""The greeting: said once the gateway is ready, with lines that work when pasted."""

from __future__ import annotations

import ast
import asyncio
import json
import shlex
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.greeting import greet_when_ready, tell_first_key, write_greeting
from lmaas_gateway.settings import ModelSettings, Settings
from support.stub import replying, stub_server

if TYPE_CHECKING:
    from pathlib import Path

CHAT = ModelSettings(name="chat", model="x", kind="chat")
EMBEDDING = ModelSettings(name="embed", model="y", kind="embedding")
KEY = "k" * 24
READY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
NOT_READY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


def snippet_of(greeting: str) -> str:
    lines = greeting.splitlines()
    start = next(number for number, line in enumerate(lines) if "from lmaas import" in line)
    return "\n".join(line.strip() for line in lines[start:] if line.strip())


def test_curl_line_can_be_pasted() -> None:
    greeting = write_greeting(Settings(models=(CHAT, EMBEDDING)), 9000)
    line = next(line for line in greeting.splitlines() if line.strip().startswith("curl"))
    words = shlex.split(line)
    assert words[1] == "http://127.0.0.1:9000/v1/chat/completions"
    assert json.loads(words[words.index("-d") + 1])["model"] == "chat"
    assert "Ready: http://127.0.0.1:9000/v1 serves chat, embed" in greeting


@pytest.mark.parametrize("models", [(CHAT, EMBEDDING), (CHAT,), (EMBEDDING,)])
def test_snippet_is_python_that_calls_what_is_there(models: tuple[ModelSettings, ...]) -> None:
    greeting = write_greeting(Settings(models=models), 9000)
    snippet = snippet_of(greeting)
    ast.parse(snippet)
    assert ("chat.completions" in snippet) == (CHAT in models)
    assert ("embeddings.create" in snippet) == (EMBEDDING in models)
    assert ("curl" in greeting) == (CHAT in models)


def test_neither_without_a_model_that_they_could_call() -> None:
    greeting = write_greeting(Settings(models=(ModelSettings(name="r", model="x", kind="rerank"),)), 9000)
    assert greeting.startswith("Ready: http://127.0.0.1:9000/v1 serves r\n")
    assert "curl" not in greeting
    assert "import LMaaS" not in greeting


def test_pages_are_named_where_they_are() -> None:
    settings = {"models": [CHAT]}
    assert "http://127.0.0.1:9000/ui" in write_greeting(Settings.model_validate(settings), 9000)
    for left_out in ({"dashboard": {"enabled": False}}, {"admin": {"port": 9001}}):
        assert "/ui" not in write_greeting(Settings.model_validate({**settings, **left_out}), 9000)


def test_key_is_asked_for_and_never_shown() -> None:
    greeting = write_greeting(Settings.model_validate({"models": [CHAT], "api_key": KEY}), 9000)
    assert "Bearer $LMAAS_API_KEY" in greeting
    assert KEY not in greeting


def test_nobody_is_asked_for_a_key_where_none_is_needed() -> None:
    assert "LMAAS_API_KEY" not in write_greeting(Settings(models=(CHAT,), open=True), 9000)


def test_first_key_is_set_before_the_line_that_sends_it() -> None:
    greeting = write_greeting(Settings(models=(CHAT,)), 9000, ["export LMAAS_API_KEY=sk-1"])
    assert greeting.index("export LMAAS_API_KEY=sk-1\n") < greeting.index("curl ")


def test_first_key_is_shown_to_who_sits_at_the_terminal(tmp_path: Path) -> None:
    said: list[str] = []
    assert tell_first_key("sk-1", tmp_path, said.append, is_terminal=True) == "export LMAAS_API_KEY=sk-1"
    assert "sk-1" in said[0]
    assert not list(tmp_path.iterdir())


def test_first_key_is_left_in_a_private_file_where_a_log_would_keep_it(tmp_path: Path) -> None:
    said: list[str] = []
    for key in ("sk-old", "sk-1"):
        line = tell_first_key(key, tmp_path, said.append, is_terminal=False)
    file = tmp_path / "first-key"
    assert line == f"export LMAAS_API_KEY=$(cat {file})"
    assert "sk-" not in "".join(said)
    assert str(file) in said[0]
    assert file.read_text() == "sk-1\n"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:1/"), ("::", "http://[::1]:1/"), ("10.0.0.1", "http://10.0.0.1:1/")],
)
def test_host_is_one_that_can_be_reached(host: str, url: str) -> None:
    settings = Settings(host=host, models=(CHAT,))
    assert url in write_greeting(settings, 1)


async def test_said_once_the_gateway_is_ready() -> None:
    said: list[str] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        assert not said
        pauses.append(seconds)

    replies = [b"", NOT_READY, READY]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await replying(replies.pop(0))(reader, writer)

    async with stub_server(serve) as port:
        await greet_when_ready(Settings(models=(CHAT,)), port, said.append, sleep=sleep)
    assert len(pauses) == 2
    assert len(said) == 1
    assert f":{port}/v1" in said[0]


async def test_not_said_before_the_port_is_open() -> None:
    class Enough(Exception):  # noqa: N818 - ends the waiting
        pass

    async def sleep(_: float) -> None:
        raise Enough

    with pytest.raises(Enough):
        await greet_when_ready(Settings(models=(CHAT,)), 1, lambda _: None, sleep=sleep)
