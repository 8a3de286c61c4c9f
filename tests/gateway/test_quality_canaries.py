"""Canary prompts: sent through queue and router, billed to nobody, and judged without a word of the reply."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from lmaas_gateway.board import Seat
from lmaas_gateway.errors import ModelNotReadyError, QueueFullError
from lmaas_gateway.limits.build import prepare_shared
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.metrics.exposition import render
from lmaas_gateway.quality.canaries import Canaries
from lmaas_gateway.quality.expecting import problem_of
from lmaas_gateway.quality.reading import Answer
from lmaas_gateway.replay.build import drop_shared
from lmaas_gateway.settings import CanaryPrompt, Expectation, Settings
from lmaas_gateway.testing import FakeReplica, Script
from security.worlds import world_at
from support.serving import run_gateway, settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.quality.canaries import CanaryState
    from support.serving import Running

PARIS: dict[str, Any] = {
    "name": "paris",
    "model": "mock",
    "messages": [{"role": "user", "content": "the capital of France is Paris"}],
    "params": {"max_tokens": 6},
    "expect": {"contains": "paris", "regex": r"\bFrance\b", "max_first_token_s": 60},
}


def _state(running: Running) -> CanaryState:
    (state,) = running.gateway.canaries.state()
    return state


async def _send(running: Running, number: int = 0) -> CanaryState:
    await running.gateway.canaries.send(running.gateway.settings.canary_prompts[number])
    return running.gateway.canaries.state()[number]


async def test_canary_is_answered_and_costs_nobody_anything(tmp_path: Path) -> None:
    async with world_at(tmp_path, canary_prompts=[PARIS]) as world:
        running = world.running
        assert running.gateway.canaries.state() == ()
        state = await _send(running)
        assert (state.outcome, state.problem, state.is_ok) == ("ok", "", True)
        assert state.first_token_s > 0
        assert world.replica.requests == 1
        text = render(running.gateway.metrics).decode()
        assert 'lmaas_canary_ok{canary="paris",model="mock"} 1.0' in text
        assert 'lmaas_canary_runs_total{canary="paris",outcome="ok"} 1.0' in text
        assert "lmaas_requests_total{" not in text
        assert running.lines == []
        assert running.in_flight == 0
        usage = await world.ask("GET", "/usage?start=1700000000")
        assert usage.json["data"] == []


async def test_reply_that_is_not_as_expected_is_told_without_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeReplica() as replica:
        replica.script = Script(text="a secret word")
        settings = settings_for(replica, canary_prompts=[PARIS])
        async with run_gateway(settings) as running:
            state = await _send(running)
            assert (state.outcome, state.problem) == ("unexpected", "the reply does not contain `contains`")
            since_s = state.since_s
            assert (await _send(running)).since_s == since_s
            (record, _) = caplog.records
            assert (record.canary, record.problem) == ("paris", state.problem)  # type: ignore[attr-defined]  # fields of the log
            assert "secret" not in caplog.text
            assert (
                'lmaas_canary_ok{canary="paris",model="mock"} 0.0' in render(running.gateway.metrics).decode()
            )
            replica.script = Script()
            assert (await _send(running)).is_ok
            assert _state(running).since_s > since_s
            assert "as expected again" in caplog.text


async def test_canary_that_fails_is_an_alert_until_it_is_answered_again() -> None:
    async with FakeReplica() as replica:
        replica.script = Script(text="a secret word")
        prompts = [PARIS, {**PARIS, "name": "fine", "expect": {}}]
        async with run_gateway(settings_for(replica, canary_prompts=prompts)) as running:
            for prompt in running.gateway.settings.canary_prompts:
                await running.gateway.canaries.send(prompt)
            watch = running.gateway._watching.desk._watch
            assert watch is not None
            await watch.look()
            (alert,) = watch._book.alerts()
            assert (alert.name, alert.model, alert.state) == ("CanaryFailing", "mock", "firing")
            assert alert.summary == "mock: canary prompt paris: the reply does not contain `contains`"
            replica.script = Script()
            assert (await _send(running)).is_ok
            await watch.look()
            assert [one.state for one in watch._book.alerts()] == ["resolved"]


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (Script(status=500), "502 replica_error"),
        (Script(headers_delay_s=30), "no whole reply within 0.2 s"),
        (Script(events=("data: [DONE]\n\n",)), ""),
    ],
)
async def test_model_that_does_not_answer_is_a_failure(script: Script, problem: str) -> None:
    async with FakeReplica() as replica:
        settings = settings_for(replica, canary_prompts=[{**PARIS, "timeout_s": 0.2}])
        async with run_gateway(settings) as running:
            replica.script = script
            state = await _send(running)
            assert state.outcome in {"failed", "unexpected"}
            assert state.problem.startswith(problem[:4])
            await running.until(lambda: running.in_flight == 0)


def _canaries(ask: Any, *prompts: CanaryPrompt, now: list[float] | None = None) -> Canaries:
    ticks = now or [0.0]
    return Canaries(lambda: prompts, ask, Metrics(), clock=lambda: 7.0, ticks=lambda: ticks[0])


async def test_model_that_is_starting_says_nothing_of_itself_and_a_full_queue_does() -> None:
    prompt = CanaryPrompt.model_validate(PARIS)

    async def starting(*_: object) -> None:
        raise ModelNotReadyError("Not yet.")

    async def full(*_: object) -> None:
        raise QueueFullError("Full.")

    async def broken(*_: object) -> None:
        raise RuntimeError("prompt text")

    canaries = _canaries(starting, prompt)
    await canaries.send(prompt)
    assert canaries.state() == ()
    for ask, problem in ((full, "503 queue_full"), (broken, "RuntimeError")):
        canaries = _canaries(ask, prompt)
        await canaries.send(prompt)
        assert [state.problem for state in canaries.state()] == [problem]


async def test_prompts_are_sent_when_they_are_due_and_never_twice_at_once() -> None:
    asked: list[str] = []
    hold = asyncio.Event()

    async def ask(call: Any, *_: object) -> None:
        asked.append(call.id)
        await hold.wait()
        raise QueueFullError("Full.")

    now = [0.0]
    prompts = [
        CanaryPrompt.model_validate({**PARIS, "name": name, "every_s": every_s})
        for name, every_s in (("often", 10), ("seldom", 100))
    ]
    canaries = _canaries(ask, *prompts, now=now)
    rounds = iter(range(300))

    async def sleep(seconds: float) -> None:
        now[0] += seconds
        await asyncio.sleep(0)
        if next(rounds) == 50:
            hold.set()

    running = asyncio.create_task(canaries.run(sleep))
    with pytest.raises(RuntimeError):
        await running
    assert asked.count("canary_seldom") == 3
    # Its first one took fifty seconds.
    assert 24 <= asked.count("canary_often") <= 27


async def test_of_several_workers_one_sends(tmp_path: Path) -> None:
    async with FakeReplica() as replica:
        settings = settings_for(replica, canary_prompts=[PARIS])
        prepare_shared(settings, tmp_path)
        try:
            async with run_gateway(settings, seat=Seat(tmp_path, 1, 2)) as running:
                assert running.gateway.canaries._prompts() == ()
            async with run_gateway(settings, seat=Seat(tmp_path, 0, 2)) as running:
                assert len(running.gateway.canaries._prompts()) == 1
        finally:
            drop_shared(tmp_path)


@pytest.mark.parametrize(
    ("expected", "answer", "problem"),
    [
        ({}, Answer("x", end="stop"), ""),
        ({}, Answer("x"), "the reply did not come to its end"),
        ({"contains": "PARIS"}, Answer("in Paris.", end="stop"), ""),
        ({"regex": "^[0-9]+$"}, Answer("4 2", end="stop"), "the reply does not match `regex`"),
        ({"json_schema": {"type": "array"}}, Answer("[1]", end="stop"), ""),
        ({"json_schema": {"type": "array"}}, Answer("{}", end="stop"), "not what `json_schema` asks for"),
        ({"json_schema": {"$ref": "#"}}, Answer("{}", end="stop"), "not what `json_schema` asks for"),
        ({"language": "zh"}, Answer("这是一个很长的中文句子。", end="stop"), ""),
        ({"language": "en"}, Answer("这是一个很长的中文句子。", end="stop"), "does not show as en"),
        (
            {"max_first_token_s": 0.5},
            Answer("x", end="stop"),
            "the first token took 1.00 s, not 0.5 s at most",
        ),
    ],
)
def test_expectations(expected: dict[str, Any], answer: Answer, problem: str) -> None:
    found = problem_of(answer, 1.0, Expectation.model_validate(expected))
    assert problem in found
    assert bool(problem) == bool(found)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "none"}, "which is no model here"),
        ({"expect": {"regex": "("}}, "no regular expression"),
        ({"params": {"stream": False}}, "may not hold stream"),
        ({"name": "Two words"}, "pattern"),
        ({"messages": []}, "messages"),
        ({"expect": {"sounds": "nice"}}, "sounds"),
    ],
)
def test_canary_prompt_that_cannot_work_stops_the_start(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        _settings({**PARIS, **fields})
    with pytest.raises(ValidationError, match="the same name"):
        _settings(PARIS, PARIS)


def _settings(*prompts: dict[str, Any]) -> Settings:
    return settings_for("http://127.0.0.1:9", canary_prompts=list(prompts))
