from __future__ import annotations

import json
from typing import Any

import pytest

from lmaas._options import ClientOptions, Timeout
from lmaas._request import Request
from lmaas._timer import Timer
from lmaas.routing._needs import Needs, estimated_tokens, needs_of

BASE = "http://a.test/v1"
IMAGE = {
    "role": "user",
    "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {}}],
}


def needs(route: str = "/chat/completions", method: str = "POST", **body: Any) -> Needs:
    timer = Timer(Timeout(), lambda: 0.0, is_stream=False)
    headers = {"content-type": "application/json"} if method == "POST" else {}
    content = json.dumps(body).encode() if method == "POST" else None
    return needs_of(
        Request(method, BASE + route, timer, headers, content), ClientOptions(base_url=BASE).base_url
    )[0]


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{}]}, "tools"),
        ({"response_format": {"type": "json_schema"}}, "json_schema"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "logprobs"),
        ({"structured_outputs": {"choice": ["a"]}}, "vllm"),
        ({"messages": [IMAGE]}, "images"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "audio"),
    ],
)
def test_features_are_read_off_the_body(body: dict[str, Any], feature: str) -> None:
    assert needs(model="m", **body).features == {feature}


@pytest.mark.parametrize(
    "body",
    [{"tools": []}, {"response_format": {"type": "text"}}, {"logprobs": False}, {"response_format": None}],
)
def test_what_is_not_used_is_not_needed(body: dict[str, Any]) -> None:
    assert needs(model="m", **body).features == frozenset()


def test_prompts_of_all_kinds_are_estimated() -> None:
    text = "four ascii characters a token ok"
    tokens = estimated_tokens(text)
    assert tokens == 8
    assert estimated_tokens("春眠不觉晓") == 4
    message = {"role": "user", "content": text}
    assert (
        needs(messages=[message, {"role": "user", "content": [{"type": "text", "text": text}]}]).prompt_tokens
        == 16
    )
    assert needs("/completions", prompt=[text, text]).prompt_tokens == 16
    assert needs("/responses", input=text).prompt_tokens == 8
    assert needs("/embeddings", input=["a", text]).prompt_tokens == 8
    assert needs("/embeddings", input=[[1, 2]]).prompt_tokens == 0


def test_a_schema_of_a_response_is_one_too() -> None:
    assert needs("/responses", input="x", text={"format": {"type": "json_schema"}}).features == {
        "json_schema"
    }
    assert needs("/responses", input="x", text={"format": {"type": "text"}}).features == set()


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_an_answer_has_its_limit_or_a_usual_length(name: str) -> None:
    limited: dict[str, Any] = {name: 7}
    assert needs(**limited).answer_tokens == needs(**limited).total_tokens == 7
    assert needs().answer_tokens == 256
    assert needs().total_tokens == 1


def test_counted_tokens_take_the_place_of_the_estimate() -> None:
    one = needs("/completions", prompt="x" * 400, max_tokens=10)
    assert one.counted(500).total_tokens == 500
    assert one.counted(500).without_estimate().total_tokens == 500
    assert one.counted(None) is one
    assert one.without_estimate().total_tokens == 1


def test_what_lives_on_one_platform_does_not_move() -> None:
    assert needs(messages=[]).is_movable
    assert needs("/responses", input="x").is_movable
    assert not needs("/responses", input="x", previous_response_id="r").is_movable
    assert not needs("/models", "GET").is_movable
    assert not needs("/batches", input_file_id="f").is_movable
