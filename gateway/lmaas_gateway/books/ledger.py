"""The ledger of the store: what the shipper ships to."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    return LedgerEntry(
        id=name,
        request_id=entry.request_id,
        at=entry.at_us,
        organization_id=entry.organization,
        project_id=entry.project,
        key_id=entry.key,
        member_id=entry.member,
        model=entry.model,
        replica=entry.replica,
        route=entry.route,
        is_stream=entry.is_stream,
        prompt_tokens=entry.prompt_tokens,
        cached_tokens=entry.cached_tokens,
        completion_tokens=entry.completion_tokens,
        reasoning_tokens=entry.reasoning_tokens,
        is_estimated=entry.is_estimated,
        first_byte_us=entry.first_byte_us,
        duration_us=entry.duration_us,
        queued_us=entry.queued_us,
        busy_ns=entry.busy_ns,
        outcome=entry.outcome,
        status=entry.status,
        code=entry.code,
        source=entry.source,
        cost_nanos=entry.cost_nanos,
        price=entry.price or "{}",
    )
