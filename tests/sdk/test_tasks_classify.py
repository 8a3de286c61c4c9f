from __future__ import annotations

import math

import pytest

from lmaas.tasks import AsyncTasks, TaskInputError, TaskOutputError, Tasks
from sdk.fake_vllm import END, FakeEngine, likes
from sdk.task_fixtures import async_tasks, client, engine, tasks

__all__ = ["async_tasks", "client", "engine", "tasks"]


def test_probabilities_follow_the_log_probabilities(engine: FakeEngine, tasks: Tasks) -> None:
    engine.logprob = likes(cat=0.06, dog=0.02)
    found = tasks.classify("Woof.", ["cat", "dog"])
    assert found.label == "cat"
    assert found.probabilities == pytest.approx({"cat": 0.75, "dog": 0.25})
    assert found.logprobs == pytest.approx({"cat": math.log(0.06), "dog": math.log(0.02)})
    assert found.prior is None


def test_label_is_scored_with_the_token_that_ends_an_answer(engine: FakeEngine, tasks: Tasks) -> None:
    tasks.classify("x", ["good", "goodness"])
    (call,) = engine.bodies("/completions")
    asked = {"".join(map(chr, prompt)).partition("<assistant>")[2] for prompt in call["prompt"]}
    assert asked == {"", *("goodness"[:length] for length in range(1, 9))}
    assert END in call["logprob_token_ids"]
    assert (call["max_tokens"], call["logprobs"]) == (1, 1)


def test_a_label_that_begins_another_gets_its_own_share(engine: FakeEngine, tasks: Tasks) -> None:
    def logprob(prompt: str, token: int) -> float:
        if prompt.endswith("good"):
            return math.log(0.3) if token == END else math.log(0.7)
        return 0.0

    engine.logprob = logprob
    found = tasks.classify("x", ["good", "goodness"])
    assert found.probabilities == pytest.approx({"good": 0.3, "goodness": 0.7})


def test_prior_without_text_is_divided_out(engine: FakeEngine, tasks: Tasks) -> None:
    with_text, without = likes(cat=0.6, dog=0.2), likes(cat=0.9, dog=0.1)
    engine.logprob = lambda prompt, token: (without if "N/A" in prompt else with_text)(prompt, token)
    found = tasks.classify("Woof.", ["cat", "dog"], calibrate=True)
    assert found.prior == pytest.approx({"cat": 0.9, "dog": 0.1})
    assert found.probabilities == pytest.approx({"cat": 0.25, "dog": 0.75})
    assert found.label == "dog"


def test_tokens_and_prior_of_labels_are_asked_for_once(engine: FakeEngine, tasks: Tasks) -> None:
    first = tasks.classify("one", ["cat", "dog"], calibrate=True)
    second = tasks.classify("two", ["cat", "dog"], calibrate=True)
    assert first.usage.calls == 8  # 4 tokens of labels and endings, 2 prompts, 2 scores
    assert second.usage.calls == 2
    assert second.prior == first.prior
    assert (second.usage.prompt_tokens, second.usage.total_tokens) == (10, 12)


def test_many_labels_are_scored_in_several_calls(engine: FakeEngine, tasks: Tasks) -> None:
    labels = [chr(0x4E00 + number) for number in range(200)]
    engine.logprob = lambda _, token: 0.0 if token in {0x4E00 + 150, END} else -5.0
    found = tasks.classify("x", labels)
    assert found.label == labels[150]
    assert len(engine.bodies("/completions")) == 202


