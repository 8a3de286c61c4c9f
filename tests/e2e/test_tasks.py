"""The tasks on the real engine: contract, constraint and arithmetic.

The embedded model is small: what it says is often wrong. Quality is printed beside a baseline, not demanded.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from e2e.at_once import AtOnce
from e2e.live_gateway import CHAT, EMBEDDING, LiveGateway
from lmaas import AsyncLMaaS, LMaaS
from lmaas.tasks import AsyncTasks, Outcome, Tasks
from lmaas.tasks._text import length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

DATA = Path(__file__).parent / "data"
RIVER = (
    "The river rose in the night. Many streets of the old town were flooded. The mayor asked people to "
    "leave their houses. Schools stayed closed for two days. Nobody was hurt. "
)

CHOICES = (("bug", "praise", "question"), ("表扬", "投诉"))
FEELINGS = ("太好了，我很喜欢。", "这家酒店太糟糕了。")
ENTITIES = (
    ("Alice Smith flew from Paris to New York. Alice likes Paris.", ("person", "city")),
    ("李明昨天从北京飞到上海。", ("人名", "地名")),
)
SENTENCES = ("Mary gave the book to John. He read it.", "小明把书送给了小红。")
TEXTS = (RIVER, "河水在夜里上涨。许多街道被淹。学校停课两天。")
QUESTIONS = (
    ("The tower was built in 1889. It is in Paris.", "When was the tower built?"),
    ("这座塔建于1889年。它在巴黎。", "塔建于哪一年？"),
)
LIMITS: tuple[tuple[str, Any, int], ...] = (
    ("max_sentences", "sentences", 1),
    ("max_words", "words", 12),
    ("max_characters", "characters", 60),
)

Asked: TypeAlias = AtOnce[tuple[Any, ...], Any]
"""What tasks found, by the name of each and what it was given."""


def questions() -> Iterator[tuple[tuple[Any, ...], Callable[[Tasks], Any]]]:
    """Everything that more than one case asks."""
    for labels in CHOICES:
        choose = methodcaller("classify", "It crashes when I press save.", list(labels), method="choice")
        yield ("classify", labels), choose
    for text in FEELINGS:
        yield ("sentiment", text), methodcaller("sentiment", text)
    for text, types in ENTITIES:
        yield ("entities", text), methodcaller("entities", text, list(types), max_tokens=160)
    for text in SENTENCES:
        yield ("semantic_roles", text), methodcaller("semantic_roles", text, max_tokens=128)
    for text in TEXTS:
        yield ("keywords", text), methodcaller("keywords", text, 3)
    for text, question in QUESTIONS:
        yield ("answer", text), methodcaller("answer", text, question)
    for limit, _, number in LIMITS:
        yield ("summarize", limit), methodcaller("summarize", RIVER, max_tokens=64, **{limit: number})


@pytest.fixture
def tasks(client: LMaaS) -> Tasks:
    return Tasks(client, model=CHAT, embedding_model=EMBEDDING)


@pytest.fixture(scope="module")
def asked(gateway: LiveGateway) -> Iterator[Asked]:
    calls = dict(questions())
    with LMaaS(base_url=gateway.base_url, max_retries=0) as client:
        tasks = Tasks(client, model=CHAT, embedding_model=EMBEDDING)
        with AtOnce(lambda name: calls[name](tasks), calls) as found:
            yield found


def softmax(logprobs: Mapping[str, float]) -> dict[str, float]:
    weights = {label: math.exp(value) for label, value in logprobs.items()}
    return {label: weight / sum(weights.values()) for label, weight in weights.items()}


def echoed_logprob(client: LMaaS, text: str, label: str) -> float:
    """The log-probability of a label by another road: the whole conversation sent, its prompt scored."""
    messages = [{"role": "user", "content": text}]
    tokens = partial(client.tokenize.create, model=CHAT)
    begin = tokens(messages=messages, add_generation_prompt=True).tokens
    answered = [*messages, {"role": "assistant", "content": label}]
    whole = tokens(messages=answered, add_generation_prompt=False).tokens
    end = len(begin) + tokens(prompt=label, add_special_tokens=False).count + 1
    reply = client.completions.create(
        model=CHAT, prompt=whole[:end], max_tokens=1, temperature=0, echo=True, logprobs=1
    )
    assert reply.choices[0].logprobs is not None
    return sum(value or 0.0 for value in reply.choices[0].logprobs.token_logprobs[len(begin) : end])


@pytest.mark.parametrize("labels", [["sports", "politics", "cooking"], ["good", "goodness", "bad luck"]])
def test_probabilities_are_those_that_the_engine_gives_the_labels(
    client: LMaaS, tasks: Tasks, labels: list[str]
) -> None:
    found = tasks.classify("The parliament voted on the new law.", labels)
    assert found.probabilities is not None
    assert found.logprobs is not None
    assert found.label in labels
    assert math.fsum(found.probabilities.values()) == pytest.approx(1)
    assert found.probabilities == pytest.approx(softmax(found.logprobs))
    assert found.label == max(found.logprobs, key=lambda label: (found.logprobs or {})[label])
    prompt = tasks._defaults.job("classify", "The", {}).prompt.messages(
        {
            "text": "The parliament voted on the new law.",
            "labels": "\n".join(f"- {label}" for label in labels),
        }
    )[0]["content"]
    for label in labels:
        assert found.logprobs[label] == pytest.approx(echoed_logprob(client, prompt, label), abs=0.01)


def test_calibration_divides_the_prior_out(tasks: Tasks) -> None:
    found = tasks.classify("Fry the onions in butter.", ["sports", "cooking"], calibrate=True)
    assert found.logprobs is not None
    assert found.prior is not None
    assert math.fsum(found.prior.values()) == pytest.approx(1)
    odds = {label: value - math.log(found.prior[label]) for label, value in found.logprobs.items()}
    assert found.probabilities == pytest.approx(softmax(odds))


@pytest.mark.parametrize("labels", CHOICES)
def test_choice_is_one_of_the_labels(asked: Asked, labels: tuple[str, ...]) -> None:
    assert asked["classify", labels].label in labels


def test_sentiment_beside_the_majority_baseline(tasks: Tasks, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (DATA / "sentiment.en.tsv").read_text("utf-8").splitlines()
    rows = [tuple(line.split("\t")) for line in lines]
    items = tasks.map(tasks.sentiment, [text for _, text in rows])
    found = [item.get() for item in items]
    assert [item.text for item in items] == [text for _, text in rows]
    for one in found:
        assert one.score == pytest.approx(one.probabilities["positive"] - one.probabilities["negative"])
        assert math.fsum(one.probabilities.values()) == pytest.approx(1)
    right = sum(one.label == label for one, (label, _) in zip(found, rows, strict=True))
    majority = Counter(label for label, _ in rows).most_common(1)[0][1]
    with capsys.disabled():
        print(  # noqa: T201 - a measurement, for whoever runs the suite
            f"\nsentiment of {CHAT}: {right}/{len(rows)} right; majority baseline {majority}/{len(rows)}"
        )


@pytest.mark.parametrize("text", FEELINGS)
def test_sentiment_of_chinese_text_is_a_distribution_too(asked: Asked, text: str) -> None:
    found = asked["sentiment", text]
    assert math.fsum(found.probabilities.values()) == pytest.approx(1)
    assert -1 <= found.score <= 1


@pytest.mark.parametrize(("text", "types"), ENTITIES)
def test_entities_stand_in_the_text_where_they_say(asked: Asked, text: str, types: tuple[str, ...]) -> None:
    found = asked["entities", text]
    assert found.entities or found.dropped
    assert all(text[one.start : one.end] == one.text and one.type in types for one in found.entities)
    places = [(one.start, one.end) for one in found.entities]
    assert places == sorted(set(places))


@pytest.mark.parametrize("text", SENTENCES)
def test_semantic_roles_stand_in_their_sentence(asked: Asked, text: str) -> None:
    # Whether a model this small finds any is its quality; that each sentence was asked about is the contract.
    found = asked["semantic_roles", text]
    parts: list[Any] = [
        *found.predicates,
        *(one for predicate in found.predicates for one in predicate.arguments),
    ]
    assert all(text[one.start : one.end] == one.text for one in parts)
    sentences = text.count(".") + text.count("。")
    assert len(found.completions) == found.usage.calls == sentences
    assert found.usage.completion_tokens > 0


@pytest.mark.parametrize("text", TEXTS)
def test_keywords_stand_in_the_text(asked: Asked, text: str) -> None:
    found = asked["keywords", text]
    assert len(found.keywords) <= 3
    assert all(text[place.start : place.end] == place.text for one in found.keywords for place in one.places)
    assert found.keywords or found.dropped


@pytest.mark.parametrize("text", [text for text, _ in QUESTIONS])
def test_quote_of_an_answer_stands_in_the_text(asked: Asked, text: str) -> None:
    found = asked["answer", text]
    assert found.outcome in {Outcome.ANSWERED, Outcome.NOT_IN_TEXT}  # the engine allows no other quote
    if found.quote is not None:
        assert text[found.quote.start : found.quote.end] == found.quote.text


@pytest.mark.parametrize(("limit", "unit", "number"), LIMITS)
def test_summary_keeps_its_length(asked: Asked, limit: str, unit: Any, number: int) -> None:
    found = asked["summarize", limit]
    assert 0 < found.length == length(found.text, unit) <= number


def test_summary_of_a_long_text_is_map_and_reduce(tasks: Tasks) -> None:
    text = RIVER * 6
    found = tasks.summarize(text, max_chunk_tokens=100, max_tokens=32, max_sentences=2)
    assert found.rounds >= 1
    assert len(found.parts) > 2
    assert all(text[part.span.start : part.span.end] == part.span.text for part in found.parts)
    assert len(found.completions) > len(found.parts)
    prompts = [reply.usage.prompt_tokens for reply in found.completions if reply.usage]
    assert max(prompts) < 100 + 60  # a piece and the prompt around it
    assert found.usage.prompt_tokens == sum(prompts)


def test_translation_keeps_the_order_and_the_glossary(tasks: Tasks) -> None:
    found = tasks.translate(RIVER * 2, "French", {"mayor": "maire"}, max_chunk_tokens=24, max_tokens=64)
    assert [piece.span.start for piece in found.pieces] == sorted(piece.span.start for piece in found.pieces)
    assert len(found.pieces) > 2
    at = 0
    for piece in found.pieces:
        at = found.text.index(piece.translation, at)
    for piece in found.pieces:
        lacks = "mayor" in piece.span.text and not re.search(r"\bmaire\b", piece.translation, re.IGNORECASE)
        assert piece.missing == (("maire",) if lacks else ())


def test_continuation_repeats_itself(tasks: Tasks) -> None:
    first, second = (tasks.complete("Once upon a time", max_tokens=8) for _ in range(2))
    assert first.text == second.text != ""
    assert first.usage.completion_tokens == 8


def test_similarity_orders_by_meaning_and_search_agrees(tasks: Tasks) -> None:
    texts = ["The stock market fell today.", "A kitten naps on the couch.", "word " * 400]
    found = tasks.similarity("A cat sleeps on the sofa.", texts)
    assert found.scores[1] > found.scores[0]
    assert all(-1 <= score <= 1 for score in found.scores)
    hits = tasks.search("A cat sleeps on the sofa.", texts, top_k=2)
    assert hits.hits[0].index == 1
    assert hits.hits[0].score == pytest.approx(found.scores[1], abs=1e-5)
    assert found.truncated == hits.truncated == (2,)


async def test_twins_agree_and_a_run_is_resumed(gateway: LiveGateway, tasks: Tasks, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    texts = ["I love it.", "I hate it.", "It is a table."]
    mine = tasks.map(partial(tasks.sentiment, calibrate=True), texts, journal=journal)
    async with AsyncLMaaS(base_url=gateway.base_url, max_retries=0) as client:
        others = AsyncTasks(client, model=CHAT, embedding_model=EMBEDDING)
        fresh = await others.map(partial(others.sentiment, calibrate=True), texts)
        resumed = await others.map(partial(others.sentiment, calibrate=True), texts, journal=journal)
    for one, other, read in zip(mine, fresh, resumed, strict=True):
        assert one.get().probabilities == pytest.approx(other.get().probabilities, abs=1e-3)
        assert read.is_resumed
        assert read.get().usage == one.get().usage
        raw, kept = (item.get().completions for item in (one, read))
        assert [reply.model_dump() for reply in raw] == [reply.model_dump() for reply in kept]
