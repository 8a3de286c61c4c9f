"""Brings what is in the journals to the ledger, in batches, as soon as it takes them, each call once.

Nothing is awaited by a call. While the ledger is away the journal grows, and tries come further and further
apart; then it goes on where it stood. A batch whose answer was lost is sent again, and the ledger knows each
call by its name (`ledger_id`). What dead processes of this machine left is shipped too: their records first,
then the calls that they had in flight, so that one which had ended all the same counts as it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Protocol

import msgspec

from lmaas_gateway.books.folder import adopt
from lmaas_gateway.entries import decode, ledger_id
from lmaas_gateway.metrics import names
from lmaas_gateway.prices import Price

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lmaas_gateway.books.folder import LeftFolder
    from lmaas_gateway.books.segments import Unshipped
    from lmaas_gateway.call import Usage
    from lmaas_gateway.entries import Entry
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.settings import BooksSettings

_LOG = logging.getLogger("lmaas.gateway")
_MAX_PAUSE_S = 30.0
# Dead processes are looked for at the start, and then this often.
_ADOPTION_INTERVAL_S = 3.0

Named = tuple[str, "Entry"]
"""A call and its name in the ledger."""


class Ledger(Protocol):
    """Where calls are kept for good."""

    async def add(self, calls: Sequence[Named]) -> None:
        """Take calls, and add them to the sums, in one transaction; those that are there change nothing.

        Raises:
            Exception: none of them was taken, or nobody knows.
        """
        ...

    async def drop_before(self, at_us: int) -> int:
        """Delete some of the calls from before a time; tell how many."""
        ...


class Shipper:
    """Ships this process's journal, and those of dead ones.

    Args:
        root: Where the journals of this machine are.
        boot: This process's name there.
        unshipped: Its journal.
        ledger: Where they go.
        settings: Intervals and sizes.
        metrics: Where it is counted.
    """

    def __init__(
        self,
        root: Path,
        boot: str,
        unshipped: Unshipped,
        ledger: Ledger,
        settings: BooksSettings,
        metrics: Metrics,
    ) -> None:
        self._root = root
        self._boot = boot
        self._unshipped = unshipped
        self._ledger = ledger
        self._settings = settings
        self._metrics = metrics
        self._left: list[LeftFolder] = []
        self._adopted_at_s = -_ADOPTION_INTERVAL_S
        self._pause_s = settings.ship_interval_s

    async def run(self) -> None:
        """Ship for ever."""
        while True:
            await self.try_once()
            await asyncio.sleep(self._pause_s)

    async def try_once(self) -> bool:
        """Ship all that there is; tell whether the ledger took it."""
        try:
            await self.ship()
        except Exception as error:  # whatever keeps it from taking calls, they wait where they are
            self._metrics.count(names.BOOKS_FAILURES, ())
            _LOG.warning("the ledger takes no calls, which wait in the journal: %s", type(error).__name__)
            self._pause_s = min(2 * self._pause_s, max(_MAX_PAUSE_S, self._settings.ship_interval_s))
            return False
        self._pause_s = self._settings.ship_interval_s
        return True

    async def ship(self) -> None:
        """Ship all that there is.

        Raises:
            Exception: the ledger did not take it; what it took is noted.
        """
        await self._ship_records(self._boot, self._unshipped)
        await self._adopt()
        while self._left:
            folder = self._left[0]
            await self._ship_records(folder.boot, folder.unshipped)
            await self._ship_open_calls(folder)
            self._left.pop(0)
            await asyncio.to_thread(folder.drop)

    def close(self) -> None:
        """Leave to others what was adopted and is not shipped yet."""
        for folder in self._left:
            folder.leave()
        self._left.clear()

    async def _adopt(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._adopted_at_s < _ADOPTION_INTERVAL_S:
            return
        self._adopted_at_s = now_s
        with contextlib.suppress(OSError):
            # To read a journal through takes its time.
            self._left += await asyncio.to_thread(lambda: list(adopt(self._root)))

    async def _ship_records(self, boot: str, unshipped: Unshipped) -> None:
        while (batch := unshipped.next_batch(self._settings.batch_rows)) is not None:
            calls = _read(boot, batch.payloads)
            if calls:
                await self._add(calls)
            unshipped.note_shipped(batch)

    async def _ship_open_calls(self, folder: LeftFolder) -> None:
        lost = [
            (ledger_id(folder.boot, entry.sequence), _bill(entry, usage))
            for entry, usage in await asyncio.to_thread(lambda: list(folder.open_calls()))
        ]
        for start in range(0, len(lost), self._settings.batch_rows):
            await self._add(lost[start : start + self._settings.batch_rows])
        if lost:
            self._metrics.count(names.BOOKS_RECOVERED, (), len(lost))
            _LOG.warning("a gateway process died with %d calls in flight, which are billed now", len(lost))

    async def _add(self, calls: Sequence[Named]) -> None:
        await self._ledger.add(calls)
        self._metrics.count(names.BOOKS_SHIPPED, (), len(calls))


def _read(boot: str, payloads: Sequence[bytes]) -> list[Named]:
    try:
        entries = list(map(decode, payloads))
    except msgspec.DecodeError:
        entries = list(_decode_good(payloads))
    return [(ledger_id(boot, entry.sequence), entry) for entry in entries]


def _decode_good(payloads: Sequence[bytes]) -> Iterator[Entry]:
    for payload in payloads:
        try:
            yield decode(payload)
        except msgspec.DecodeError:
            _LOG.error("a record of the books cannot be read, and is left out")


def _bill(entry: Entry, usage: Usage) -> Entry:
    """Make the entry of a call whose gateway died: what its client had been given is what it costs.

    Its share of its replica's time is in the entry already, as far as it was known.
    """
    entry.prompt_tokens, entry.cached_tokens = usage.prompt_tokens, usage.cached_tokens
    entry.completion_tokens, entry.reasoning_tokens = usage.completion_tokens, usage.reasoning_tokens
    entry.is_estimated = usage.is_estimated
    if entry.price:
        entry.cost_nanos = Price.parse(entry.price).cost_nanos(usage, entry.busy_ns)
    return entry
