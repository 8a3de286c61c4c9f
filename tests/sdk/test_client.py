from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
import respx

from lmaas import AsyncLMaaS, ConfigurationError, LMaaS, Timeout
from sdk.hostile import answering, reply, serving

MODELS = reply(b'{"object": "list", "data": []}')


@pytest.mark.parametrize("kind", [LMaaS, AsyncLMaaS])
def test_environment_says_where_and_as_whom_unless_told(
    kind: type[LMaaS | AsyncLMaaS], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LMAAS_BASE_URL", raising=False)
    assert kind().base_url == "http://127.0.0.1:8000/v1"
    monkeypatch.setenv("LMAAS_BASE_URL", "http://env")
    assert kind().base_url == "http://env/v1"
    assert kind(base_url=None).base_url == "http://env/v1"
    assert kind(base_url="http://arg").base_url == "http://arg/v1"


@pytest.mark.parametrize(
    ("given", "sent"), [({}, "Bearer env"), ({"api_key": "a"}, "Bearer a"), ({"api_key": None}, None)]
)
def test_key_of_the_environment_is_sent_unless_told(
    given: dict[str, Any],
    sent: str | None,
    monkeypatch: pytest.MonkeyPatch,
    respx_mock: respx.MockRouter,
) -> None:
    monkeypatch.setenv("LMAAS_API_KEY", "env")
    route = respx_mock.get("http://h/v1/models").mock(httpx.Response(200, json={"data": []}))
    LMaaS(base_url="http://h", **given).models.list()
    assert route.calls.last.request.headers.get("authorization") == sent


@pytest.mark.parametrize("kind", [LMaaS, AsyncLMaaS])
def test_repr_holds_no_key(kind: type[LMaaS | AsyncLMaaS]) -> None:
    client = kind(base_url="http://h", api_key="hush", default_headers={"x": "hush"})
    assert repr(client) == f"{kind.__name__}(base_url='http://h/v1')"
    assert "hush" not in repr(vars(client))


@pytest.mark.parametrize("kind", [LMaaS, AsyncLMaaS])
def test_option_that_cannot_work_is_refused_at_once(kind: type[LMaaS | AsyncLMaaS]) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        kind(base_url="localhost")
    with pytest.raises(ConfigurationError, match="max_retries"):
        kind(max_retries=-1)
    with pytest.raises(ConfigurationError, match="total"):
        kind(timeout=-1)
    with pytest.raises(ConfigurationError, match="max_retries"):
        kind().with_options(max_retries=-1)


def test_client_of_other_options_shares_connections_and_leaves_them_open() -> None:
    with serving(answering(MODELS)) as server, LMaaS(base_url=server.url, api_key="a") as client:
        client.models.list()
        with client.with_options(api_key="b", timeout=5, default_headers={"x": "1"}) as other:
            other.models.list()
        client.models.list()
        assert server.connections == 1
    keys = [request.headers["authorization"] for request in server.requests]
    assert keys == ["Bearer a", "Bearer b", "Bearer a"]
    assert "x" not in server.requests[2].headers


async def test_asynchronous_client_of_other_options_shares_connections_too() -> None:
    with serving(answering(MODELS)) as server:
        async with AsyncLMaaS(base_url=server.url) as client:
            async with client.with_options(timeout=Timeout(total=5), max_retries=0) as other:
                await other.models.list()
            await client.models.list()
            assert server.connections == 1


async def test_other_address_with_certificates_gets_connections_of_its_own() -> None:
    client = LMaaS(base_url="http://h")
    assert client.with_options(base_url="https://h").base_url == "https://h/v1"
    async with AsyncLMaaS(base_url="http://h") as plain, plain.with_options(base_url="https://h") as secure:
        assert secure.base_url == "https://h/v1"


def test_closed_client_says_so() -> None:
    client = LMaaS(base_url="http://h")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.models.list()


def test_one_client_serves_many_threads() -> None:
    counts: list[int] = []

    def call() -> None:
        counts.extend(len(client.models.list()) for _ in range(5))

    with serving(answering(MODELS)) as server, LMaaS(base_url=server.url) as client:
        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counts == [0] * 40


@pytest.mark.parametrize("kind", [LMaaS, AsyncLMaaS])
def test_client_tells_its_options(kind: type[LMaaS | AsyncLMaaS]) -> None:
    client = kind(base_url="http://h", timeout=3, max_retries=1)
    assert (client.timeout.total, client.max_retries) == (3, 1)
    assert client.with_options(max_retries=4).max_retries == 4
