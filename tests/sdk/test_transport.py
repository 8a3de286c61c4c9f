from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import httpx
import pytest

from lmaas import AsyncLMaaS, ConfigurationError, DefaultAioHttpClient, LMaaS, Timeout, errors
from lmaas._transport import AsyncHttpxTransport, HttpxTransport
from sdk.hostile import Connection, answering, head, reply, serving

MODELS = json.dumps({"object": "list", "data": [{"id": "m"}]}).encode()
ListModels: TypeAlias = Callable[..., list[str]]


def list_sync(url: str, **options: Any) -> list[str]:
    with LMaaS(base_url=url, **{"max_retries": 0, **options}) as client:
        return [model.id for model in client.models.list()]


def list_async(url: str, **options: Any) -> list[str]:
    async def list_models() -> list[str]:
        async with AsyncLMaaS(base_url=url, **{"max_retries": 0, **options}) as client:
            return [model.id for model in await client.models.list()]

    return asyncio.run(list_models())


def list_aiohttp(url: str, **options: Any) -> list[str]:
    return list_async(url, http_client=DefaultAioHttpClient(), **options)


@pytest.fixture(params=[list_sync, list_async, list_aiohttp])
def list_models(request: pytest.FixtureRequest) -> ListModels:
    return cast("ListModels", request.param)


def dripping(connection: Connection) -> None:
    connection.receive()
    connection.send(head(200, "content-type: application/json", "content-length: 10000"))
    while not connection.is_left(within_s=0.02):
        connection.send(b" ")


def dripping_headers(connection: Connection) -> None:
    connection.receive()
    connection.send(b"HTTP/1.1 200 OK\r\nx-long: ")
    while not connection.is_left(within_s=0.02):
        connection.send(b"x")


def silent(connection: Connection) -> None:
    connection.receive()
    connection.is_left()


@pytest.mark.parametrize("script", [dripping, dripping_headers, silent])
def test_one_deadline_holds_whatever_the_server_does(
    list_models: ListModels, script: Callable[[Connection], None]
) -> None:
    with serving(script) as server:
        started = time.monotonic()
        with pytest.raises(errors.APITimeoutError) as caught:
            list_models(server.url, timeout=0.25, max_retries=5)
        assert 0.2 < time.monotonic() - started < 5
    assert caught.value.deadline == "total"
    assert len(server.requests) == 1


def test_deadline_holds_while_the_server_does_not_take_the_body() -> None:
    def script(connection: Connection) -> None:
        server.stopping.wait(5)

    with (
        serving(script) as server,
        LMaaS(base_url=server.url, timeout=0.25, max_retries=0) as client,
        pytest.raises(errors.APITimeoutError),
    ):
        client.completions.create(model="m", prompt="x" * 20_000_000)


def test_client_of_the_users_own_is_bounded_between_reads() -> None:
    with (
        serving(dripping) as server,
        httpx.Client() as http_client,
        pytest.raises(errors.APITimeoutError),
    ):
        list_sync(server.url, timeout=0.25, http_client=http_client)


def test_connection_that_is_never_made_passes_the_connect_deadline(list_models: ListModels) -> None:
    # A listener whose queue is full lets further connections hang.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        with pytest.raises(errors.APITimeoutError) as caught:
            list_models(f"http://127.0.0.1:{address[1]}", timeout=Timeout(connect=0.2))
        for filler in fillers:
            filler.close()
    assert caught.value.deadline == "connect"


def test_connect_is_never_allowed_more_than_the_call(list_models: ListModels) -> None:
    with pytest.raises(errors.APIConnectionError) as caught:
        list_models("http://127.0.0.1:1", timeout=Timeout(total=0.5, connect=None))
    assert "http://127.0.0.1:1" in caught.value.message
    assert "Is the server running there?" in caught.value.message


def test_name_that_does_not_resolve_is_a_connection_error(list_models: ListModels) -> None:
    with pytest.raises(errors.APIConnectionError, match=r"http://no-such-host\.invalid"):
        list_models("http://no-such-host.invalid")


def hang_up(connection: Connection) -> None:
    connection.receive()


def half_a_body(connection: Connection) -> None:
    connection.receive()
    connection.send(head(200, "content-length: 100", "x-request-id: req-8") + b"{")


def reset(connection: Connection) -> None:
    connection.receive()
    connection.reset()


def not_http(connection: Connection) -> None:
    connection.receive()
    connection.send(b"SSH-2.0-OpenSSH\r\n")


@pytest.mark.parametrize("script", [hang_up, half_a_body, reset, not_http])
def test_connection_that_breaks_is_a_connection_error(
    list_models: ListModels, script: Callable[[Connection], None]
) -> None:
    with serving(script) as server, pytest.raises(errors.APIConnectionError) as caught:
        list_models(server.url)
    assert type(caught.value) is errors.APIConnectionError
    assert "GET /v1/models" in caught.value.message
    assert caught.value.is_retryable


