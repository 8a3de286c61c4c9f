from __future__ import annotations

import asyncio
import io
import json
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lmaas import errors
from lmaas.tasks import (
    AsyncTasks,
    Continuation,
    Progress,
    ProgressBar,
    Prompt,
    TaskInputError,
    TaskOutputError,
    Tasks,
)
from lmaas.tasks._map import map_items, map_items_async
from sdk.fake_vllm import FakeEngine
from sdk.task_fixtures import async_tasks, client, engine, tasks

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["async_tasks", "client", "engine", "tasks"]


def found(text: str) -> Continuation:
    return Continuation(text=text.upper(), finish_reason="stop")


def fails_on(bad: str, error: Exception) -> Any:
    def task(text: str) -> Continuation:
        if text == bad:
            raise error
        return found(text)

    return task


def test_results_and_errors_keep_the_order_of_the_texts() -> None:
    items = map_items(fails_on("b", TaskOutputError("no")), iter("abc"), concurrency=2)
    assert [(item.index, item.text) for item in items] == [(0, "a"), (1, "b"), (2, "c")]
    assert [item.result and item.result.text for item in items] == ["A", None, "C"]
    assert items[0].get().text == "A"
    with pytest.raises(TaskOutputError, match="no"):
        items[1].get()


async def test_asynchronous_map_keeps_them_too() -> None:
    async def task(text: str) -> Continuation:
        await asyncio.sleep(0)
        return fails_on("b", TaskOutputError("no"))(text)  # type: ignore[no-any-return]  # it returns Any

    items = await map_items_async(task, "abc", concurrency=2)
    assert [item.result and item.result.text for item in items] == ["A", None, "C"]
    assert isinstance(items[1].error, TaskOutputError)


def test_no_more_texts_are_under_way_than_allowed() -> None:
    lock, state = threading.Lock(), {"now": 0, "most": 0}
    both = threading.Barrier(3)

    def task(text: str) -> Continuation:
        with lock:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
        both.wait(5)
        with lock:
            state["now"] -= 1
        return found(text)

    assert len(map_items(task, "abcdef", concurrency=3)) == 6
    assert state["most"] == 3


async def test_no_more_coroutines_are_under_way_than_allowed() -> None:
    state = {"now": 0, "most": 0}

    async def task(text: str) -> Continuation:
        state["now"] += 1
        state["most"] = max(state["most"], state["now"])
        await asyncio.sleep(0)
        state["now"] -= 1
        return found(text)

    await map_items_async(task, "abcdef", concurrency=3)
    assert state["most"] == 3


@pytest.mark.parametrize("cls", [errors.AuthenticationError, errors.ModelNotFoundError])
async def test_error_that_all_texts_would_meet_ends_the_run(cls: type[errors.APIError]) -> None:
    seen: list[str] = []

    def task(text: str) -> Continuation:
        seen.append(text)
        raise cls("refused")

    async def coroutine(text: str) -> Continuation:
        return task(text)

    with pytest.raises(cls):
        map_items(task, "abcdef", concurrency=1)
    assert len(seen) < 6
    seen.clear()
    with pytest.raises(cls):
        await map_items_async(coroutine, "abcdef", concurrency=1)
    assert seen == ["a"]


def test_error_of_the_program_ends_the_run() -> None:
    with pytest.raises(ZeroDivisionError):
        map_items(fails_on("b", ZeroDivisionError()), "abc", concurrency=1)


@pytest.mark.parametrize("concurrency", [0, -1])
def test_concurrency_is_at_least_one(concurrency: int) -> None:
    with pytest.raises(TaskInputError, match="concurrency"):
        map_items(found, "abc", concurrency=concurrency)


def test_no_texts_no_items() -> None:
    assert map_items(found, [], concurrency=4) == []


def test_progress_is_told_after_each_text() -> None:
    told: list[Progress] = []
    clock = iter(range(100))
    map_items(
        fails_on("b", TaskOutputError("no")),
        "abc",
        concurrency=1,
        progress=told.append,
        clock=lambda: float(next(clock)),
    )
    assert [(one.done, one.total, one.failed, one.elapsed_s) for one in told][-1] == (3, 3, 1, 3.0)
    assert [one.done for one in told] == [1, 2, 3]
    assert str(told[-1]) == "3/3, 1 failed, 1.0/s"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_is_drawn_over_on_a_terminal_and_nowhere_else() -> None:
    screen, file = Screen(), io.StringIO()
    for done in (1, 2):
        for out in (screen, file):
            ProgressBar(out)(Progress(done, 2, 0, 1, 0.0))
    first, second = screen.getvalue().split("\r")[1:]
    assert first.startswith("[############............] 1/2, 1 resumed, 0.0/s")
    assert second.startswith("[########################] 2/2")
    assert second.endswith("\n")
    assert file.getvalue() == ""


