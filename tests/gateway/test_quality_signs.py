"""What is seen of single replies: measured on a small sample in two languages, safe with whatever comes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.flaws import FlawCounts
from lmaas_gateway.quality.judging import judge
from lmaas_gateway.quality.languages import asks_for_another, language_of
from lmaas_gateway.quality.schemas import UnusableSchemaError, fits
from lmaas_gateway.quality.signs import is_empty, is_refusal, is_repeating

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.call import Dialect

ROOT = Path(__file__).parents[2]
SAMPLES: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "quality_samples.jsonl").read_text("utf-8").splitlines()
]
SIGNS: dict[str, Callable[[str], bool]] = {
    "refusal": is_refusal,
    "repeating": is_repeating,
    "empty": is_empty,
}


def _row(name: str, *, is_held_out: bool) -> str:
    """A row of the table of docs/quality.md: how often a sign is right, and how much it finds."""
    samples = [one for one in SAMPLES if one.get("held_out", False) == is_held_out]
    seen = [(bool(one.get(name)), SIGNS[name](one["text"])) for one in samples]
    found, right = sum(says for _, says in seen), sum(says and is_ for is_, says in seen)
    there = sum(is_ for is_, _ in seen)
    part = "held out" if is_held_out else "tuned on"
    return f"| {name} | {part} | {len(samples)} | {right}/{found} | {right}/{there} |"


def _language_row(*, is_held_out: bool) -> str:
    samples = [one for one in SAMPLES if "language" in one and one.get("held_out", False) == is_held_out]
    seen = [(one["language"], language_of(one["text"])) for one in samples]
    said = [(is_, says) for is_, says in seen if says is not None]
    right = sum(is_ == says for is_, says in said)
    there = sum(is_ is not None for is_, _ in seen)
    part = "held out" if is_held_out else "tuned on"
    return f"| language | {part} | {len(samples)} | {right}/{len(said)} | {right}/{there} |"


@pytest.mark.parametrize("is_held_out", [False, True])
def test_precision_on_the_sample_is_what_the_documentation_says(*, is_held_out: bool) -> None:
    text = (ROOT / "docs" / "quality.md").read_text("utf-8")
    rows = [_row(name, is_held_out=is_held_out) for name in SIGNS if not (is_held_out and name == "empty")]
    for row in [*rows, _language_row(is_held_out=is_held_out)]:
        assert row in text, row


def test_prompt_that_speaks_of_a_language_has_no_drift() -> None:
    for text in (
        "Translate this: good morning",
        "Answer in French, please.",
        "请把这句话翻译成英文",
        "用中文回答",
    ):
        assert asks_for_another(text), text
    for text in ("Why is the sky blue?", "天空为什么是蓝色的？", "Write a poem."):
        assert not asks_for_another(text), text


def _chat(text: str | None, end: str = "stop", **message: Any) -> bytes:
    said = {"role": "assistant", "content": text, **message}
    return msgspec.json.encode({"choices": [{"index": 0, "message": said, "finish_reason": end}]})


def _asked(text: str = "Why is the sky blue, and what is the colour of the sea?", **fields: Any) -> bytes:
    return msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": text}], **fields})


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FORMAT: dict[str, Any] = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
}
WELL = "The sky is blue because the air scatters the blue part of the light of the sun more than the red one."


@pytest.mark.parametrize(
    ("request_", "reply", "flags"),
    [
        (_asked(), _chat(WELL), {"with_language": 1}),
        (_asked(), _chat("The", "length"), {"truncated": 1}),
        (_asked(), _chat("I'm sorry, but I can't help with that."), {"refused": 1, "with_language": 1}),
        (_asked(), _chat(None, refusal="No."), {"refused": 1}),
        (_asked(), _chat(""), {"empty": 1}),
        (_asked(), _chat("the sea the sea " * 30), {"repeating": 1, "with_language": 1}),
        (
            _asked(),
            _chat("天空是蓝色的，因为空气散射蓝光。"),
            {"with_language": 1, "language_drift": 1},
        ),
        (
            _asked("Translate it into Chinese: the sky is blue and the sea is too"),
            _chat("天空是蓝色的，海也是。"),
            {},
        ),
        (_asked(**FORMAT), _chat('{"city":"Paris"}'), {"with_schema": 1}),
        (_asked(**FORMAT), _chat('{"city":1}'), {"with_schema": 1, "schema_failed": 1}),
        (
            _asked(**FORMAT),
            _chat('{"city":"Par', "length"),
            {"with_schema": 1, "schema_failed": 1, "truncated": 1},
        ),
        (_asked(structured_outputs={"json": SCHEMA}), _chat("{}"), {"with_schema": 1, "schema_failed": 1}),
        (_asked(response_format={"type": "json_object"}), _chat("[1]"), {"with_schema": 1}),
        (
            _asked(tools=[{"function": {"name": "f", "strict": True, "parameters": SCHEMA}}]),
            _chat(None, "tool_calls", tool_calls=[{"function": {"name": "f", "arguments": '{"town":1}'}}]),
            {"with_schema": 1, "schema_failed": 1},
        ),
        (
            _asked(tools=[{"function": {"name": "f", "parameters": SCHEMA}}]),
            _chat(None, "tool_calls", tool_calls=[{"function": {"name": "f", "arguments": '{"town":1}'}}]),
            {"with_schema": 1},
        ),
    ],
)
def test_flaws_of_a_reply_are_counted(request_: bytes, reply: bytes, flags: dict[str, int]) -> None:
    assert judge(request_, reply, "chat", is_stream=False) == FlawCounts(checked=1, **flags)


def _stream(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)


TOOL_CALL = {"type": "tool_use", "name": "f", "input": {"city": "Paris"}}
DIALECTS: dict[str, tuple[Dialect, bool, bytes, bytes]] = {
    "chat": (
        "chat",
        True,
        _asked(),
        _stream(
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
            {"choices": [{"index": 1, "delta": {"content": "other choice"}}]},
            {"choices": [{"index": 0, "delta": {"content": WELL[:20]}}]},
            {"choices": [{"index": 0, "delta": {"content": WELL[20:]}, "finish_reason": "length"}]},
            {"choices": [], "usage": {"prompt_tokens": 1}},
        )
        + b": a comment\n\ndata: [DONE]\n\n",
    ),
    "completions": (
        "chat",
        True,
        msgspec.json.encode(
            {"model": "m", "prompt": "Why is the sky blue, and what is the colour of the sea?"}
        ),
        _stream({"choices": [{"index": 0, "text": WELL, "finish_reason": "length"}]}),
    ),
    "responses": (
        "responses",
        False,
        msgspec.json.encode(
            {"model": "m", "input": "Why is the sky blue, and what is the colour of the sea?"}
        ),
        msgspec.json.encode(
            {
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
                "output": [{"type": "message", "content": [{"type": "output_text", "text": WELL}]}],
            }
        ),
    ),
    "messages": (
        "messages",
        True,
        _asked(),
        _stream(
            {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": WELL}},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}},
        ),
    ),
    "messages plain": (
        "messages",
        False,
        _asked(system="Be kind."),
        msgspec.json.encode({"stop_reason": "max_tokens", "content": [{"type": "text", "text": WELL}]}),
    ),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_replies_of_every_dialect_are_read(name: str) -> None:
    dialect, is_stream, request, reply = DIALECTS[name]
    assert judge(request, reply, dialect, is_stream=is_stream) == FlawCounts(
        checked=1, truncated=1, with_language=1
    )


@pytest.mark.parametrize(
    ("dialect", "is_stream", "reply"),
    [
        (
            "chat",
            True,
            _stream(
                {
                    "choices": [
                        {"delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]}}
                    ]
                },
                {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}}]},
                {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
            ),
        ),
        ("messages", False, msgspec.json.encode({"stop_reason": "tool_use", "content": [TOOL_CALL]})),
        (
            "messages",
            True,
            _stream(
                {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f"}},
                {"type": "content_block_delta", "delta": {"partial_json": '{"city"'}},
                {"type": "content_block_delta", "delta": {"partial_json": ":1}"}},
                {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
            ),
        ),
        (
            "responses",
            True,
            _stream(
                {"type": "response.created", "response": {}},
                {
                    "type": "response.completed",
                    "response": {
                        "status": "completed",
                        "output": [{"type": "function_call", "name": "f", "arguments": "{}"}],
                    },
                },
            ),
        ),
    ],
)
def test_calls_of_functions_are_held_to_be_json_and_are_no_empty_replies(
    dialect: Dialect, is_stream: bool, reply: bytes
) -> None:
    assert judge(_asked(), reply, dialect, is_stream=is_stream) == FlawCounts(checked=1, with_schema=1)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"not json",
        b"[]",
        _stream({"choices": [{"delta": {"content": "cut"}}]}),
        b'data: {"choi',
        b"data: 1\n\n",
    ],
)
def test_reply_that_has_no_end_is_not_judged(reply: bytes) -> None:
    assert judge(_asked(), reply, "chat", is_stream=reply.startswith(b"data")) is None


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "delta",
                    "content",
                    "text",
                    "tool_calls",
                    "function",
                    "arguments",
                    "index",
                    "name",
                    "finish_reason",
                    "output",
                    "type",
                    "status",
                    "messages",
                    "role",
                    "response_format",
                    "json_schema",
                    "tools",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(_JSON, _JSON, st.sampled_from(["chat", "responses", "messages"]), st.booleans())
def test_whatever_is_asked_and_answered_is_judged_or_left_alone(
    request: Any, reply: Any, dialect: Dialect, is_stream: bool
) -> None:
    data = msgspec.json.encode(reply)
    counts = judge(
        msgspec.json.encode(request), b"data: " + data if is_stream else data, dialect, is_stream=is_stream
    )
    assert counts is None or counts.checked == 1


def _bomb(levels: int) -> dict[str, Any]:
    defs: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**defs, f"d{levels}": {"type": "string"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#"},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$ref": "#/$defs/none"},
        {"$dynamicRef": "#x"},
        {"properties": {"a": {"$id": "http://x/", "$ref": "#/$defs/b"}}},
        _bomb(60),
        {"pattern": "(?=a)b"},
        {"pattern": "((a{1000}){1000}){1000}"},
        {"type": 7},
        {"items": [{}] * 6000},
        [],
    ],
)
def test_schema_that_would_reach_out_grow_or_never_end_is_not_used(schema: Any) -> None:
    with pytest.raises(UnusableSchemaError):
        fits('"x"', schema)
    answered = _chat('"x"')
    asked = _asked(response_format={"type": "json_schema", "json_schema": {"schema": schema}})
    assert judge(asked, answered, "chat", is_stream=False) == FlawCounts(checked=1)


def test_schema_with_references_and_hostile_patterns_is_used_in_no_time() -> None:
    schema = {"$defs": {"a/b": {"pattern": "^(a+)+$"}}, "items": {"$ref": "#/$defs/a~1b"}}
    assert fits('["' + "a" * 50 + '"]', schema)
    assert not fits('["' + "a" * 50 + 'b"]', schema)
    assert not fits("[" * 100_000)


def test_passages_that_come_again_between_others_are_repeating() -> None:
    passage = " ".join(f"word{number}" for number in range(30))
    others = [" ".join(f"{name}{number}" for number in range(5)) for name in ("one", "two")]
    assert is_repeating(" ".join([passage, others[0], passage, others[1], passage]))
    assert not is_repeating(
        " ".join([passage, others[0], passage[:40], others[1], *"abcdefghijklmnopqrstuvwxyz"])
    )
