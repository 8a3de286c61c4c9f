from __future__ import annotations

import base64
import json
from array import array
from typing import Any

import httpx
import pytest
import respx

from lmaas import AsyncLMaaS, LMaaS, errors
from sdk.hostile import CHAT_BODY

BASE = "http://lmaas.test/v1"
MESSAGES = [{"role": "user", "content": "hi"}]
MODEL = {
    "id": "org/m",
    "object": "model",
    "created": 1,
    "owned_by": "lmaas",
    "max_model_len": 2048,
    "kind": "chat",
}
TEXT = {
    "id": "c",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "text": "x", "finish_reason": "stop"}],
}


def vectors(*rows: object) -> httpx.Response:
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    return httpx.Response(200, json={"object": "list", "model": "m", "data": data, "usage": usage})


def encoded(*floats: float) -> str:
    return base64.b64encode(array("f", floats).tobytes()).decode()


def body(route: respx.Route) -> Any:
    return json.loads(route.calls.last.request.content)


@pytest.fixture
def client() -> LMaaS:
    return LMaaS(base_url=BASE, api_key="k", max_retries=0)


@pytest.fixture
def async_client() -> AsyncLMaaS:
    return AsyncLMaaS(base_url=BASE, api_key="k", max_retries=0)


def test_chat_sends_what_was_given_and_returns_typed_answers(
    client: LMaaS, respx_mock: respx.MockRouter
) -> None:
    reply = httpx.Response(200, content=CHAT_BODY, headers={"x-request-id": "r"})
    route = respx_mock.post(f"{BASE}/chat/completions").mock(return_value=reply)
    chat = client.chat.completions.create(messages=MESSAGES, model="m", seed=None, top_k=3, stream=False)
    assert body(route) == {"messages": MESSAGES, "model": "m", "seed": None, "top_k": 3}
    assert route.calls.last.request.headers["authorization"] == "Bearer k"
    assert chat.choices[0].message.content == "Hi."
    assert chat.usage is not None
    assert (chat.usage.total_tokens, chat.request_id) == (5, "r")


