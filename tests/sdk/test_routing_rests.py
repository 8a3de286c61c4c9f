"""The failover: who is left alone for how long, and what is told of it."""

from __future__ import annotations

import pytest

from lmaas import (
    APIConnectionError,
    BadRequestError,
    ModelNotFoundError,
    NoPlatformError,
    NotFoundError,
    RateLimitError,
    ServiceUnavailableError,
)
from lmaas._request import Request
from sdk.failover_world import World, endpoint, overload


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
