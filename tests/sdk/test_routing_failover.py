"""The failover with a clock and lanes that a test holds: what is asked when, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

import pytest

from lmaas import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ContextLengthExceededError,
    InternalServerError,
    ModelNotFoundError,
    NoPlatformError,
    NotFoundError,
    Price,
    RateLimitError,
    ServiceUnavailableError,
)
from lmaas._budget import RetryBudget
from lmaas._circuit import Circuit, CircuitTransport
from lmaas._options import ClientOptions
from lmaas._reply import Reply
from lmaas._request import Operation, Request, RequestBuilder
from lmaas._retry import RetryPolicy
from lmaas.routing import Endpoint, Route, Strategy
from lmaas.routing._failover import FailoverTransport
from lmaas.routing._reply import BeginningTransport, RoutedReply
from lmaas.routing._router import Member, Router
from lmaas.types import ChatCompletionParams

CHAT = Operation.post("/chat/completions", ChatCompletionParams)
Answer: TypeAlias = "Callable[[Request], object] | Exception | None"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class WholeReply(Reply):
    """A reply with this content."""

    def __init__(self, request: Request, content: bytes, error: APIError | None = None) -> None:
        super().__init__(request, 200, {"content-type": "application/json"})
        self._content: bytes | None = content
        self._error = error

    def _receive(self) -> bytes | None:
        if self._error is not None:
            raise self._error
        content, self._content = self._content, None
        return content

    def _release(self) -> None:
        pass


@dataclass
class Lane:
    """One platform: answers as its test says, after so many seconds."""

    clock: Clock
    answer: Answer = None
    takes_s: float = 0.1
    requests: list[Request] = field(default_factory=list)

    def send(self, request: Request) -> Reply:
        self.requests.append(request)
        self.clock.now += self.takes_s
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            self.answer(request)
        return WholeReply(request, b"{}")


class World:
    """Platforms, and the failover over them."""

    def __init__(
        self, *endpoints: Endpoint, retries: int = 2, budget: RetryBudget | None = None, **strategy: Any
    ) -> None:
        self.clock = Clock()
        self.told: list[Route] = []
        self.strategy = Strategy(**{"explore_every": 0, "on_route": self.told.append, **strategy})
        self.lanes = {one.name: Lane(self.clock) for one in endpoints}
        self.members = members = [
            Member(one, Circuit(one.base_url, self.strategy.circuit_breaker, clock=self.clock), self.clock)
            for one in endpoints
        ]
        self.options = ClientOptions(base_url=endpoints[0].base_url, max_retries=retries)
        self.failover = FailoverTransport(
            self.options.base_url,
            Router(members, self.strategy, self.clock),
            {
                one.endpoint.name: CircuitTransport(
                    BeginningTransport(self.lanes[one.endpoint.name]), one.circuit
                )
                for one in members
            },
            budget or RetryBudget(clock=self.clock),
            policy=RetryPolicy(jitter=lambda: 1.0),
            sleep=self.clock.sleep,
        )

    def call(
        self, operation: Operation = CHAT, params: Mapping[str, Any] | None = None, **body: Any
    ) -> Route:
        builder = RequestBuilder(self.options, self.clock)
        reply = self.failover.send(builder.build(operation, params or {}, {"model": "m", **body}))
        assert isinstance(reply, RoutedReply)
        assert reply.journey.route == self.told[-1]
        return reply.journey.route

    def asked(self, name: str) -> int:
        return len(self.lanes[name].requests)


def endpoint(platform: str, **fields: Any) -> Endpoint:
    known = {"name": platform, "base_url": f"http://{platform}.test", "api_key": f"key-of-{platform}"}
    return Endpoint(**{**known, **fields})


def overload(retry_after_s: float | None = None) -> ServiceUnavailableError:
    return ServiceUnavailableError("busy", status_code=503, retry_after_s=retry_after_s)


def test_each_platform_gets_its_own_address_key_and_model_and_nobody_elses() -> None:
    world = World(endpoint("a", models={"m": "a/m-large"}), endpoint("b", headers={"X-Team": "blue"}))
    world.lanes["a"].answer = overload()
    route = world.call(params={"extra_headers": {"Authorization": "Bearer the-callers"}})
    (first,), (second,) = world.lanes["a"].requests, world.lanes["b"].requests
    assert (first.url, second.url) == (
        "http://a.test/v1/chat/completions",
        "http://b.test/v1/chat/completions",
    )
    assert first.headers["authorization"] == "Bearer key-of-a"
    assert second.headers["authorization"] == "Bearer key-of-b"
    assert second.headers["x-team"] == "blue"
    assert "x-team" not in first.headers
    assert json.loads(first.content or b"")["model"] == "a/m-large"
    assert json.loads(second.content or b"")["model"] == "m"
    assert (route.platform, route.model, route.reason) == ("b", "m", "first in order after a")
    assert [(one.platform, one.error) for one in route.tries] == [
        ("a", "ServiceUnavailableError (503)"),
        ("b", None),
    ]


def test_a_platform_without_a_key_is_sent_none() -> None:
    world = World(endpoint("a", api_key=None))
    world.call(params={"extra_headers": {"Authorization": "Bearer x", "Api-Key": "y"}})
    assert not {"authorization", "api-key"} & world.lanes["a"].requests[0].headers.keys()


@pytest.mark.parametrize(
    "error",
    [
        APIConnectionError("refused"),
        APITimeoutError("no connection"),
        InternalServerError("broken", status_code=500),
        RateLimitError("slow down", status_code=429),
        AuthenticationError("who?", status_code=401),
        ModelNotFoundError("no m", status_code=404, code="model_not_found"),
        ServiceUnavailableError("used my own retries", status_code=503, should_retry=False),
    ],
)
def test_what_another_platform_may_do_better_moves_on_at_once(error: APIError) -> None:
    world = World(endpoint("a"), endpoint("b"))
    world.lanes["a"].answer = error
    began = world.clock.now
    assert world.call().platform == "b"
    assert world.clock.now - began == pytest.approx(0.2)


def test_what_is_wrong_with_the_call_itself_is_told_at_once() -> None:
    world = World(endpoint("a"), endpoint("b"))
    world.lanes["a"].answer = BadRequestError("temperature is -1", status_code=400)
    with pytest.raises(BadRequestError) as raised:
        world.call()
    assert world.asked("b") == 0
    assert raised.value.lmaas_metadata == world.told[-1]
    assert world.told[-1].platform is None


def test_tries_are_bounded_however_many_platforms_there_are() -> None:
    world = World(*(endpoint(name) for name in "abcdef"), retries=2)
    for lane in world.lanes.values():
        lane.answer = overload()
    with pytest.raises(ServiceUnavailableError) as raised:
        world.call()
    assert raised.value.tries == 3
    assert [one.platform for one in world.told[-1].tries] == ["a", "b", "c"]


def test_when_all_have_failed_the_first_is_asked_again_after_a_wait() -> None:
    world = World(endpoint("a"), endpoint("b"), retries=3)
    failures = iter([overload(), None])

    def heals(_: Request) -> None:
        if (error := next(failures)) is not None:
            raise error

    world.lanes["a"].answer = heals
    world.lanes["b"].answer = overload()
    began = world.clock.now
    assert world.call().platform == "a"
    assert world.clock.now - began == pytest.approx(0.3 + 1.0)  # three requests, and one backoff after two


def test_a_refused_key_elsewhere_does_not_end_a_call_that_may_still_be_answered() -> None:
    world = World(endpoint("a"), endpoint("b"))
    failures = iter([overload(), None])

    def heals(_: Request) -> None:
        if (error := next(failures)) is not None:
            raise error

    world.lanes["a"].answer = heals
    world.lanes["b"].answer = AuthenticationError("who?", status_code=401)
    assert [one.platform for one in world.call().tries] == ["a", "b", "a"]


def test_one_budget_bounds_the_retries_of_all_calls() -> None:
    world = World(endpoint("a"), endpoint("b"), budget=RetryBudget(reserve=2, clock=Clock()))
    world.lanes["a"].answer = overload()
    world.lanes["b"].answer = overload()
    for _ in range(20):
        with pytest.raises(APIError):
            world.call()
    assert world.asked("a") + world.asked("b") <= 20 + 2


def test_no_request_begins_after_the_deadline() -> None:
    world = World(endpoint("a"), endpoint("b"))
    world.lanes["a"].answer, world.lanes["a"].takes_s = overload(), 5.0
    with pytest.raises(ServiceUnavailableError):
        world.call(params={"timeout": 4.0})
    assert world.asked("b") == 0


def test_a_wait_that_would_not_end_before_the_deadline_is_not_begun() -> None:
    world = World(endpoint("a"))
    world.lanes["a"].answer = overload(retry_after_s=30)
    began = world.clock.now
    with pytest.raises(ServiceUnavailableError):
        world.call(params={"timeout": 10.0})
    assert world.clock.now - began < 1


def test_retry_after_is_a_rest_that_is_kept_to() -> None:
    world = World(endpoint("a"), endpoint("b"))
    world.lanes["a"].answer = RateLimitError("slow", status_code=429, retry_after_s=20)
    world.call()
    world.lanes["a"].answer = None
    route = world.call()
    assert (route.platform, world.asked("a")) == ("b", 1)
    assert route.skipped["a"].startswith("it asked to wait (429); 19.")
    world.clock.now += 20
    assert world.call().platform == "a"


def test_a_rest_is_not_cut_short_by_who_was_told_to_wait_less() -> None:
    world = World(endpoint("a"), endpoint("b"), retries=0)
    (member, _) = world.members
    for seconds in (20.0, None):  # two calls were under way
        error = RateLimitError("slow", status_code=429, retry_after_s=seconds)
        member.health.failed(error, route="/chat/completions", model="m", is_stream=False)
    world.clock.now += 10
    assert world.call().skipped["a"] == "it asked to wait (429); 10.0 s to go"


def test_a_model_that_is_not_ready_rests_alone() -> None:
    world = World(endpoint("a"), endpoint("b"))

    def without_m(request: Request) -> None:
        if b'"model":"m"' in (request.content or b""):
            raise ServiceUnavailableError(
                "loading", status_code=503, code="model_not_ready", retry_after_s=20
            )

    world.lanes["a"].answer = without_m
    world.call()
    assert world.call().skipped["a"].startswith("it asked to wait (503)")
    assert world.call(model="other").platform == "a"


def test_what_is_wrong_with_calls_is_not_held_against_who_says_so() -> None:
    world = World(endpoint("a"), endpoint("b"), by="most_reliable")
    for _ in range(6):
        world.lanes["a"].answer = None
        world.call()
        world.lanes["a"].answer = BadRequestError("temperature is -1", status_code=400)
        with pytest.raises(BadRequestError):
            world.call()
    world.lanes["a"].answer = None
    assert "0 of 6 requests failed" in world.call().reason


def test_a_call_that_finds_all_resting_waits_for_the_first_in_time_or_says_so() -> None:
    world = World(endpoint("a"), endpoint("b"), retries=0)
    for name, seconds in (("a", 25), ("b", 8)):
        world.lanes[name].answer = overload(retry_after_s=seconds)
        with pytest.raises(ServiceUnavailableError):
            world.call()
    world.lanes["b"].answer = None
    with pytest.raises(
        NoPlatformError, match=r"Not sent: no platform may be asked now \(a: it asked"
    ) as raised:
        world.call(params={"timeout": 1.0})
    assert raised.value.retry_after_s == pytest.approx(7.9, abs=0.2)
    assert world.asked("a") + world.asked("b") == 2
    route = world.call()
    assert route.platform == "b"
    assert route.reason == "the first that may be asked again, after 8.0 s"


def test_a_platform_that_keeps_failing_gets_a_rest_and_one_call_to_see() -> None:
    world = World(endpoint("a"), endpoint("b"))
    world.lanes["a"].answer = APIConnectionError("refused")
    for _ in range(10):
        assert world.call().platform == "b"
    assert world.asked("a") == 3
    world.clock.now += 10
    assert [one.platform for one in world.call().tries] == ["a", "b"]
    assert world.call().skipped == {"a": "it failed again and again"}
    world.lanes["a"].answer = None
    world.clock.now += 10
    assert world.call().platform == "a"
    assert world.call().platform == "a"


def test_one_model_that_is_missing_rests_alone() -> None:
    world = World(endpoint("a"), endpoint("b"))

    def without_m(request: Request) -> None:
        if b'"model":"m"' in (request.content or b""):
            raise ModelNotFoundError("no m", status_code=404, code="model_not_found")

    world.lanes["a"].answer = without_m
    world.call()
    assert world.call().skipped["a"].startswith("it said that it has no such model")
    assert world.call(model="other").platform == "a"


def test_a_route_that_is_missing_rests_alone() -> None:
    world = World(endpoint("a"), endpoint("b"))
    world.lanes["a"].answer = NotFoundError("no route", status_code=404)
    world.call()
    assert "no such route" in world.call().skipped["a"]
    assert world.asked("a") == 1


@pytest.mark.parametrize(
    ("fields", "body", "told"),
    [
        ({"lacks": {"tools"}}, {"tools": [{"type": "function"}]}, "has no tools"),
        ({"lacks": {"json_schema"}}, {"response_format": {"type": "json_schema"}}, "has no json_schema"),
        ({"routes": frozenset({"/embeddings"})}, {}, "has no /chat/completions"),
        ({"models": {"other": "x"}}, {}, "does not offer m"),
        (
            {"context_tokens": 100},
            {"messages": [{"role": "user", "content": "x" * 800}]},
            "a context of 100 tokens",
        ),
    ],
)
def test_a_call_goes_only_where_it_can_be_served(
    fields: dict[str, Any], body: dict[str, Any], told: str
) -> None:
    world = World(endpoint("a", **fields), endpoint("b"))
    route = world.call(**body)
    assert route.platform == "b"
    assert told in route.skipped["a"]
    assert world.asked("a") == 0


def test_a_call_that_nobody_can_serve_is_not_sent_and_says_why() -> None:
    world = World(endpoint("a", lacks={"tools"}), endpoint("b", models={"x": "x"}))
    with pytest.raises(NoPlatformError, match=r"\(a: has no tools; b: does not offer m\)"):
        world.call(tools=[{"type": "function"}])
    assert world.asked("a") + world.asked("b") == 0


def test_an_estimate_keeps_a_call_from_no_platform_that_is_the_only_one() -> None:
    world = World(endpoint("a", context_tokens=100), endpoint("b", lacks={"tools"}))
    long = [{"role": "user", "content": "x" * 800}]
    assert world.call(messages=long, tools=[{"type": "function"}]).platform == "a"


def test_a_prompt_that_did_not_fit_goes_where_the_counted_tokens_do() -> None:
    world = World(endpoint("a"), endpoint("b", context_tokens=500), endpoint("c", context_tokens=9000))
    error = ContextLengthExceededError("too long", status_code=400, code="context_length_exceeded")
    error.max_model_len, error.requested_tokens = 400, 700
    world.lanes["a"].answer = error
    assert world.call(messages=[{"role": "user", "content": "short"}]).platform == "c"
    assert world.asked("b") == 0
    # What the platform said of itself is remembered, and nothing is held against its health.
    assert (
        world.call(messages=[{"role": "user", "content": "x" * 2000}])
        .skipped["a"]
        .startswith("a context of 400")
    )


def test_a_prompt_that_fits_nowhere_is_the_callers_error() -> None:
    world = World(endpoint("a"), endpoint("b", context_tokens=500))
    error = ContextLengthExceededError("too long", status_code=400)
    error.max_model_len, error.requested_tokens = 400, 700
    world.lanes["a"].answer = error
    with pytest.raises(ContextLengthExceededError):
        world.call()


def test_cheapest_counts_the_call_at_hand() -> None:
    def price(input_usd: int, output_usd: int) -> Price:
        return Price(Decimal(input_usd), Decimal(output_usd), "list", date(2026, 1, 1))

    world = World(endpoint("reads", price=price(1, 9)), endpoint("writes", price=price(3, 3)), by="cheapest")
    long = [{"role": "user", "content": "x" * 40_000}]
    assert world.call(messages=long, max_tokens=1).platform == "reads"
    assert world.call(messages=[], max_tokens=900).platform == "writes"
    world.lanes["writes"].answer = overload()
    assert world.call(messages=[], max_tokens=900).platform == "reads"


def test_fastest_finds_out_and_then_stays() -> None:
    world = World(endpoint("a"), endpoint("b"), by="fastest", explore_every=10, dwell_s=0)
    world.lanes["a"].takes_s = 0.5
    for _ in range(60):
        world.call()
    late = [world.call().platform for _ in range(20)]
    assert late.count("b") >= 18
    assert world.asked("a") >= 5
    world.lanes["b"].takes_s = 2.0
    for _ in range(30):
        world.call()
    assert world.call().platform == "a"


def test_most_reliable_leaves_one_that_fails_now_and_then() -> None:
    world = World(endpoint("a"), endpoint("b"), by="most_reliable", explore_every=10, dwell_s=0)
    count = iter(range(10_000))

    def fails_a_fifth(_: Request) -> None:
        if next(count) % 5 == 0:
            raise overload()

    world.lanes["a"].answer = fails_a_fifth
    for _ in range(80):
        world.call()
    assert [world.call().platform for _ in range(10)].count("b") >= 9


def test_a_reply_that_breaks_before_anything_is_given_on_is_sent_for_again() -> None:
    world = World(endpoint("a"), endpoint("b"))
    send = world.lanes["a"].send

    def breaks(request: Request) -> Reply:
        send(request)
        return WholeReply(request, b"", APIConnectionError("reset"))

    world.lanes["a"].send = breaks  # type: ignore[method-assign]
    assert [one.error for one in world.call().tries] == ["APIConnectionError", None]


def test_a_platform_that_is_slow_to_begin_is_left_for_the_next() -> None:
    world = World(endpoint("a", first_byte_s=2.0), endpoint("b"))

    def waits(request: Request) -> None:
        assert request.timer.remaining_s() == pytest.approx(2.0 - 0.1)
        world.clock.now += 2.0
        raise request.timer.error()

    world.lanes["a"].answer = waits
    route = world.call(params={"timeout": 60.0})
    assert [one.platform for one in route.tries] == ["a", "b"]
    assert world.lanes["b"].requests[0].timer.remaining_s() == pytest.approx(60 - 2.2)


def test_calls_about_what_one_platform_has_stay_there() -> None:
    world = World(endpoint("a"), endpoint("b"))
    world.lanes["a"].answer = overload()
    with pytest.raises(ServiceUnavailableError):
        world.call(Operation("GET", "/models"))
    assert world.asked("b") == 0
    assert world.asked("a") == 3


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": ""}, "a platform needs a name"),
        ({"lacks": {"taste"}}, "a: unknown feature 'taste'; there are audio, images"),
        ({"context_tokens": 0}, "a: context_tokens is 0"),
        ({"first_byte_s": -1.0}, "a: first_byte_s is -1.0"),
        ({"base_url": "ftp://x"}, "base_url is 'ftp://x'"),
        ({"api_key": "a\nb"}, "a: api_key holds characters"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        endpoint("a", **fields)


def test_a_key_is_not_shown() -> None:
    assert "key-of-a" not in repr(endpoint("a", headers={"x": "key-of-a"}))
