"""What "show as code" gives is run as it is: each way must send what the page would have sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from e2e.browsing import serving

if TYPE_CHECKING:
    from pathlib import Path

    from browser.scripts import Scripts

NASTY = (
    'It\'s "quoted" \\ and \\n is no line end; $HOME `id` $(id) !! %s {x} \t\n\'\'\'""" # no comment'
    " <b>&amp;</b> \u4f60\u597d \U0001f600 \u2028 \x7f \x01 end\\"
)
CHAT_BODY: dict[str, Any] = {
    "model": "it's a model",
    "messages": [
        {"role": "system", "content": NASTY},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": "\'"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": NASTY},
        {"role": "user", "content": NASTY},
    ],
    "temperature": 0.1,
    "seed": -3,
    "max_tokens": 12,
    "stop": ["\n\n", "'"],
    "response_format": {"type": "json_object"},
    "top_k": 20,
    "chat_template_kwargs": {"thinking": False, "none": None, "big": 1e21},
}
EMBEDDING_BODY: dict[str, Any] = {"model": "m", "input": [NASTY, "two"]}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Good day"}}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
VECTORS = {
    "object": "list",
    "model": "m",
    "data": [{"object": "embedding", "index": index, "embedding": "AACAPwAAAAA="} for index in (0, 1)],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


class Listener(BaseHTTPRequestHandler):
    """Answers calls, and remembers them."""

    seen: ClassVar[list[tuple[str, str | None, Any]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append((self.path, self.headers["authorization"], body))
        answer = json.dumps(ANSWER if self.path.endswith("completions") else VECTORS).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Say nothing."""


def run(kind: str, code: str, folder: Path) -> str:
    path = folder / "code"
    path.write_text(code, encoding="utf-8")
    command = ["bash", str(path)] if kind == "curl" else [sys.executable, str(path)]
    environment = {**os.environ, "LMAAS_API_KEY": "sk-test"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("kind", ["lmaas", "openai", "curl"])
@pytest.mark.parametrize(
    ("path", "body", "printed"),
    [("/chat/completions", CHAT_BODY, "Good day"), ("/embeddings", EMBEDDING_BODY, "2 2")],
    ids=["chat", "embeddings"],
)
def test_code_sends_what_the_page_would_send(
    scripts: Scripts, tmp_path: Path, kind: str, path: str, body: dict[str, Any], printed: str
) -> None:
    class Listening(Listener):
        seen: ClassVar[list[tuple[str, str | None, Any]]] = []

    with serving(Listening) as port:
        code = scripts.call("playground/code.js", f"{kind}Code", f"http://127.0.0.1:{port}/v1", path, body)
        said = run(kind, code, tmp_path)
    ((sent_to, key, sent),) = Listening.seen
    sent.pop("encoding_format", None)  # both packages ask for vectors in their own way
    assert (sent_to, key, sent) == (f"/v1{path}", "Bearer sk-test", body)
    assert kind == "curl" or said.strip() == printed
    assert "sk-" not in code
