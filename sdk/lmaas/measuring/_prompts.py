"""What calls say: those of a log in their order, or made-up texts of the lengths that were described."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lmaas.measuring._workload import Workload

_ENGLISH: Final = (
    "river stone bridge market letter garden window street winter summer morning evening paper table "
    "mountain harbour village doctor teacher engine forest bottle silver copper yellow purple quiet narrow "
    "sudden gentle carry follow gather measure travel listen answer remember between under beyond"
)
_CHINESE: Final = (
    "山水桥城市信园窗街冬夏晨晚纸桌港村医师林瓶银铜黄紫静窄急柔走跟收量行听答记间下外时光年月日星风雨雪花"
)
_WORDS: Final[Mapping[str, Sequence[str]]] = {"en": _ENGLISH.split(), "zh": _CHINESE}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One call to send.

    Attributes:
        body: Of `chat/completions`, or of `completions` if it has a `prompt`; without model and stream.
        output_tokens: The most that the answer may have; None leaves it to the body.
    """

    body: Mapping[str, Any] = field(repr=False)
    output_tokens: int | None = None

    @property
    def is_chat(self) -> bool:
        """Whether it is a conversation."""
        return "messages" in self.body


@dataclass(frozen=True, slots=True)
class Tokens:
    """How many tokens made-up texts are, as a server counted: `overhead` + `a_word` x words."""

    overhead: float
    a_word: float

    def words_for(self, tokens: float) -> int:
        """Return how many words make so many tokens, at least 1."""
        return max(1, round((tokens - self.overhead) / self.a_word))


ESTIMATED_TOKENS: Final = Tokens(overhead=10.0, a_word=1.3)
"""Where no server counts: a rule of thumb."""


class Prompts:
    """The calls of a run. The same place in the run has the same call on every platform.

    Args:
        workload: What they are like.
        seed: Another one gives other texts.
        tokens: How many tokens words are.
    """

    def __init__(self, workload: Workload, *, seed: int = 0, tokens: Tokens = ESTIMATED_TOKENS) -> None:
        self._workload = workload
        self._seed = seed
        self._tokens = tokens

    def at(self, leg: str, index: int) -> Prompt:
        """Return a call: `leg` names the stretch of the run, `index` the call within it."""
        source = random.Random(f"{self._seed}/{leg}/{index}")  # noqa: S311 - the same texts again
        if self._workload.calls:
            return self._logged(index, source)
        output_tokens = self._workload.output_tokens.draw(source)
        message = {"role": "user", "content": self._text(source)}
        return Prompt({"messages": [message], "temperature": 0}, output_tokens)

    def _logged(self, index: int, source: random.Random) -> Prompt:
        call = self._workload.calls[index % len(self._workload.calls)]
        return Prompt(call.body, call.output_tokens or self._workload.output_tokens.draw(source))

    def _text(self, source: random.Random) -> str:
        """Return a beginning that all calls have, and an end that none has."""
        workload = self._workload
        words = self._tokens.words_for(workload.prompt_tokens.draw(source))
        shared = round(words * workload.shared_prefix_share)
        language = self._language(source)
        same = random.Random(f"{self._seed}/prefix/{language}")  # noqa: S311 - the same beginning again
        prefix = made_up_text(same, shared, language)
        return prefix + made_up_text(source, max(words - shared, 1), language)

    def _language(self, source: random.Random) -> str:
        known = {name: share for name, share in self._workload.languages.items() if name in _WORDS and share}
        if not known:
            return "en"
        return source.choices(list(known), list(known.values()))[0]


def made_up_text(source: random.Random, words: int, language: str = "en") -> str:
    """Return so many random words, with blanks where the language has them; English for others than zh."""
    known = language if language in _WORDS else "en"
    blank = "" if known == "zh" else " "
    return "".join(word + blank for word in source.choices(_WORDS[known], k=words))
