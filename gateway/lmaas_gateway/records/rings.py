"""The rings of all processes of a gateway: this one's to write, everybody's to read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.records.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lmaas_gateway.board import Seat
    from lmaas_gateway.settings import RecordSettings

_SUFFIX = ".calls"


def open_rings(settings: RecordSettings, seat: Seat | None) -> Rings:
    """Make the rings of this process.

    Raises:
        SettingsError: there is no room for them.
    """
    try:
        return Rings(settings, seat)
    except OSError as error:
        raise SettingsError(
            f"there is no room for {settings.calls} records of calls: {error.strerror}; "
            "set records.calls lower"
        ) from None


class Rings:
    """Two rings a process: one for calls that went as they should, one for those that are worth a look.

    Attributes:
        usual: This process's, of the former.
        notable: Of the latter.

    Args:
        settings: How long they are.
        seat: Of one of several workers, its place among them; without one nobody else reads.

    Raises:
        OSError: there is no room for them.
    """

    def __init__(self, settings: RecordSettings, seat: Seat | None = None) -> None:
        self._folder = None if seat is None else seat.folder
        self._own = "0" if seat is None else str(seat.slot)
        self._found: dict[str, Ring] = {}
        self.usual = self._open(self._own + "u", settings.calls)
        self.notable = self._open(self._own + "n", settings.notable_calls)

    def all(self) -> Iterator[tuple[str, Ring]]:
        """Give every ring that there is by now, and its name."""
        if self._folder is not None:
            for path in sorted(self._folder.glob("*" + _SUFFIX)):
                self._find(path)
        yield from tuple(self._found.items())

    def close(self) -> None:
        """Let go of all of them."""
        for ring in self._found.values():
            ring.close()
        self._found.clear()

    def _open(self, name: str, slots: int) -> Ring:
        folder = self._folder
        ring = Ring.in_memory(slots) if folder is None else Ring.open(folder / (name + _SUFFIX), slots)
        self._found[name] = ring
        return ring

    def _find(self, path: Path) -> None:
        if path.stem in self._found:
            return
        with contextlib.suppress(OSError):
            ring = Ring.read(path)
            if ring is not None:
                self._found[path.stem] = ring
