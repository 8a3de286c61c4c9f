"""The event tap: any slicing gives the same bytes and the same verdict, and no text of a model fools it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.call import Usage
from lmaas_gateway.events import EventTap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lmaas_gateway.call import Dialect

DONE = "data: [DONE]\n\n"
COMPACT, SPACED = (",", ":"), (", ", ": ")
FOOLING = (
    'data: {"error": 1}',
    "event: error",
    "\nevent: error\n\n",
    "data: [DONE]",
    "\n\ndata: [DONE]\n\n",
    'data: {"object":"error"}',
    '"finish_reason":"stop"',
    '"usage":{"prompt_tokens":99}',
    '"choices":[]',
    "event: message_stop",
    "event: response.completed",
    '"stop_reason":"end_turn"',
)


@dataclass(frozen=True)
class Verdict:
    forwarded: bytes
    is_complete: bool
    is_broken: bool
    usage: Usage | None


def watch(
    pieces: Sequence[bytes], dialect: Dialect = "chat", *, choices: int = 1, is_usage_hidden: bool = False
) -> Verdict:
    tap = EventTap(dialect, choices=choices, is_usage_hidden=is_usage_hidden)
    forwarded = b""
    for piece in pieces:
        forwarded += tap.feed(piece)
        if tap.is_broken:
            break
    return Verdict(forwarded, tap.is_complete, tap.is_broken, tap.usage())


def watch_chunks(pieces: Sequence[bytes], dialect: Dialect = "chat") -> tuple[Verdict, int]:
    """Let pass as it is what may, as the relay does; give what came of it, and how many pieces passed so."""
    tap = EventTap(dialect, choices=1, is_usage_hidden=True)
    forwarded, passed = b"", 0
    for piece in pieces:
        if pass_on(tap, piece):
            forwarded += piece
            passed += 1
        else:
            forwarded += tap.feed(piece)
        if tap.is_broken:
            break
    return Verdict(forwarded, tap.is_complete, tap.is_broken, tap.usage()), passed


def chunk(separators: tuple[str, str] = COMPACT, **fields: Any) -> str:
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", **fields}
    return f"data: {json.dumps(body, separators=separators)}\n\n"


def token(text: str, *, index: int = 0, end: str | None = None, separators: tuple[str, str] = COMPACT) -> str:
    return chunk(separators, choices=[{"index": index, "delta": {"content": text}, "finish_reason": end}])


def usage_event(separators: tuple[str, str] = COMPACT) -> str:
    details = {"cached_tokens": 2}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": details}
    return chunk(separators, choices=[], usage=usage)


def event(name: str, **fields: Any) -> str:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields}, separators=COMPACT)}\n\n"


def responses_stream(text: str = "hi", terminal: str = "response.completed") -> str:
    usage = {"input_tokens": 5, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}}
    started = {"id": "resp_1", "usage": None, "error": None}
    return (
        event("response.created", response=started)
        + event("response.output_text.delta", delta=text)
        + event(terminal, response={**started, "usage": usage})
    )


def messages_stream(text: str = "hi") -> str:
    start = {"id": "msg_1", "stop_reason": None, "usage": {"input_tokens": 5, "output_tokens": 0}}
    return (
        event("message_start", message=start)
        + event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
        + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 4})
        + event("message_stop")
    )


def chat_stream(text: str = "hi", separators: tuple[str, str] = COMPACT) -> str:
    ending = token("", end="stop", separators=separators) + usage_event(separators) + DONE
    return token(text, separators=separators) + ending


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds) if start < end]


STREAM_OF: Mapping[Dialect, Callable[[str], str]] = {
    "chat": chat_stream,
    "responses": responses_stream,
    "messages": messages_stream,
}
STREAMS: tuple[tuple[Dialect, str], ...] = (
    ("chat", chat_stream()),
    ("chat", chat_stream(separators=SPACED)),
    ("chat", ": ping\n\n" + chat_stream(separators=SPACED)),
    ("chat", chat_stream().replace("\n", "\r\n")),
    ("chat", chat_stream("\n".join(FOOLING))),
    ("responses", responses_stream("\n".join(FOOLING))),
    ("messages", messages_stream("\n".join(FOOLING))),
)
BROKEN: tuple[tuple[Dialect, str], ...] = (
    ("chat", token("hi") + 'data: {"error":{"message":"dead","code":500}}\n\n' + DONE),
    ("chat", token("hi") + 'data: {"error": {"message": "dead"}}\n\n' + DONE),
    ("chat", token("hi") + 'data:{"object":"error","message":"dead"}\n\n' + DONE),
    ("chat", token("hi") + DONE),
    ("responses", responses_stream().partition("event: response.completed")[0] + event("error", message="x")),
    ("messages", messages_stream().partition("event: message_delta")[0] + event("error", error={})),
    ("messages", messages_stream().partition("event: message_delta")[0] + event("message_stop")),
)


class TestAnySlicing:
    @given(
        stream=st.sampled_from(STREAMS),
        places=st.lists(st.integers(0, 5000), max_size=30),
        is_usage_hidden=st.booleans(),
    )
    def test_whole_streams_give_the_same_bytes_and_verdict(
        self, stream: tuple[Dialect, str], places: list[int], is_usage_hidden: bool
    ) -> None:
        dialect, text = stream
        is_hidden = is_usage_hidden and dialect == "chat"
        whole = watch([text.encode()], dialect, is_usage_hidden=is_hidden)
        assert watch(cut(text.encode(), places), dialect, is_usage_hidden=is_hidden) == whole
        assert whole.is_complete
        assert not whole.is_broken
        assert is_hidden or whole.forwarded == text.encode()

    @given(stream=st.sampled_from(BROKEN), places=st.lists(st.integers(0, 5000), max_size=30))
    def test_broken_streams_are_cut_at_the_same_byte(
        self, stream: tuple[Dialect, str], places: list[int]
    ) -> None:
        dialect, text = stream
        verdict = watch(cut(text.encode(), places), dialect)
        assert verdict.is_broken
        assert not verdict.is_complete
        assert text.encode().startswith(verdict.forwarded)
        assert b"dead" not in verdict.forwarded
        assert verdict.forwarded == watch([text.encode()], dialect).forwarded

    @pytest.mark.parametrize("stream", STREAMS)
    def test_one_byte_at_a_time(self, stream: tuple[Dialect, str]) -> None:
        dialect, text = stream
        verdict = watch([bytes([byte]) for byte in text.encode()], dialect)
        assert verdict.forwarded == text.encode()
        assert verdict.is_complete

    @given(stream=st.sampled_from(STREAMS + BROKEN), places=st.lists(st.integers(0, 5000), max_size=30))
    def test_events_that_pass_as_they_came_change_neither(
        self, stream: tuple[Dialect, str], places: list[int]
    ) -> None:
        dialect, text = stream
        ends = [found.end() for found in re.finditer("\n\n", text)]
        for pieces in (cut(text.encode(), places), cut(text.encode(), ends), cut(text.encode(), ends[::2])):
            verdict, _ = watch_chunks(pieces, dialect)
            assert verdict == watch(pieces, dialect, is_usage_hidden=True)

    @given(text=st.text(), places=st.lists(st.integers(0, 5000), max_size=10))
    def test_any_text_passes_untouched(self, text: str, places: list[int]) -> None:
        data = chat_stream(text).encode()
        assert watch(cut(data, places)).forwarded == data


class TestModelText:
    @pytest.mark.parametrize("text", FOOLING)
    @pytest.mark.parametrize("dialect", ["chat", "responses", "messages"])
    def test_text_that_looks_like_an_event_is_not_taken_for_one(self, text: str, dialect: Dialect) -> None:
        stream = STREAM_OF[dialect]
        data = stream(text).encode()
        first_half = data.partition(b"\n\n")
        unfinished = watch([b"".join(first_half[:2])], dialect)
        assert not unfinished.is_broken
        assert not unfinished.is_complete
        whole = watch([data], dialect)
        assert whole.forwarded == data
        assert whole.is_complete
        assert whole.usage == watch([stream("hi").encode()], dialect).usage

    def test_text_with_an_event_in_it_does_not_finish_its_choice(self) -> None:
        data = (token('"finish_reason":"stop"') + DONE).encode()
        assert watch([data]).is_broken


class TestChoices:
    @pytest.mark.parametrize("separators", [COMPACT, SPACED])
    def test_every_choice_must_finish(self, separators: tuple[str, str]) -> None:
        first = token("", index=0, end="stop", separators=separators)
        second = token("", index=1, end="length", separators=separators)
        assert watch([(first + second + DONE).encode()], choices=2).is_complete
        half = watch([(first + DONE).encode()], choices=2)
        assert half.is_broken
        assert half.forwarded == first.encode()

    def test_stream_without_terminal_event_is_neither_complete_nor_broken(self) -> None:
        verdict = watch([token("", end="stop").encode()])
        assert (verdict.is_complete, verdict.is_broken) == (False, False)

    def test_what_follows_the_terminal_event_is_not_an_event_until_it_ends(self) -> None:
        assert watch([chat_stream().encode()[:-1]]).is_complete is False


class TestResponses:
    @pytest.mark.parametrize("terminal", ["response.completed", "response.incomplete", "response.failed"])
    def test_each_terminal_event_completes(self, terminal: str) -> None:
        verdict = watch([responses_stream(terminal=terminal).encode()], "responses")
        assert verdict.is_complete
        assert verdict.usage == Usage(5, 2, 1)

    def test_other_events_do_not(self) -> None:
        data = event("response.content_part.done") + event("response.completed_later")
        assert not watch([data.encode()], "responses").is_complete


class TestUsage:
    def test_hidden_usage_event_is_left_out_and_still_known(self) -> None:
        verdict = watch([chat_stream().encode()], is_usage_hidden=True)
        assert verdict.forwarded == (token("hi") + token("", end="stop") + DONE).encode()
        assert verdict.usage == Usage(7, 3, 2)

    def test_hidden_usage_event_is_left_out_of_crlf_and_spaced_streams(self) -> None:
        data = chat_stream(separators=SPACED).replace("\n", "\r\n").encode()
        verdict = watch([data], is_usage_hidden=True)
        assert b"prompt_tokens" not in verdict.forwarded
        assert verdict.forwarded.endswith(b"[DONE]\r\n\r\n")
        assert verdict.usage == Usage(7, 3, 2)

    def test_running_usage_beside_choices_is_kept(self) -> None:
        running = chunk(choices=[{"index": 0, "finish_reason": None}], usage={"prompt_tokens": 1})
        verdict = watch([running.encode()], is_usage_hidden=True)
        assert verdict.forwarded == running.encode()

    def test_null_usage_is_none(self) -> None:
        assert watch([chunk(choices=[], usage=None).encode()]).usage is None

    def test_messages_tell_it_in_two_places(self) -> None:
        assert watch([messages_stream().encode()], "messages").usage == Usage(5, 4, 0)

    def test_broken_stream_tells_what_it_had(self) -> None:
        running = chunk(choices=[{"index": 0}], usage={"prompt_tokens": 4, "completion_tokens": 1})
        assert watch([running.encode(), b'data: {"error":{}}\n\n']).usage == Usage(4, 1, 0)


class TestGiantEvents:
    def test_event_of_megabytes_passes(self) -> None:
        data = (token("x" * 3_000_000) + token("", end="stop") + DONE).encode()
        pieces = [data[start : start + 65536] for start in range(0, len(data), 65536)]
        verdict = watch(pieces)
        assert verdict.forwarded == data
        assert verdict.is_complete

    def test_event_that_does_not_end_is_given_up(self) -> None:
        verdict = watch([b"data: "] + [b"x" * 2**20] * 9)
        assert verdict.is_broken
        assert verdict.forwarded == b""


@pytest.mark.parametrize(
    "ending",
    ["", 'data: {"error":{"message":"x"}}\n\n', DONE, chunk(choices=[], usage={"completion_tokens": 2})],
    ids=["nothing", "error", "done", "usage"],
)
def test_only_events_that_bring_text_count_as_tokens(ending: str) -> None:
    tap = EventTap("chat", choices=1, is_usage_hidden=True)
    opening = chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
    tap.feed((opening + token("a") + token("b") + ending).encode())
    assert tap.tokens == 2


# Events, each of which may come alone.
ALONE = (
    *map(token, ("a", "", "\n", ":", "null", "usage", "finish_reason", *FOOLING)),
    token("of another choice", index=1),
    token("end", end="stop"),
    chunk(choices=[{"index": 0, "delta": {"reasoning_content": "so"}, "finish_reason": None}]),
    chunk(choices=[{"index": 0, "delta": {"content": "a"}}], usage={"completion_tokens": 1}),
    usage_event(),
    DONE,
    'data: {"error":{"message":"dead"}}\n\n',
    ": ping\n\n",
)


class TestEventsThatComeAlone:
    def tap_of(self, first: str, dialect: Dialect = "chat") -> EventTap:
        tap = EventTap(dialect, choices=1, is_usage_hidden=True)
        tap.feed(first.encode())
        return tap

    @pytest.mark.parametrize("text", ["a", "", "\n", 'he said "no"', *FOOLING])
    @pytest.mark.parametrize("separators", [COMPACT, SPACED])
    def test_pass_as_they_are_and_count(self, text: str, separators: tuple[str, str]) -> None:
        tap = self.tap_of(token("first", separators=separators))
        assert pass_on(tap, token(text, separators=separators).encode())
        assert tap.tokens == 2

    @pytest.mark.parametrize(
        "data",
        [
            token("a") + token("b"),
            token("a")[:-1],
            token("a").replace("\n", "\r\n"),
            token("a", end="stop"),
            chunk(choices=[{"index": 0, "delta": {"content": "a"}}], usage={"completion_tokens": 1}),
            usage_event(),
            DONE,
            'data: {"error":{"message":"dead"}}\n\n',
            ": ping\n\n",
        ],
    )
    def test_all_else_is_looked_into(self, data: str) -> None:
        tap = self.tap_of(token("first"))
        assert not pass_on(tap, data.encode())
        assert tap.tokens == 1

    def test_do_not_overtake_what_is_held_back(self) -> None:
        tap = self.tap_of(token("first") + token("half")[:20])
        assert not pass_on(tap, token("a").encode())

    def test_wait_where_no_more_may_pass(self) -> None:
        tap = self.tap_of(token("first"))
        tap.pass_up_to(2)
        assert pass_on(tap, token("a").encode())
        assert not pass_on(tap, token("b").encode())

    def test_a_text_that_looks_like_an_event_passes_as_text(self) -> None:
        tap = self.tap_of(token("first"))
        assert all(pass_on(tap, token(text).encode()) for text in ("a", *FOOLING, "b", ":", "c", "d"))
        assert tap.tokens == len(FOOLING) + 6
        assert not tap.is_complete
        assert not tap.is_broken

    @pytest.mark.parametrize("raw", ["\n\ndata: [DONE]\n\n", '"},"finish_reason":"stop"}]}\n\n'])
    def test_what_no_text_can_hold_is_no_text(self, raw: str) -> None:
        tap = self.tap_of(token("first"))
        assert pass_on(tap, token("a").encode())
        assert not pass_on(tap, token("TEXT").replace("TEXT", raw).encode())

    def test_a_chunk_that_does_not_end_as_one_is_left(self) -> None:
        tap = self.tap_of(token("first"))
        chunk, begin = framed(token("a").encode())
        assert not tap.pass_on(chunk[:-2] + b"xx", begin)
        assert tap.pass_on(chunk, begin)
        assert not tap.pass_on(chunk[:-2] + b"xx", begin)

    @given(st.lists(st.sampled_from(ALONE), max_size=12))
    def test_passing_comes_to_the_same_as_looking_into_all(self, events: list[str]) -> None:
        passing, looking = self.tap_of(token("first")), self.tap_of(token("first"))
        for one in events:
            data = one.encode()
            if pass_on(passing, data):
                assert looking.feed(data) == data
            else:
                assert passing.feed(data) == looking.feed(data)
            for told in ("tokens", "is_complete", "is_broken"):
                assert getattr(passing, told) == getattr(looking, told)
            if looking.is_broken or looking.is_complete:
                break
        assert passing.usage() == looking.usage()


def framed(data: bytes) -> tuple[bytes, int]:
    """Make one chunk of HTTP of it; tell where in it the data begin."""
    line = b"%x\r\n" % len(data)
    return line + data + b"\r\n", len(line)


def pass_on(tap: EventTap, data: bytes) -> bool:
    return tap.pass_on(*framed(data))