def test_true_as_progress_draws_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    map_items(found, "ab", concurrency=1, progress=True)
    assert capsys.readouterr() == ("", "")  # it is no terminal here


def test_run_that_was_stopped_goes_on_where_it_was(engine: FakeEngine, tasks: Tasks, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    task = partial(tasks.summarize, max_sentences=1)

    def stop_at_c(progress: Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tasks.map(task, ["a", "b", "c"], concurrency=1, journal=journal, progress=stop_at_c)
    before = len(engine.prompts())
    with journal.open("ab") as file:
        file.write(b'{"key": "broken off')  # as a killed process leaves it
    told: list[Progress] = []
    items = tasks.map(task, ["a", "b", "c", "d"], concurrency=1, journal=journal, progress=told.append)
    resumed = [item.is_resumed for item in items]
    assert resumed[:2] == [True, True]
    assert resumed[3] is False
    assert len(engine.prompts()) - before == resumed.count(False)
    assert told[0].resumed == resumed.count(True)
    again = tasks.map(task, ["d", "c", "b", "a"], journal=journal)
    assert [item.is_resumed for item in again] == [True] * 4
    assert [item.get() for item in reversed(again)] == [item.get() for item in items]


async def test_journal_is_one_for_both_twins_and_keeps_whole_results(
    engine: FakeEngine, tasks: Tasks, async_tasks: AsyncTasks, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    (mine,) = tasks.map(partial(tasks.classify, labels=["x", "y"]), ["a"], journal=journal)
    (other,) = await async_tasks.map(partial(async_tasks.classify, labels=["x", "y"]), ["a"], journal=journal)
    assert other.is_resumed
    assert other.result == mine.result
    assert mine.get().completions[0].object == "text_completion"
    (chat,) = tasks.map(partial(tasks.summarize, max_words=3), ["a"], journal=journal)
    (read,) = tasks.map(partial(tasks.summarize, max_words=3), ["a"], journal=journal)
    assert read.is_resumed
    assert read.get().completions == chat.get().completions
    assert read.get().completions[0].object == "chat.completion"


def test_other_parameters_model_or_prompt_are_other_runs(
    engine: FakeEngine, tasks: Tasks, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    tasks.map(tasks.summarize, ["a"], journal=journal)
    for task in (
        partial(tasks.summarize, max_words=5),
        partial(tasks.summarize, model="other"),
        partial(tasks.summarize, prompt=Prompt("$text!")),
    ):
        (item,) = tasks.map(task, ["a"], journal=journal)
        assert not item.is_resumed
    (item,) = tasks.map(tasks.summarize, ["a"], journal=journal)
    assert item.is_resumed


def test_failures_are_not_kept(engine: FakeEngine, tasks: Tasks, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    engine.answer = lambda _: ValueError("too long")
    (item,) = tasks.map(tasks.summarize, ["a"], journal=journal)
    assert isinstance(item.error, errors.BadRequestError)
    engine.answer = lambda _: "fine"
    assert tasks.map(tasks.summarize, ["a"], journal=journal)[0].get().text == "fine"


def test_lines_that_this_release_cannot_read_are_run_again(
    engine: FakeEngine, tasks: Tasks, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    tasks.map(tasks.summarize, ["a"], journal=journal)
    line = json.loads(journal.read_text("utf-8"))
    for change in ({"type": "Unknown"}, {"result": {"text": 3}}):
        journal.write_text(json.dumps({**line, **change}) + '\n[]\n{"key": 1}\n', "utf-8")
        assert not tasks.map(tasks.summarize, ["a"], journal=journal)[0].is_resumed


@pytest.mark.parametrize("kind", ["lambda", "positional", "value"])
def test_task_that_a_journal_cannot_name_is_refused(tasks: Tasks, tmp_path: Path, kind: str) -> None:
    summarize: Any = tasks.summarize
    task: Any = {
        "lambda": lambda text: tasks.summarize(f"{text}."),
        "positional": partial(tasks.answer, "text"),
        "value": partial(summarize, timeout=object()),
    }[kind]
    with pytest.raises(TypeError, match="journal"):
        tasks.map(task, ["a"], journal=tmp_path / "j")


def test_set_of_labels_has_one_name(engine: FakeEngine, tasks: Tasks, tmp_path: Path) -> None:
    entities: Any = tasks.entities
    task = partial(entities, types=frozenset({"a", "b"}))
    engine.answer = lambda _: {"entities": []}
    tasks.map(task, ["x"], journal=tmp_path / "j")
    assert tasks.map(task, ["x"], journal=tmp_path / "j")[0].is_resumed
