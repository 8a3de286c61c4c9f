from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas import APIError, AsyncLMaaS, LMaaS, StreamTruncatedError, errors
from lmaas.resources._response_reader import ResponseReader
from lmaas.sse import MAX_EVENT_BYTES
from lmaas.types import Response, ResponseDeltaEvent, ResponseStateEvent
from lmaas_gateway.testing import Ending, FakeReplica, Script
from sdk.test_streaming import Head

RESPONSE = {"id": "resp_1", "object": "response", "model": "m", "status": "completed", "output": []}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def delta(text: str) -> bytes:
    return event("response.output_text.delta", item_id="i", output_index=0, content_index=0, delta=text)


CREATED = event("response.created", response={**RESPONSE, "status": "in_progress"})
COMPLETED = event("response.completed", response=RESPONSE)
GOOD = [CREATED, delta("Hel"), delta("lo"), event("response.brand_new", thing=1), COMPLETED]


def read(*parts: bytes) -> tuple[list[str], str]:
    reader = ResponseReader(Head())
    kinds: list[str] = []
    try:
        for part in parts:
            for one in reader.feed(part):
                kinds.append(one.type)  # noqa: PERF401 - what came before an error counts too
        reader.finish()
    except errors.APIError as error:
        return kinds, f"{type(error).__name__} after {reader.partial_text!r}"
    return kinds, "whole"


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        (GOOD, "whole"),
        ([CREATED, event("response.incomplete", response=RESPONSE)], "whole"),
        ([*GOOD, b"data: [DONE]\n\n"], "whole"),
        (GOOD[:-1], "StreamTruncatedError after 'Hello'"),
        ([*GOOD[:2], b"data: [DONE]\n\n"], "StreamTruncatedError after 'Hel'"),
        ([CREATED, delta("a"), event("error", message="m")], "StreamInterruptedError after 'a'"),
        (
            [CREATED, b'data: {"error": {"message": "m", "code": 503}}\n\n'],
            "ServiceUnavailableError after ''",
        ),
        ([CREATED, b"data: not json\n\n"], "APIResponseValidationError after ''"),
        ([event("response.completed")], "APIResponseValidationError after ''"),
        (
            [event("response.failed", response={**RESPONSE, "error": {"code": "x"}})],
            "StreamInterruptedError after ''",
        ),
        ([event("response.failed", response=RESPONSE)], "StreamInterruptedError after ''"),
        ([delta("a"), b"data: " + b"x" * MAX_EVENT_BYTES], "StreamError after 'a'"),
    ],
)
def test_only_a_response_that_says_how_it_ended_ends_well(events: list[bytes], outcome: str) -> None:
    assert read(*events)[1] == outcome


@given(st.lists(st.integers(0, 700), max_size=10))
def test_stream_means_the_same_however_it_is_sliced(cuts: list[int]) -> None:
    data = b"".join(GOOD)
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    assert read(*(data[start:end] for start, end in itertools.pairwise(edges))) == read(data)


def test_reason_of_a_failure_is_told() -> None:
    reader = ResponseReader(Head())
    failed = event("response.failed", response={**RESPONSE, "error": {"code": "c", "message": "why"}})
    with pytest.raises(APIError, match="why") as caught:
        list(reader.feed(failed))
    assert (caught.value.code, caught.value.request_id) == ("c", "r")
    assert list(ResponseReader(Head()).feed(b"")) == []


def test_text_of_a_response_is_that_of_its_messages() -> None:
    output = [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal"}]},
        {"type": "message", "content": None},
    ]
    assert Response.model_validate({**RESPONSE, "output": output}).output_text == "a"


async def test_both_twins_answer_and_stream_against_a_scripted_vllm() -> None:
    async with FakeReplica(script=Script(tokens=2, text="Hello there")) as replica:

        def run() -> tuple[str, list[Any]]:
            with LMaaS(base_url=replica.url) as client:
                whole = client.responses.create(model="mock", input="hi", seed=1)
                with client.responses.create(model="mock", input="hi", stream=True) as stream:
                    return whole.output_text, list(stream)

        text, events = await asyncio.to_thread(run)
        async with AsyncLMaaS(base_url=replica.url) as client:
            whole = await client.responses.create(model="mock", input="hi")
            async with await client.responses.create(model="mock", input="hi", stream=True) as stream:
                kinds = [one.type async for one in stream]
    assert text == whole.output_text == "Hello there"
    assert whole.usage is not None
    assert whole.usage.output_tokens == 2
    assert kinds == [one.type for one in events]
    assert "".join(one.delta for one in events if isinstance(one, ResponseDeltaEvent)) == text
    last = events[-1]
    assert isinstance(last, ResponseStateEvent)
    assert last.response.output_text == text


async def test_stream_of_a_dying_engine_is_truncated() -> None:
    script = Script(tokens=2, text="Hello there", ending=Ending.EOF)
    async with FakeReplica(script=script) as replica, AsyncLMaaS(base_url=replica.url) as client:
        stream = await client.responses.create(model="mock", input="hi", stream=True)
        with pytest.raises(StreamTruncatedError) as caught:
            async for _ in stream:
                pass
    assert caught.value.partial_text == "Hello there"