def test_message_of_a_reply_can_be_sent_back(client: LMaaS, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(f"{BASE}/chat/completions").mock(httpx.Response(200, content=CHAT_BODY))
    chat = client.chat.completions.create(messages=MESSAGES, model="m")
    client.chat.completions.create(messages=[*MESSAGES, chat.choices[0].message], model="m")
    assert body(route)["messages"] == [*MESSAGES, {"role": "assistant", "content": "Hi."}]


async def test_asynchronous_chat_and_completions_answer_the_same(
    async_client: AsyncLMaaS, respx_mock: respx.MockRouter
) -> None:
    respx_mock.post(f"{BASE}/chat/completions").mock(httpx.Response(200, content=CHAT_BODY))
    respx_mock.post(f"{BASE}/completions").mock(httpx.Response(200, json=TEXT))
    chat = await async_client.chat.completions.create(messages=MESSAGES, model="m")
    text = await async_client.completions.create(model="m", prompt="p")
    assert (chat.choices[0].message.content, text.choices[0].text) == ("Hi.", "x")


def test_completions_take_prompts_of_each_kind(client: LMaaS, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(f"{BASE}/completions").mock(httpx.Response(200, json=TEXT))
    for prompt in ("p", ["p", "q"], [1, 2], [[1], [2]]):
        assert client.completions.create(model="m", prompt=prompt).choices[0].text == "x"
        assert body(route) == {"model": "m", "prompt": prompt}


def test_embeddings_travel_as_base64_and_arrive_as_floats(
    client: LMaaS, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.post(f"{BASE}/embeddings").mock(vectors(encoded(1.0, -0.5), encoded(0.25)))
    reply = client.embeddings.create(input=["a", "b"], model="m")
    assert body(route) == {"input": ["a", "b"], "model": "m", "encoding_format": "base64"}
    assert [item.embedding for item in reply.data] == [[1.0, -0.5], [0.25]]


def test_embeddings_as_floats_where_asked_for(client: LMaaS, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(f"{BASE}/embeddings").mock(vectors([1, 0.5]))
    reply = client.embeddings.create(input="a", model="m", encoding_format="float")
    assert body(route)["encoding_format"] == "float"
    assert reply.data[0].embedding == [1.0, 0.5]


def test_embeddings_stay_base64_where_asked_for(client: LMaaS, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(f"{BASE}/embeddings").mock(vectors(encoded(1.0)))
    reply = client.embeddings.create(input="a", model="m", encoding_format="base64")
    assert reply.data[0].embedding == encoded(1.0)


def test_embeddings_of_another_number_format_are_not_asked_for_as_base64(
    client: LMaaS, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.post(f"{BASE}/embeddings").mock(vectors([1.0]))
    client.embeddings.create(input="a", model="m", extra_body={"embed_dtype": "float16"})
    assert "encoding_format" not in body(route)


@pytest.mark.parametrize("vector", ["!!!!", "AAA=", {"a": 1}, ["x"]])
def test_vector_that_is_none_is_a_typed_error(
    client: LMaaS, respx_mock: respx.MockRouter, vector: object
) -> None:
    respx_mock.post(f"{BASE}/embeddings").mock(vectors(vector))
    with pytest.raises(errors.APIResponseValidationError, match="CreateEmbeddingResponse"):
        client.embeddings.create(input="a", model="m")


async def test_asynchronous_embeddings_answer_the_same(
    async_client: AsyncLMaaS, respx_mock: respx.MockRouter
) -> None:
    respx_mock.post(f"{BASE}/embeddings").mock(vectors(encoded(1.0)))
    floats = await async_client.embeddings.create(input="a", model="m")
    text = await async_client.embeddings.create(input="a", model="m", encoding_format="base64")
    assert (floats.data[0].embedding, text.data[0].embedding) == ([1.0], encoded(1.0))


async def test_models_are_listed_and_retrieved_with_fields_unknown_here(
    client: LMaaS, async_client: AsyncLMaaS, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(f"{BASE}/models").mock(httpx.Response(200, json={"object": "list", "data": [MODEL]}))
    respx_mock.get(f"{BASE}/models/org/m").mock(httpx.Response(200, json=MODEL))
    for models in (client.models.list(), await async_client.models.list()):
        assert len(models) == 1
        assert [model.id for model in models] == ["org/m"]
    for model in (client.models.retrieve("org/m"), await async_client.models.retrieve("org/m")):
        assert (model.max_model_len, model.model_extra) == (2048, {"kind": "chat"})


def test_extras_of_a_call_reach_the_wire(client: LMaaS, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.get(f"{BASE}/models").mock(httpx.Response(200, json={"data": []}))
    client.models.list(extra_headers={"X-A": "1"}, extra_query={"q": "2"}, timeout=3)
    request = route.calls.last.request
    assert (request.headers["x-a"], request.url.params["q"]) == ("1", "2")


def test_retries_send_the_same_idempotency_key(respx_mock: respx.MockRouter) -> None:
    busy = httpx.Response(503, json={}, headers={"retry-after": "0"})
    route = respx_mock.post(f"{BASE}/completions").mock(
        side_effect=[busy, busy, httpx.Response(200, json=TEXT)]
    )
    LMaaS(base_url=BASE).completions.create(model="m", prompt="p")
    keys = {call.request.headers["idempotency-key"] for call in route.calls}
    assert (len(route.calls), len(keys)) == (3, 1)


def test_unknown_parameter_reaches_no_server(client: LMaaS) -> None:
    wrong: Any = {"max_token": 5}
    with pytest.raises(TypeError, match="did you mean 'max_tokens'"):
        client.chat.completions.create(messages=MESSAGES, model="m", **wrong)