def test_labels_with_meanings_stand_in_the_prompt(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda _: "b"
    tasks.classify("x", {"a": "first", "b": "second"}, method="choice")
    assert "- a: first\n- b: second" in engine.prompts()[0]


def test_choice_is_one_call_held_to_the_labels(engine: FakeEngine, tasks: Tasks) -> None:
    engine.answer = lambda _: "b"
    found = tasks.classify("x", ["a", "b"], method="choice")
    assert (found.label, found.probabilities, found.usage.calls) == ("b", None, 1)
    assert engine.bodies("/chat/completions")[0]["structured_outputs"] == {"choice": ["a", "b"]}


def test_server_that_does_not_hold_the_model_to_the_labels_is_told_on(
    engine: FakeEngine, tasks: Tasks
) -> None:
    engine.answer = lambda _: "neither"
    with pytest.raises(TaskOutputError, match="none of the labels") as caught:
        tasks.classify("x", ["a", "b"], method="choice")
    assert caught.value.answer == "neither"
    assert "neither" not in str(caught.value)


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "a"], ["a", " "], "ab"])
def test_labels_that_cannot_work_are_refused_before_any_call(
    engine: FakeEngine, tasks: Tasks, labels: list[str]
) -> None:
    with pytest.raises(TaskInputError, match="two or more"):
        tasks.classify("x", labels)
    assert engine.calls == []


def test_choice_has_nothing_to_calibrate(tasks: Tasks) -> None:
    with pytest.raises(TaskInputError, match="calibrate"):
        tasks.classify("x", ["a", "b"], method="choice", calibrate=True)


def test_without_an_end_a_label_that_begins_another_is_refused(engine: FakeEngine, tasks: Tasks) -> None:
    engine.ends_answers = False
    assert tasks.classify("x", ["one", "two"]).label in {"one", "two"}
    with pytest.raises(TaskInputError, match="'good' is how 'goodness' begins"):
        tasks.classify("x", ["good", "goodness"])


def test_server_without_scores_of_tokens_is_told_on(engine: FakeEngine, tasks: Tasks) -> None:
    engine._scored = lambda *args: {"index": args[0], "text": "x"}  # type: ignore[method-assign]  # a fault
    with pytest.raises(TaskOutputError, match="logprob_token_ids"):
        tasks.classify("x", ["a", "b"])


def test_reply_without_a_choice_for_each_place_is_told_on(engine: FakeEngine, tasks: Tasks) -> None:
    engine.has_choices = False
    with pytest.raises(TaskOutputError, match="logprob_token_ids"):
        tasks.classify("x", ["a", "b"])


def test_server_that_names_tokens_by_text_is_told_on(engine: FakeEngine, tasks: Tasks) -> None:
    top = {"logprobs": {"top_logprobs": [{"a": -1.0}]}}
    engine._scored = lambda *args: {"index": args[0], "text": "x", **top}  # type: ignore[method-assign]  # a fault
    with pytest.raises(TaskOutputError, match="logprob_token_ids"):
        tasks.classify("x", ["a", "b"])


def test_sentiment_scores_positive_less_negative(engine: FakeEngine, tasks: Tasks) -> None:
    def logprob(prompt: str, token: int) -> float:
        shares = {"p": 0.6, "u": 0.1, "g": 0.3}  # "neutral" and "negative" part at their third letter
        return math.log(shares.get(chr(token), 1.0)) if prompt.endswith(("<assistant>", "ne")) else 0.0

    engine.logprob = logprob
    found = tasks.sentiment("Nice.")
    assert found.label == "positive"
    assert found.score == pytest.approx(0.3)
    assert math.fsum(found.probabilities.values()) == pytest.approx(1)


async def test_sentiment_of_chinese_text_is_asked_in_chinese(
    engine: FakeEngine, async_tasks: AsyncTasks
) -> None:
    engine.logprob = likes(消极=0.9, 积极=0.05, 中性=0.05)
    found = await async_tasks.sentiment("这家酒店太糟糕了。", calibrate=True)
    assert found.logprobs["negative"] == pytest.approx(math.log(0.9))
    assert found.score == pytest.approx(0)  # the prior is the same here, and divided out
    prompts = ["".join(map(chr, body["prompt"][0])) for body in engine.bodies("/completions")]
    assert "这家酒店太糟糕了。" in prompts[0]
    assert all("积极、中性、消极" in prompt for prompt in prompts)
    assert "无" in prompts[1]


async def test_twins_find_the_same(engine: FakeEngine, tasks: Tasks, async_tasks: AsyncTasks) -> None:
    engine.logprob = likes(cat=0.06, dog=0.02)
    mine = tasks.classify("x", ["cat", "dog"])
    other = await async_tasks.classify("x", ["cat", "dog"])
    assert mine.probabilities == other.probabilities
    assert mine.usage == other.usage
