"""The questions of `lmaas choose`, each with a sane default. The answers become a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note

_FILE: Final = Path("choice.yaml")
_SCORES: Final = {"performance": 3.0, "scalability": 1.0, "ease of use": 1.0, "cost": 2.0}

Ask = Callable[[str], str]


def interview(ask: Ask, path: Path = _FILE) -> Path:
    """Ask, and write the choice to `path`; an empty answer takes what stands in brackets.

    Args:
        ask: Shows a question and returns the answer, as `input` does.
        path: The file; one that is there already is not overwritten.

    Raises:
        CommandError: `path` is there already, or cannot be written.
    """
    import yaml

    if path.exists():
        raise CommandError(f"{path} is there already; run `lmaas choose {path}`, or move it away")
    note("An empty answer takes what stands in brackets.")
    choice = _choice(ask)
    try:
        path.write_text(yaml.safe_dump(choice, sort_keys=False, allow_unicode=True), "utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
    note(f"wrote {path}; edit it and run `lmaas choose {path}` again")
    return path


def _choice(ask: Ask) -> dict[str, Any]:
    candidates = [
        _candidate(name) for name in _list(ask, "Candidates, as platform/model with commas between")
    ]
    if not candidates:
        raise CommandError("there is nothing to choose from; `lmaas platforms list` names platforms")
    return {
        "task": {"kind": _text(ask, "What is it for (chat, classify, translate, …)", "chat")},
        "workload": _workload(ask),
        "rules": _rules(ask),
        "preferences": {"weights": _weights(ask)},
        "candidates": candidates,
        "evidence": _list(ask, "Reports of `lmaas bench` or `lmaas evaluate`, as .json [none]"),
    }


def _workload(ask: Ask) -> dict[str, Any]:
    mean = _number(ask, "Calls a second, on average", 1.0)
    peak = _number(ask, "And in the busiest hour", 3 * (mean or 1.0))
    slo = {
        "ttft_s": _number(ask, "Seconds to the first token, for 95 of 100 calls, at most", None),
        "e2e_s": _number(ask, "Seconds to the whole answer, the same", None),
        "availability": _share(ask, "Share of calls that must be answered, such as 0.99", None),
    }
    return {
        "name": "interview",
        "prompt_tokens": int(_number(ask, "Tokens of a prompt, on average", 800) or 800),
        "output_tokens": int(_number(ask, "Tokens of an answer, on average", 200) or 200),
        "calls_per_s": mean,
        "day": _day(mean or 1.0, peak or 1.0),
        "slo": {name: limit for name, limit in slo.items() if limit is not None},
    }


def _day(mean: float, peak: float) -> list[float]:
    """Return a day with one busiest hour and 23 alike, whose mean is the stated one."""
    high = max(peak / mean, 1.0)
    rest = max((24 - high) / 23, 0.0)
    return [round(high, 6), *[round(rest, 6)] * 23]


def _rules(ask: Ask) -> dict[str, Any]:
    rules = {
        "regions": _list(ask, "Regions where calls must stay [any]"),
        "needs": _list(ask, "What must work: tools, json_schema, logprobs [none]"),
        "max_usd_per_month": _number(ask, "Dollars a month at most", None),
        "self_hosted": _text(ask, "Only on own machines (yes, no)", "no").lower().startswith("y"),
    }
    return {name: value for name, value in rules.items() if value}


def _weights(ask: Ask) -> dict[str, float]:
    note("How much does each matter, beside the others?")
    return {name: _number(ask, f"  {name}", default) or 0.0 for name, default in _SCORES.items()}


def _candidate(name: str) -> dict[str, str]:
    platform, slash, model = name.partition("/")
    if not slash or not model:
        raise CommandError(f"{name!r} is no candidate; write platform/model")
    return {"platform": platform, "model": model}


def _text(ask: Ask, question: str, default: str) -> str:
    return ask(f"{question} [{default}]: ").strip() or default


def _list(ask: Ask, question: str) -> list[str]:
    return [part.strip() for part in ask(f"{question}: ").split(",") if part.strip()]


def _number(ask: Ask, question: str, default: float | None) -> float | None:
    """Ask until the answer is a number that is not below 0, or empty."""
    while True:
        answer = ask(f"{question} [{'no limit' if default is None else f'{default:g}'}]: ").strip()
        if not answer:
            return default
        try:
            number = float(answer)
        except ValueError:
            number = -1.0
        if 0 <= number < float("inf"):
            return number
        note(f"{answer!r} is no number from 0 on")


def _share(ask: Ask, question: str, default: float | None) -> float | None:
    while True:
        share = _number(ask, question, default)
        if share is None or 0 < share <= 1:
            return share
        note(f"{share:g} is no share above 0 and up to 1")
