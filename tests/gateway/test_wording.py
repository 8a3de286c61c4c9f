"""Sentences in each language: the same in all, and problems told in English found again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lmaas_gateway
from lmaas_gateway.administration.call_steps import MEANINGS
from lmaas_gateway.wording import LANGUAGES, Said, read_words, sentences_of

CHINESE = sentences_of("zh")
PROBLEMS = {
    name: text for name, text in read_words("lmaas_gateway", "en").items() if name.startswith("problems.")
}


def test_every_language_has_the_same_sentences_with_the_same_places() -> None:
    english, chinese = (read_words("lmaas_gateway", language) for language in LANGUAGES)
    assert {name for name in chinese if not name.startswith("meanings.")} == set(english)
    assert {f"meanings.{code}" for code in MEANINGS} == set(chinese) - set(english)
    for name, text in english.items():
        assert set(re.findall(r"\{(\w+)", text)) == set(re.findall(r"\{(\w+)", chinese[name])), name


@pytest.mark.parametrize("name", PROBLEMS)
def test_problem_is_one_that_the_code_tells_and_is_found_again(name: str) -> None:
    sources = [path.read_text("utf-8") for path in Path(lmaas_gateway.__file__).parent.rglob("*.py")]
    # As they stand in code, where a sentence may be of several parts.
    code = re.sub(r'"\s*f?"', "", "\n".join(sources))
    for literal in re.split(r"\{\w+\}", PROBLEMS[name].partition("; upgrade")[0]):
        assert literal in code, literal
    values = {place: f"v{number}" for number, place in enumerate(re.findall(r"\{(\w+)\}", PROBLEMS[name]))}
    assert CHINESE.problem(PROBLEMS[name].format(**values)) == CHINESE(name, **values)


def test_problem_within_a_problem_is_found_too_and_one_that_nobody_knows_stays() -> None:
    text = "the engine was killed by SIGKILL; given up after 3 failed starts"
    assert CHINESE.problem(text) == "引擎被 SIGKILL 终止；3 次启动失败后放弃"
    assert CHINESE.problem("of another kind") == "of another kind"
    down = Said("alerts.down", {"model": "m", "replica": "m-0", "problem": "no connection: OSError"})
    assert CHINESE.tell(down) == "m 的副本 m-0 不可用：无法连接：OSError"
    assert sentences_of("en").tell(down) == "m-0 of m is down: no connection: OSError"
    assert CHINESE.tell(Said("alerts.of_a_later_release")) == "alerts.of_a_later_release"
