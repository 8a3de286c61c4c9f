"""Find log lines again: the last ones that are wanted, and those that come."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

Level: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]
Line = dict[str, Any]
"""A line, decoded."""

_LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error", "critical")
_BLOCK_BYTES = 2**18
# One question looks no further back than this, so that none keeps a thread busy for long.
MAX_SCANNED_BYTES = 64 * 2**20
_POLL_S = 0.25
# What is no line of ours is not kept in memory while its end is waited for.
_MAX_LINE_BYTES = 2**16
_TIME = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")

_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class LogFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which lines are wanted; what is left out may be anything.

    Attributes:
        level: The least severity. A call that failed is an error if that was ours, else a warning.
        since: The earliest time, as lines have it: `2026-01-31T12:00:00Z`, in UTC.
    """

    request_id: _Text | None = None
    organization: _Text | None = None
    project: _Text | None = None
    principal: _Text | None = None
    model: _Text | None = None
    replica: _Text | None = None
    outcome: _Text | None = None
    code: _Text | None = None
    level: Level | None = None
    since: Annotated[str, msgspec.Meta(pattern=_TIME.pattern, max_length=24)] | None = None

    def takes(self, line: Line) -> bool:
        """Tell whether a line is wanted."""
        if self.level is not None and _rank(line) < _LEVELS.index(self.level):
            return False
        if self.since is not None and self.is_before(line):
            return False
        return all((wanted := getattr(self, name)) is None or line.get(name) == wanted for name in _COMPARED)

    def is_before(self, line: Line) -> bool:
        """Tell whether a line is older than what is wanted."""
        return self.since is not None and str(line.get("time", "")) < self.since.removesuffix("Z")


_COMPARED = tuple(name for name in LogFilter.__struct_fields__ if name not in {"level", "since"})


class Found(msgspec.Struct, frozen=True):
    """The last lines that are wanted, the oldest first.

    Attributes:
        has_more: Whether older ones may be wanted too.
    """

    lines: list[Line]
    has_more: bool


def find_last(files: Iterable[Path], wanted: LogFilter, limit: int, end: int | None = None) -> Found:
    """Look through files from their ends for the last lines that are wanted.

    Args:
        files: The newest first; those that are not there have no lines.
        wanted: Which.
        limit: How many at most.
        end: Where in the first file to begin; default: at its end.
    """
    found: list[Line] = []
    scanned_bytes = 0
    for raw in _backwards(files, end):
        scanned_bytes += len(raw) + 1
        line = decode(raw)
        if line is None:
            continue
        if wanted.is_before(line):
            return Found(found[::-1], has_more=False)
        if wanted.takes(line):
            if len(found) == limit:
                return Found(found[::-1], has_more=True)
            found.append(line)
        if scanned_bytes > MAX_SCANNED_BYTES:
            return Found(found[::-1], has_more=True)
    return Found(found[::-1], has_more=False)


async def follow(
    tail: Tail, wanted: LogFilter, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> AsyncIterator[list[Line]]:
    """Give the lines that are wanted as they come: every quarter of a second a list, which may be empty."""
    try:
        while True:
            raw = await asyncio.to_thread(tail.read)
            lines = [line for line in map(decode, raw) if line is not None]
            yield [line for line in lines if wanted.takes(line)]
            await sleep(_POLL_S)
    finally:
        tail.close()


class Tail:
    """What is appended to a file from now on, and to the new one where that has been moved.

    Args:
        path: Of the file, whether it is there yet or not.

    Attributes:
        place: The end of the file when this was made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()
        self._rest = b""
        self.place = 0 if self._file is None else os.lseek(self._file, 0, os.SEEK_END)

    def read(self) -> list[bytes]:
        """Give the whole lines that have come."""
        lines = self._lines()
        if not lines and self._is_moved():
            self.close()
            self._file = self._open()
            lines = self._lines()
        return lines

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lines(self) -> list[bytes]:
        data = b"" if self._file is None else os.read(self._file, _BLOCK_BYTES)
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest if len(rest) < _MAX_LINE_BYTES else b""
        return lines

    def _is_moved(self) -> bool:
        if self._file is None:
            return True
        with contextlib.suppress(FileNotFoundError):
            return not os.path.samestat(self._path.stat(), os.fstat(self._file))
        return False

    def _open(self) -> int | None:
        with contextlib.suppress(FileNotFoundError):
            return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return None


def decode(raw: bytes) -> Line | None:
    """Read a line; None if it is none of ours."""
    try:
        line = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def _rank(line: Line) -> int:
    level = line.get("level")
    return _LEVELS.index(level) if level in _LEVELS else 0


def _backwards(files: Iterable[Path], end: int | None) -> Iterator[bytes]:
    """Give the lines of files, the last one first."""
    for number, path in enumerate(files):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue
        with file:
            place = file.seek(0, os.SEEK_END)
            if number == 0 and end is not None:
                place = min(place, end)
            rest = b""
            while place > 0:
                size = min(_BLOCK_BYTES, place)
                place -= size
                file.seek(place)
                first, *lines = (file.read(size) + rest).split(b"\n")
                yield from filter(None, reversed(lines))
                rest = first
            if rest:
                yield rest
