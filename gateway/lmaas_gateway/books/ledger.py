"""The ledger of the store: what the shipper ships to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import astuple

from lmaas_gateway.storage import feedback, ledger
from lmaas_gateway.storage.records import LedgerEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.books.shipper import Named
    from lmaas_gateway.storage.database import Database

# Nobody waits for it, and a batch that was given up is sent again.
_DEADLINE_S = 10.0


class StoredLedger:
    """The ledger in a database.

    Args:
        database: Where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, calls: Sequence[Named]) -> None:
        """Take calls, and add them to the days' sums, in one transaction.

        Raises:
            StoreUnavailableError: none of them was taken, or nobody knows.
        """
        entries = [_row_of(call) for call in calls]
        async with self._database.writing(deadline_s=_DEADLINE_S) as connection:
            await ledger.record(connection, entries)

    async def drop_before(self, at_us: int) -> int:
        """Delete some of the calls from before a time, and of what was said of them; tell how many.

        Raises:
            StoreUnavailableError: the database failed.
        """
        async with self._database.writing(deadline_s=_DEADLINE_S) as connection:
            dropped = await ledger.drop_before(connection, at_us)
            return dropped + await feedback.drop_before(connection, at_us)


def _row_of(call: Named) -> LedgerEntry:
    name, entry = call
    # The fields of an entry stand in the order of the columns, but for the last two.
    _, *fields, price, cost_nanos = astuple(entry)
    row = (name, *fields, cost_nanos, price or "{}")
    return LedgerEntry(*row)
