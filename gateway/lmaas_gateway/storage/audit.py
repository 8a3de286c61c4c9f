"""The rows of the audit trail, which are only ever added, and the checkpoints over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, text

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.records import AuditCheckpoint, AuditRow
from lmaas_gateway.storage.tables import audit, audit_checkpoints

if TYPE_CHECKING:
    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Page

_TAKEN = "Another row has this place in the audit trail."
# Of PostgreSQL's advisory lock; any number that nothing else here uses.
_LOCK = 0x6175646974


async def lock_head(connection: Connection) -> tuple[int, bytes]:
    """Give number and seal of the last row, (0, b"") if there is none, and let nobody else add one meanwhile.

    The lock lasts as long as the transaction, which must be one that writes: SQLite's hold the only lock that
    there is from their beginning.
    """
    if connection.dialect == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    statement = select(audit.c.seq, audit.c.mac).order_by(audit.c.seq.desc()).limit(1)
    row = (await connection.execute(statement)).one_or_none()
    return (0, b"") if row is None else (row.seq, row.mac)


async def append(connection: Connection, row: AuditRow) -> None:
    """Add the row that follows on the head, in the transaction that locked it.

    Raises:
        ConflictError: its place is taken.
    """
    await rows.add(connection, audit, row, taken=_TAKEN)


async def list_of(
    connection: Connection, organization_id: str, *, after: int | None = None, limit: int = 100
) -> Page[AuditRow]:
    """List an organization's part of the trail, the newest first, from before the row `after` on."""
    statement = rows.select_as(AuditRow, audit).where(audit.c.organization_id == organization_id)
    if after is not None:
        statement = statement.where(audit.c.seq < after)
    return await rows.cut(connection, AuditRow, statement.order_by(audit.c.seq.desc()), limit)


async def list_all(connection: Connection, *, after: int | None = None, limit: int = 100) -> Page[AuditRow]:
    """List the whole trail, the newest first: for operators of the whole gateway."""
    statement = rows.select_as(AuditRow, audit)
    if after is not None:
        statement = statement.where(audit.c.seq < after)
    return await rows.cut(connection, AuditRow, statement.order_by(audit.c.seq.desc()), limit)


async def read_chain(
    connection: Connection, *, after: int = 0, limit: int = rows.MAX_PAGE
) -> tuple[AuditRow, ...]:
    """Give the rows of the trail in the order of the chain, from behind the row `after` on: to verify it."""
    statement = rows.select_as(AuditRow, audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit)
    return await rows.list_all(connection, AuditRow, statement)


async def add_checkpoint(connection: Connection, checkpoint: AuditCheckpoint) -> None:
    """Add a checkpoint.

    Raises:
        ConflictError: another process added one of its number meanwhile.
    """
    await rows.add(connection, audit_checkpoints, checkpoint, taken=_TAKEN)


async def last_checkpoint(connection: Connection) -> AuditCheckpoint | None:
    """Give the newest checkpoint."""
    statement = rows.select_as(AuditCheckpoint, audit_checkpoints)
    newest = statement.order_by(audit_checkpoints.c.seq.desc()).limit(1)
    return await rows.find(connection, AuditCheckpoint, newest)


async def list_checkpoints(connection: Connection) -> tuple[AuditCheckpoint, ...]:
    """Give all checkpoints, the oldest first."""
    statement = rows.select_as(AuditCheckpoint, audit_checkpoints).order_by(audit_checkpoints.c.seq)
    return await rows.list_all(connection, AuditCheckpoint, statement)
