from __future__ import annotations

import pickle
from importlib.resources import files
from string import Template
from typing import Any, get_args

import pytest

from lmaas import LMaaS
from lmaas.tasks import Prompt, TaskInputError, TaskOutputError, Tasks
from lmaas.tasks._job import Defaults
from lmaas.tasks._prompts import PLACEHOLDERS, packaged_prompt
from lmaas.tasks._text import Language
from sdk.fake_vllm import FakeEngine
from sdk.task_fixtures import client, engine, tasks

__all__ = ["client", "engine", "tasks"]

LANGUAGES: tuple[Language, ...] = get_args(Language)


def test_there_is_one_file_a_task_and_language_and_no_other() -> None:
    names = {path.name for path in files("lmaas.tasks").joinpath("prompts").iterdir()}
    assert names == {f"{task}.{language}.toml" for task in PLACEHOLDERS for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", sorted(PLACEHOLDERS))
def test_each_placeholder_stands_in_the_prompt_and_is_filled(task: str, language: Language) -> None:
    prompt = packaged_prompt(task, language)
    used = {*Template(prompt.user).get_identifiers(), *Template(prompt.system).get_identifiers()}
    assert used == PLACEHOLDERS[task]
    filled = "".join(m["content"] for m in prompt.messages({name: f"<{name}>" for name in used}))
    assert "$" not in filled
    assert all(f"<{name}>" in filled for name in used)


@pytest.mark.parametrize("task", sorted(PLACEHOLDERS))
def test_prompts_of_both_languages_have_the_same_words(task: str) -> None:
    assert packaged_prompt(task, "en").words.keys() == packaged_prompt(task, "zh").words.keys()


def test_what_looks_like_a_placeholder_in_a_text_stays_what_it_is() -> None:
    (message,) = Prompt("$$5 for $text").messages({"text": "$text and ${labels} {text}"})
    assert message["content"] == "$5 for $text and ${labels} {text}"


def test_prompt_of_a_call_goes_before_that_of_the_tasks(engine: FakeEngine, client: LMaaS) -> None:
    mine = Tasks(client, model="m", prompts={"summarize": Prompt("Mine: $text", "S")})
    mine.summarize("x")
    mine.summarize("x", prompt=Prompt("Yours: $text"))
    mine.summarize("x", prompt=Prompt("Long: $text $length", words={"free": "a line"}))
    bodies = engine.bodies("/chat/completions")
    assert bodies[0]["messages"] == [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Mine: x"},
    ]
    assert engine.prompts()[1:] == ["Yours: x", "Long: x a line"]


@pytest.mark.parametrize(
    ("task", "prompt", "message"),
    [
        (
            "summarize",
            Prompt("$text $labels"),
            r"\$labels, which is not filled in; there are \$length, \$text",
        ),
        ("summarize", Prompt("no text"), r"no \$text"),
        ("dance", Prompt("$text"), "no prompt of 'dance'"),
    ],
)
def test_prompt_that_could_not_be_filled_is_refused(task: str, prompt: Prompt, message: str) -> None:
    with pytest.raises(TaskInputError, match=message):
        Defaults(model="m", prompts={task: prompt})


def test_language_is_the_calls_then_the_tasks_then_the_texts() -> None:
    def language(text: str, options: Any, of_tasks: Language | None = None) -> str:
        return Defaults(model="m", language=of_tasks).job("summarize", text, options).language

    assert language("你好。", {}) == "zh"
    assert language("你好。", {}, "en") == "en"
    assert language("Hello.", {"language": "zh"}, "en") == "zh"


def test_model_has_to_be_named() -> None:
    assert Defaults(embedding_model="e").job("search", "x", {}).model == "e"
    assert Defaults(model="m").job("search", "x", {"model": "o"}).model == "o"
    with pytest.raises(TaskInputError, match="embedding_model= to Tasks"):
        Defaults(model="m").job("search", "x", {})
    with pytest.raises(TaskInputError, match="summarize needs a model"):
        Defaults(embedding_model="e").job("summarize", "x", {})


def test_misspelt_option_is_refused(tasks: Tasks) -> None:
    options: Any = {"temprature": 1}
    with pytest.raises(TypeError, match="temprature"):
        tasks.summarize("x", **options)


def test_options_reach_the_call(engine: FakeEngine, tasks: Tasks) -> None:
    tasks.summarize("x", temperature=0.5, top_p=0.9, seed=3, max_tokens=7, timeout=9)
    (body,) = engine.bodies("/chat/completions")
    assert {name: body[name] for name in ("temperature", "top_p", "seed", "max_tokens")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "max_tokens": 7,
    }


def test_errors_of_tasks_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(TaskOutputError("bad", "said")))
    assert (str(error), error.answer) == ("bad", "said")
