"""The last calls of one process, in a file that all processes of the gateway map into memory.

    magic (8) · slots (8) · zeros (48) · slot · slot · …
    slot = length (4) · CRC-32 of the record (4) · number of the record, from 1 (8) · record

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
_IS, _SLOTS = range(2)
_START = 64
_HEAD = struct.Struct("<IIQ")
_HEAD_BYTES = _HEAD.size
MAX_RECORD_BYTES = SLOT_BYTES - _HEAD_BYTES
# The numbers of all slots, among cells of eight bytes.
_NUMBERS = slice(_START // _CELL_BYTES + 1, None, SLOT_BYTES // _CELL_BYTES)


class Ring:
    """A ring of slots, the newest record in the place of the oldest.

    Args:
        memory: All of it, formatted.
        is_new: Whether nothing was ever written into it; then none of it needs to be looked at, or taken.
    """

    __slots__ = ("_cells", "_memory", "_written", "slots")

    def __init__(self, memory: mmap.mmap, *, is_new: bool = False) -> None:
        self._memory = memory
        self._cells = memoryview(memory).cast("Q")
        self.slots = self._cells[_SLOTS]
        self._written = 0 if is_new else max(self._numbers(), default=0)

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
            if size <= _START or size % SLOT_BYTES != _START:
                return None
            ring = cls(mmap.mmap(file, size, prot=mmap.PROT_READ))
        finally:
            os.close(file)
        is_whole = ring._cells[_IS] == _MAGIC and size == _START + ring.slots * SLOT_BYTES
        return ring if is_whole else None

    def write(self, record: bytes) -> bool:
        """Keep a record; tell whether it fits into a slot."""
        size = len(record)
        if size > MAX_RECORD_BYTES:
            return False
        written = self._written
        at = _START + written % self.slots * SLOT_BYTES
        self._written = written = written + 1
        self._memory[at : at + _HEAD_BYTES + size] = _HEAD.pack(size, crc32(record), written) + record
        return True

    def newest_first(self) -> Iterator[tuple[int, bytes]]:
        """Give the records that are whole, and the number of each, back to the oldest that is there."""
        found = sorted(
            ((number, slot) for slot, number in enumerate(self._numbers()) if number), reverse=True
        )
        for number, slot in found:
            now, record = self._at(slot)
            # The writer may have come round meanwhile, and have put a newer record there.
            if record is not None and now == number:
                yield number, record

    def holding(self, words: bytes, begin: int, end: int) -> Iterator[bytes]:
        """Give the records of slots `begin` to `end` that hold `words`, found by searching for them."""
        at, stop = _START + begin * SLOT_BYTES, _START + min(end, self.slots) * SLOT_BYTES
        while (at := self._memory.find(words, at, stop)) >= 0:
            slot = (at - _START) // SLOT_BYTES
            _, record = self._at(slot)
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
            # New memory is zeros.
            is_new = not cells[_IS]
            if not is_new and (cells[_IS] != _MAGIC or cells[_SLOTS] != slots):
                memory[_START:] = bytes(len(memory) - _START)
            cells[_SLOTS] = slots
            cells[_IS] = _MAGIC
        return cls(memory, is_new=is_new)

    def _numbers(self) -> list[int]:
        """Give the number of each slot's record; 0 where there has been none."""
        return self._cells[_NUMBERS].tolist()[: self.slots]

    def _at(self, slot: int) -> tuple[int, bytes | None]:
        at = _START + slot * SLOT_BYTES
        data = self._memory[at : at + SLOT_BYTES]
        size, crc, number = _HEAD.unpack_from(data)
        record = data[_HEAD_BYTES : _HEAD_BYTES + size]
        return number, record if 0 < size == len(record) and crc32(record) == crc else None
