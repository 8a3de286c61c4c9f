from __future__ import annotations

import json
import uuid
from types import MappingProxyType
from typing import Any

import pytest

from lmaas import NOT_GIVEN, Timeout
from lmaas._options import ClientOptions
from lmaas._request import Operation, Request, RequestBuilder, encode_body, path_segment
from lmaas.types import ChatCompletionMessage, ChatCompletionParams

CHAT = Operation.post("/chat/completions", ChatCompletionParams)


def build(params: dict[str, Any] | None = None, *, is_stream: bool = False, **options: Any) -> Request:
    builder = RequestBuilder(ClientOptions(**options), lambda: 0.0)
    return builder.build(CHAT, params or {}, {"model": "m"}, is_stream=is_stream)


def sent(params: dict[str, Any]) -> Any:
    return json.loads(build(params).content or b"")


def test_what_is_not_given_is_not_sent_and_none_is_null() -> None:
    assert sent({"temperature": NOT_GIVEN, "seed": None, "top_k": 5}) == {
        "model": "m",
        "seed": None,
        "top_k": 5,
    }


def test_extra_body_is_merged_last_and_wins() -> None:
    assert sent({"top_k": 5, "extra_body": {"top_k": 6, "new": [1]}}) == {
        "model": "m",
        "top_k": 6,
        "new": [1],
    }


def test_misspelt_parameter_is_refused_with_a_hint() -> None:
    with pytest.raises(TypeError, match=r"'temprature'; did you mean 'temperature'\?"):
        sent({"temprature": 1})
    with pytest.raises(TypeError, match="extra_body"):
        sent({"zzz": 1})


def test_replies_tuples_and_generators_can_be_sent() -> None:
    message = ChatCompletionMessage.model_validate({"role": "assistant", "content": "字", "new_field": 1})
    bias = MappingProxyType({"1": -1})
    body = json.loads(
        encode_body({"messages": (m for m in [message]), "stop": ("a", "b"), "logit_bias": bias})
    )
    assert body == {
        "messages": [{"role": "assistant", "content": "字", "new_field": 1}],
        "stop": ["a", "b"],
        "logit_bias": {"1": -1},
    }


def test_text_travels_as_utf8() -> None:
    assert encode_body({"prompt": "字"}) == '{"prompt":"字"}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_value_that_no_server_can_read_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"JSON compliant|surrogates"):
        encode_body({"x": value})


@pytest.mark.parametrize("value", [b"bytes", object()])
def test_value_without_a_place_in_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be sent as JSON"):
        encode_body({"x": value})


def test_headers_of_the_call_beat_those_of_the_client_whatever_their_case() -> None:
    request = build({"extra_headers": {"X-A": "2"}}, default_headers={"x-a": "1", "X-B": "3"}, api_key="k")
    assert (request.headers["x-a"], request.headers["x-b"]) == ("2", "3")
    assert request.headers["authorization"] == "Bearer k"
    assert request.secret == "k"


def test_each_call_has_an_idempotency_key_of_its_own_unless_given() -> None:
    first, second = (build().headers["idempotency-key"] for _ in range(2))
    assert uuid.UUID(first).version == 4
    assert first != second
    assert build({"extra_headers": {"Idempotency-Key": "mine"}}).headers["idempotency-key"] == "mine"


def test_call_without_key_sends_none() -> None:
    assert "authorization" not in build().headers
    assert build().secret == ""


def test_queries_of_client_and_call_are_joined() -> None:
    request = build({"extra_query": {"b": ["1", "2"]}}, default_query={"a": "x y"}, base_url="http://h")
    assert request.url == "http://h/v1/chat/completions?a=x+y&b=1&b=2"


def test_stream_asks_for_events_uncompressed() -> None:
    headers = build(is_stream=True).headers
    assert (headers["accept"], headers["accept-encoding"]) == ("text/event-stream", "identity")


def test_timeout_of_the_call_replaces_that_of_the_client() -> None:
    assert build({"timeout": 3}).timer.timeout == Timeout(total=3)
    assert build({"timeout": None}, timeout=Timeout(total=9)).timer.timeout.total is None
    assert build(timeout=Timeout(total=9)).timer.timeout == Timeout(total=9)


def test_get_has_no_body_and_no_idempotency_key() -> None:
    request = RequestBuilder(ClientOptions(), lambda: 0.0).build(Operation("GET", "/models"), {}, {})
    assert request.content is None
    assert not {"idempotency-key", "content-type"} & request.headers.keys()


def test_repr_of_a_request_holds_no_secret_and_no_prompt() -> None:
    shown = repr(build({"extra_body": {"prompt": "hush"}}, api_key="hush"))
    assert "hush" not in shown
    assert "POST" in shown


@pytest.mark.parametrize(("name", "segment"), [("m", "m"), ("org/m:1", "org/m:1"), ("a b?", "a%20b%3F")])
def test_model_names_are_fit_for_a_path(name: str, segment: str) -> None:
    assert path_segment(name) == segment


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/a", "a//b", "."])
def test_name_that_would_change_the_route_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a URL"):
        path_segment(name)
