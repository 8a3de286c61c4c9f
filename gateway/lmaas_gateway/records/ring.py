"""The last calls of one process, in a file that all processes of the gateway map into memory.

    magic (8) · slots (8) · how many records were ever written (8) · slot · slot · …
    slot = length (4) · CRC-32 of the record (4) · record

One process writes, any reads, and nothing is locked: a slot that is read while it is being written, or whose
writer died in it, does not have the CRC that it tells, and counts as empty.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, Self
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLOT_BYTES = 1024
_MAGIC = int.from_bytes(b"lmaasR01", "little")
_CELL_BYTES = 8
_IS, _SLOTS, _WRITTEN = range(3)
_START = 64
_HEAD = struct.Struct("<II")
MAX_RECORD_BYTES = SLOT_BYTES - _HEAD.size


class Ring:
    """A ring of slots, the newest record in the place of the oldest.

    Args:
        memory: All of it, formatted.
    """

    __slots__ = ("_cells", "_memory", "slots")

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._cells = memoryview(memory)[:_START].cast("Q")
        self.slots = self._cells[_SLOTS]

    @classmethod
    def in_memory(cls, slots: int) -> Self:
        """Make one that nobody else reads."""
        return cls._formatted(mmap.mmap(-1, _START + slots * SLOT_BYTES), slots)

    @classmethod
    def open(cls, path: Path, slots: int) -> Self:
        """Make the file, or go on in it: its records are those of the process whose place this one takes.

        Raises:
            OSError: there is no room for it.
        """
        size = _START + slots * SLOT_BYTES
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(file, size)
            # Writing into a hole of a mapped file would end the process (SIGBUS) when the disk is full.
            os.posix_fallocate(file, 0, size)
            return cls._formatted(mmap.mmap(file, size), slots)
        finally:
            os.close(file)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Map another process's file to read it; None if it is not one, or is only being made.

        Raises:
            OSError: it cannot be read.
        """
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(file).st_size
            if size <= _START:
                return None
            ring = cls(mmap.mmap(file, size, prot=mmap.PROT_READ))
        finally:
            os.close(file)
        is_whole = ring._cells[_IS] == _MAGIC and size == _START + ring.slots * SLOT_BYTES
        return ring if is_whole else None

    @property
    def written(self) -> int:
        """How many records were ever written; the last one's place is one less."""
        return self._cells[_WRITTEN]

    def write(self, record: bytes) -> bool:
        """Keep a record; tell whether it fits into a slot."""
        size = len(record)
        if size > MAX_RECORD_BYTES:
            return False
        cells, memory = self._cells, self._memory
        written = cells[_WRITTEN]
        at = _START + written % self.slots * SLOT_BYTES
        begin = at + _HEAD.size
        memory[begin : begin + size] = record
        _HEAD.pack_into(memory, at, size, crc32(record))
        cells[_WRITTEN] = written + 1
        return True

    def newest_first(self) -> Iterator[tuple[int, bytes]]:
        """Give the records that are whole, and the place of each, back to the oldest that is still there."""
        written = self.written
        for place in range(written - 1, max(-1, written - 1 - self.slots), -1):
            record = self._at(place % self.slots)
            # The writer may have come round meanwhile, and have put a newer record there.
            if self.written - place > self.slots:
                return
            if record is not None:
                yield place, record

    def holding(self, words: bytes, begin: int, end: int) -> Iterator[bytes]:
        """Give the records of slots `begin` to `end` that hold `words`, found by searching for them."""
        at, stop = _START + begin * SLOT_BYTES, _START + min(end, self.slots) * SLOT_BYTES
        while (at := self._memory.find(words, at, stop)) >= 0:
            slot = (at - _START) // SLOT_BYTES
            record = self._at(slot)
            if record is not None and words in record:
                yield record
            at = _START + (slot + 1) * SLOT_BYTES

    def close(self) -> None:
        """Let go of the memory."""
        self._cells.release()
        self._memory.close()

    @classmethod
    def _formatted(cls, memory: mmap.mmap, slots: int) -> Self:
        with memoryview(memory)[:_START].cast("Q") as cells:
            if cells[_IS] != _MAGIC or cells[_SLOTS] != slots:
                cells[_WRITTEN], cells[_SLOTS] = 0, slots
                cells[_IS] = _MAGIC
        return cls(memory)

    def _at(self, slot: int) -> bytes | None:
        at = _START + slot * SLOT_BYTES
        data = self._memory[at : at + SLOT_BYTES]
        size, crc = _HEAD.unpack_from(data)
        record = data[_HEAD.size : _HEAD.size + size]
        return record if 0 < size == len(record) and crc32(record) == crc else None
