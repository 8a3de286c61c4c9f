"""`LMaaS(platforms=[…])` and its twin over real sockets: fake replicas, and servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lmaas import (
    APIConnectionError,
    AsyncLMaaS,
    CircuitBreaker,
    ConfigurationError,
    LMaaS,
    NoPlatformError,
)
from lmaas._request import may_hold_secret
from lmaas.platforms import Catalogue
from lmaas.routing import Endpoint, Route, Strategy
from lmaas_gateway.testing import Outcome, Script
from sdk.hostile import CHAT_BODY, DONE, Connection, chat_event, reply, serving, streaming
from sdk.routing_worlds import ASK, WHOLE, endpoints, replicas, twice

if TYPE_CHECKING:
    import respx


def answer(connection: Connection) -> None:
    while connection.receive() is not None:
        connection.send(reply(CHAT_BODY))


async def test_a_dead_platform_is_passed_by_and_the_reply_says_so() -> None:
    async with replicas(WHOLE) as (alive,):
        urls = ["http://127.0.0.1:1", alive.url]

        def ask(client: LMaaS) -> tuple[str | None, Route]:
            answer = client.chat.completions.create(**ASK)
            return answer.choices[0].message.content, answer.lmaas_metadata

        async def ask_async(client: AsyncLMaaS) -> tuple[str | None, Route]:
            answer = await client.chat.completions.create(**ASK)
            return answer.choices[0].message.content, answer.lmaas_metadata

        for text, route in await twice(urls, ask, ask_async):
            assert text == "Hello there you"
            assert (route.platform, [one.error for one in route.tries]) == ("b", ["APIConnectionError", None])


def test_an_error_in_place_of_the_first_event_moves_on() -> None:
    fault = b'data: {"error": {"message": "engine died", "code": 500}}\n\n'
    good = [chat_event("Hi."), chat_event(finish="stop"), DONE]
    with (
        serving(streaming([b": hold on\n\n", fault, DONE])) as bad,
        serving(streaming(good)) as well,
        LMaaS(platforms=endpoints(bad.url, well.url)) as client,
    ):
        stream = client.chat.completions.create(**ASK, stream=True)
        assert [chunk.choices[0].delta.content for chunk in stream] == ["Hi.", None]
        assert stream.lmaas_metadata.platform == "b"


def test_a_platform_that_hangs_is_left_and_its_connection_closed() -> None:
    left: list[bool] = []

    def hangs(connection: Connection) -> None:
        connection.receive()
        left.append(connection.is_left(10))

    with serving(hangs) as slow, serving(answer) as quick:
        platforms = [
            Endpoint(name="a", base_url=slow.url, first_byte_s=0.2),
            Endpoint(name="b", base_url=quick.url),
        ]
        with LMaaS(platforms=platforms, timeout=30) as client:
            route = client.chat.completions.create(**ASK).lmaas_metadata
            assert [one.platform for one in route.tries] == ["a", "b"]
            assert route.tries[0].error == "APITimeoutError (first_token)"
    assert left == [True]


def test_a_reply_that_is_no_stream_and_one_from_middleware_are_as_with_one_platform() -> None:
    with serving(answer) as one:
        seen: list[str] = []

        def around(request: Any, call_next: Any) -> Any:
            seen.append(request.label)
            return call_next(request)

        with LMaaS(platforms=endpoints(one.url), middleware=[around], attempt_middleware=[around]) as client:
            assert client.chat.completions.create(**ASK).lmaas_metadata.platform == "a"
            with pytest.raises(Exception, match="a stream of events"):
                client.chat.completions.create(**ASK, stream=True)
        assert seen[:2] == ["POST /v1/chat/completions"] * 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"platforms": []}, "give one or more lmaas.routing.Endpoint"),
        ({"platforms": ["http://a"]}, "str is not understood; give lmaas.routing.Endpoint"),
        ({"platforms": endpoints("http://a") * 2}, "two have the same name"),
        (
            {"platforms": endpoints("http://a"), "base_url": "http://b"},
            "each has its own base_url and api_key",
        ),
        ({"platforms": endpoints("http://a"), "api_key": "k"}, "each has its own base_url and api_key"),
        ({"platforms": endpoints("http://a"), "strategy": "best"}, "'best' is none"),
        ({"strategy": "cheapest"}, "there is nothing to choose from"),
        (
            {"platforms": endpoints("http://a"), "circuit_breaker": False},
            r"circuit_breaker: with platforms it is a part of the strategy; .*Strategy\(circuit_breaker",
        ),
        (
            {"platforms": endpoints("http://a"), "default_headers": {"X-Goog-Api-Key": "s3cret"}},
            r"default_headers: 'X-Goog-Api-Key' may hold a key, .*Endpoint\(headers",
        ),
        (
            {"platforms": endpoints("http://a"), "default_headers": {"Authorization": "Bearer s3cret"}},
            "default_headers: 'Authorization' may hold a key",
        ),
        (
            {"platforms": endpoints("http://a"), "default_query": {"access_token": "s3cret"}},
            r"default_query: 'access_token' may hold a key, .*Endpoint\(query",
        ),
    ],
)
async def test_clients_that_cannot_work_are_refused(options: dict[str, Any], told: str) -> None:
    for kind in (LMaaS, AsyncLMaaS):
        with pytest.raises(ConfigurationError, match=told) as refused:
            kind(**options)
        assert "s3cret" not in str(refused.value)


def test_what_is_for_one_platform_goes_to_no_other(respx_mock: respx.MockRouter) -> None:
    first = respx_mock.post("http://a/v1/chat/completions").respond(status_code=503)
    second = respx_mock.post("http://b/v1/chat/completions").respond(content=CHAT_BODY)
    of_a = Endpoint(
        name="a", base_url="http://a", headers={"X-Goog-Api-Key": "of a"}, query={"api-version": "1"}
    )
    shared: dict[str, Any] = {"default_headers": {"X-Team": "blue"}, "default_query": {"trace": "on"}}
    call: dict[str, Any] = {
        "extra_headers": {"Cookie": "mine", "X-Token": "mine", "X-Step": "2"},
        "extra_query": {"key": "mine", "step": "2"},
    }
    with LMaaS(platforms=[of_a, Endpoint(name="b", base_url="http://b")], **shared) as client:
        client.chat.completions.create(**ASK, **call)
    to_a, to_b = (route.calls[0].request for route in (first, second))
    assert to_a.headers["x-goog-api-key"] == "of a"
    assert dict(to_a.url.params) == {"trace": "on", "step": "2", "api-version": "1"}
    assert dict(to_b.url.params) == {"trace": "on", "step": "2"}
    for request in (to_a, to_b):
        assert (request.headers["x-team"], request.headers["x-step"]) == ("blue", "2")
        assert not {"cookie", "x-token", "authorization"} & set(request.headers)
        assert "idempotency-key" in request.headers
    assert "x-goog-api-key" not in to_b.headers


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("Authorization", True),
        ("proxy-authorization", True),
        ("Ocp-Apim-Subscription-Key", True),
        ("X-Amz-Security-Token", True),
        ("api_key", True),
        ("sig", True),
        ("Idempotency-Key", False),
        ("X-Request-Deadline-Ms", False),
        ("max_tokens", False),
        ("x-keyboard", False),
    ],
)
def test_names_that_may_hold_a_secret_are_told_by_their_words(name: str, is_secret: bool) -> None:
    assert may_hold_secret(name) is is_secret


async def test_no_client_of_ones_own_brings_one_key_to_all_platforms() -> None:
    options: list[dict[str, Any]] = [
        {"headers": {"Authorization": "Bearer k"}},
        {"headers": {"X-Api-Key": "k"}},
        {"auth": ("me", "k")},
        {"params": {"api_key": "k"}},
        {"cookies": {"session": "k"}},
    ]
    for option in options:
        with httpx.Client(**option) as own, pytest.raises(ConfigurationError, match="holds a key"):
            LMaaS(platforms=endpoints("http://a"), http_client=own)
        async with httpx.AsyncClient(**option) as twin:
            with pytest.raises(ConfigurationError, match="holds a key"):
                AsyncLMaaS(platforms=endpoints("http://a"), http_client=twin)
    with httpx.Client(headers={"X-Team": "blue"}) as own:
        LMaaS(platforms=endpoints("http://a"), http_client=own).close()


async def test_a_reply_that_nobody_will_read_is_closed() -> None:
    def refuses(_: Route) -> None:
        raise ValueError("no room")

    slow = Script(tokens=500, text="on and on", token_gap_s=0.05)
    async with replicas(slow) as (one,):

        async def ended(count: int) -> list[Outcome]:
            async with asyncio.timeout(10):
                while len(told := [call.outcome for call in one.calls if call.outcome]) < count:
                    await asyncio.sleep(0.01)
            return told

        options: dict[str, Any] = {
            "platforms": endpoints(one.url),
            "strategy": Strategy(on_route=refuses),
        }
        with LMaaS(**options) as client:
            with pytest.raises(ValueError, match="no room"):
                await asyncio.to_thread(lambda: client.chat.completions.create(**ASK, stream=True))
            assert await ended(1) == [Outcome.ABORTED]
        async with AsyncLMaaS(**options) as twin:
            with pytest.raises(ValueError, match="no room"):
                await twin.chat.completions.create(**ASK, stream=True)
            assert await ended(2) == [Outcome.ABORTED] * 2


def test_copies_share_what_was_seen_and_may_choose_otherwise(respx_mock: respx.MockRouter) -> None:
    respx_mock.post("http://a/v1/chat/completions").mock(side_effect=httpx.ConnectError("refused"))
    respx_mock.post("http://b/v1/chat/completions").respond(content=CHAT_BODY)
    told: list[Route] = []
    with LMaaS(
        platforms=endpoints("http://a", "http://b"), strategy=Strategy(on_route=told.append)
    ) as client:
        for _ in range(3):
            client.chat.completions.create(**ASK)
        copy = client.with_options(max_retries=0, strategy="cheapest")
        route = copy.chat.completions.create(**ASK).lmaas_metadata
        assert route.strategy == "cheapest"
        assert route.skipped == {"a": "it failed again and again"}
        assert len(told) == 3
        with pytest.raises(ConfigurationError, match="make another client"):
            client.with_options(base_url="http://c")
        with pytest.raises(ConfigurationError, match="part of the strategy"):
            client.with_options(circuit_breaker=False)
        with pytest.raises(ConfigurationError, match="circuits of the platforms stay"):
            client.with_options(strategy=Strategy(circuit_breaker=CircuitBreaker(open_s=1)))
        with pytest.raises(ConfigurationError, match="may hold a key"):
            client.with_options(default_headers={"X-Api-Key": "k"})
        with pytest.raises(ConfigurationError, match="of one gateway"):
            _ = client.admin


def test_keys_of_the_environment_go_to_no_platform(
    respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMAAS_API_KEY", "secret-of-another-place")
    called = respx_mock.post("http://a/v1/chat/completions").respond(content=CHAT_BODY)
    with LMaaS(platforms=endpoints("http://a")) as client:
        client.chat.completions.create(**ASK)
    assert "authorization" not in called.calls[0].request.headers


def test_a_reply_of_a_client_with_one_platform_has_no_metadata(respx_mock: respx.MockRouter) -> None:
    respx_mock.post("http://a/v1/chat/completions").respond(content=CHAT_BODY)
    with LMaaS(base_url="http://a") as client:
        answer = client.chat.completions.create(**ASK)
    assert answer.lmaas_metadata is None
    assert "route" not in json.loads(answer.to_json())


async def test_no_platform_is_told_by_both_twins() -> None:
    def ask(client: LMaaS) -> str:
        with pytest.raises(NoPlatformError) as raised:
            client.chat.completions.create(**ASK)
        return str(raised.value)

    platforms = [Endpoint(name="a", base_url="http://a", models={})]
    with LMaaS(platforms=platforms) as client:
        assert ask(client) == "Not sent: no platform can serve this call (a: does not offer mock)."
    async with AsyncLMaaS(platforms=platforms) as twin:
        with pytest.raises(NoPlatformError):
            await twin.chat.completions.create(**ASK)


async def test_all_dead_is_the_last_ones_error_after_a_backoff() -> None:
    platforms = endpoints("http://127.0.0.1:1", "http://127.0.0.1:2")
    async with AsyncLMaaS(platforms=platforms, max_retries=1) as client:
        with pytest.raises(APIConnectionError) as raised:
            await client.embeddings.create(model="m", input="x")
    assert raised.value.tries == 2


def test_an_endpoint_is_made_of_what_the_catalogue_says() -> None:
    catalogue = Catalogue.load(
        {
            "platforms": {
                "shop": {
                    "base_url": "https://shop.test/v1",
                    "tools": False,
                    "models": {
                        "big": {
                            "context_tokens": 8192,
                            "price": {"input_per_million": 1, "output_per_million": 2},
                        }
                    },
                }
            }
        },
        list_prices=False,
    )
    one = Endpoint.from_catalogue(catalogue, "shop", "big", called="chat", api_key="k")
    assert (one.base_url, one.models, one.context_tokens) == ("https://shop.test/v1", {"chat": "big"}, 8192)
    assert one.lacks == {"tools"}
    assert one.price is not None
    assert one.price.output_per_million == 2
    with pytest.raises(ConfigurationError, match="does not know the model 'small' of shop"):
        Endpoint.from_catalogue(catalogue, "shop", "small")


def test_clients_of_one_platform_import_nothing_of_this() -> None:
    program = """
import sys
from lmaas import LMaaS
LMaaS(base_url="http://a")
ours = {"lmaas.routing", "lmaas.evaluation", "lmaas.platforms", "numpy"}
assert not ours & set(sys.modules), ours & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
