"""A ledger in memory, which can be away, and which can take calls and lose its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.entries import Entry


class MemoryLedger:
    """What was shipped, by name.

    Attributes:
        calls: Everything that it has.
        added: How many calls it was given, those that it had already included.
        is_away: It takes nothing.
        forgets_answers: So many times it takes what it is given, and fails all the same.
    """

    def __init__(self) -> None:
        self.calls: dict[str, Entry] = {}
        self.added = 0
        self.is_away = False
        self.forgets_answers = 0

    async def add(self, calls: Sequence[tuple[str, Entry]]) -> None:
        if self.is_away:
            raise StoreUnavailableError("The database is away.")
        self.added += len(calls)
        for name, entry in calls:
            self.calls.setdefault(name, entry)
        if self.forgets_answers:
            self.forgets_answers -= 1
            raise TimeoutError

    async def drop_before(self, at_us: int) -> int:
        if self.is_away:
            raise StoreUnavailableError("The database is away.")
        old = [name for name, entry in self.calls.items() if entry.at_us < at_us][:2]
        for name in old:
            del self.calls[name]
        return len(old)

    @property
    def entries(self) -> list[Entry]:
        return [self.calls[name] for name in sorted(self.calls)]
