"""What authentication reads, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.storage import holders, tables
from support.stores import *  # noqa: F403
from support.tenants import NOW_US, Tenant

if TYPE_CHECKING:
    from lmaas_gateway.storage.database import Database


async def find(database: Database, key_id: str) -> holders.KeyHolder | None:
    async with database.reading() as connection:
        return await holders.find_key(connection, key_id)


async def person(database: Database, subject: str) -> holders.PersonHolder | None:
    async with database.reading() as connection:
        return await holders.find_person(connection, subject)


async def changed(database: Database, since: int) -> list[str]:
    async with database.reading() as connection:
        return [key.id for key in await holders.list_changed(connection, since)]


async def test_key_tells_whom_it_stands_for_and_what_it_may(database: Database) -> None:
    tenant = await Tenant(database).make()
    member = await tenant.add_member("admin")
    key = await tenant.add_key(
        member_id=member, scopes='{"models":["chat*"],"admin":"viewer"}', expires_at=NOW_US + 1, weight=2.5
    )
    assert await find(database, key.id) == holders.KeyHolder(
        id=key.id,
        organization="org_one",
        project="proj_one",
        member=member,
        mac=key.mac,
        pepper_version=2,
        scopes=holders.KeyScopes(models=("chat*",), admin="viewer"),
        weight=2.5,
        priority="normal",
        role="admin",
        expires_at=NOW_US + 1,
        revoked_at=None,
        changed_at=NOW_US,
        is_closed=False,
    )


async def test_key_that_nobody_has_is_not_found(database: Database) -> None:
    assert await find(database, "0123456789") is None
    assert await find(database, "' OR 1=1 --") is None


@pytest.mark.parametrize("what", ["member", "project", "organization"])
async def test_key_is_closed_with_what_it_stands_for(database: Database, what: str) -> None:
    tenant = await Tenant(database).make()
    member = await tenant.add_member()
    key = await tenant.add_key(member_id=member)
    if what == "member":
        await tenant.change(tables.members, member, disabled_at=NOW_US)
    elif what == "project":
        await tenant.change(tables.projects, tenant.project, archived_at=NOW_US)
    else:
        await tenant.change(tables.organizations, tenant.organization, archived_at=NOW_US)
    found = await find(database, key.id)
    assert found is not None
    assert found.is_closed


async def test_keys_that_changed_are_listed_from_a_time_on(database: Database) -> None:
    tenant = await Tenant(database).make()
    old, new = await tenant.add_key(), await tenant.add_key(changed_at=NOW_US + 5)
    assert await changed(database, NOW_US) == [old.id, new.id]
    assert await changed(database, NOW_US + 1) == [new.id]
    assert await changed(database, NOW_US + 6) == []


async def test_change_of_what_keys_stand_for_is_a_change_of_the_keys(database: Database) -> None:
    one, two = await Tenant(database).make(), await Tenant(database, "two").make()
    member = await one.add_member()
    theirs, other = await one.add_key(member_id=member), await one.add_key()
    foreign = await two.add_key()
    async with database.writing() as connection:
        await holders.note_changed(connection, one.organization, NOW_US + 1, member=member)
    assert await changed(database, NOW_US + 1) == [theirs.id]
    async with database.writing() as connection:
        await holders.note_changed(connection, one.organization, NOW_US + 2, project=one.project)
    assert set(await changed(database, NOW_US + 2)) == {theirs.id, other.id}
    async with database.writing() as connection:
        await holders.note_changed(connection, two.organization, NOW_US + 3)
    assert await changed(database, NOW_US + 3) == [foreign.id]


async def test_person_is_found_by_the_token_s_issuer_and_subject(database: Database) -> None:
    tenant = await Tenant(database).make()
    free = await tenant.add_member("owner", subject="https://id.example|ann")
    bound = await tenant.add_member("viewer", subject="https://id.example|bob", project_id=tenant.project)
    assert await person(database, "https://id.example|ann") == holders.PersonHolder(
        id=free, organization="org_one", project="proj_one", is_bound=False, role="owner", is_closed=False
    )
    assert await person(database, "https://id.example|bob") == holders.PersonHolder(
        id=bound, organization="org_one", project="proj_one", is_bound=True, role="viewer", is_closed=False
    )
    assert await person(database, "https://other.example|ann") is None


async def test_disabled_person_is_closed(database: Database) -> None:
    tenant = await Tenant(database).make()
    await tenant.add_member(subject="iss|ann", disabled_at=NOW_US)
    found = await person(database, "iss|ann")
    assert found is not None
    assert found.is_closed


async def test_last_use_only_moves_forward(database: Database) -> None:
    key = await (await Tenant(database).make()).add_key()
    for at in (NOW_US + 2, NOW_US + 1):
        async with database.writing() as connection:
            await holders.note_used(connection, {key.id: at, "0123456789": at})
    async with database.reading() as connection:
        row = (await connection.execute(tables.keys.select())).one()
    assert row.last_used_at == NOW_US + 2
    # It is no change that anybody must read.
    assert row.changed_at == NOW_US


async def test_database_tells_whether_there_is_any_key(database: Database) -> None:
    tenant = await Tenant(database).make()
    async with database.reading() as connection:
        assert not await holders.has_keys(connection)
    await tenant.add_key()
    async with database.reading() as connection:
        assert await holders.has_keys(connection)
