"""Organizations, projects, members, keys and limits, on both databases."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.errors import BadRequestError, ConflictError, NotFoundError
from lmaas_gateway.storage import changes, keys, limits, members, organizations, projects
from lmaas_gateway.storage.records import Limit, Member, Organization, Project
from support.tenant_rows import key_of, new_key, new_organization, new_project

if TYPE_CHECKING:
    from lmaas_gateway.storage.database import Database


def _member(organization: Organization, number: int, **fields: object) -> Member:
    values = {"kind": "person", "name": "Ada", "role": "developer", "created_at": number} | fields
    return Member(id=f"user_{number}", organization_id=organization.id, **values)  # type: ignore[arg-type]  # as the fields are


def _limit(organization: Organization, number: int, **fields: object) -> Limit:
    values = {"subject_kind": "key", "subject_id": f"k{number}", "metric": "tokens", "period": "day"} | fields
    return Limit(id=f"lim_{number}", organization_id=organization.id, amount=10, **values)  # type: ignore[arg-type]  # as the fields are


async def test_what_is_written_is_read_back_whole(database: Database) -> None:
    organization = await new_organization(database)
    project = await new_project(database, organization)
    member = _member(organization, 1, subject="https://issuer|ada", project_id=project.id)
    async with database.writing() as connection:
        await members.create(connection, member)
    key = await new_key(
        database,
        project,
        member_id=member.id,
        mac=bytes(range(32)),
        scopes='{"models":["a*"]}',
        weight=2.5,
        priority="high",
        expires_at=2**52,
        created_by="user_1",
    )
    async with database.reading() as connection:
        assert await organizations.find(connection, organization.id) == organization
        assert await projects.find(connection, organization.id, project.id) == project
        assert await members.find(connection, organization.id, member.id) == member
        assert await keys.find(connection, organization.id, key.id) == key


async def test_nothing_of_one_organization_is_found_or_changed_from_another(database: Database) -> None:
    key = await new_key(database)
    theirs, project_id = key.organization_id, key.project_id
    other = await new_organization(database)
    limit = _limit(Organization(id=theirs, name="", created_at=0), 1)
    member = _member(Organization(id=theirs, name="", created_at=0), 1)
    async with database.writing() as connection:
        await limits.create(connection, limit)
        await members.create(connection, member)
    async with database.writing() as connection:
        assert await projects.find(connection, other.id, project_id) is None
        assert await keys.find(connection, other.id, key.id) is None
        assert await members.find(connection, other.id, member.id) is None
        assert await limits.find(connection, other.id, limit.id) is None
        assert not await projects.change(connection, other.id, project_id, name="mine")
        assert not await projects.archive(connection, other.id, project_id, 1)
        assert not await keys.change(connection, other.id, key.id, {"name": "mine"}, at=1)
        assert not await keys.revoke(connection, other.id, key.id, 1)
        assert not await keys.rotate(connection, other.id, key.id, key_of(await _none()), 1)
        assert not await members.change(connection, other.id, member.id, {"role": "owner"}, at=1)
        assert not await members.disable(connection, other.id, member.id, 1)
        assert not await limits.change(connection, other.id, limit.id, 5)
        assert not await limits.remove(connection, other.id, limit.id)
        for listing in (projects.list_of, keys.list_of, members.list_of, limits.list_of):
            assert (await listing(connection, other.id)).items == ()
        assert await limits.list_for(connection, other.id, [("key", "k1")]) == ()
    async with database.reading() as connection:
        assert await keys.find(connection, theirs, key.id) == key
        assert await members.find(connection, theirs, member.id) == member
        assert await limits.find(connection, theirs, limit.id) == limit


async def _none() -> Project:
    return Project(id="proj_none", organization_id="org_none", name="none", created_at=0)


async def test_a_key_cannot_be_given_to_another_organizations_project_or_member(database: Database) -> None:
    ours, theirs = await new_organization(database), await new_project(database)
    mine = await new_project(database, ours)
    async with database.writing() as connection:
        await members.create(
            connection, _member(Organization(id=theirs.organization_id, name="", created_at=0), 1)
        )
    with pytest.raises(NotFoundError, match="does not exist here"):
        await new_key(database, theirs, organization_id=ours.id)
    with pytest.raises(NotFoundError):
        await new_key(database, mine, member_id="user_1")


async def test_names_are_an_organizations_own(database: Database) -> None:
    project = await new_project(database)
    twin = Project(id="proj_b", organization_id=project.organization_id, name=project.name, created_at=1)
    with pytest.raises(ConflictError, match="has this name"):
        async with database.writing() as connection:
            await projects.create(connection, twin)
    other = await new_organization(database)
    async with database.writing() as connection:
        await projects.create(
            connection, Project(id="proj_c", organization_id=other.id, name=project.name, created_at=1)
        )
        assert await organizations.rename(connection, other.id, "renamed")
        assert not await organizations.rename(connection, "org_none", "unheard")
    with pytest.raises(ConflictError):
        async with database.writing() as connection:
            await organizations.rename(connection, project.organization_id, "renamed")


async def test_what_raises_undoes_all_of_its_transaction(database: Database) -> None:
    organization = await new_organization(database)
    project = Project(id="proj_a", organization_id=organization.id, name="a", created_at=1)

    async def create_twice() -> None:
        async with database.writing() as connection:
            await projects.create(connection, project)
            await projects.create(connection, project)

    with pytest.raises(ConflictError):
        await create_twice()
    async with database.reading() as connection:
        assert await projects.find(connection, organization.id, "proj_a") is None


async def test_pages_show_each_once_though_some_are_made_and_some_go_meanwhile(database: Database) -> None:
    project = await new_project(database)
    # Several of the same microsecond: their ids decide.
    made = [await new_key(database, project, created_at=5000 + number // 3) for number in range(10)]
    seen: list[str] = []
    after = None
    while True:
        async with database.reading() as connection:
            page = await keys.list_of(connection, project.organization_id, after=after, limit=3)
        seen += [key.id for key in page.items]
        if not page.has_more:
            break
        after = page.items[-1].id
        await new_key(database, project, created_at=9000)
    assert seen == [key.id for key in sorted(made, key=lambda key: (key.created_at, key.id), reverse=True)]


async def test_a_cursor_of_another_organization_is_refused_as_one_that_is_none(database: Database) -> None:
    ours, theirs = await new_key(database), await new_key(database)
    async with database.reading() as connection:
        for after in (theirs.id, "nonsense"):
            with pytest.raises(BadRequestError, match="names nothing in this list"):
                await keys.list_of(connection, ours.organization_id, after=after)
            with pytest.raises(BadRequestError):
                await limits.list_of(connection, ours.organization_id, after=after)


async def test_keys_are_listed_by_project(database: Database) -> None:
    organization = await new_organization(database)
    first, second = await new_project(database, organization), await new_project(database, organization)
    await new_key(database, first)
    key = await new_key(database, second)
    async with database.reading() as connection:
        page = await keys.list_of(connection, organization.id, project_id=second.id)
        everything = await organizations.list_all(connection)
    assert page.items == (key,)
    assert organization in everything.items


_CHANGES = ("revoke", "rename", "archive_project", "archive_organization", "disable", "demote", "rotate")


@pytest.mark.parametrize("change", _CHANGES)
async def test_whatever_changes_what_a_key_may_is_news(database: Database, change: str) -> None:
    organization = await new_organization(database)
    project = await new_project(database, organization)
    async with database.writing() as connection:
        await members.create(connection, _member(organization, 1))
    key = await new_key(database, project, member_id="user_1", created_at=50)
    await new_key(database)
    async with database.reading() as connection:
        before = await changes.find_latest(connection)
    async with database.writing() as connection:
        if change == "revoke":
            assert await keys.revoke(connection, organization.id, key.id, 10**6)
            assert not await keys.revoke(connection, organization.id, key.id, 2 * 10**6), "it keeps its time"
        elif change == "rename":
            assert await keys.change(connection, organization.id, key.id, {"name": "new"}, at=10**6)
        elif change == "archive_project":
            assert await projects.archive(connection, organization.id, project.id, 10**6)
        elif change == "archive_organization":
            assert await organizations.archive(connection, organization.id, 10**6)
        elif change == "disable":
            assert await members.disable(connection, organization.id, "user_1", 10**6)
        elif change == "demote":
            assert await members.change(connection, organization.id, "user_1", {"role": "viewer"}, at=10**6)
        else:
            successor = key_of(project, created_at=10**6)
            assert await keys.rotate(connection, organization.id, key.id, successor, 2 * 10**6)
    async with database.reading() as connection:
        news = [key_id for _, key_id in await changes.list_after(connection, before)]
    assert key.id in news
    assert len(news) == (2 if change == "rotate" else 1)


@pytest.mark.parametrize(("expires_at", "expected"), [(None, 500), (300, 300), (900, 500)])
async def test_a_rotated_key_ends_when_the_overlap_does_or_before(
    database: Database, expires_at: int | None, expected: int
) -> None:
    key = await new_key(database, expires_at=expires_at)
    project = Project(id=key.project_id, organization_id=key.organization_id, name="", created_at=0)
    successor = key_of(project)
    async with database.writing() as connection:
        assert await keys.rotate(connection, key.organization_id, key.id, successor, 500)
        assert not await keys.rotate(connection, key.organization_id, key.id, key_of(project), 500), "once"
    async with database.reading() as connection:
        old = await keys.find(connection, key.organization_id, key.id)
        assert await keys.find(connection, key.organization_id, successor.id) == successor
    assert old is not None
    assert (old.rotated_to, old.expires_at) == (successor.id, expected)


async def test_changes_reach_what_they_name_and_no_change_is_no_error(database: Database) -> None:
    key = await new_key(database)
    organization = Organization(id=key.organization_id, name="", created_at=0)
    async with database.writing() as connection:
        await members.create(connection, _member(organization, 1))
        assert await keys.change(
            connection, key.organization_id, key.id, {"name": "new", "weight": 3, "expires_at": 7}, at=1
        )
        assert await keys.change(connection, key.organization_id, key.id, {}, at=1)
        assert await projects.change(connection, key.organization_id, key.project_id)
        assert not await projects.change(connection, key.organization_id, "proj_none")
        assert await members.change(connection, key.organization_id, "user_1", {"role": "viewer"}, at=1)
        assert await members.change(connection, key.organization_id, "user_1", {}, at=1)
    async with database.reading() as connection:
        found = await keys.find(connection, key.organization_id, key.id)
        member = await members.find(connection, key.organization_id, "user_1")
    assert found is not None
    assert (found.name, found.weight, found.expires_at) == ("new", 3.0, 7)
    assert member is not None
    assert (member.role, member.name) == ("viewer", "Ada")


async def test_only_owners_who_can_act_are_counted(database: Database) -> None:
    organization, other = await new_organization(database), await new_organization(database)
    async with database.writing() as connection:
        for number in (1, 2, 3):
            await members.create(connection, _member(organization, number, role="owner"))
        await members.create(connection, _member(organization, 4))
        await members.create(connection, _member(other, 5, role="owner"))
        await members.disable(connection, organization.id, "user_2", 1)
        assert await members.count_owners(connection, organization.id) == 2
    async with database.writing() as connection:
        await members.create(connection, _member(organization, 6, subject="iss|same"))
    with pytest.raises(ConflictError, match="signs in as this subject"):
        async with database.writing() as connection:
            await members.create(connection, _member(other, 7, subject="iss|same"))


async def test_a_refused_statement_spoils_its_transaction_on_both_databases(database: Database) -> None:
    organization = await new_organization(database)
    project = Project(id="proj_a", organization_id="org_none", name="a", created_at=1)

    async def carry_on() -> None:
        async with database.writing() as connection:
            await organizations.rename(connection, organization.id, "renamed")
            with contextlib.suppress(NotFoundError):
                await projects.create(connection, project)

    with pytest.raises(RuntimeError, match="nothing of it can be kept"):
        await carry_on()
    async with database.reading() as connection:
        assert await organizations.find(connection, organization.id) == organization


async def test_limits_are_found_by_subject_and_are_one_of_a_kind(database: Database) -> None:
    organization = await new_organization(database)
    made = [_limit(organization, number) for number in range(1, 5)]
    async with database.writing() as connection:
        for limit in made:
            await limits.create(connection, limit)
        await limits.create(
            connection, _limit(organization, 9, subject_kind="organization", subject_id=organization.id)
        )
        found = await limits.list_for(
            connection, organization.id, [("key", "k2"), ("key", "k4"), ("project", "k1")]
        )
        assert [limit.id for limit in found] == ["lim_2", "lim_4"]
        first = await limits.list_of(connection, organization.id, limit=2)
        rest = await limits.list_of(connection, organization.id, after=first.items[-1].id, limit=10)
        assert [limit.id for limit in (*first.items, *rest.items)] == [
            *("lim_1", "lim_2", "lim_3", "lim_4", "lim_9")
        ]
        assert await limits.change(connection, organization.id, "lim_1", 99)
        assert await limits.remove(connection, organization.id, "lim_2")
        changed = await limits.find(connection, organization.id, "lim_1")
        assert changed is not None
        assert changed.amount == 99
        assert await limits.find(connection, organization.id, "lim_2") is None
    with pytest.raises(ConflictError, match="change that one"):
        async with database.writing() as connection:
            await limits.create(connection, _limit(organization, 10, subject_id="k1"))
