from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lmaas import AsyncLMaaS, LMaaS, errors
from lmaas.middleware import AsyncNext, AsyncReply, Next, Reply, Request
from sdk.hostile import DONE, answering, chat_event, reply, serving, streaming

OK = reply(b'{"data": []}')
BUSY = reply(b"{}", 503, "retry-after-ms: 0")


class Tape:
    """Writes down what passes, as both kinds of middleware."""

    def __init__(self, name: str, tape: list[str]) -> None:
        self.name = name
        self.tape = tape

    def around(self, request: Request, call_next: Next) -> Reply:
        self.tape.append(f"{self.name} sends")
        try:
            answer = call_next(request.with_header(f"X-{self.name}", "1"))
        except errors.APIError as error:
            self.tape.append(f"{self.name} failed {error.status_code}")
            raise
        self.tape.append(f"{self.name} has {answer.status_code}")
        return answer

    async def async_around(self, request: Request, call_next: AsyncNext) -> AsyncReply:
        self.tape.append(f"{self.name} sends")
        try:
            answer = await call_next(request.with_header(f"X-{self.name}", "1"))
        except errors.APIError as error:
            self.tape.append(f"{self.name} failed {error.status_code}")
            raise
        self.tape.append(f"{self.name} has {answer.status_code}")
        return answer


def list_sync(url: str, outer: list[Tape], inner: list[Tape]) -> None:
    options: Any = {
        "middleware": [tape.around for tape in outer],
        "attempt_middleware": [tape.around for tape in inner],
    }
    with LMaaS(base_url=url, **options) as client:
        client.models.list()


def list_async(url: str, outer: list[Tape], inner: list[Tape]) -> None:
    async def list_models() -> None:
        options: Any = {
            "middleware": [tape.async_around for tape in outer],
            "attempt_middleware": [tape.async_around for tape in inner],
        }
        async with AsyncLMaaS(base_url=url, **options) as client:
            await client.models.list()

    asyncio.run(list_models())


@pytest.mark.parametrize("list_models", [list_sync, list_async])
def test_middleware_goes_around_calls_and_around_tries_in_the_order_given(list_models: Any) -> None:
    tape: list[str] = []
    with serving(answering(BUSY, OK)) as server:
        list_models(server.url, [Tape("a", tape), Tape("b", tape)], [Tape("c", tape), Tape("d", tape)])
    tries = [
        ["c sends", "d sends", "d failed 503", "c failed 503"],
        ["c sends", "d sends", "d has 200", "c has 200"],
    ]
    assert tape == ["a sends", "b sends", *tries[0], *tries[1], "b has 200", "a has 200"]
    assert {f"x-{name}" for name in "abcd"} <= server.requests[1].headers.keys()


def test_middleware_may_ask_for_another_try() -> None:
    tries = 0

    def demanding(request: Request, call_next: Next) -> Reply:
        nonlocal tries
        tries += 1
        answer = call_next(request)
        if tries == 1:
            answer.close()
            raise errors.APIError("not good enough", should_retry=True, retry_after_s=0.0)
        return answer

    with serving(answering(OK)) as server, LMaaS(base_url=server.url) as client:
        client.with_options(attempt_middleware=[demanding]).models.list()
    assert tries == 2


def test_middleware_hears_when_a_reply_is_closed_whole_or_not() -> None:
    closed: list[str] = []

    def listening(request: Request, call_next: Next) -> Reply:
        answer = call_next(request)
        answer.when_closed(lambda: closed.append(request.label))
        return answer

    with (
        serving(streaming([chat_event("x"), chat_event(finish="stop"), DONE])) as server,
        LMaaS(base_url=server.url, middleware=[listening]) as client,
    ):
        for must_read in (True, False):
            with client.chat.completions.create(model="m", messages=[], stream=True) as stream:
                assert closed == ([] if must_read else ["POST /v1/chat/completions"])
                if must_read:
                    assert len(list(stream)) == 2
    assert closed == ["POST /v1/chat/completions"] * 2


def test_error_of_a_middleware_reaches_the_caller() -> None:
    def broken(request: Request, call_next: Next) -> Reply:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        LMaaS(middleware=[broken]).models.list()
