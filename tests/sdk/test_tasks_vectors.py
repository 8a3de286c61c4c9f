from __future__ import annotations

import math

import pytest

from lmaas.tasks import AsyncTasks, TaskInputError, TaskOutputError, Tasks
from sdk.fake_vllm import FakeEngine
from sdk.task_fixtures import async_tasks, client, engine, tasks

__all__ = ["async_tasks", "client", "engine", "tasks"]


def angle(text: str) -> list[float]:
    """A vector whose direction is the number that the text is, in degrees."""
    radians = math.radians(float(text.split(maxsplit=1)[0]))
    return [3 * math.cos(radians), 3 * math.sin(radians)]


def test_similarity_is_the_cosine_in_the_order_given(engine: FakeEngine, tasks: Tasks) -> None:
    engine.vector = angle
    found = tasks.similarity("0", ["90", "0", "180", "60"])
    assert found.scores == pytest.approx((0, 1, -1, 0.5), abs=1e-6)
    assert found.score == found.scores[0]
    assert all(-1 <= score <= 1 for score in found.scores)
    assert engine.bodies("/embeddings")[0]["model"] == "e"
    assert found.usage.prompt_tokens == 5


async def test_similarity_with_one_text(engine: FakeEngine, async_tasks: AsyncTasks) -> None:
    engine.vector = angle
    assert (await async_tasks.similarity("0", "60")).score == pytest.approx(0.5)


def test_vector_of_zeros_is_like_nothing(engine: FakeEngine, tasks: Tasks) -> None:
    engine.vector = lambda _: [0.0, 0.0]
    assert tasks.similarity("a", "b").score == 0


def test_search_gives_the_closest_first_and_ties_as_given(engine: FakeEngine, tasks: Tasks) -> None:
    engine.vector = angle
    found = tasks.search("0", ["90", "10", "20", "10 again"], 3)
    assert [(hit.index, hit.text) for hit in found.hits] == [(1, "10"), (3, "10 again"), (2, "20")]
    assert found.hits[0].score == pytest.approx(math.cos(math.radians(10)))
    assert found.truncated == ()


async def test_many_documents_go_out_in_batches_and_come_back_in_order(
    engine: FakeEngine, async_tasks: AsyncTasks
) -> None:
    engine.vector = angle
    documents = [str(number) for number in range(1, 180)]
    found = await async_tasks.search("0", documents, top_k=200)
    assert [hit.index for hit in found.hits] == list(range(179))
    assert sorted(len(body["input"]) for body in engine.bodies("/embeddings")) == [52, 64, 64]


def test_text_longer_than_the_context_is_cut_and_named(engine: FakeEngine, tasks: Tasks) -> None:
    engine.max_model_len = 50
    long, border, chinese = "1 " + "x" * 60, "1 " + "y" * 44, "1 " + "字" * 30
    found = tasks.search("2 short", [long, "3 short", border, chinese])
    assert found.truncated == (0,)
    assert engine.bodies("/embeddings")[0]["truncate_prompt_tokens"] == -1
    assert tasks.similarity(long, "x").truncated == (-1,)


def test_server_that_tells_no_context_is_sent_everything(engine: FakeEngine, tasks: Tasks) -> None:
    engine.max_model_len = None
    assert tasks.similarity("a" * 9000, "b").truncated == ()
    assert tasks.summarize("x " * 9000).rounds == 0


def test_one_call_counts_tokens_when_all_texts_are_short(engine: FakeEngine, tasks: Tasks) -> None:
    tasks.search("a", ["b" * 9, "c"])
    assert [body["prompt"] for body in engine.bodies("/tokenize")] == ["b" * 9]
    assert "truncate_prompt_tokens" not in engine.bodies("/embeddings")[0]


@pytest.mark.parametrize("documents", [[], ["a", " "], "text"])
def test_search_needs_documents(tasks: Tasks, documents: list[str]) -> None:
    with pytest.raises(TaskInputError, match=r"one or more texts"):
        tasks.search("a", documents)


def test_numbers_of_hits_and_of_others_are_checked(tasks: Tasks) -> None:
    with pytest.raises(TaskInputError, match="top_k is 0"):
        tasks.search("a", ["b"], 0)
    with pytest.raises(TaskInputError, match="others"):
        tasks.similarity("a", [])


def test_reply_without_a_vector_for_each_text_is_told_on(engine: FakeEngine, tasks: Tasks) -> None:
    engine.vector = angle
    engine.lacks_vectors = True
    with pytest.raises(TaskOutputError, match="one vector"):
        tasks.similarity("0", "1")
