"""All that the books are made of in one process: opened, run and closed together."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from lmaas_gateway.books.books import Books
from lmaas_gateway.books.folder import enter
from lmaas_gateway.books.journal import Journal
from lmaas_gateway.books.open_calls import NAME, OpenCalls
from lmaas_gateway.books.retention import Retention
from lmaas_gateway.books.shipper import Shipper
from lmaas_gateway.entries import ledger_id
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.metrics import names

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.books.price_list import PriceList
    from lmaas_gateway.books.shipper import Ledger
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.settings import BooksSettings

_DRAIN_INTERVAL_S = 0.25
_BUSY_INTERVAL_S = 1.0
FOLDER = "books"
"""Of the books, in the data folder."""


class Bookkeeper:
    """The books of one process, from its start to its end.

    Args:
        data_dir: Where the gateway keeps what is its own.
        settings: Sizes and intervals.
        ledger: Where calls end up.
        prices: What calls cost.
        metrics: Where it is counted.

    Attributes:
        books: The stage that calls pass.

    Raises:
        SettingsError: there is no room for a journal.
    """

    def __init__(
        self, data_dir: Path, settings: BooksSettings, ledger: Ledger, prices: PriceList, metrics: Metrics
    ) -> None:
        root = data_dir / FOLDER
        self._own = enter(root)
        try:
            self._open_calls = OpenCalls(self._own.path / NAME, settings.max_open_calls)
            self._journal = Journal(self._own.path, settings)
        except OSError as error:
            self._own.leave(is_done=True)
            raise SettingsError(f"there is no room for a journal in {root}: {error.strerror}") from None
        self.books = Books(self._journal, self._open_calls, prices, settings, metrics)
        self._shipper = Shipper(root, self._own.boot, self._journal.unshipped, ledger, settings, metrics)
        days = settings.retention_days
        self._retention = None if days is None else Retention(ledger, days)
        self._tasks: list[asyncio.Task[None]] = []
        metrics.watch(names.BOOKS_WAITING, self._waiting)
        for spec in (names.BOOKS_SHIPPED, names.BOOKS_FAILURES, names.BOOKS_RECOVERED, names.BOOKS_LOST):
            metrics.count(spec, (), 0)  # an alarm needs a zero to rise from

    @property
    def problem(self) -> str | None:
        """What is wrong with the journal, for people; None if nothing is."""
        return self._journal.problem

    def name_of(self, meter: Meter) -> str:
        """Give the id that an open call will have in the ledger; empty if nobody was let in."""
        return "" if meter.entry is None else ledger_id(self._own.boot, meter.entry.sequence)

    def start(self) -> None:
        """Begin to ship."""
        work = [self._shipper.run(), self._drain(), self._note_busy()]
        if self._retention is not None:
            work.append(self._retention.run())
        self._tasks = [asyncio.create_task(one) for one in work]

    async def close(self, grace_s: float) -> None:
        """Ship what is left, as far as that can be done in time; what is not stays for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.books.drain()
        is_done = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                is_done = await self._shipper.try_once()
        self._shipper.close()
        is_done = is_done and not self.books.held_bytes
        self._journal.close(is_done=is_done)
        self._open_calls.close()
        self._own.leave(is_done=is_done)

    async def _drain(self) -> None:
        """Have what is held in memory written down soon after there is room, though no call ends."""
        while True:
            await asyncio.sleep(_DRAIN_INTERVAL_S)
            self.books.drain()

    async def _note_busy(self) -> None:
        while True:
            await asyncio.sleep(_BUSY_INTERVAL_S)
            self.books.note_busy()

    def _waiting(self) -> list[tuple[tuple[str], float]]:
        return [
            (("journal",), self._journal.unshipped.waiting_bytes()),
            (("memory",), self.books.held_bytes),
        ]
