from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import pytest

from lmaas import AsyncLMaaS, CircuitBreaker, CircuitOpenError, ConfigurationError, LMaaS, errors
from lmaas._circuit import AsyncCircuitTransport, Circuit, CircuitTransport, is_failure_of_server
from lmaas._pipeline import Shared
from lmaas._reply import Reply
from sdk.hostile import Connection, reply, serving
from sdk.test_retry import REPLY, AsyncNetwork, Network

LIMITS = CircuitBreaker(consecutive_failures=3, min_failing_s=2.0, open_s=10.0)
DOWN = errors.APIConnectionError("x")


class Server(Network):
    """A server behind a circuit; each failure of it takes a second."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit("http://h/v1", LIMITS, clock=lambda: self.now)
        self.failure: BaseException | None = None

    def send(self, request: Any) -> Reply:
        self.sent.append(request)
        if self.failure is not None:
            self.now += 1
            raise self.failure
        return cast("Reply", REPLY)


Call: TypeAlias = Callable[[Server], object]


def call_sync(server: Server) -> object:
    return CircuitTransport(server, server.circuit).send(server.request())


def call_async(server: Server) -> object:
    transport = AsyncCircuitTransport(AsyncNetwork(server), server.circuit)
    return asyncio.run(cast("Any", transport.send(server.request())))


@pytest.fixture(params=[call_sync, call_async])
def call(request: pytest.FixtureRequest) -> Call:
    return cast("Call", request.param)


def fail(server: Server, call: Call, times: int, failure: errors.APIError = DOWN) -> None:
    server.failure = failure
    for _ in range(times):
        with pytest.raises(type(failure)):
            call(server)
    server.failure = None


def test_circuit_opens_after_failures_in_a_row_and_refuses_at_once(call: Call) -> None:
    server = Server()
    fail(server, call, 3)
    with pytest.raises(CircuitOpenError) as caught:
        call(server)
    assert len(server.sent) == 3
    assert server.circuit.state == "open"
    assert caught.value.retry_after_s == pytest.approx(10.0)
    assert "http://h/v1 failed, the last one with APIConnectionError" in caught.value.message
    assert "Not sent: the last 3 requests" in caught.value.message


def test_an_answer_in_between_begins_the_count_anew(call: Call) -> None:
    server = Server()
    for _ in range(5):
        fail(server, call, 2)
        assert call(server) is REPLY
    assert server.circuit.state == "closed"


def test_many_failures_at_one_moment_are_one_event(call: Call) -> None:
    server = Server()
    server.failure = DOWN
    for _ in range(50):
        with pytest.raises(errors.APIConnectionError):
            call(server)
        server.now -= 1
    assert server.circuit.state == "closed"


def test_after_the_rest_one_answer_closes_the_circuit(call: Call) -> None:
    server = Server()
    fail(server, call, 3)
    server.now += 10
    states = [server.circuit.state]
    assert call(server) is REPLY
    states.append(server.circuit.state)
    assert states == ["half-open", "closed"]
    fail(server, call, 2)
    assert call(server) is REPLY


def test_after_the_rest_one_failure_opens_it_for_as_long_again(call: Call) -> None:
    server = Server()
    fail(server, call, 3)
    server.now += 10
    fail(server, call, 1)
    with pytest.raises(CircuitOpenError) as caught:
        call(server)
    assert caught.value.retry_after_s == pytest.approx(10.0)


def test_only_one_call_passes_to_see() -> None:
    server = Server()
    fail(server, call_sync, 3)
    server.now += 10
    with server.circuit.guard():
        with pytest.raises(CircuitOpenError) as caught:
            call_sync(server)
        assert caught.value.retry_after_s == 1.0
    assert call_sync(server) is REPLY


def test_probe_that_the_program_gives_up_leaves_room_for_another(call: Call) -> None:
    server = Server()
    fail(server, call, 3)
    server.now += 10
    server.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        call(server)
    server.failure = None
    assert call(server) is REPLY


def test_probe_that_finds_the_circuit_closed_meanwhile_is_an_ordinary_call() -> None:
    server = Server()
    fail(server, call_sync, 3)
    server.now += 10
    probe = server.circuit.guard()
    with probe:
        pass
    with server.circuit.guard():
        assert server.circuit.state == "closed"
    server.circuit._begin_probe()
    assert server.circuit.state == "closed"


def timeout(deadline: errors.Deadline) -> errors.APITimeoutError:
    error = errors.APITimeoutError("x")
    error.deadline = deadline
    return error


@pytest.mark.parametrize(
    ("error", "is_failure"),
    [
        (errors.APIConnectionError("x"), True),
        (errors.APIConnectionError("x", should_retry=False), False),
        (timeout("total"), True),
        (timeout("connect"), True),
        (timeout("pool"), False),
        (errors.InternalServerError("x", status_code=500), True),
        (errors.ServiceUnavailableError("x", status_code=503), True),
        (errors.ServiceUnavailableError("x", status_code=503, code="model_not_ready"), False),
        (errors.InternalServerError("x", status_code=501), False),
        (errors.RateLimitError("x", status_code=429), False),
        (errors.BadRequestError("x", status_code=400), False),
        (errors.APIResponseValidationError("x"), False),
    ],
    ids=repr,
)
def test_only_failures_that_speak_of_the_server_count(error: errors.APIError, *, is_failure: bool) -> None:
    assert is_failure_of_server(error) is is_failure
    server = Server()
    fail(server, call_sync, 4 if not is_failure else 3, error)
    assert server.circuit.state == ("open" if is_failure else "closed")


def test_circuit_belongs_to_a_base_url_and_is_shared_by_clients_of_other_options() -> None:
    shared = Shared()
    options = LMaaS(base_url="http://a", circuit_breaker=LIMITS)._options
    same = LMaaS(base_url="http://a", circuit_breaker=LIMITS, timeout=3)._options
    other = LMaaS(base_url="http://b", circuit_breaker=LIMITS)._options
    assert shared.circuit(options) is shared.circuit(same)
    assert shared.circuit(options) is not shared.circuit(other)
    assert shared.circuit(LMaaS(circuit_breaker=False)._options) is None
    assert shared.circuit(LMaaS()._options) is not None


def test_open_circuit_ends_the_retries_of_a_client_and_of_those_made_from_it() -> None:
    def script(connection: Connection) -> None:
        while connection.receive() is not None:
            connection.send(reply(b"{}", 500, "retry-after-ms: 0"))

    limits = CircuitBreaker(consecutive_failures=4, min_failing_s=0, open_s=60)
    with serving(script) as server, LMaaS(base_url=server.url, circuit_breaker=limits) as client:
        with pytest.raises(errors.InternalServerError) as caught:
            client.models.list()
        assert caught.value.tries == 3
        with pytest.raises(CircuitOpenError):
            client.with_options(timeout=5).models.list()
        with pytest.raises(CircuitOpenError):
            client.models.list()
        assert len(server.requests) == 4
        with pytest.raises(errors.InternalServerError):
            client.with_options(circuit_breaker=False, max_retries=0).models.list()


async def test_asynchronous_client_has_a_circuit_too() -> None:
    limits = CircuitBreaker(consecutive_failures=1, min_failing_s=0, open_s=60)
    async with AsyncLMaaS(base_url="http://127.0.0.1:1", circuit_breaker=limits, max_retries=0) as client:
        with pytest.raises(errors.APIConnectionError, match="running there"):
            await client.models.list()
        with pytest.raises(CircuitOpenError):
            await client.models.list()


def test_options_that_cannot_work_are_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="`open_s` is -1"):
        CircuitBreaker(open_s=-1)
    with pytest.raises(ConfigurationError, match="str is not understood"):
        LMaaS(circuit_breaker=cast("Any", "yes"))
    assert CircuitBreaker.of(True) == CircuitBreaker()


def test_circuit_may_be_asked_while_another_thread_closes_it() -> None:
    def closes() -> float:
        circuit._close()
        return 1.0

    circuit = Circuit("http://h/v1", CircuitBreaker(consecutive_failures=1, min_failing_s=0), clock=lambda: 0)
    for ask in (lambda: circuit.state, lambda: circuit.wait_s):
        circuit._clock = lambda: 0
        circuit._learn(DOWN)
        circuit._clock = closes
        assert ask() in {"open", 9.0}
