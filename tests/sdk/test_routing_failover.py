"""The failover: what moves a call on, to whom, and how often."""

from __future__ import annotations

import json

import pytest

from lmaas import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    ModelNotFoundError,
    RateLimitError,
    ServiceUnavailableError,
)
from lmaas._budget import RetryBudget
from lmaas._reply import Reply
from lmaas._request import Operation, Request
from sdk.failover_world import Clock, WholeReply, World, endpoint, overload


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


def test_a_reply_that_breaks_before_anything_is_given_on_is_sent_for_again() -> None:
    world = World(endpoint("a"), endpoint("b"))
    send = world.lanes["a"].send

    def breaks(request: Request) -> Reply:
        send(request)
        return WholeReply(request, b"", APIConnectionError("reset"))

    world.lanes["a"].send = breaks  # type: ignore[method-assign]  # a fault
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
