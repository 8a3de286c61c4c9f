"""Files of records that are written by copying into memory, and read in the same order.

A segment has its full size and all of its blocks before the first record: copying into a mapped file with
holes would end the process (SIGBUS) when the disk is full. What is copied is the kernel's from then on, so
that it outlives the process, however that dies; only a power failure can take what was not synced yet.

    magic · how far it was shipped · record · record · … · zeros
    record = length (4) · CRC-32 of the payload (4) · payload
"""

from __future__ import annotations

import mmap
import os
import struct
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MAGIC = b"lmaasJ01"
_SHIPPED = struct.Struct("<Q")
_RECORD = struct.Struct("<II")
_HEAD_BYTES = _RECORD.size
_START = len(_MAGIC) + _SHIPPED.size
_ZEROS = bytes(256 * 1024)
SUFFIX = ".journal"
_CLOSED = -1


class Segment:
    """One file, mapped.

    Attributes:
        path: Where it is.
        size: In bytes.
        written: Where the next record goes.
        shipped: Where the first record begins that is not known to be in the ledger.
        is_torn: Something stands behind the last whole record that is none: the machine lost its power.
    """

    __slots__ = ("_file", "_map", "is_torn", "path", "shipped", "size", "written")

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file
        self.size = os.fstat(file).st_size
        self._map = mmap.mmap(file, self.size)
        self.written = self.shipped = _START
        self.is_torn = False

    @classmethod
    def create(cls, path: Path, size: int) -> Self:
        """Make an empty one; it has its name only once it has all of its blocks.

        Raises:
            OSError: there is no room for it.
        """
        draft = path.with_suffix(".draft")
        file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fill(file, size)
            os.pwrite(file, _MAGIC + _SHIPPED.pack(_START), 0)
            draft.rename(path)
        except OSError:
            os.close(file)
            draft.unlink(missing_ok=True)
            raise
        return cls(path, file)

    @classmethod
    def recover(cls, path: Path) -> Self | None:
        """Open what another process left; None if it is no segment, or holds nothing.

        Raises:
            OSError: it cannot be read.
        """
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if os.fstat(file).st_size < _START:
            os.close(file)
            return None
        segment = cls(path, file)
        if segment._map[: len(_MAGIC)] != _MAGIC:
            segment.close()
            return None
        segment._find_end()
        (shipped,) = _SHIPPED.unpack_from(segment._map, len(_MAGIC))
        segment.shipped = min(max(shipped, _START), segment.written)
        return segment

    def write(self, payload: bytes) -> bool:
        """Copy a record in; tell whether there was room."""
        at = self.written
        begin = at + _HEAD_BYTES
        end = begin + len(payload)
        if end > self.size:
            return False
        # The length last: until it is there, there is no record.
        self._map[begin:end] = payload
        _RECORD.pack_into(self._map, at, len(payload), crc32(payload))
        self.written = end
        return True

    def read(self, at: int, most: int) -> tuple[list[bytes], int]:
        """Give the records from a place on, at most so many, and the place of the next one."""
        payloads: list[bytes] = []
        data, written = self._map, self.written
        while at < written and len(payloads) < most:
            length, _ = _RECORD.unpack_from(data, at)
            begin = at + _HEAD_BYTES
            at = begin + length
            payloads.append(data[begin:at])
        return payloads, at

    def note_shipped(self, to: int) -> None:
        """Take note that the ledger has what stands before `to`."""
        self.shipped = to
        _SHIPPED.pack_into(self._map, len(_MAGIC), to)

    def sync(self) -> None:
        """Write through to the disk, without holding up who copies into it.

        Raises:
            OSError: the disk failed.
        """
        file = self._file
        if file == _CLOSED:
            return
        try:
            # `mmap.flush` would hold the interpreter's lock all the while; to the kernel it is the same.
            os.fdatasync(file)
        except OSError:
            if self._file != _CLOSED:  # by the other thread meanwhile, since all of it is shipped
                raise

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        file, self._file = self._file, _CLOSED
        os.close(file)

    def _find_end(self) -> None:
        at = _START
        while at + _RECORD.size <= self.size:
            length, crc = _RECORD.unpack_from(self._map, at)
            end = at + _RECORD.size + length
            if not length and not crc:
                break
            if end > self.size or crc32(self._map[at + _RECORD.size : end]) != crc:
                self.is_torn = True
                break
            at = end
        self.written = at


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in a row of one segment, the oldest that were not shipped."""

    payloads: Sequence[bytes]
    segment: Segment
    end: int


class Unshipped:
    """Segments in their order, read from the front.

    Args:
        segments: The oldest first; the last may still be written to.
    """

    def __init__(self, segments: Sequence[Segment] = ()) -> None:
        self.segments = deque(segments)

    def add(self, segment: Segment) -> None:
        """Append a segment, which is written to from now on."""
        self.segments.append(segment)

    def waiting_bytes(self) -> int:
        """Tell how much of what was written is not known to be in the ledger."""
        return sum(segment.written - segment.shipped for segment in self.segments)

    def next_batch(self, most: int) -> Batch | None:
        """Read the oldest records that wait, at most so many; None if none do."""
        while len(self.segments) > 1 and self._is_done(self.segments[0]):
            self._drop_first()
        if not self.segments:
            return None
        segment = self.segments[0]
        payloads, at = segment.read(segment.shipped, most)
        return Batch(payloads, segment, at) if payloads else None

    def note_shipped(self, batch: Batch) -> None:
        """Take note that the ledger has this batch; a file that is done goes."""
        batch.segment.note_shipped(batch.end)
        if len(self.segments) > 1 and self._is_done(batch.segment):
            self._drop_first()

    def close(self) -> None:
        """Let go of all files."""
        for segment in self.segments:
            segment.close()
        self.segments.clear()

    def _is_done(self, segment: Segment) -> bool:
        return segment.shipped == segment.written

    def _drop_first(self) -> None:
        segment = self.segments.popleft()
        segment.close()
        segment.path.unlink(missing_ok=True)


def fill(file: int, size: int) -> None:
    """Give a file its size in zeros: written, not promised, which is what every file system keeps.

    Raises:
        OSError: there is no room.
    """
    at = 0
    while at < size:
        at += os.pwrite(file, _ZEROS[: size - at], at)
