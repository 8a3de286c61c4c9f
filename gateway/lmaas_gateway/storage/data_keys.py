"""The keys that tenants' contents are encrypted with; each is itself encrypted by a master key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select, update

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.records import DataKey
from lmaas_gateway.storage.tables import data_keys

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from lmaas_gateway.storage.loan import Connection

_TAKEN = "Another data key has this id."


async def create(connection: Connection, data_key: DataKey) -> None:
    """Add a data key.

    Raises:
        ConflictError: another has its id.
    """
    await rows.add(connection, data_keys, data_key, taken=_TAKEN)


async def find(connection: Connection, organization_id: str, data_key_id: str) -> DataKey | None:
    """Give a data key of an organization, a destroyed one too."""
    statement = rows.select_as(DataKey, data_keys).where(_own(organization_id, data_key_id))
    return await rows.find(connection, DataKey, statement)


async def find_newest(connection: Connection, organization_id: str) -> DataKey | None:
    """Give the newest data key of an organization that is not destroyed."""
    statement = (
        rows.select_as(DataKey, data_keys)
        .where(data_keys.c.organization_id == organization_id, data_keys.c.destroyed_at.is_(None))
        .order_by(data_keys.c.created_at.desc(), data_keys.c.id.desc())
        .limit(1)
    )
    return await rows.find(connection, DataKey, statement)


async def count_messages(
    connection: Connection, organization_id: str, data_key_id: str, *, messages: int, most: int
) -> bool:
    """Count what is sealed with a data key; tell whether it may be: it is there and not used up."""
    statement = (
        update(data_keys)
        .where(
            _own(organization_id, data_key_id),
            data_keys.c.destroyed_at.is_(None),
            data_keys.c.messages <= most - messages,
        )
        .values(messages=data_keys.c.messages + messages)
    )
    return await rows.write(connection, statement) == 1


async def list_wrapped_before(
    connection: Connection, master_version: int, limit: int = rows.MAX_PAGE
) -> tuple[DataKey, ...]:
    """Give data keys, of all organizations, that are wrapped by an older version of the master key."""
    statement = (
        rows.select_as(DataKey, data_keys)
        .where(data_keys.c.master_version < master_version, data_keys.c.destroyed_at.is_(None))
        .order_by(data_keys.c.id)
        .limit(limit)
    )
    return await rows.list_all(connection, DataKey, statement)


async def count_by_master(connection: Connection) -> dict[int, int]:
    """Count the data keys of all organizations that are not destroyed, by what they are wrapped by."""
    version = data_keys.c.master_version
    statement = select(version, func.count().label("keys")).where(data_keys.c.destroyed_at.is_(None))
    found = await connection.execute(statement.group_by(version).order_by(version))
    return {row.master_version: row.keys for row in found}


async def rewrap(
    connection: Connection, organization_id: str, data_key_id: str, *, wrapped: bytes, master_version: int
) -> bool:
    """Keep a data key wrapped by another version of the master key; tell whether it is still there."""
    statement = (
        update(data_keys)
        .where(_own(organization_id, data_key_id), data_keys.c.destroyed_at.is_(None))
        .values(wrapped=wrapped, master_version=master_version)
    )
    return await rows.write(connection, statement) == 1


async def destroy_all(connection: Connection, organization_id: str, at: int) -> int:
    """Destroy all data keys of an organization: nobody can read its contents again. Count them."""
    statement = (
        update(data_keys)
        .where(data_keys.c.organization_id == organization_id, data_keys.c.destroyed_at.is_(None))
        .values(wrapped=b"", destroyed_at=at)
    )
    return await rows.write(connection, statement)


def _own(organization_id: str, data_key_id: str) -> ColumnElement[bool]:
    return and_(data_keys.c.organization_id == organization_id, data_keys.c.id == data_key_id)
