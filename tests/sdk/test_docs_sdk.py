from __future__ import annotations

import base64
import json
import re
from array import array
from pathlib import Path
from typing import Any

import pytest

from sdk.hostile import (
    CHAT_BODY,
    DONE,
    STREAM_HEAD,
    Connection,
    Received,
    chat_event,
    chunked,
    reply,
    serving,
)

DOC = Path(__file__).parents[2] / "docs" / "sdk.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
VECTOR = base64.b64encode(array("f", [0.0] * 384).tobytes()).decode()
EMBEDDINGS = {"model": "m", "data": [{"index": n, "embedding": VECTOR} for n in range(2)]}
CHOICE = {"index": 0, "text": " upon", "finish_reason": "stop"}
TEXT_EVENT = f"data: {json.dumps({'id': 'c', 'created': 1, 'model': 'm', 'choices': [CHOICE]})}\n\n".encode()
MISSING = b'{"error": {"message": "no such model", "code": "model_not_found"}}'


def whole(asked: dict[str, Any]) -> bytes:
    body = json.loads(CHAT_BODY)
    message = body["choices"][0]["message"]
    if "response_format" in asked:
        message["content"] = '{"name": "Paris", "continent": "Europe"}'
    if "tool_choice" in asked:
        function = {"name": "weather", "arguments": '{"city": "Rome"}'}
        message["tool_calls"] = [{"id": "t", "type": "function", "function": function}]
    return json.dumps(body).encode()


def answer(request: Received) -> bytes:
    _, path, _ = request.line.split()
    if path.startswith("/v1/models/"):
        return reply(MISSING, 404)
    if path == "/v1/models":
        return reply(b'{"data": [{"id": "m1"}]}')
    if path == "/v1/embeddings":
        return reply(json.dumps(EMBEDDINGS).encode())
    if not request.json.get("stream"):
        return reply(whole(request.json))
    events = [TEXT_EVENT] if path == "/v1/completions" else [chat_event("Once."), chat_event(finish="stop")]
    return STREAM_HEAD + b"".join(map(chunked, [*events, DONE, b""]))


def platform(connection: Connection) -> None:
    while (request := connection.receive()) is not None:
        connection.send(answer(request))


@pytest.mark.parametrize(
    ("block", "printed"),
    list(
        zip(
            BLOCKS,
            [
                "Hi. prompt_tokens=3",
                "Once.",
                "Once.stop None",
                "name='Paris' continent='Europe'",
                "[('weather', {'city': 'Rome', 'temperature': 21, 'unit': 'celsius'})] Hi.",
                "[384, 384]\n upon",
                "['m1']",
                "404 model_not_found",
            ],
            strict=True,
        )
    ),
)
def test_code_of_the_sdk_page_runs(
    block: str, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(platform) as server:
        monkeypatch.setenv("LMAAS_BASE_URL", server.url)
        exec(compile(block, str(DOC), "exec", dont_inherit=True), {"__name__": "__main__"})
    assert capsys.readouterr().out.startswith(printed)
