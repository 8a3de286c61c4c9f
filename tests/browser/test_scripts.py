"""What the playground's scripts decide, without a page: frames, answers, bodies, what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from browser.scripts import ScriptError

if TYPE_CHECKING:
    from browser.scripts import Scripts

FORM = {"system": "", "temperature": "", "stop": "", "tools": "", "format": "text", "extra": ""}
QUESTION = {"role": "user", "content": "hi"}


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], **fields}


def test_events_are_the_same_wherever_their_bytes_are_cut(scripts: Scripts) -> None:
    text = ': hi\r\ndata: {"a": "\u00e9\U0001f600"}\r\n\r\ndata:two\ndata: lines\n\n'
    text += "event: x\rdata:  three\r\rdata: cut"
    found = scripts.run(
        """
        const { eventsOf } = await load("playground/events.js");
        const bytes = new TextEncoder().encode(args[0]);
        const seen = new Set();
        for (let cut = 0; cut <= bytes.length; cut += 1) {
          const body = new ReadableStream({ start(out) {
            out.enqueue(bytes.slice(0, cut)); out.enqueue(bytes.slice(cut)); out.close();
          } });
          const events = [];
          for await (const data of eventsOf(body)) events.push(data);
          seen.add(JSON.stringify(events));
        }
        return [...seen].map((one) => JSON.parse(one));
        """,
        text,
    )
    assert found == [['{"a": "\u00e9\U0001f600"}', "two\nlines", " three"]]


def test_answer_is_put_together_and_timed(scripts: Scripts) -> None:
    chunks = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning": "hm"}),
        chunk({"content": "Good "}),
        chunk({"content": "day"}, "stop"),
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": None}},
    ]
    answer = scripts.run(
        """
        const { Answer } = await load("playground/answer.js");
        let now = 1000;
        const answer = new Answer(() => now);
        for (const chunk of args[0]) { now += 100; answer.take(chunk); }
        const { message, reasoning, finishReason, reading } = answer;
        return { message, reasoning, finishReason, reading };
        """,
        chunks,
    )
    assert answer["message"] == {"role": "assistant", "content": "Good day"}
    assert (answer["reasoning"], answer["finishReason"]) == ("hm", "stop")
    assert answer["reading"] == {
        "ttft_ms": 200,
        "duration_ms": 500,
        "tokens_per_s": 10,
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "cached_tokens": None,
    }


def test_calls_of_tools_are_put_together_from_their_pieces(scripts: Scripts) -> None:
    pieces = [
        {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city": '}},
        {"index": 1, "id": "call_2", "function": {"name": "time", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": '"Paris"}'}},
    ]
    message = scripts.run(
        """
        const { Answer } = await load("playground/answer.js");
        const answer = new Answer();
        for (const piece of args[0]) answer.take({ choices: [{ delta: { tool_calls: [piece] } }] });
        return answer.message;
        """,
        pieces,
    )
    assert [(call["id"], call["function"]) for call in message["tool_calls"]] == [
        ("call_1", {"name": "weather", "arguments": '{"city": "Paris"}'}),
        ("call_2", {"name": "time", "arguments": "{}"}),
    ]


def test_an_error_event_is_thrown_as_what_the_gateway_said(scripts: Scripts) -> None:
    thrown = scripts.run(
        """
        const { Answer, Refusal } = await load("playground/answer.js");
        try { new Answer().take({ error: { message: "The replica is gone.", code: "stream_interrupted" } }); }
        catch (error) { return [error instanceof Refusal, error.message, error.code]; }
        """
    )
    assert thrown == [True, "The replica is gone.", "stream_interrupted"]


def test_a_body_holds_what_was_filled_in_and_nothing_else(scripts: Scripts) -> None:
    assert scripts.call("playground/request.js", "chatBody", "m", FORM, [QUESTION]) == {
        "model": "m",
        "messages": [QUESTION],
    }
    form = {
        **FORM,
        "system": "Be short.",
        "temperature": "0",
        "top_p": " 0.5 ",
        "max_tokens": "20",
        "seed": "-3",
        "stop": "END\n\\n\\n",
        "tools": '[{"type": "function"}]',
        "tool_choice": "required",
        "format": "json_schema",
        "schema": '{"type": "object"}',
        "extra": '{"top_k": 5}',
    }
    body = scripts.call("playground/request.js", "chatBody", "m", form, [QUESTION])
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be short."}, QUESTION],
        "temperature": 0,
        "top_p": 0.5,
        "max_tokens": 20,
        "seed": -3,
        "stop": ["END", "\n\n"],
        "tools": [{"type": "function"}],
        "tool_choice": "required",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
        "top_k": 5,
    }


@pytest.mark.parametrize(
    ("field", "text", "reason"),
    [
        ("temperature", "warm", "not_a_number"),
        ("temperature", "2.1", "out_of_range"),
        ("top_p", "-0.1", "out_of_range"),
        ("max_tokens", "1.5", "not_whole"),
        ("max_tokens", "0", "out_of_range"),
        ("seed", "9007199254740993", "not_whole"),
        ("tools", "{", "not_json"),
        ("tools", "{}", "not_an_array"),
        ("tools", "[1]", "not_an_array"),
        ("extra", "[]", "not_an_object"),
    ],
)
def test_a_field_that_cannot_be_sent_is_named_with_the_reason(
    scripts: Scripts, field: str, text: str, reason: str
) -> None:
    with pytest.raises(ScriptError) as thrown:
        scripts.call("playground/request.js", "chatBody", "m", {**FORM, field: text}, [QUESTION])
    assert (thrown.value.fields["field"], thrown.value.fields["reason"]) == (field, reason)


def test_json_of_a_schema_needs_the_schema(scripts: Scripts) -> None:
    with pytest.raises(ScriptError) as thrown:
        scripts.call("playground/request.js", "chatBody", "m", {**FORM, "format": "json_schema"}, [QUESTION])
    assert thrown.value.fields["reason"] == "schema_missing"


def test_an_exchange_that_failed_is_not_sent_again_and_one_that_was_stopped_is(scripts: Scripts) -> None:
    turns = [
        {"role": "user", "content": "one"},
        {
            "role": "assistant",
            "content": "first",
            "reading": {"ttft_ms": 1},
            "request_id": "req_1",
            "model": "m",
        },
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "hal", "is_broken": True},
        {"role": "user", "content": "three"},
        {"role": "assistant", "content": "stop", "is_stopped": True},
    ]
    assert scripts.call("playground/request.js", "sendable", turns) == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "first"},
        {"role": "user", "content": "three"},
        {"role": "assistant", "content": "stop"},
    ]


def test_results_of_tools_are_sent_with_the_calls_that_they_answer(scripts: Scripts) -> None:
    calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    turns = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "", "tool_calls": calls, "rated": 1},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ]
    sent = scripts.call("playground/request.js", "sendable", turns)
    assert sent[1] == {"role": "assistant", "content": "", "tool_calls": calls}
    assert sent[2] == {"role": "tool", "tool_call_id": "call_1", "content": "42"}


def test_what_is_kept_is_taken_up_only_if_it_is_of_this_version(scripts: Scripts) -> None:
    found = scripts.run(
        """
        const { Keep } = await load("playground/keep.js");
        const keep = new Keep(localStorage, "a"), other = new Keep(localStorage, "b");
        const saved = keep.save({ version: 1, sides: [] });
        const loaded = [keep.load(1), keep.load(2), other.load(1)];
        localStorage.setItem("a", "{");
        loaded.push(keep.load(1));
        return [saved, ...loaded];
        """
    )
    assert found == [True, {"version": 1, "sides": []}, None, None, None]


def test_a_browser_that_keeps_nothing_is_told_of_and_harms_nothing(scripts: Scripts) -> None:
    found = scripts.run(
        """
        const { Keep } = await load("playground/keep.js");
        const refuse = () => { throw new DOMException("full", "QuotaExceededError"); };
        const full = { getItem: () => null, setItem: refuse };
        const none = new Keep(null, "a");
        return [new Keep(full, "a").save({}), none.save({}), none.load(1)];
        """
    )
    assert found == [False, False, None]


def test_similarities_are_cosines_in_the_order_of_the_lines(scripts: Scripts) -> None:
    vectors = [[1, 0], [0, 2], [3, 3], [-1, 0], [0, 0]]
    matrix = scripts.call("playground/matrix.js", "similarities", vectors)
    assert [round(value, 4) for value in matrix[0]] == [1, 0, 0.7071, -1, 0]
    assert [[round(value, 4) for value in row] for row in matrix] == [
        [round(matrix[column][row], 4) for column in range(5)] for row in range(5)
    ]
    steps = [scripts.call("playground/matrix.js", "stepOf", value) for value in (-1, 0, 0.5, 1, 1.0000001)]
    assert steps == [0, 0, 5, 10, 10]
    figures = [
        scripts.call("playground/matrix.js", "figureOf", value) for value in (-0.001, 0.004, -0.006, 1)
    ]
    assert figures == ["0.00", "0.00", "-0.01", "1.00"]


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("one\ntwo\n\nthree", [["paragraph", "one\ntwo"], ["paragraph", "three"]]),
        ("## A title\ntext", [["heading", "A title"], ["paragraph", "text"]]),
        ("```python\nif x:\n\n    y\n```\nend", [["code", "if x:\n\n    y"], ["paragraph", "end"]]),
        ("~~~\n```\n~~~", [["code", "```"]]),
        ("```\nnever closed", [["code", "never closed"]]),
        ("- a\n- b\n\n- c", [["list", ["a", "b", "c"]]]),
        ("3. a\n   more\n4. b", [["list", ["a\nmore", "b"]]]),
        ("> said\n> so", [["quote", "said\nso"]]),
        ("", []),
    ],
)
def test_markdown_is_read_as_blocks(scripts: Scripts, source: str, blocks: list[Any]) -> None:
    found = scripts.call("playground/markdown.js", "parse", source)
    assert [[block["kind"], block.get("text", block.get("items"))] for block in found] == blocks


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a **b** `c` *d*", ["a ", ("strong", "b"), " ", ("code", "c"), " ", ("em", "d")]),
        ("2 * 3 * 4 ** 5", ["2 * 3 * 4 ** 5"]),
        ("`**x**` and **open", [("code", "**x**"), " and **open"]),
        ("<b>[x](javascript:y)</b>", ["<b>[x](javascript:y)</b>"]),
        ("snake_case_name", ["snake_case_name"]),
        ("`", ["`"]),
    ],
)
def test_marks_within_a_line_are_read(scripts: Scripts, text: str, parts: list[Any]) -> None:
    found = scripts.call("playground/markdown.js", "inline", text)
    assert [p["text"] if p["kind"] == "text" else (p["kind"], p["text"]) for p in found] == parts


@pytest.mark.parametrize("piece", ["**a", "*a ", "`a", "- a\n", "#", ">", "```\n", "1. a\n\n", "a\n"])
def test_markdown_of_a_hundred_thousand_pieces_takes_no_time(scripts: Scripts, piece: str) -> None:
    milliseconds = scripts.run(
        """
        const { parse, inline } = await load("playground/markdown.js");
        const source = args[0].repeat(100_000);
        const began = performance.now();
        for (const { text, items } of parse(source)) for (const part of items ?? [text]) inline(part);
        return performance.now() - began;
        """,
        piece,
    )
    assert milliseconds < 2000


def test_what_is_shown_already_stays_while_an_answer_grows(scripts: Scripts) -> None:
    found = scripts.run(
        """
        const { show } = await load("playground/markdown.js");
        const target = document.createElement("div");
        show(target, "first\\n\\nsec");
        const first = target.firstChild;
        show(target, "first\\n\\nsecond *one*");
        const grown = target.innerHTML;
        show(target, "other");
        return [first.textContent, grown, target.innerHTML, target.firstChild === first];
        """
    )
    assert found == ["first", "<p>first</p><p>second <em>one</em></p>", "<p>other</p>", False]
