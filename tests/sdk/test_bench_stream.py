from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas import AsyncLMaaS, DefaultAioHttpClient, errors
from lmaas.measuring import FixedLength, LoggedCall, ObservedLengths, Workload
from lmaas.measuring._prompts import Prompt, Prompts, Tokens, made_up_text
from lmaas.measuring._rows import Leg, Row
from lmaas.measuring._sender import Habits, Sender, max_tokens_name
from lmaas.measuring._timing_reader import TimingReader
from sdk.hostile import DONE, Connection, answering, chat_event, chunked, reply, serving, streaming

COUNTED = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
USAGE = b"data: " + json.dumps({"choices": [], "usage": COUNTED}).encode() + b"\n\n"
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
STREAM = ROLE + chat_event("a") + chat_event("b") + chat_event("c") + chat_event(finish="stop") + USAGE + DONE
PROMPT = Prompt({"messages": [{"role": "user", "content": "hi"}]}, 3)


class Head:
    """As much of a reply as errors tell."""

    status_code = 200
    headers: ClassVar[dict[str, str]] = {}
    request_id = None
    label = "POST /chat/completions"
    secret = ""


def read(*chunks: bytes, finish: bool = True) -> TimingReader:
    ticks = itertools.count(1)
    reader = TimingReader(Head(), lambda: float(next(ticks)))
    for chunk in chunks:
        assert list(reader.feed(chunk)) == []
    if finish:
        reader.finish()
    return reader


def test_times_are_of_chunks_that_say_something() -> None:
    parts = [part + b"\n\n" for part in STREAM.split(b"\n\n")[:-1]]
    reader = read(*parts)
    assert reader.times_s == [2, 3, 4]  # the role alone says nothing
    assert reader.done_s == 7
    assert reader.usage["prompt_tokens"] == 7
    assert (reader.events, reader.partial_text, reader.is_done) == (7, "", True)


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_any_slicing_of_the_bytes_tells_the_same(cuts: list[int], newline: str) -> None:
    data = STREAM.replace(b"\n", newline.encode())
    edges = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    reader = read(*(data[start:end] for start, end in itertools.pairwise(edges)))
    assert len(reader.times_s) == 3
    assert (reader.events, reader.usage["completion_tokens"]) == (7, 3)


def test_thoughts_tools_and_plain_completions_say_something_too() -> None:
    def chunk(**choice: Any) -> bytes:
        return (
            b"data: "
            + json.dumps({"choices": [{"index": 0, "finish_reason": None, **choice}]}).encode()
            + b"\n\n"
        )

    thinking = chunk(delta={"reasoning_content": "hm"})
    tool = chunk(delta={"tool_calls": [{"index": 0}]})
    plain = chunk(text="x")
    reader = read(thinking, tool, plain, chat_event(finish="stop"), DONE, b"data: late\n\n")
    assert reader.times_s == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (chat_event("a"), "without [DONE]"),
        (chat_event("a") + DONE, "without a finish reason"),
        (DONE, "without a finish reason"),
        (b'data: {"error":{"message":"boom","type":"server_error","code":500}}\n\n', "boom"),
        (b'event: error\ndata: {"error":{"message":"bang"}}\n\n', "bang"),
        (b"data: <html>\n\n", "no chunk of a completion"),
        (b"data: 5\n\n", "no chunk of a completion"),
    ],
)
def test_stream_that_is_not_whole_is_an_error(data: bytes, told: str) -> None:
    with pytest.raises(errors.APIError) as caught:
        read(data)
    assert told in str(caught.value)


async def send(url: str, prompt: Prompt = PROMPT, **habits: Any) -> Row:
    async with AsyncLMaaS(
        base_url=url, api_key=None, max_retries=0, http_client=DefaultAioHttpClient()
    ) as client:
        loop = asyncio.get_running_loop()
        return await Sender(client, Habits(model="m", **habits), loop.time).send(
            prompt, index=3, due_s=0.5, begun_s=loop.time() - 0.5
        )


