from __future__ import annotations

from typing import Any

import pytest

from lmaas.tasks import AsyncTasks, Dropped, Outcome, TaskInputError, TaskOutputError, Tasks
from sdk.fake_vllm import FakeEngine
from sdk.task_fixtures import async_tasks, client, engine, tasks

__all__ = ["async_tasks", "client", "engine", "tasks"]


def entity(text: str, kind: str) -> dict[str, str]:
    return {"text": text, "type": kind}


def schema_of(engine: FakeEngine) -> Any:
    return engine.bodies("/chat/completions")[0]["structured_outputs"]["json"]


def test_entities_get_offsets_of_ours_and_what_is_not_there_is_dropped(
    engine: FakeEngine, tasks: Tasks
) -> None:
    text = "Ada met Charles in London. Ada left London."
    engine.answer = lambda _: {
        "entities": [entity(name, "person") for name in ("Ada", "charles", "Ada", "Ada", "Byron")]
        + [entity("London", "city"), entity("left", "verb")]
    }
    found = tasks.entities(text, ["person", "city"])
    assert [(one.text, one.type, one.start, one.is_exact) for one in found.entities] == [
        ("Ada", "person", 0, True),
        ("Charles", "person", 8, False),
        ("London", "city", 19, True),
        ("Ada", "person", 27, True),
    ]
    assert all(text[one.start : one.end] == one.text for one in found.entities)
    assert found.dropped == (Dropped("Ada", "person"), Dropped("Byron", "person"), Dropped("left", "verb"))
    assert found.is_complete


