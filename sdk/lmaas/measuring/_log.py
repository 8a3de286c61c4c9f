"""A log of OpenAI calls in JSONL as a workload.

A line is a body of `chat/completions` or `completions`, or an object with it in `body` or `request`, as batch
files and gateways' logs have it. `timestamp` (or `created`, `time`) is when it came: seconds of the epoch, or
ISO 8601. Usage is read from `usage`, `response.usage` or `response.body.usage`; without it, lengths are
estimated from the text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, Final

from lmaas.errors import ConfigurationError
from lmaas.measuring._lengths import MOST_TOKENS, FixedLength, Lengths, ObservedLengths
from lmaas.measuring._workload import LoggedCall, Workload
from lmaas.tasks._text import language_of

_TIMES: Final = ("timestamp", "created", "time")
_SET_BY_US: Final = frozenset({"model", "stream", "stream_options", "user"})
_CHARACTERS_A_TOKEN: Final = {"en": 4.0, "zh": 1.5}
"""Rules of thumb of the vendors; an estimate, and marked as one."""
_DEFAULT_OUTPUT_TOKENS: Final = 128
_DAY_S: Final = 86_400
_LATEST_S: Final = 1e11
"""Of the year 5138: what is more counts in a smaller unit."""
_LATEST: Final = 1e20
"""The same in nanoseconds."""


def read_log(path: Path) -> Workload:
    """Read a log.

    Raises:
        ConfigurationError: it cannot be read, or a line is no call; says which.
    """
    entries = list(_entries(path))
    if not entries:
        raise ConfigurationError(f"{path.name} holds no call; give one JSON object a line.")
    times = [time for time, _, _ in entries]
    first_s = min((time for time in times if time is not None), default=0.0)
    calls = [_call(body, usage, None if at is None else at - first_s) for at, body, usage in entries]
    known = sorted(time for time in times if time is not None)
    texts = [text_of(call.body) for call in calls]
    outputs = tuple(call.output_tokens for call in calls if call.output_tokens)
    return Workload(
        name=path.stem,
        prompt_tokens=ObservedLengths(tuple(call.prompt_tokens or 1 for call in calls)),
        output_tokens=_outputs(outputs),
        calls_per_s=_rate(known),
        day=_day(known),
        burstiness=_burstiness(known),
        shared_prefix_share=shared_prefix_share(texts),
        languages=_languages(texts),
        input_modalities=_modalities(calls),
        calls=tuple(calls),
        is_estimated=not all(_is_told(usage) for _, _, usage in entries),
    )


def _entries(path: Path) -> Iterator[tuple[float | None, Mapping[str, Any], Mapping[str, Any]]]:
    try:
        # Not splitlines: texts may hold U+2028 and others that end a line elsewhere, and not in JSON.
        lines = path.read_text("utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigurationError(f"{path.name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path.name} is not a text in UTF-8.") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _entry(line, f"{path.name}, line {number}")


def _entry(line: str, where: str) -> tuple[float | None, Mapping[str, Any], Mapping[str, Any]]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{where}: it is no JSON.") from None
    if not isinstance(row, dict):
        raise ConfigurationError(f"{where}: it is no JSON object.")
    body = next((row[name] for name in ("body", "request") if isinstance(row.get(name), dict)), row)
    if not isinstance(body.get("messages"), list) and not isinstance(body.get("prompt"), str):
        message = (
            f"{where}: it has no `messages` and no `prompt`; give bodies of chat/completions or completions."
        )
        raise ConfigurationError(message)
    kept = {
        name: value
        for name, value in body.items()
        if name not in _SET_BY_US
        and (body is not row or name not in {*_TIMES, "usage", "response", "id", "object"})
    }
    return _time(row, where), kept, _usage(row)


def _usage(row: Mapping[str, Any]) -> Mapping[str, Any]:
    response = row.get("response")
    inner = response.get("body") if isinstance(response, dict) else None
    for holder in (row, response, inner):
        if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
            return holder["usage"]  # type: ignore[no-any-return]  # just checked
    return {}


def _time(row: Mapping[str, Any], where: str) -> float | None:
    given = next((row[name] for name in _TIMES if row.get(name) is not None), None)
    if given is None:
        return None
    if isinstance(given, (int, float)) and not isinstance(given, bool) and 0 <= given < _LATEST:
        return _seconds(given)
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError:
        message = f"{where}: the time is neither seconds of the epoch nor ISO 8601."
        raise ConfigurationError(message) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _seconds(since_epoch: float) -> float:
    """Return seconds of what is given in them, or in milli-, micro- or nanoseconds."""
    while since_epoch > _LATEST_S:
        since_epoch /= 1000
    return float(since_epoch)


def _call(body: Mapping[str, Any], usage: Mapping[str, Any], at_s: float | None) -> LoggedCall:
    told = _count(usage, "prompt_tokens", "input_tokens")
    return LoggedCall(
        body=body,
        at_s=at_s,
        prompt_tokens=told or estimated_tokens(text_of(body)),
        output_tokens=_answer(usage) or _count(body, "max_completion_tokens", "max_tokens"),
    )


def _answer(usage: Mapping[str, Any]) -> int | None:
    return _count(usage, "completion_tokens", "output_tokens")


def _count(holder: Mapping[str, Any], *names: str) -> int | None:
    """Return the first of these that is a count of tokens; None if none is."""
    values = (holder.get(name) for name in names)
    return next((value for value in values if type(value) is int and 0 < value <= MOST_TOKENS), None)


def _is_told(usage: Mapping[str, Any]) -> bool:
    return _count(usage, "prompt_tokens", "input_tokens") is not None and _answer(usage) is not None


def text_of(body: Mapping[str, Any]) -> str:
    """Return all that a call's prompt says, in order."""
    if isinstance(body.get("prompt"), str):
        return str(body["prompt"])
    parts: list[str] = []
    for message in body.get("messages") or ():
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            parts.append(content)
        elif isinstance(content, list):
            parts += [
                part["text"]
                for part in content
                if isinstance(part, dict) and isinstance(part.get("text"), str)
            ]
    return "\n".join(parts)