def test_no_retry_once_a_body_has_begun(list_models: ListModels) -> None:
    with serving(half_a_body) as server, pytest.raises(errors.APIConnectionError) as caught:
        list_models(server.url, max_retries=3)
    assert len(server.requests) == 1
    assert caught.value.request_id == "req-8"


def test_connection_that_broke_before_a_reply_is_made_again(list_models: ListModels) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.reset() if connection.number == 0 else connection.send(reply(MODELS))

    with serving(script) as server:
        assert list_models(server.url, max_retries=1) == ["m"]


@pytest.mark.parametrize("body", [b"<html>sorry</html>", b"{", b"\xff\xfe", b"[]", b'{"data": 3}', b""])
def test_success_that_is_not_the_api_is_a_typed_error(list_models: ListModels, body: bytes) -> None:
    with (
        serving(answering(reply(body))) as server,
        pytest.raises(errors.APIResponseValidationError) as caught,
    ):
        list_models(server.url)
    assert caught.value.status_code == 200
    assert caught.value.body == body.decode("utf-8", "replace")


def test_error_object_with_status_200_is_that_error(list_models: ListModels) -> None:
    with (
        serving(answering(reply(b'{"object": "error", "message": "m", "code": 429}'))) as server,
        pytest.raises(errors.RateLimitError, match="m"),
    ):
        list_models(server.url)


def test_broken_error_body_still_tells_the_status(list_models: ListModels) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(head(400, "content-length: 100") + b"{")

    with serving(script) as server, pytest.raises(errors.BadRequestError, match="400"):
        list_models(server.url)


def test_endless_error_body_is_not_read_to_its_end(list_models: ListModels) -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(head(400))
        for _ in range(100_000):
            connection.send(b"x" * 1000)

    with serving(script) as server, pytest.raises(errors.BadRequestError):
        list_models(server.url, timeout=5)


def test_redirect_is_not_followed_with_the_key(list_models: ListModels) -> None:
    with (
        serving(answering(reply(b"", 307, "location: http://127.0.0.1:1/"))) as server,
        pytest.raises(errors.APIStatusError, match="307") as caught,
    ):
        list_models(server.url, api_key="k")
    assert caught.value.status_code == 307


def test_compressed_reply_is_understood_and_a_broken_one_is_not_retried(list_models: ListModels) -> None:
    with serving(answering(reply(gzip.compress(MODELS), 200, "content-encoding: gzip"))) as server:
        assert list_models(server.url) == ["m"]
    with (
        serving(answering(reply(b"not gzip", 200, "content-encoding: gzip"))) as server,
        pytest.raises(errors.APIConnectionError) as caught,
    ):
        list_models(server.url)
    assert not caught.value.is_retryable


def test_full_pool_is_named() -> None:
    http_client = httpx.Client(limits=httpx.Limits(max_connections=1))
    stream_head = reply(b"", 200, kind="text/event-stream").replace(b"content-length: 0", b"x: y")
    with serving(answering(stream_head)) as server, http_client:
        client = LMaaS(base_url=server.url, http_client=http_client, max_retries=0)
        with (
            client.completions.create(model="m", prompt="p", stream=True),
            pytest.raises(errors.APITimeoutError) as caught,
        ):
            client.models.list(timeout=0.2)
    assert caught.value.deadline == "pool"


def test_client_of_the_users_own_keeps_its_headers_and_stays_open() -> None:
    with serving(answering(reply(MODELS))) as server:
        with httpx.Client(headers={"x-mine": "1"}) as http_client:
            assert list_sync(server.url, http_client=http_client) == ["m"]
            assert list_sync(server.url, http_client=http_client) == ["m"]
        assert [request.headers["x-mine"] for request in server.requests] == ["1", "1"]


async def test_asynchronous_client_of_the_users_own_stays_open() -> None:
    with serving(answering(reply(MODELS))) as server:
        async with httpx.AsyncClient() as http_client:
            for _ in range(2):
                async with AsyncLMaaS(base_url=server.url, http_client=http_client) as client:
                    await client.models.list()
            assert not http_client.is_closed


def test_client_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"httpx\.AsyncClient; this client takes httpx\.Client"):
        LMaaS(http_client=cast("Any", httpx.AsyncClient()))
    with pytest.raises(ConfigurationError, match=r"takes httpx\.AsyncClient"):
        AsyncLMaaS(http_client=cast("Any", httpx.Client()))


@pytest.mark.parametrize("kind", [HttpxTransport, AsyncHttpxTransport])
def test_certificates_are_read_only_where_they_are_needed(kind: type[HttpxTransport]) -> None:
    plain = kind("http://h/v1")
    assert plain.for_base_url("http://other/v1") is plain
    secure = plain.for_base_url("https://h/v1")
    assert secure is not plain
    assert secure.for_base_url("http://h/v1") is secure


def test_proxies_of_the_environment_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(dripping) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        started = time.monotonic()
        with pytest.raises(errors.APITimeoutError):
            list_sync("http://example.invalid", timeout=0.25)
        assert time.monotonic() - started < 5
    assert proxy.requests[0].line.startswith("GET http://example.invalid/v1/models")
