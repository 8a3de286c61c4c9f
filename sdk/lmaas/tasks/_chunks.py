"""Cuts a text that is longer than the model's context, at sentences where it can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lmaas.tasks._errors import TaskInputError
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Plan, context_tokens, tokenized
from lmaas.tasks._result import Span
from lmaas.tasks._text import sentences, stripped

_SPARE_TOKENS: Final = 16
"""Left free in the context: a text's tokens differ a little when it stands alone."""

_SURE: Final = 0.9
"""How much of the room parts are meant to take: tokens are not spread evenly."""

_SMALLEST: Final = 16
"""Tokens of a piece below which cutting makes no sense."""


def fitted(
    job: Job, text: str, values: Mapping[str, str], answer_tokens: int, *, limit: int | None = None
) -> Plan[list[Span]]:
    """Return the pieces of `text`, in order, of which each fits into the prompt with room for the answer.

    Args:
        job: Knows model and prompt.
        text: What is cut.
        values: What the prompt's other placeholders stand for.
        answer_tokens: The longest answer.
        limit: Most tokens in one piece, if the context has room for more.

    Raises:
        TaskInputError: the context has no room even for a short piece.
    """
    call = job.prompt_tokens({**values, "text": ""}, is_constant=True)
    (empty,) = yield from tokenized([call])
    context = context_tokens(empty)
    room = context - empty.count - (job.max_tokens or answer_tokens) - _SPARE_TOKENS
    room = min(room, limit) if limit else room
    if room < _SMALLEST:
        message = (
            f"a piece of text may have {room} tokens, too few: the context of {job.model} has "
            f"{context}, the prompt {empty.count}, the answer {job.max_tokens or answer_tokens}."
        )
        raise TaskInputError(message)
    whole = stripped(text, 0, len(text))
    return (yield from _cut(job, text, [whole], room)) if whole else []


def _cut(job: Job, text: str, pieces: list[Span], room: int) -> Plan[list[Span]]:
    counts = yield from tokenized([job.text_tokens(piece.text) for piece in pieces])
    out: list[Span] = []
    for piece, tokens in zip(pieces, counts, strict=True):
        if tokens.count <= room or len(piece.text) < 2:
            out.append(piece)
        else:
            out += yield from _cut(job, text, _parts(text, piece, tokens.count / room), room)
    return out


def _parts(text: str, piece: Span, times: float) -> list[Span]:
    """Cut a piece that is `times` too long into parts that will fit, if its tokens are spread evenly."""
    reach = max(1, int(len(piece.text) / times * _SURE))
    ends = [piece.start + span.end for span in sentences(piece.text)]
    parts: list[Span] = []
    start = piece.start
    while start < piece.end:
        end = _best_end(text, start, min(piece.end, start + reach), ends)
        if part := stripped(text, start, end):
            parts.append(part)
        start = end
    return parts


def _best_end(text: str, start: int, latest: int, ends: list[int]) -> int:
    """Return where to end a part: at the last sentence that fits, else at the last blank, else in a word."""
    fitting = [end for end in ends if start < end <= latest]
    if fitting:
        return fitting[-1]
    blank = max(text.rfind(" ", start + 1, latest), text.rfind("\n", start + 1, latest))
    return blank if blank > start else latest
