from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from dataclasses import FrozenInstanceError, dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

import lmaas.tasks
from lmaas import AsyncLMaaS, LMaaS, errors
from lmaas.tasks import AsyncTasks, Result, Tasks
from lmaas.tasks._plan import Call, Plan, chats, completions, tokenized
from lmaas.tasks._runner import AsyncRunner, Runner
from lmaas.types import ChatCompletion, TokenizeResponse
from sdk.fake_vllm import BASE, FakeEngine
from sdk.task_fixtures import async_tasks, client, engine, tasks

if TYPE_CHECKING:
    import respx

__all__ = ["async_tasks", "client", "engine", "tasks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Result):
    """What a plan of these tests was told."""

    texts: tuple[str, ...]


def call(text: str, *, is_constant: bool = False) -> Call:
    messages = [{"role": "user", "content": text}]
    return Call("chat", {"model": "m", "messages": messages}, is_constant=is_constant)


def asking(*calls: Call) -> Plan[Said]:
    replies = yield from chats(calls)
    return Said(texts=tuple(reply.choices[0].message.content or "" for reply in replies))


def names(cls: type) -> dict[str, list[inspect.Parameter]]:
    return {
        name: list(inspect.signature(member).parameters.values())
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_")
    }


def test_twins_have_equal_signatures() -> None:
    mine, others = names(Tasks), names(AsyncTasks)
    for parameters in (mine, others):
        parameters["map"] = [parameter.replace(annotation=None) for parameter in parameters["map"]]
    assert mine == others
    assert len(mine) == 12
    options = [inspect.signature(cls).parameters.values() for cls in (Tasks, AsyncTasks)]
    assert [p.name for p in options[0]] == [p.name for p in options[1]]


def test_public_names_are_sorted_complete_and_documented() -> None:
    assert lmaas.tasks.__all__ == sorted(lmaas.tasks.__all__)
    public = {name: getattr(lmaas.tasks, name) for name in lmaas.tasks.__all__}
    assert all((value.__doc__ or "").strip() for value in public.values())
    for cls in (Tasks, AsyncTasks):
        assert all(getattr(cls, name).__doc__ for name in names(cls))


def test_results_are_frozen() -> None:
    results = Result.__subclasses__()
    assert len(results) > 10
    for cls in results:
        with pytest.raises(FrozenInstanceError):
            cls.__setattr__(object.__new__(cls), "latency_s", 1.0)


def test_importing_lmaas_brings_no_tasks() -> None:
    program = "import lmaas, sys; lmaas.LMaaS(); print('lmaas.tasks' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_replies_come_in_the_order_of_the_calls(engine: FakeEngine, client: LMaaS) -> None:
    first_may_go = threading.Event()

    def answer(body: dict[str, list[dict[str, str]]]) -> str:
        text = body["messages"][0]["content"]
        if text == "0":
            first_may_go.wait(5)
        elif text == "3":
            first_may_go.set()
        return text

    engine.answer = answer
    said = Runner(client).run(asking(*map(call, "0123")))
    assert said.texts == ("0", "1", "2", "3")
    assert [reply.choices[0].index for reply in said.completions] == [0] * 4


def test_result_tells_what_it_took(engine: FakeEngine, client: LMaaS) -> None:
    clock = iter([10.0, 12.5])
    said = Runner(client, concurrency=1, clock=lambda: next(clock)).run(asking(call("a"), call("b")))
    assert (said.usage.prompt_tokens, said.usage.completion_tokens, said.usage.calls) == (20, 4, 2)
    assert said.latency_s == 2.5
    assert len(said.completions) == 2


def test_plan_without_calls_costs_nothing(engine: FakeEngine, client: LMaaS) -> None:
    said = Runner(client).run(asking())
    assert (said.texts, said.usage.calls) == ((), 0)


def test_constant_calls_are_made_once_and_the_oldest_forgotten(engine: FakeEngine, client: LMaaS) -> None:
    runner = Runner(client, concurrency=1)
    for _ in range(2):
        runner.run(asking(call("a", is_constant=True), call("b")))
    assert engine.prompts() == ["a", "b", "b"]
    for number in range(600):
        runner._memory.keep(call(str(number), is_constant=True), ChatCompletion.model_construct())
    runner.run(asking(call("a", is_constant=True)))
    assert engine.prompts()[-1] == "a"


def test_error_of_a_call_is_the_error_of_the_task(engine: FakeEngine, client: LMaaS) -> None:
    engine.answer = lambda _: ValueError("too long")
    closed: list[bool] = []

    def plan() -> Plan[Said]:
        try:
            return (yield from asking(call("a"), call("b"), call("c")))
        finally:
            closed.append(True)

    with pytest.raises(errors.BadRequestError, match="too long"):
        Runner(client).run(plan())
    assert closed == [True]


async def test_failure_ends_the_other_calls_before_it_is_told(respx_mock: respx.MockRouter) -> None:
    ended: list[str] = []
    waiting = asyncio.Event()

    async def respond(request: httpx.Request) -> httpx.Response:
        if b"bad" in request.content:
            await waiting.wait()
            return httpx.Response(400, json={"error": {"message": "no"}})
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("other")
        raise AssertionError

    respx_mock.post(f"{BASE}/chat/completions").mock(side_effect=respond)
    async with AsyncLMaaS(base_url=BASE, api_key=None, max_retries=0) as client:
        with pytest.raises(errors.BadRequestError):
            await AsyncRunner(client).run(asking(call("other"), call("bad")))
    assert ended == ["other"]


async def test_asynchronous_calls_are_bounded(respx_mock: respx.MockRouter, engine: FakeEngine) -> None:
    async with AsyncLMaaS(base_url=BASE, api_key=None, max_retries=0) as client:
        said = await AsyncRunner(client, concurrency=2).run(asking(*map(call, "abcde")))
    assert len(said.texts) == 5


def test_plan_that_is_sent_something_else_says_so() -> None:
    for ask, sent in (
        (completions, TokenizeResponse(count=1, max_model_len=1, tokens=[])),
        (tokenized, None),
    ):
        plan = ask([call("a")])
        next(plan)
        with pytest.raises(TypeError, match="was sent"):
            plan.send([sent])  # type: ignore[list-item]  # the mistake that is meant


def test_call_keeps_the_text_out_of_its_repr() -> None:
    assert "secret" not in repr(call("secret"))


def test_answers_do_not_fill_the_repr_of_a_result(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda _: "long answer"
    assert "ChatCompletion" not in repr(tasks.summarize("x"))