def estimated_tokens(text: str) -> int:
    """Estimate how many tokens a text is: one for four characters, in Chinese for one and a half."""
    return max(1, round(len(text) / _CHARACTERS_A_TOKEN[language_of(text)]))


def shared_prefix_share(texts: Sequence[str]) -> float:
    """Return the share of all characters that a text has in common with the beginning of an earlier one.

    Of sorted texts, the longest common beginning of one with any other is that with a neighbour.
    """
    total = sum(map(len, texts))
    ordered = sorted(texts)
    shared = sum(_common(one, other) for one, other in pairwise(ordered))
    return min(shared / total, 0.999) if total else 0.0


def _common(one: str, other: str) -> int:
    length = min(len(one), len(other))
    return next((i for i in range(length) if one[i] != other[i]), length)


def _outputs(outputs: tuple[int, ...]) -> Lengths:
    return ObservedLengths(outputs) if outputs else FixedLength(_DEFAULT_OUTPUT_TOKENS)


def _rate(times: Sequence[float]) -> float | None:
    lasted_s = times[-1] - times[0] if len(times) > 1 else 0.0
    return (len(times) - 1) / lasted_s if lasted_s > 0 else None


def _day(times: Sequence[float]) -> tuple[float, ...]:
    """Return the curve over the day, UTC, of the whole days of a log: of more, some hours came oftener."""
    whole_s = (times[-1] - times[0]) // _DAY_S * _DAY_S if times else 0.0
    hours = Counter(datetime.fromtimestamp(time, UTC).hour for time in times if time - times[0] < whole_s)
    return tuple(hours[hour] * 24 / hours.total() for hour in range(24)) if hours else ()


def _burstiness(times: Sequence[float]) -> float:
    gaps = [later - earlier for earlier, later in pairwise(times)]
    mean = fmean(gaps) if len(gaps) > 1 else 0.0
    return max(pstdev(gaps) / mean, 0.01) if mean else 1.0


def _languages(texts: Sequence[str]) -> dict[str, float]:
    counts = Counter(language_of(text) for text in texts)
    return {language: count / len(texts) for language, count in counts.items()}


def _modalities(calls: Sequence[LoggedCall]) -> tuple[str, ...]:
    kinds = {
        str(part.get("type", "text")).removeprefix("input_").removesuffix("_url")
        for call in calls
        for message in call.body.get("messages") or ()
        if isinstance(message, dict) and isinstance(message.get("content"), list)
        for part in message["content"]
        if isinstance(part, dict)
    }
    return ("text", *sorted(kinds - {"text"}))
