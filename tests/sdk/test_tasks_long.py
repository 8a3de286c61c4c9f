from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas.tasks import AsyncTasks, TaskInputError, TaskOutputError, Tasks
from lmaas.tasks._chunks import fitted
from lmaas.tasks._job import Defaults
from lmaas.tasks._result import Span
from lmaas.types import TokenizeResponse
from sdk.fake_vllm import Body, FakeEngine
from sdk.task_fixtures import async_tasks, client, engine, tasks

__all__ = ["async_tasks", "client", "engine", "tasks"]

LONG_EN = " ".join(f"Sentence number {number} tells of the river." for number in range(40))
LONG_ZH = "".join(f"第{number}句话讲的是河。" for number in range(60))


def text_in(body: Body) -> str:
    return str(body["messages"][-1]["content"])


def pieces_of(text: str, limit: int) -> list[Span]:
    """Cut with a tokenizer of a token a character, by hand: a plan needs no server."""
    job = Defaults(model="m").job("answer", text, {})
    plan = fitted(job, text, {"question": "?"}, 100, limit=limit)
    calls = next(plan)
    try:
        while True:
            texts = [call.body.get("prompt", "x" * 50) for call in calls]
            calls = plan.send([TokenizeResponse(count=len(t), max_model_len=4096, tokens=[]) for t in texts])
    except StopIteration as end:
        pieces: list[Span] = end.value
        return pieces


@given(st.text(alphabet="ab .。\n你", max_size=300), st.integers(16, 60))
def test_pieces_fit_keep_the_order_and_leave_out_only_blanks(text: str, limit: int) -> None:
    pieces = pieces_of(text, limit)
    assert all(len(piece.text) <= limit and text[piece.start : piece.end] == piece.text for piece in pieces)
    assert all(a.end <= b.start for a, b in itertools.pairwise(pieces))
    assert "".join("".join(piece.text.split()) for piece in pieces) == "".join(text.split())


@pytest.mark.parametrize("text", [LONG_EN, LONG_ZH])
def test_pieces_end_where_sentences_end(text: str) -> None:
    pieces = pieces_of(text, 200)
    assert len(pieces) > 2
    assert all(piece.text[-1] in ".。" for piece in pieces)


def test_pieces_without_sentences_end_between_words_and_those_without_blanks_anywhere() -> None:
    between = pieces_of("word " * 100, 50)
    assert {piece.text[-4:] for piece in between} == {"word"}
    assert all(len(piece.text) > 25 for piece in between[:-1])
    within = pieces_of("x" * 500, 50)
    assert "".join(piece.text for piece in within) == "x" * 500
    assert len(within) < 15


