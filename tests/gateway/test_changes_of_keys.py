"""When keys became others, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.storage import changes, holders, keys
from support.tenants import NOW_US, Tenant

if TYPE_CHECKING:
    from lmaas_gateway.storage.database import Database

NOTHING = (0, "")


async def listed(database: Database, after: changes.Place) -> list[changes.Place]:
    async with database.reading() as connection:
        return await changes.list_after(connection, after)


async def latest(database: Database) -> changes.Place:
    async with database.reading() as connection:
        return await changes.find_latest(connection)


async def test_nothing_has_changed_where_there_is_nothing(database: Database) -> None:
    assert await latest(database) == NOTHING
    assert await listed(database, NOTHING) == []


async def test_changes_at_one_time_are_listed_in_parts(database: Database) -> None:
    tenant = await Tenant(database).make()
    ids = {(await tenant.add_key()).id for _ in range(4)}
    all_ = await listed(database, NOTHING)
    assert {id_ for _, id_ in all_} == ids
    assert await listed(database, all_[1]) == all_[2:]
    assert await latest(database) == all_[-1]


async def test_change_is_later_than_all_before_though_a_clock_is_behind(database: Database) -> None:
    tenant = await Tenant(database).make()
    key = await tenant.add_key()
    async with database.writing() as connection:
        await keys.revoke(connection, tenant.organization, key.id, NOW_US + 7)
    assert await latest(database) == (NOW_US + 7, key.id)
    await tenant.add_key(changed_at=NOW_US + 50)
    async with database.writing() as connection:
        await keys.change(connection, tenant.organization, key.id, {"name": "new"}, at=NOW_US + 9)
    assert await latest(database) == (NOW_US + 51, key.id)


async def test_use_of_a_key_is_no_change(database: Database) -> None:
    tenant = await Tenant(database).make()
    key = await tenant.add_key()
    before = await latest(database)
    async with database.writing() as connection:
        await holders.note_used(connection, {key.id: NOW_US + 2})
        await holders.note_used(connection, {key.id: NOW_US + 1, "0123456789": NOW_US})
        found = await keys.find(connection, tenant.organization, key.id)
    assert found is not None
    assert found.last_used_at == NOW_US + 2
    assert await listed(database, before) == []
