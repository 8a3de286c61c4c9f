"""The calls in flight, in mapped memory: who they are, and what each has been given so far.

If the process is killed, the next one reads here what to bill. A slot is written before the bytes that it
tells of go out, so that what a client has had is never more than what is billed.

    slot = length of the entry (0: free) · the entry's CRC · tokens · usage, once it is told · busy · entry
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

from lmaas_gateway.books.segments import fill
from lmaas_gateway.call import Usage
from lmaas_gateway.entries import decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lmaas_gateway.entries import Entry

_SLOT_BYTES = 1024
_CELL_BYTES = 8
_CELLS = _SLOT_BYTES // _CELL_BYTES
# Cells of a slot: whole numbers of eight bytes, each written in one step.
_LENGTH, _CRC, _RELAYED, _IS_TOLD, _PROMPT, _CACHED, _COMPLETION, _REASONING, _BUSY = range(9)
_ENTRY = 9 * _CELL_BYTES
_MAX_ENTRY_BYTES = _SLOT_BYTES - _ENTRY
# Several cells in a row: of what says that there is an entry, and of a usage.
_HEAD = struct.Struct("2q")
_USAGE = struct.Struct("4q")
_NOTHING_GIVEN = bytes(_ENTRY - _HEAD.size)
NAME = "open.calls"


class OpenCall:
    """The slot of one call."""

    __slots__ = ("_at", "_table")

    def __init__(self, table: OpenCalls, at: int) -> None:
        self._table = table
        self._at = at

    def note_tokens(self, tokens: int) -> None:
        """Take note of how many tokens, in all, the client is about to have been given."""
        # Of the first bytes too, which may hold none: from then on the prompt was worked on.
        self._table.cells[self._at + _RELAYED] = tokens + 1

    def note_usage(self, usage: Usage) -> None:
        """Take note of the tokens that the replica counted, before the reply's last bytes go out."""
        table, at = self._table, self._at
        _USAGE.pack_into(
            table.memory,
            (at + _PROMPT) * _CELL_BYTES,
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.completion_tokens,
            usage.reasoning_tokens,
        )
        table.cells[at + _IS_TOLD] = 1

    def note_busy(self, busy_ns: int) -> None:
        """Take note of its share of its replica's time so far."""
        self._table.cells[self._at + _BUSY] = busy_ns

    def rewrite(self, entry: bytes) -> None:
        """Put another entry in; one that is too long is left."""
        self._table.put(self._at, entry)

    def free(self) -> None:
        """Give the slot back: the call is in the journal."""
        self._table.cells[self._at + _LENGTH] = 0
        self._table.free.append(self._at)


class OpenCalls:
    """The slots of one process.

    Args:
        path: Of the file, which is made.
        slots: How many calls may be in flight.

    Attributes:
        memory: All of it.
        cells: The same, as numbers.
        free: Where free slots begin, in cells.

    Raises:
        OSError: there is no room for the file.
    """

    def __init__(self, path: Path, slots: int) -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fill(file, slots * _SLOT_BYTES)
            self.memory = mmap.mmap(file, slots * _SLOT_BYTES)
        finally:
            os.close(file)
        self.cells = memoryview(self.memory).cast("q")
        self.free = list(range((slots - 1) * _CELLS, -1, -_CELLS))

    def take(self, entry: bytes) -> OpenCall | None:
        """Give a call a slot; None if there is none left, or the entry is too long for one."""
        if not self.free or len(entry) > _MAX_ENTRY_BYTES:
            return None
        at = self.free.pop()
        slot, memory = at * _CELL_BYTES, self.memory
        memory[slot + _HEAD.size : slot + _ENTRY + len(entry)] = _NOTHING_GIVEN + entry
        # Last: until its length is there, the slot is free.
        _HEAD.pack_into(memory, slot, len(entry), crc32(entry))
        return OpenCall(self, at)

    def put(self, at: int, entry: bytes) -> None:
        """Write an entry into a slot; one that is too long is left."""
        if len(entry) > _MAX_ENTRY_BYTES:
            return
        self.cells[at + _LENGTH] = 0
        begin = at * _CELL_BYTES + _ENTRY
        self.memory[begin : begin + len(entry)] = entry
        self.cells[at + _CRC] = crc32(entry)
        self.cells[at + _LENGTH] = len(entry)

    def close(self) -> None:
        """Let go of the file."""
        self.cells.release()
        # What is still open keeps the map; the file stays as it is.
        with contextlib.suppress(BufferError):
            self.memory.close()


def read_open_calls(path: Path) -> Iterator[tuple[Entry, Usage]]:
    """Give the calls that were in flight when their process died, and what each had been given.

    An entry's `busy_ns` is what was known of it.

    Raises:
        OSError: the file cannot be read.
    """
    data = path.read_bytes()
    cells = memoryview(data)[: len(data) // _SLOT_BYTES * _SLOT_BYTES].cast("q")
    for at in range(0, len(cells), _CELLS):
        length = cells[at + _LENGTH]
        if not 0 < length <= _MAX_ENTRY_BYTES:
            continue
        begin = at * _CELL_BYTES + _ENTRY
        text = data[begin : begin + length]
        if crc32(text) != cells[at + _CRC]:
            continue
        with contextlib.suppress(msgspec.DecodeError):
            entry = decode(text)
            entry.busy_ns = cells[at + _BUSY]
            yield entry, _usage_of(entry, cells[at : at + _CELLS])


def _usage_of(entry: Entry, cells: memoryview[int]) -> Usage:
    if cells[_IS_TOLD]:
        return Usage(cells[_PROMPT], cells[_COMPLETION], cells[_CACHED], reasoning_tokens=cells[_REASONING])
    if not cells[_RELAYED]:
        return Usage()
    return Usage(entry.prompt_tokens, max(0, cells[_RELAYED] - 1), is_estimated=True)