def test_text_that_fits_is_summarised_in_one_call(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda _: "The river rose. Nobody was hurt."
    found = tasks.summarize("The river rose in the night. It was high.", max_sentences=2)
    assert (found.text, found.length, found.is_cut) == ("The river rose. Nobody was hurt.", 2, False)
    assert (found.parts, found.rounds) == ((), 0)
    assert "at most 2 sentences" in engine.prompts()[0]


@pytest.mark.parametrize(
    ("limit", "kept", "length"),
    [
        ({"max_sentences": 1}, "One two three.", 1),
        ({"max_words": 5}, "One two three.", 3),
        ({"max_words": 2}, "One two", 2),
        ({"max_characters": 20}, "One two three.", 14),
    ],
)
def test_summary_is_never_longer_than_asked_for(
    engine: FakeEngine, tasks: Tasks, limit: Any, kept: str, length: int
) -> None:
    engine.answer = lambda _: "One two three. Four five six."
    found = tasks.summarize("x", **limit)
    assert (found.text, found.length, found.is_cut) == (kept, length, True)


def test_summary_that_ended_at_max_tokens_is_called_cut(engine: FakeEngine, tasks: Tasks) -> None:
    engine.finish_reason = "length"
    assert tasks.summarize("x", max_tokens=3).is_cut
    assert engine.bodies("/chat/completions")[0]["max_tokens"] == 3


def test_long_text_is_summarised_piece_by_piece_and_again(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda body: f"About {len(text_in(body))} characters."
    found = tasks.summarize(LONG_EN, max_chunk_tokens=300)
    assert found.rounds == 1
    assert [LONG_EN[part.span.start : part.span.end] for part in found.parts] == [
        part.span.text for part in found.parts
    ]
    assert found.parts[0].span.start == 0
    assert found.parts[-1].span.end == len(LONG_EN)
    *maps, reduce = engine.prompts()
    assert len(maps) == len(found.parts) > 3
    assert all(part.summary in reduce for part in found.parts)
    assert len(found.completions) == len(maps) + 1
    assert found.usage.completion_tokens == 2 * (len(maps) + 1)


async def test_summaries_of_a_very_long_chinese_text_are_summarised_until_they_fit(
    engine: FakeEngine, async_tasks: AsyncTasks
) -> None:
    engine.answer = lambda _: "河水上涨，街道被淹。" * 8
    found = await async_tasks.summarize(LONG_ZH * 4, max_characters=12, max_chunk_tokens=200)
    assert found.rounds > 1
    assert found.text == "河水上涨，街道被淹。"
    assert "不超过12个字符" in engine.prompts()[-1]


def test_context_too_small_for_a_piece_is_refused(engine: FakeEngine, tasks: Tasks) -> None:
    engine.max_model_len = 400
    with pytest.raises(TaskInputError, match="the context of m has 400"):
        tasks.summarize("x")


def test_summaries_that_say_nothing_are_told_on(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda _: ""
    with pytest.raises(TaskOutputError, match="nothing"):
        tasks.summarize(LONG_EN, max_chunk_tokens=300)


@pytest.mark.parametrize(
    ("text", "limits", "message"),
    [
        (" ", {}, "text"),
        ("x", {"max_words": 0}, "max_words is 0"),
        ("x", {"max_words": 5, "max_sentences": 1}, "one of"),
    ],
)
def test_summary_that_cannot_be_is_refused(tasks: Tasks, text: str, limits: Any, message: str) -> None:
    with pytest.raises(TaskInputError, match=message):
        tasks.summarize(text, **limits)


def test_reply_without_choices_is_told_on(engine: FakeEngine, tasks: Tasks) -> None:
    engine.has_choices = False
    with pytest.raises(TaskOutputError, match="no choices"):
        tasks.summarize("x")
    with pytest.raises(TaskOutputError, match="no choices"):
        tasks.complete("x")


def test_completion_continues_the_text_as_the_model_wrote_it(engine: FakeEngine, tasks: Tasks) -> None:
    found = tasks.complete("Once", max_tokens=5, temperature=0.5, stop=["x"], seed=1)
    assert (found.text, found.finish_reason) == (" and so on", "stop")
    (body,) = engine.bodies("/completions")
    sent = {"model": "m", "prompt": "Once", "max_tokens": 5, "temperature": 0.5, "stop": ["x"], "seed": 1}
    assert body == sent


async def test_completion_asynchronously(engine: FakeEngine, async_tasks: AsyncTasks) -> None:
    found = await async_tasks.complete("从前")
    assert len(found.completions) == 1
    assert engine.bodies("/completions")[0]["temperature"] == 0


def upper(body: Body) -> str:
    return text_in(body).upper()


def test_pieces_are_translated_in_order_and_joined_with_the_blanks_between(
    engine: FakeEngine, tasks: Tasks
) -> None:
    engine.answer = upper
    text = f"{LONG_EN}\n\n  {LONG_EN}"
    found = tasks.translate(text, "French", max_chunk_tokens=200)
    assert found.text == text.upper()
    assert len(found.pieces) > 4
    assert "translate into French" in engine.bodies("/chat/completions")[0]["messages"][0]["content"]
    assert not found.is_cut


async def test_pieces_without_a_blank_between_get_none_in_chinese(
    engine: FakeEngine, async_tasks: AsyncTasks
) -> None:
    engine.answer = lambda _: "One. "
    found = await async_tasks.translate("一二三。四五六。" * 8, "en", max_chunk_tokens=40)
    assert found.text == " ".join(["One."] * len(found.pieces))
    assert "英文" in engine.bodies("/chat/completions")[0]["messages"][0]["content"]


def test_glossary_is_told_where_its_words_stand(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda _: "Le chien aboie."
    found = tasks.translate("The dog barks.", "French", {"dog": "chien", "cat": "chat"})
    assert found.missing == ()
    system = engine.bodies("/chat/completions")[0]["messages"][0]["content"]
    assert system.endswith("Use these words: dog = chien.")
    assert len(engine.prompts()) == 1


def test_translation_without_a_word_of_the_glossary_is_made_again_with_it(
    engine: FakeEngine, tasks: Tasks
) -> None:
    engine.answer = lambda body: "Le chien aboie." if "structured_outputs" in body else "Le toutou aboie."
    found = tasks.translate("The dog barks at the cat.", "French", {"cat": "chat", "dog": "chien"})
    assert found.text == "Le chien aboie."
    assert found.missing == ("chat",)
    pattern = engine.bodies("/chat/completions")[1]["structured_outputs"]["regex"]
    assert pattern.index("chien") < pattern.index("chat")  # in the order of the text
    assert found.usage.calls == 4


def test_second_try_that_is_no_better_is_thrown_away(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda body: "second" if "structured_outputs" in body else "first"
    found = tasks.translate("The dog barks.", "French", {"dog": "chien"})
    assert (found.text, found.missing) == ("first", ("chien",))
    engine.finish_reason = "length"
    engine.answer = lambda body: "chien" if "structured_outputs" in body else "first"
    assert tasks.translate("The dog barks.", "French", {"dog": "chien"}).text == "first"
    assert tasks.translate("The dog barks.", "French").is_cut


@pytest.mark.parametrize(
    ("target", "glossary", "message"),
    [(" ", None, "language"), ("French", {"dog": " "}, "glossary"), ("French", {"": "x"}, "glossary")],
)
def test_translation_that_cannot_be_is_refused(
    tasks: Tasks, target: str, glossary: dict[str, str] | None, message: str
) -> None:
    with pytest.raises(TaskInputError, match=message):
        tasks.translate("x", target, glossary)
