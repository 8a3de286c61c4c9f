"""Erase what was stored of a tenant's calls: first the keys, so that nothing can be read, then the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace
from sqlalchemy import delete

from lmaas_gateway.storage import data_keys, feedback, quality, rows
from lmaas_gateway.storage.records import Erased
from lmaas_gateway.storage.tables import contents, ledger, usage_days

if TYPE_CHECKING:
    from lmaas_gateway.storage.database import Database
    from lmaas_gateway.storage.loan import Connection


async def shred(connection: Connection, organization_id: str, at: int) -> Erased:
    """Destroy an organization's data keys, in whatever transaction says that it was done."""
    return Erased(data_keys=await data_keys.destroy_all(connection, organization_id, at))


async def erase_rows(database: Database, organization_id: str, *, batch: int = rows.MAX_PAGE) -> Erased:
    """Delete an organization's contents, its part of the ledger, what it said of calls, and its sums.

    It goes by batches, so that nobody waits long for the database meanwhile. What was deleted before a
    failure stays deleted: asking again goes on.

    Raises:
        StoreUnavailableError: the database failed.
    """
    erased = Erased()
    while True:
        async with database.writing(deadline_s=database.admin_deadline_s) as connection:
            some = await _erase_some(connection, organization_id, batch)
            if some == Erased():
                own = usage_days.c.organization_id == organization_id
                await connection.execute(delete(usage_days).where(own))
                await quality.erase(connection, organization_id)
                return erased
        erased = replace(
            erased,
            contents=erased.contents + some.contents,
            ledger_rows=erased.ledger_rows + some.ledger_rows,
            feedback=erased.feedback + some.feedback,
        )


async def _erase_some(connection: Connection, organization_id: str, limit: int) -> Erased:
    return Erased(
        contents=await rows.remove_some(
            connection, contents, contents.c.organization_id == organization_id, limit
        ),
        ledger_rows=await rows.remove_some(
            connection, ledger, ledger.c.organization_id == organization_id, limit
        ),
        feedback=await feedback.erase(connection, organization_id, limit),
    )
