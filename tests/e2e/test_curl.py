from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from e2e.live_gateway import CHAT, CORS_ORIGIN, EMBEDDING, LiveGateway

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

QUESTION = {"model": CHAT, "messages": [{"role": "user", "content": "What is the capital of France?"}]}
GREEDY = {**QUESTION, "max_tokens": 16, "temperature": 0}


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "-sS", "--max-time", "60", *arguments], capture_output=True, check=True)
    return done.stdout.decode()


def post(gateway: LiveGateway, path: str, body: object, options: Sequence[str] = ()) -> str:
    content = ("-H", "Content-Type: application/json", "-d", json.dumps(body))
    return curl(f"{gateway.base_url}{path}", *content, *options)


def test_greeting_of_the_gateway_has_a_curl_line_that_works_when_pasted(gateway: LiveGateway) -> None:
    line = next(text for text in gateway.stderr.read_text("utf-8").splitlines() if text.startswith("curl "))
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True, timeout=60)
    assert "Paris" in json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_stream_is_events_that_end_with_done(gateway: LiveGateway) -> None:
    events = post(gateway, "/chat/completions", {**GREEDY, "stream": True}, ["-N"]).split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert "Paris" in "".join(choice["delta"].get("content") or "" for c in chunks for choice in c["choices"])
    assert not any(chunk.get("usage") for chunk in chunks)


def test_token_routes_are_there_and_back_again(gateway: LiveGateway) -> None:
    tokens = json.loads(post(gateway, "/tokenize", {"model": CHAT, "prompt": "Good morning"}))["tokens"]
    text = json.loads(post(gateway, "/detokenize", {"model": CHAT, "tokens": tokens}))["prompt"]
    assert text == "Good morning"


def test_rerank_and_score_put_what_is_close_first(gateway: LiveGateway) -> None:
    documents = ["tax law", "a kitten"]
    ranked = json.loads(
        post(gateway, "/rerank", {"model": EMBEDDING, "query": "a cat", "documents": documents})
    )
    assert [result["index"] for result in ranked["results"]] == [1, 0]
    scored = json.loads(post(gateway, "/score", {"model": EMBEDDING, "text_1": "a cat", "text_2": documents}))
    tax, kitten = (item["score"] for item in scored["data"])
    assert kitten > tax


def test_every_error_is_openais_object(gateway: LiveGateway) -> None:
    answers = {
        "404 not_found": curl(f"{gateway.base_url}/nothing"),
        "405 method_not_allowed": curl(f"{gateway.base_url}/chat/completions"),
        "404 model_not_found": curl(f"{gateway.base_url}/models/nobody"),
        "400 unsupported_route": post(gateway, "/embeddings", {"model": CHAT, "input": "x"}),
        "400 invalid_body": post(gateway, "/embeddings", {"input": "x"}),
    }
    for expected, text in answers.items():
        error = json.loads(text)["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert error["code"] == expected.split()[1]


def test_readyz_names_each_model(gateway: LiveGateway) -> None:
    ready = json.loads(curl(f"{gateway.url}/readyz"))
    assert ready["status"] == "ready"
    assert {name: model["state"] for name, model in ready["models"].items()} == {
        CHAT: "ready",
        EMBEDDING: "ready",
    }
    assert json.loads(curl(f"{gateway.url}/livez")) == {"status": "ok"}


def test_configured_origin_may_stream_from_a_browser_and_no_other(gateway: LiveGateway) -> None:
    def preflight(origin: str) -> str:
        asked = (
            "-H",
            "Access-Control-Request-Method: POST",
            "-H",
            "Access-Control-Request-Headers: content-type",
        )
        url = f"{gateway.base_url}/chat/completions"
        return curl("-i", "-X", "OPTIONS", url, "-H", f"Origin: {origin}", *asked).lower()

    assert f"access-control-allow-origin: {CORS_ORIGIN}" in preflight(CORS_ORIGIN)
    assert "access-control-allow-origin" not in preflight("http://elsewhere.example")
    head = post(
        gateway, "/chat/completions", {**GREEDY, "stream": True}, ["-i", "-N", "-H", f"Origin: {CORS_ORIGIN}"]
    )
    assert f"access-control-allow-origin: {CORS_ORIGIN}" in head.lower()
