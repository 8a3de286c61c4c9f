from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeAlias, cast

import pytest

from lmaas import Timeout, errors
from lmaas._request import Request
from lmaas._retry import AsyncRetryTransport, RetryPolicy, RetryTransport
from lmaas._timer import Timer
from lmaas._transport import AsyncReply, Reply

REPLY = cast("Any", SimpleNamespace(tries=1))


class Network:
    """A transport that fails as told, time that only sleeping moves, and jitter that is always the most."""

    def __init__(self, *failures: BaseException, jitter: float = 1.0) -> None:
        self.failures = list(failures)
        self.sent: list[Request] = []
        self.slept: list[float] = []
        self.now = 0.0
        self.policy = RetryPolicy(jitter=lambda: jitter)

    def send(self, request: Request) -> Reply:
        self.sent.append(request)
        if self.failures:
            raise self.failures.pop(0)
        return cast("Reply", REPLY)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def request(self, *, max_retries: int = 2, total: float | None = 600.0) -> Request:
        timer = Timer(Timeout(total=total), lambda: self.now, is_stream=False)
        return Request("POST", "http://h/v1/x", timer, {"idempotency-key": "i"}, b"{}", max_retries)


class AsyncNetwork:
    def __init__(self, network: Network) -> None:
        self._network = network

    async def send(self, request: Request) -> AsyncReply:
        return cast("AsyncReply", self._network.send(request))

    async def sleep(self, seconds: float) -> None:
        self._network.sleep(seconds)


Send: TypeAlias = Callable[[Network, Request], object]


def send_sync(network: Network, request: Request) -> object:
    return RetryTransport(network, network.policy, sleep=network.sleep).send(request)


def send_async(network: Network, request: Request) -> object:
    twin = AsyncNetwork(network)
    return asyncio.run(AsyncRetryTransport(twin, network.policy, sleep=twin.sleep).send(request))


@pytest.fixture(params=[send_sync, send_async])
def send(request: pytest.FixtureRequest) -> Send:
    return cast("Send", request.param)


RETRIED = [
    errors.RequestTimeoutError("x"),
    errors.ConflictError("x"),
    errors.RateLimitError("x"),
    errors.InternalServerError("x"),
    errors.ServiceUnavailableError("x"),
    errors.APIConnectionError("x"),
    errors.APITimeoutError("x"),
    errors.BadRequestError("x", should_retry=True),
]

RAISED = [
    errors.BadRequestError("x"),
    errors.AuthenticationError("x"),
    errors.NotFoundError("x"),
    errors.APIConnectionError("x", should_retry=False),
    errors.ServiceUnavailableError("x", should_retry=False),
    errors.RateLimitError("x", retry_after_s=60.5),
    RuntimeError("x"),
]


@pytest.mark.parametrize("failure", RETRIED, ids=repr)
def test_failure_that_may_pass_is_tried_again(send: Send, failure: Exception) -> None:
    network = Network(failure)
    assert send(network, network.request()) is REPLY
    assert len(network.sent) == 2


@pytest.mark.parametrize("failure", RAISED, ids=repr)
def test_failure_that_will_not_pass_is_raised_at_once(send: Send, failure: Exception) -> None:
    network = Network(failure)
    with pytest.raises(type(failure)) as caught:
        send(network, network.request())
    assert caught.value is failure
    assert (len(network.sent), network.slept) == (1, [])


def test_last_error_is_raised_when_tries_are_used_up(send: Send) -> None:
    failures = [errors.InternalServerError(str(n)) for n in range(4)]
    network = Network(*failures)
    with pytest.raises(errors.InternalServerError, match="2"):
        send(network, network.request(max_retries=2))
    assert len(network.sent) == 3


def test_zero_retries_is_one_try(send: Send) -> None:
    network = Network(errors.InternalServerError("x"))
    with pytest.raises(errors.InternalServerError):
        send(network, network.request(max_retries=0))
    assert network.slept == []


def test_wait_doubles_up_to_its_cap_with_full_jitter(send: Send) -> None:
    for jitter in (1.0, 0.5, 0.0):
        network = Network(*[errors.InternalServerError("x")] * 6, jitter=jitter)
        send(network, network.request(max_retries=6))
        assert network.slept == [jitter * wait for wait in (0.5, 1.0, 2.0, 4.0, 8.0, 8.0)]


def test_server_says_how_long_to_wait(send: Send) -> None:
    network = Network(
        errors.RateLimitError("x", retry_after_s=60.0), errors.RateLimitError("x", retry_after_s=0.0)
    )
    send(network, network.request())
    assert network.slept == [60.0, 0.0]


def test_wait_that_would_pass_the_deadline_is_not_begun(send: Send) -> None:
    network = Network(
        errors.RateLimitError("x", retry_after_s=5.0), errors.RateLimitError("y", retry_after_s=5.0)
    )
    with pytest.raises(errors.RateLimitError, match="y"):
        send(network, network.request(total=9.0))
    assert network.slept == [5.0]


def test_each_try_has_the_same_idempotency_key_and_its_number(send: Send) -> None:
    network = Network(errors.InternalServerError("x"), errors.InternalServerError("x"))
    send(network, network.request())
    assert [request.headers["idempotency-key"] for request in network.sent] == ["i"] * 3
    assert [request.headers.get("x-retry-count") for request in network.sent] == [None, "1", "2"]


def test_interrupt_of_the_user_is_not_retried(send: Send) -> None:
    network = Network(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        send(network, network.request())
    assert len(network.sent) == 1


async def test_asynchronous_wait_lets_other_tasks_run() -> None:
    network = Network(errors.InternalServerError("x"), jitter=0.0)
    transport = AsyncRetryTransport(AsyncNetwork(network), network.policy)
    assert await transport.send(network.request()) is REPLY