@pytest.mark.parametrize(
    "event",
    [
        b'{"choices":null}',
        b'{"choices":[7]}',
        b'{"choices":[{"index":[],"delta":{},"finish_reason":null}]}',
        b'{"choices":[{"delta":{"content":"a"},"finish_reason":null}]}',
        b"[" * 100_000,
    ],
)
def test_an_event_that_is_no_chunk_fails_its_call_and_no_other(event: bytes) -> None:
    with pytest.raises(errors.StreamError):
        read(b"data: " + event + b"\n\n", finish=False)


@pytest.mark.parametrize("told", ["7", [], -1, True, None, {"a": 1}])
async def test_a_usage_that_makes_no_sense_counts_as_none(told: object) -> None:
    usage = {"prompt_tokens": told, "completion_tokens": told, "prompt_tokens_details": told}
    event = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    with serving(streaming([chat_event("a"), chat_event(finish="stop"), event, DONE])) as server:
        row = await send(server.url)
    assert (row.outcome, row.prompt_tokens, row.cached_tokens, row.output_tokens) == ("answered", None, 0, 1)


async def test_call_is_timed_and_counted_over_the_network() -> None:
    parts = [part + b"\n\n" for part in STREAM.split(b"\n\n")[:-1]]
    with serving(streaming(parts)) as server:
        row = await send(server.url)
    assert row.is_answered
    assert (row.index, row.due_s, row.prompt_tokens, row.cached_tokens, row.output_tokens) == (
        3,
        0.5,
        7,
        4,
        3,
    )
    assert row.ttft_s is not None
    assert 0 < row.ttft_s <= row.e2e_s
    assert len(row.gaps_s) == 2
    body = server.requests[0].json
    assert (body["model"], body["stream"], body["max_tokens"]) == ("m", True, 3)
    assert body["stream_options"] == {"include_usage": True}
    assert row.tpot_s == pytest.approx((row.e2e_s - row.ttft_s) / 2)


async def test_answers_without_usage_are_counted_by_chunks() -> None:
    with serving(streaming([chat_event("a"), chat_event("b"), chat_event(finish="stop"), DONE])) as server:
        row = await send(server.url, wants_usage=False)
    assert (row.output_tokens, row.prompt_tokens) == (2, None)
    assert "stream_options" not in server.requests[0].json


async def test_a_call_that_is_sent_a_moment_early_is_not_quicker_for_that() -> None:
    with serving(answering(reply(b"{}", 500))) as server:
        async with AsyncLMaaS(
            base_url=server.url, api_key=None, max_retries=0, http_client=DefaultAioHttpClient()
        ) as client:
            loop = asyncio.get_running_loop()
            sender = Sender(client, Habits(model="m"), loop.time)
            early = await sender.send(PROMPT, index=0, due_s=60.0, begun_s=loop.time())
    assert early.late_s == 0
    assert early.e2e_s > 0  # from when it was sent: it was due in a minute


async def test_refusals_and_failures_are_told_apart_without_what_the_server_said() -> None:
    secret = b'{"error":{"message":"your prompt was: hunter2","type":"t","code":"c"}}'
    with serving(answering(reply(secret, 429))) as server:
        limited = await send(server.url)
    with serving(answering(reply(secret, 500))) as server:
        failed = await send(server.url)
    with serving(streaming([chat_event("a")])) as server:
        broken = await send(server.url)
    nowhere = await send("http://127.0.0.1:9/v1")
    assert (limited.outcome, limited.reason) == ("rate_limited", "RateLimitError 429 c")
    assert (failed.outcome, failed.reason) == ("failed", "InternalServerError 500 c")
    assert (broken.outcome, broken.reason) == ("failed", "StreamTruncatedError")
    assert broken.ttft_s is not None
    assert (nowhere.outcome, nowhere.reason) == ("failed", "APIConnectionError")
    assert "hunter2" not in repr([limited, failed, broken, nowhere])


async def test_call_that_takes_too_long_fails_and_says_so() -> None:
    def script(connection: Connection) -> None:
        connection.receive()
        connection.is_left()

    with serving(script) as server:
        async with AsyncLMaaS(base_url=server.url, api_key=None, timeout=None, max_retries=0) as client:
            sender = Sender(client, Habits(model="m"), timeout_s=0.05)
            row = await sender.send(PROMPT, index=0, due_s=0, begun_s=0)
    assert (row.outcome, row.reason, row.ttft_s) == ("failed", "more than 0.05 s", None)


