"""Numbers that the workers of one gateway share: each writes its own, anybody reads the sum.

A number is a small file that all of them map into memory, with one cell a worker. Only the worker whose
cell it is writes it, so nothing is locked; an addition costs no system call. When a worker dies, the process
that started it clears its cells (docs/decisions/0008-reload-and-workers.md).
"""

from __future__ import annotations

import hashlib
import mmap
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CELL_BYTES = 8
_SUFFIX = ".shared"
_MARKS = 1 << 16


@dataclass(frozen=True, slots=True)
class Seat:
    """A worker's place among those that share a port.

    Attributes:
        folder: Where they leave what they share; private to them.
        slot: Which of the cells are its own, from 0; a worker that replaces a dead one takes its slot.
        slots: How many workers there are.
    """

    folder: Path
    slot: int
    slots: int


class SharedNumber:
    """One number, the sum of what each worker added."""

    __slots__ = ("_cells", "_slot")

    def __init__(self, cells: memoryview[int], slot: int) -> None:
        self._cells = cells
        self._slot = slot

    def add(self, amount: int) -> None:
        """Add to this worker's part."""
        self._cells[self._slot] += amount

    def total(self) -> int:
        """Read the sum over all workers."""
        return sum(self._cells)


class SharedMarks:
    """Hashes of 32 bits that workers have marked lately. Each has one place, which the next one there takes.

    Args:
        cells: As many as a power of two.
    """

    __slots__ = ("_cells", "_mask")

    def __init__(self, cells: memoryview[int]) -> None:
        self._cells = cells
        self._mask = len(cells) - 1

    def __contains__(self, mark: int) -> bool:
        return self._cells[mark & self._mask] == mark

    def add(self, mark: int) -> None:
        """Mark one, for all workers."""
        self._cells[mark & self._mask] = mark

    def clear(self) -> None:
        """Take all marks away."""
        self._cells[:] = memoryview(bytes(self._cells.nbytes)).cast("I")


class SharedBoard:
    """The shared numbers and marks by name, as one worker sees them."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def number(self, name: str) -> SharedNumber:
        """Find a number, or begin it at zero. Who names it again shares it, in any worker."""
        cells = self._map(name, _SUFFIX, self._seat.slots * _CELL_BYTES)
        return SharedNumber(cells.cast("q"), self._seat.slot)

    def marks(self, name: str) -> SharedMarks:
        """Find a table of marks, or begin it empty. Who names it again shares it, in any worker."""
        return SharedMarks(self._map(name, ".marks", _MARKS * 4).cast("I"))

    def _map(self, name: str, suffix: str, size: int) -> memoryview[int]:
        path = self._seat.folder / (hashlib.blake2b(name.encode(), digest_size=16).hexdigest() + suffix)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Growing a file to the size that it has changes nothing, so who comes first does not matter.
            os.ftruncate(descriptor, size)
            return memoryview(mmap.mmap(descriptor, size))
        finally:
            os.close(descriptor)


def clear_slot(folder: Path, slot: int) -> None:
    """Take back what a worker that died had added to all numbers."""
    for path in folder.glob("*" + _SUFFIX):
        with path.open("r+b") as file:
            file.seek(slot * _CELL_BYTES)
            file.write(bytes(_CELL_BYTES))
