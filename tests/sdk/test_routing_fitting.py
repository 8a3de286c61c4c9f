"""The failover: a call goes only where it can be served."""

from __future__ import annotations

from typing import Any

import pytest

from lmaas import (
    ContextLengthExceededError,
    NoPlatformError,
)
from sdk.failover_world import World, endpoint


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