def test_entities_of_chinese_text_count_code_points(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda _: {"entities": [entity("李明", "人名"), entity("上海", "地名")]}
    found = tasks.entities("😀李明从北京飞到上海。", {"人名": "人的名字", "地名": "地方"})
    assert [(one.text, one.start, one.end) for one in found.entities] == [("李明", 1, 3), ("上海", 8, 10)]
    assert "人名 (人的名字); 地名 (地方)" in engine.prompts()[0]
    assert engine.prompts()[0].startswith("列出下列类型的实体")


def test_schema_holds_the_model_to_the_types_and_to_an_end(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda _: {"entities": []}
    tasks.entities("three short words", ["a", "b"])
    items = schema_of(engine)["properties"]["entities"]
    assert items["maxItems"] == 3
    assert items["items"]["properties"]["type"] == {"enum": ["a", "b"]}


def test_text_longer_than_the_context_is_read_in_pieces_with_offsets_of_the_whole(
    engine: FakeEngine, tasks: Tasks
) -> None:
    engine.max_model_len = 800
    text = "Nothing is here at all. " * 12 + "Ada left. " + "Nothing is here at all. " * 4
    engine.answer = lambda body: {
        "entities": [entity("Ada", "person")] if "Ada" in body["messages"][-1]["content"] else []
    }
    (found,) = tasks.entities(text, ["person"]).entities
    assert text[found.start : found.end] == "Ada"
    assert len(engine.prompts()) > 1


def test_answer_that_was_cut_gives_what_came_whole(engine: FakeEngine, tasks: Tasks) -> None:
    engine.finish_reason = "length"
    engine.answer = lambda _: '{"entities": [{"text": "Ada", "type": "person"}, {"text": "Lon'
    found = tasks.entities("Ada in London", ["person"])
    assert [one.text for one in found.entities] == ["Ada"]
    assert not found.is_complete
    engine.answer = lambda _: '{"ent'
    assert tasks.entities("Ada in London", ["person"]).is_complete is False


@pytest.mark.parametrize("said", ["I found Ada.", "[]", '{"other": []}'])
def test_server_that_does_not_enforce_schemas_is_told_on(engine: FakeEngine, tasks: Tasks, said: str) -> None:
    engine.answer = lambda _: said
    with pytest.raises(TaskOutputError, match="enforce schemas") as caught:
        tasks.entities("Ada", ["person"])
    assert said not in str(caught.value)
    assert caught.value.answer == said


@pytest.mark.parametrize("types", [[], [""], "person"])
def test_entities_need_types(tasks: Tasks, types: list[str]) -> None:
    with pytest.raises(TaskInputError, match="types"):
        tasks.entities("Ada", types)


def test_text_of_blanks_has_no_entities_and_costs_no_answer(engine: FakeEngine, tasks: Tasks) -> None:
    assert tasks.entities("  \n", ["person"]).entities == ()
    assert engine.prompts() == []


async def test_entities_asynchronously(engine: FakeEngine, async_tasks: AsyncTasks) -> None:
    engine.answer = lambda _: {"entities": [entity("Ada", "person")]}
    assert (await async_tasks.entities("Ada", ["person"])).entities[0].end == 3


def argument(role: str, text: str) -> dict[str, str]:
    return {"role": role, "text": text}


def test_semantic_roles_of_each_sentence_have_offsets_in_the_whole_text(
    engine: FakeEngine, tasks: Tasks
) -> None:
    answers = {
        "Mary gave John a book.": {
            "predicate": "gave",
            "arguments": [argument("agent", "Mary"), argument("recipient", "John"), argument("agent", "Bob")],
        },
        "He read it.": {"predicate": "read", "arguments": [argument("agent", "He"), argument("x", "it")]},
    }
    text = " ".join(answers)
    engine.answer = lambda body: {
        "predicates": [value for key, value in answers.items() if key in body["messages"][-1]["content"]]
    }
    found = tasks.semantic_roles(text)
    assert [(one.text, one.start) for one in found.predicates] == [("gave", 5), ("read", 26)]
    arguments = [one for predicate in found.predicates for one in predicate.arguments]
    assert [(one.role, one.text) for one in arguments] == [
        ("agent", "Mary"),
        ("recipient", "John"),
        ("agent", "He"),
    ]
    assert all(text[one.start : one.end] == one.text for one in arguments)
    assert found.dropped == (Dropped("Bob", "agent"), Dropped("it", "x"))
    assert found.usage.calls == 2


async def test_semantic_roles_of_chinese_text_and_a_predicate_that_is_not_there(
    engine: FakeEngine, async_tasks: AsyncTasks
) -> None:
    engine.answer = lambda _: {
        "predicates": [
            {"predicate": "送", "arguments": [argument("施事", "小明")]},
            {"predicate": "卖", "arguments": None},
            {"predicate": "送", "arguments": "?"},
        ]
    }
    found = await async_tasks.semantic_roles("昨天小明送书，小红送花。", ["施事"])
    assert [(one.start, len(one.arguments)) for one in found.predicates] == [(4, 1), (9, 0)]
    assert found.dropped == (Dropped("卖", "predicate"),)


def test_keywords_stand_in_the_text_with_all_their_places(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda _: {"keywords": ["cache", "Cache", "memory", "speed", 7, "blocks"]}
    found = tasks.keywords("The cache has blocks. The cache saves memory.", 2)
    assert [(one.text, [place.start for place in one.places]) for one in found.keywords] == [
        ("cache", [4, 26]),
        ("memory", [38]),
    ]
    assert found.dropped == ("speed",)
    assert schema_of(engine)["properties"]["keywords"]["maxItems"] == 2


async def test_keywords_of_chinese_text(engine: FakeEngine, async_tasks: AsyncTasks) -> None:
    engine.answer = lambda _: {"keywords": ["缓存", "内存"]}
    found = await async_tasks.keywords("缓存存放在块中。")
    assert [one.text for one in found.keywords] == ["缓存"]
    assert "5个词语" in engine.prompts()[0]


@pytest.mark.parametrize("top_k", [0, 51])
def test_number_of_keywords_has_bounds(tasks: Tasks, top_k: int) -> None:
    with pytest.raises(TaskInputError, match="top_k"):
        tasks.keywords("x", top_k)


TOWER = "The tower is in Paris. It was built in 1889."


def test_answer_quotes_the_text(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda _: {"quote": "It was built in 1889.", "answer": "1889"}
    found = tasks.answer(TOWER, "When was it built?")
    assert (found.outcome, found.answer, found.is_answered) == (Outcome.ANSWERED, "1889", True)
    assert found.quote is not None
    assert TOWER[found.quote.start : found.quote.end] == found.quote.text == "It was built in 1889."
    quotes = schema_of(engine)["properties"]["quote"]["enum"]
    assert quotes == ["The tower is in Paris.", "It was built in 1889.", ""]


@pytest.mark.parametrize(
    ("said", "outcome", "answer"),
    [
        ({"quote": "", "answer": "1889"}, Outcome.NOT_IN_TEXT, None),
        ({"quote": "The tower is in Paris.", "answer": " "}, Outcome.NOT_IN_TEXT, None),
        ({"quote": "It is tall.", "answer": "330 m"}, Outcome.UNSUPPORTED, "330 m"),
    ],
)
def test_answer_without_a_quote_from_the_text_is_none(
    engine: FakeEngine, tasks: Tasks, said: object, outcome: Outcome, answer: str | None
) -> None:
    engine.answer = lambda _: said
    found = tasks.answer(TOWER, "How tall is it?")
    assert (found.outcome, found.answer, found.quote, found.is_answered) == (outcome, answer, None, False)


async def test_answer_from_a_piece_of_a_long_chinese_text(
    engine: FakeEngine, async_tasks: AsyncTasks
) -> None:
    engine.max_model_len = 700
    text = "这里什么都没有写。" * 30 + "塔建于1889年。" + "这里什么都没有写。" * 30
    said = {"quote": "塔建于1889年。", "answer": "1889年"}
    nothing = {"quote": "", "answer": ""}
    engine.answer = lambda body: said if "1889" in body["messages"][-1]["content"] else nothing
    found = await async_tasks.answer(text, "塔建于哪一年？")
    assert found.quote is not None
    assert text[found.quote.start : found.quote.end] == "塔建于1889年。"
    assert len(found.completions) == len(engine.prompts()) > 1


@pytest.mark.parametrize(("finish_reason", "message"), [("length", "raise it"), ("stop", "enforce schemas")])
def test_answer_that_is_no_object_is_told_on(
    engine: FakeEngine, tasks: Tasks, finish_reason: str, message: str
) -> None:
    engine.finish_reason = finish_reason
    engine.answer = lambda _: '{"quote": "The'
    with pytest.raises(TaskOutputError, match=message):
        tasks.answer(TOWER, "Where?")


def test_answer_needs_a_question(tasks: Tasks) -> None:
    with pytest.raises(TaskInputError, match="question"):
        tasks.answer(TOWER, " ")