async def test_plain_completions_go_to_their_route_and_lengths_can_be_exact() -> None:
    event = b'data: {"choices":[{"index":0,"text":"x","finish_reason":"length"}]}\n\n'

    def script(connection: Connection) -> None:
        streaming([event, DONE])(connection)

    with serving(script) as server:
        row = await send(
            server.url, Prompt({"prompt": "go", "max_completion_tokens": 9}, 5), has_exact_lengths=True
        )
    assert row.is_answered
    assert server.requests[0].line.startswith("POST /v1/completions ")
    body = server.requests[0].json
    assert (body["max_tokens"], body["min_tokens"], body["ignore_eos"]) == (5, 5, True)
    assert "max_completion_tokens" not in body


def test_limit_of_an_answer_is_named_as_the_platform_does() -> None:
    assert max_tokens_name("https://api.openai.com/v1") == "max_completion_tokens"
    assert max_tokens_name("http://127.0.0.1:8000/v1") == "max_tokens"
    assert errors.APIConnectionError("x").kind == "APIConnectionError"
    assert chunked(b"x")


def test_same_place_has_the_same_prompt_and_another_seed_another() -> None:
    workload = Workload(name="w", prompt_tokens=FixedLength(100), output_tokens=FixedLength(7))
    tokens = Tokens(overhead=10, a_word=1.5)
    one = Prompts(workload, tokens=tokens)
    assert one.at("1/0", 3) == Prompts(workload, tokens=tokens).at("1/0", 3)
    assert one.at("1/0", 3) != one.at("1/1", 3)
    assert one.at("1/0", 3) != Prompts(workload, seed=1, tokens=tokens).at("1/0", 3)
    text = one.at("1/0", 3).body["messages"][0]["content"]
    assert len(text.split()) == 60
    assert one.at("1/0", 3).output_tokens == 7


def test_shared_beginning_is_shared_and_languages_are_drawn() -> None:
    workload = Workload(
        name="w",
        prompt_tokens=FixedLength(110),
        output_tokens=FixedLength(7),
        shared_prefix_share=0.5,
        languages={"zh": 0.5, "en": 0.5, "fi": 0.0},
    )
    prompts = Prompts(workload, tokens=Tokens(10, 1))
    texts = [prompts.at("1/0", n).body["messages"][0]["content"] for n in range(40)]
    english = [text for text in texts if " " in text]
    chinese = [text for text in texts if " " not in text]
    assert 8 < len(english) < 32
    assert english[0].split()[:50] == english[1].split()[:50]
    assert english[0].split()[50:] != english[1].split()[50:]
    assert chinese[0][:50] == chinese[1][:50]
    assert made_up_text(__import__("random").Random(1), 3, "fi").count(" ") == 3


def test_calls_of_a_log_come_in_their_order() -> None:
    calls = tuple(LoggedCall({"prompt": str(n)}, output_tokens=n or None) for n in range(3))
    workload = Workload(
        name="w", prompt_tokens=ObservedLengths((1,)), output_tokens=FixedLength(9), calls=calls
    )
    told = [Prompts(workload).at("1/0", n) for n in range(4)]
    assert [one.body["prompt"] for one in told] == ["0", "1", "2", "0"]
    assert [one.output_tokens for one in told] == [9, 1, 2, 9]
    assert not told[0].is_chat


def test_rows_and_legs_survive_the_journal_to_the_microsecond() -> None:
    row = Row(1, 0.25, 0.001, "failed", 2.5, None, (0.1, 0.2), None, 0, None, "APITimeoutError")
    whole = Row(2, 0.5, 0.0, "answered", 2.5, 0.125, (0.1,), 9, 3, 2)
    leg = Leg(
        platform="a",
        calls_per_s=2.0,
        block=1,
        warmup_s=0.3,
        duration_s=4.0,
        rows=(row, whole),
        loop_lags_s=(0.002,),
        cpu_share=0.25,
    )
    again = Leg.from_dict(json.loads(json.dumps(leg.to_dict())))
    assert again == leg
    assert again.counted == (whole,)
    assert (again.key, again.measured_s) == (("a", 2.0, 1), 3.7)
    assert row.tpot_s is None
