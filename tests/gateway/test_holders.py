"""What authentication reads, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.identity.source import Holders
from lmaas_gateway.storage import holders, tables
from support.tenants import NOW_US, Tenant

if TYPE_CHECKING:
    from lmaas_gateway.storage.database import Database


async def find(database: Database, key_id: str) -> holders.KeyHolder | None:
    async with database.reading() as connection:
        return await holders.find_key(connection, key_id)


async def person(database: Database, subject: str) -> holders.PersonHolder | None:
    async with database.reading() as connection:
        return await holders.find_person(connection, subject)


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
        stores_content=False,
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


async def test_several_keys_are_found_at_once(database: Database) -> None:
    tenant = await Tenant(database).make()
    one, two = await tenant.add_key(), await tenant.add_key()
    await tenant.add_key()
    async with database.reading() as connection:
        found = await holders.find_keys(connection, [one.id, two.id, "0123456789"])
    assert {key.id for key in found} == {one.id, two.id}


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


async def test_members_who_may_call_are_told_apart(database: Database) -> None:
    tenant = await Tenant(database).make()
    free = await tenant.add_member()
    bound = await tenant.add_member(project_id=tenant.project)
    disabled = await tenant.add_member(disabled_at=NOW_US)
    members = [free, bound, disabled, "nobody"]
    source = Holders(database)
    assert await source.find_open(members) == {free, bound}
    await tenant.change(tables.projects, tenant.project, archived_at=NOW_US)
    assert await source.find_open(members) == {free}
    await tenant.change(tables.organizations, tenant.organization, archived_at=NOW_US)
    assert await source.find_open(members) == set()
