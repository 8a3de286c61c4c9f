"""What a fake replica saw, written down line by line, so that it can be read after the process was killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from lmaas_gateway.testing.wire import AttemptName


class _Line(msgspec.Struct, omit_defaults=True):
    """One piece of news about call number `call`: it came, it sent tokens, or it ended."""

    call: int
    id: str | None = None
    tokens: int = 0
    outcome: str | None = None
    at_s: float = 0.0
    number: int = 1
    is_resent: bool = False


class Journal:
    """Appends to a file, each line with a system call of its own: what was sent is never missing.

    Args:
        path: The file; a restarted replica goes on in it.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._append(_Line(_START))

    def opened(self, call: int, name: AttemptName, at_s: float) -> None:
        """Note a call that came."""
        self._append(_Line(call, name.request_id, at_s=at_s, number=name.number, is_resent=name.is_resent))

    def generated(self, call: int, tokens: int, at_s: float) -> None:
        """Note tokens that went out."""
        self._append(_Line(call, tokens=tokens, at_s=at_s))

    def settled(self, call: int, outcome: str, at_s: float) -> None:
        """Note how a call ended."""
        self._append(_Line(call, outcome=outcome, at_s=at_s))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _append(self, line: _Line) -> None:
        os.write(self._file, _ENCODER.encode(line) + b"\n")


@dataclass(slots=True)
class Attempt:
    """One call as its replica saw it.

    Attributes:
        name: What its gateway calls it; of a call's attempts, the greater was sent later, though not
            always read later.
        at_s: When it was complete, in seconds of the system's monotonic clock.
        tokens: Generated tokens that were sent.
        sent_s: When each of them was.
        outcome: An `Outcome`; None while it is under way, or if the process was killed meanwhile.
        ended_at_s: When that was known.
    """

    name: AttemptName
    at_s: float
    tokens: int = 0
    outcome: str | None = None
    ended_at_s: float | None = None
    sent_s: list[float] = field(default_factory=list)

    @property
    def request_id(self) -> str:
        """The call's."""
        return self.name.request_id


def read_journal(path: Path, *, current_only: bool = False) -> Iterator[Attempt]:
    """Read every call that the file tells of; a last line that is not whole is left out.

    Args:
        path: The file.
        current_only: Only calls of the process that wrote last.
    """
    attempts: dict[int, Attempt] = {}
    for text in path.read_bytes().split(b"\n")[:-1]:
        line = _DECODER.decode(text)
        if line.call == _START:
            yield from () if current_only else attempts.values()
            attempts = {}
        elif line.id is not None:
            attempts[line.call] = Attempt(AttemptName(line.id, line.number, line.is_resent), line.at_s)
        elif line.outcome is not None:
            attempts[line.call].outcome, attempts[line.call].ended_at_s = line.outcome, line.at_s
        else:
            attempts[line.call].tokens += line.tokens
            attempts[line.call].sent_s += [line.at_s] * line.tokens
    yield from attempts.values()


# Stands where a process began.
_START = -1
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_Line)
