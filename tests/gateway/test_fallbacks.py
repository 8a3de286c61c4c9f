"""Another model answers where one cannot, and says so."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.testing import FakeModel, FakeReplica, Fault, Point, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.serving import Running


@contextlib.asynccontextmanager
async def big_and_small(
    first_byte_s: float | None = None, **big: Any
) -> AsyncIterator[tuple[FakeReplica, FakeReplica, Running]]:
    """The model `mock` at one replica; `small`, which has another name for it, stands in for it."""
    async with FakeReplica() as first, FakeReplica(FakeModel(name="org/small")) as second:
        fields = {"fallbacks": ["small"], "aliases": ["gpt"], **big}
        settings = settings_of({"mock": [first], "small": [second]}, mock=fields)
        if first_byte_s is not None:
            timeouts = settings.timeouts.model_copy(update={"first_byte_s": first_byte_s})
            settings = settings.model_copy(update={"timeouts": timeouts})
        async with run_gateway(settings) as running:
            yield first, second, running


@pytest.mark.parametrize("fields", [ASK, STREAM])
@pytest.mark.parametrize(
    "script",
    [
        Script(status=500),
        Script(status=503),
        Script(status=429),
        Script(status=401),
        Script(fault=Fault.RESET),
        Script(fault=Fault.HANG),
        Script(raw="not http\r\n\r\n"),
    ],
)
async def test_model_that_fails_before_its_first_byte_is_stood_in_for(
    script: Script, fields: dict[str, Any]
) -> None:
    # The model that stands in has as long: a deadline only where one is waited for.
    async with big_and_small(1.0 if script.fault is Fault.HANG else None) as (first, second, running):
        first.script = script
        reply = await running.post(CHAT, fields)
        line = await running.logged()
        metrics = (await running.get("/metrics")).body.decode()
        assert running.in_flight == 0
        assert reply.status == 200
        assert reply.headers["x-lmaas-model"] == "small"
        assert json.loads(second.calls[0].request.body)["model"] == "org/small"
        assert (line["model"], line["replica"], line["outcome"]) == ("small", "small-0", "ok")
        assert 'lmaas_fallbacks_total{answered_by="small",model="mock"} 1.0' in metrics


async def test_model_without_a_ready_replica_is_stood_in_for() -> None:
    async with big_and_small() as (first, _, running):
        await first.stop()
        await running.until(lambda: running.pool.state == "unavailable")
        assert (await running.post(CHAT, ASK)).headers["x-lmaas-model"] == "small"


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_refusal_of_the_request_is_final(status: int) -> None:
    async with big_and_small() as (first, second, running):
        first.script = Script(status=status)
        reply = await running.post(CHAT, ASK)
        assert reply.status == status
        assert second.requests == 0


async def test_nothing_stands_in_after_the_first_byte() -> None:
    async with big_and_small() as (first, second, running):
        first.script = Script(fault=Fault.RESET, fault_at=Point.AFTER_EVENTS, fault_events=2)
        reply = await running.post(CHAT, STREAM)
        assert b"stream_interrupted" in reply.body
        assert "x-lmaas-model" not in reply.headers
        assert second.requests == 0


async def test_where_all_fail_the_first_models_reason_is_told() -> None:
    async with big_and_small(0.2) as (first, second, running):
        first.script, second.script = Script(fault=Fault.HANG), Script(fault=Fault.RESET)
        reply = await running.post(CHAT, ASK)
        assert (reply.status, reply.error["code"]) == (504, "replica_timeout")
        assert "'mock'" in reply.error["message"]
        assert running.in_flight == 0


async def test_answer_of_the_last_model_is_given_where_the_first_only_answered_with_a_failure() -> None:
    async with big_and_small() as (first, second, running):
        first.script, second.script = Script(status=500), Script(status=422)
        assert (await running.post(CHAT, ASK)).status == 422


async def test_model_that_answers_as_asked_is_not_named_again() -> None:
    async with big_and_small() as (_, second, running):
        assert "x-lmaas-model" not in (await running.post(CHAT, ASK)).headers
        assert second.requests == 0


async def test_alias_is_served_by_its_model_and_listed() -> None:
    async with big_and_small() as (first, _, running):
        reply = await running.post(CHAT, {**ASK, "model": "gpt"})
        assert (reply.status, reply.headers["x-lmaas-model"]) == (200, "mock")
        assert json.loads(first.calls[0].request.body)["model"] == "mock"
        assert (await running.logged())["model"] == "mock"
        listed = (await running.get("/v1/models")).json["data"]
        assert [(model["id"], model["root"]) for model in listed] == [
            ("mock", "mock"),
            ("small", "small"),
            ("gpt", "mock"),
        ]
        found = (await running.get("/v1/models/gpt")).json
        assert (found["id"], found["root"]) == ("gpt", "mock")


async def test_canary_serves_its_sessions_and_the_model_stands_in_for_it() -> None:
    canary = {"model": "small", "percent": 50}
    async with big_and_small(canary=canary, fallbacks=[]) as (_, second, running):
        answered = {}
        for number in range(20):
            session = f"x-session-id: {number}"
            replies = [await running.post(CHAT, ASK, session) for _ in range(2)]
            models = {reply.headers.get("x-lmaas-model", "mock") for reply in replies}
            assert len(models) == 1
            answered[session] = models.pop()
        assert set(answered.values()) == {"mock", "small"}
        await second.stop()
        for session in answered:
            reply = await running.post(CHAT, ASK, session)
            assert (reply.status, reply.headers.get("x-lmaas-model", "mock")) == (200, "mock")
