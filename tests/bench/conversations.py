"""Multi-turn chats as they come to a service: shared system prompts, turns of very different lengths.

The same seed gives the same chats. The lengths of what users write follow a log-normal distribution, as they
do in published logs: mostly a sentence or two, now and then a pasted page.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

_MEDIAN_WORDS, _SIGMA = 90, 1.1
_FEWEST_WORDS, _MOST_WORDS = 12, 600
_SYSTEM_WORDS = 320
_SYLLABLES = (
    *("ka", "lo", "mi", "ne", "ru", "sa", "te", "vo", "wi", "xa", "yo"),
    *("ze", "pra", "sto", "lin", "mar", "den", "gol", "fer", "tum"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSize:
    """How many chats, how long; answers in tokens."""

    chats: int = 36
    turns: int = 5
    system_prompts: int = 6
    answer_tokens: int = 48
    in_flight: int = 6


@dataclass(frozen=True, slots=True)
class Chat:
    """One conversation's own side: what system and user say."""

    system: str
    turns: tuple[str, ...]


def chats(size: TrafficSize, *, seed: int = 1) -> tuple[Chat, ...]:
    """Make the chats, each with one of the shared system prompts."""
    source = random.Random(seed)
    vocabulary = ["".join(source.choices(_SYLLABLES, k=source.randint(1, 3))) for _ in range(2_000)]

    def text(words: int) -> str:
        return " ".join(source.choices(vocabulary, k=words)) + "."

    systems = [f"You are assistant {number}. {text(_SYSTEM_WORDS)}" for number in range(size.system_prompts)]
    return tuple(
        Chat(
            systems[number % len(systems)],
            tuple(text(turn_words(source)) for _ in range(size.turns)),
        )
        for number in range(size.chats)
    )


def turn_words(source: random.Random) -> int:
    """Draw the length of a turn."""
    drawn = round(_MEDIAN_WORDS * source.lognormvariate(0, _SIGMA))
    return min(max(drawn, _FEWEST_WORDS), _MOST_WORDS)


def rounds(size: TrafficSize, *, seed: int = 2) -> tuple[tuple[int, ...], ...]:
    """Order the calls: every chat's first turn, then every chat's second, each time shuffled anew."""
    source = random.Random(seed)
    order = list(range(size.chats))
    shuffled = []
    for _ in range(size.turns):
        source.shuffle(order)
        shuffled.append(tuple(order))
    return tuple(shuffled)


def messages(chat: Chat, answers: Sequence[str]) -> list[dict[str, str]]:
    """Write the request's messages of the turn that follows so many answers."""
    told = [{"role": "system", "content": chat.system}]
    for turn, answer in zip(chat.turns, answers, strict=False):
        told += [{"role": "user", "content": turn}, {"role": "assistant", "content": answer}]
    return [*told, {"role": "user", "content": chat.turns[len(answers)]}]
