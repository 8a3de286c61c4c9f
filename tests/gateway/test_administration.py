"""What administrators may do, and what becomes of it: roles, tenants, audit, on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.administration import requests
from lmaas_gateway.errors import (
    BadRequestError,
    ConflictError,
    GatewayError,
    IdempotencyMismatchError,
    ObjectNotFoundError,
    PermissionDeniedError,
)
from lmaas_gateway.identity.keys import is_key, read_id
from lmaas_gateway.storage import keys
from support.administration import NOW_S, Bureau, actor, operator

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.storage.database import Database


@pytest.fixture
def bureau(database: Database, tmp_path: Path) -> Bureau:
    return Bureau(database, tmp_path)


class Tenant:
    """An organization with one of everything."""

    def __init__(self, bureau: Bureau, organization: str) -> None:
        self.services = bureau.services
        self.organization = organization
        self.owner = actor(organization)
        self.project = self.key = self.member = self.limit = ""

    @classmethod
    async def make(cls, bureau: Bureau, name: str) -> Tenant:
        services = bureau.services
        made = await services.organizations.create(operator(), requests.CreateOrganization(name=name))
        tenant = cls(bureau, made.id)
        owner = tenant.owner
        tenant.project = (await services.projects.create(owner, requests.CreateProject(name="web"))).id
        tenant.member = (
            await services.members.create(owner, requests.CreateMember(name="Ada", role="owner"))
        ).id
        tenant.key = (await services.keys.create(owner, tenant.wanted())).id
        tenant.limit = (await services.limits.set(owner, tenant.limited())).id
        return tenant

    def wanted(self, **fields: Any) -> requests.CreateKey:
        return requests.CreateKey(**{"project": self.project, "name": "laptop", **fields})

    def limited(self, **fields: Any) -> requests.SetLimit:
        wanted = {
            "subject_kind": "project",
            "subject": self.project,
            "metric": "tokens",
            "period": "minute",
            "amount": 1000,
        }
        return requests.SetLimit(**{**wanted, **fields})


async def test_everything_made_is_shown_listed_and_stands_in_the_audit_trail(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    services, owner = bureau.services, tenant.owner
    project = await services.projects.show(owner, tenant.project)
    assert (project.name, project.organization, project.created_at) == ("web", tenant.organization, NOW_S)
    key = await services.keys.show(owner, tenant.key)
    assert (key.name, key.state, key.project, key.created_by) == (
        "laptop",
        "active",
        tenant.project,
        "somebody",
    )
    assert key.expires_at == NOW_S + 90 * 86400
    member = await services.members.show(owner, tenant.member)
    assert (member.kind, member.role, member.project) == ("person", "owner", None)
    listed: list[Any] = [
        await services.projects.list(owner, requests.Paging()),
        await services.keys.list(owner, requests.ListKeys()),
        await services.members.list(owner, requests.ListMembers()),
        await services.limits.list(owner, requests.ListLimits()),
        await services.organizations.list(owner, requests.Paging()),
    ]
    ids = [page.data[0].id for page in listed]
    assert ids == [tenant.project, tenant.key, tenant.member, tenant.limit, tenant.organization]
    assert not any(page.has_more for page in listed)
    assert await bureau.actions() == [
        "organizations.create",
        "projects.create",
        "members.create",
        "keys.create",
        "limits.set",
    ]
    verdict = await services.audit.verify(owner)
    assert (verdict.is_intact, verdict.rows, verdict.problem) == (True, 5, None)


async def test_issued_secret_is_the_key_and_is_stored_nowhere(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    issued = await bureau.services.keys.create(tenant.owner, tenant.wanted(expires_in_days=1))
    assert read_id(issued.secret.encode()) == issued.id
    assert issued.secret.endswith(issued.last4)
    assert issued.expires_at == NOW_S + 86400
    async with bureau.database.reading() as connection:
        record = await keys.find(connection, tenant.organization, issued.id)
        trail = await bureau.trail.find(connection, None)
    assert record is not None
    vault = bureau.services.keys._peppers
    assert is_key(issued.secret.encode(), record.mac, vault.keys_of("pepper", record.pepper_version))
    assert issued.secret not in repr(record) + repr(trail)
    assert not hasattr(await bureau.services.keys.show(tenant.owner, issued.id), "secret")


async def test_key_is_changed_rotated_and_revoked(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    services, owner, key = bureau.services, tenant.owner, tenant.key
    scopes = requests.Scopes(models=("chat-*",), addresses=("10.0.0.0/8",))
    changed = await services.keys.change(owner, key, requests.ChangeKey(name="desk", scopes=scopes))
    assert (changed.name, changed.scopes, changed.weight) == ("desk", scopes, 1.0)
    assert (await services.keys.change(owner, key, requests.ChangeKey())) == changed
    successor = await services.keys.rotate(owner, key, requests.RotateKey(overlap_s=60))
    assert (successor.name, successor.scopes, successor.project) == ("desk", scopes, tenant.project)
    old = await services.keys.show(owner, key)
    assert (old.state, old.rotated_to, old.expires_at) == ("rotated", successor.id, NOW_S + 60)
    with pytest.raises(ConflictError, match="is rotated"):
        await services.keys.rotate(owner, key, requests.RotateKey())
    bureau.now_s += 60
    assert (await services.keys.show(owner, key)).state == "expired"
    announced = bureau.announced
    revoked = await services.keys.revoke(owner, successor.id)
    assert (revoked.state, revoked.revoked_at) == ("revoked", NOW_S + 60)
    assert bureau.announced == announced + 1
    assert bureau.revoked[-1:] == [successor.id]
    assert await services.keys.revoke(owner, successor.id) == revoked, "again changes nothing"
    with pytest.raises(ConflictError, match="nothing undoes"):
        await services.keys.change(owner, successor.id, requests.ChangeKey(name="x"))
    assert (await bureau.actions())[-3:] == ["keys.change", "keys.rotate", "keys.revoke"]


async def test_rotation_without_overlap_ends_the_old_key_at_once(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    await bureau.services.keys.rotate(tenant.owner, tenant.key, requests.RotateKey(overlap_s=0))
    assert (await bureau.services.keys.show(tenant.owner, tenant.key)).state == "revoked"


async def test_members_change_and_the_last_owner_stays(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    members, owner, ada = bureau.services.members, tenant.owner, tenant.member
    for change in (requests.ChangeMember(role="viewer"), requests.ChangeMember(disabled=True)):
        with pytest.raises(ConflictError, match="last owner"):
            await members.change(owner, ada, change)
    with pytest.raises(ConflictError, match="last owner"):
        await members.disable(owner, ada)
    assert (await members.show(owner, ada)).role == "owner", "nothing of it was kept"
    await members.create(owner, requests.CreateMember(name="Bob", role="owner"))
    changed = await members.change(
        owner, ada, requests.ChangeMember(name="A", role="developer", project=tenant.project)
    )
    assert (changed.name, changed.role, changed.project) == ("A", "developer", tenant.project)
    assert (await members.change(owner, ada, requests.ChangeMember(project=None))).project is None
    disabled = await members.disable(owner, ada)
    assert disabled.disabled_at == NOW_S
    assert await members.disable(owner, ada) == disabled
    enabled = await members.change(owner, ada, requests.ChangeMember(disabled=False))
    assert enabled.disabled_at is None
    assert await members.change(owner, ada, requests.ChangeMember()) == enabled


async def test_limit_of_the_same_kind_is_replaced_and_one_can_be_lifted(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    limits, owner = bureau.services.limits, tenant.owner
    again = await limits.set(owner, tenant.limited(amount=5))
    assert (again.id, again.amount) == (tenant.limit, 5)
    other = await limits.set(owner, tenant.limited(model="chat-*"))
    assert other.id != tenant.limit
    whole = await limits.set(owner, tenant.limited(subject_kind="organization", subject=None))
    assert whole.subject == tenant.organization
    for fields in (
        {"subject_kind": "key", "subject": tenant.key},
        {"subject_kind": "member", "subject": tenant.member, "metric": "money", "period": "month"},
        {"subject_kind": "model", "subject": "chat-*", "metric": "calls_in_flight", "period": "none"},
    ):
        await limits.set(owner, tenant.limited(**fields))
    assert len((await limits.list(owner, requests.ListLimits())).data) == 6
    assert [limit.id for limit in (await limits.list(owner, requests.ListLimits(subject=tenant.key))).data]
    assert (await limits.remove(owner, tenant.limit)).deleted
    with pytest.raises(ObjectNotFoundError):
        await limits.remove(owner, tenant.limit)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"metric": "tokens", "period": "month"}, "day or minute"),
        ({"metric": "money", "period": "minute"}, "day or month"),
        ({"metric": "calls_in_flight", "period": "minute"}, "is none"),
        ({"subject": None}, "Name the project in `subject`"),
    ],
)
async def test_limit_that_makes_no_sense_is_refused(
    bureau: Bureau, fields: dict[str, Any], says: str
) -> None:
    tenant = await Tenant.make(bureau, "acme")
    with pytest.raises(BadRequestError, match=says):
        await bureau.services.limits.set(tenant.owner, tenant.limited(**fields))


async def test_archived_project_takes_no_new_keys(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    services, owner = bureau.services, tenant.owner
    changed = await services.projects.change(
        owner, tenant.project, requests.ChangeProject(name="site", stores_content=True)
    )
    assert (changed.name, changed.stores_content) == ("site", True)
    assert await services.projects.change(owner, tenant.project, requests.ChangeProject()) == changed
    assert (await services.projects.archive(owner, tenant.project)).archived_at == NOW_S
    assert (await services.projects.archive(owner, tenant.project)).archived_at == NOW_S
    with pytest.raises(ConflictError, match="archived"):
        await services.keys.create(owner, tenant.wanted())


async def test_operator_makes_renames_and_archives_organizations(bureau: Bureau) -> None:
    organizations = bureau.services.organizations
    for name in ("acme", "bolt"):
        made = await organizations.create(operator(), requests.CreateOrganization(name=name))
    page = await organizations.list(operator(), requests.Paging(limit=1))
    assert (page.has_more, page.last_id) == (True, page.data[0].id)
    rest = await organizations.list(operator(), requests.Paging(after=page.last_id))
    assert {page.data[0].name, rest.data[0].name} == {"acme", "bolt"}
    assert not rest.has_more
    renamed = await organizations.change(operator(), made.id, requests.ChangeOrganization(name="bolts"))
    assert (await organizations.show(operator(), made.id)) == renamed
    assert await organizations.change(operator(), made.id, requests.ChangeOrganization()) == renamed
    with pytest.raises(ConflictError, match="has this name"):
        await organizations.change(operator(), made.id, requests.ChangeOrganization(name="acme"))
    assert (await organizations.archive(operator(), made.id)).archived_at == NOW_S
    assert (await organizations.archive(operator(), made.id)).archived_at == NOW_S
    with pytest.raises(BadRequestError, match=r"\?organization="):
        await bureau.services.projects.list(operator(), requests.Paging())


@pytest.mark.parametrize("role", [None, "viewer", "developer", "admin"])
async def test_only_operators_stand_above_organizations(bureau: Bureau, role: Any) -> None:
    tenant = await Tenant.make(bureau, "acme")
    organizations = bureau.services.organizations
    for who in (actor(tenant.organization, role), tenant.owner):
        with pytest.raises(PermissionDeniedError):
            await organizations.create(who, requests.CreateOrganization(name="bolt"))
        with pytest.raises(PermissionDeniedError):
            await organizations.archive(who, tenant.organization)


async def attempts(tenant: Tenant, who: Actor) -> dict[str, type[GatewayError] | None]:
    """Try every operation on an object of `tenant`; tell what each is refused with."""
    services = tenant.services
    scopes = requests.Scopes()
    tries = {
        "projects.show": services.projects.show(who, tenant.project),
        "projects.change": services.projects.change(who, tenant.project, requests.ChangeProject(name="x")),
        "projects.archive": services.projects.archive(who, tenant.project),
        "members.show": services.members.show(who, tenant.member),
        "members.change": services.members.change(who, tenant.member, requests.ChangeMember(name="x")),
        "members.disable": services.members.disable(who, tenant.member),
        "keys.create": services.keys.create(who, tenant.wanted(scopes=scopes)),
        "keys.show": services.keys.show(who, tenant.key),
        "keys.change": services.keys.change(who, tenant.key, requests.ChangeKey(name="x")),
        "keys.rotate": services.keys.rotate(who, tenant.key, requests.RotateKey()),
        "keys.revoke": services.keys.revoke(who, tenant.key),
        "limits.set": services.limits.set(who, tenant.limited()),
        "limits.remove": services.limits.remove(who, tenant.limit),
        "organizations.show": services.organizations.show(who, tenant.organization),
        "organizations.change": services.organizations.change(
            who, tenant.organization, requests.ChangeOrganization(name="x")
        ),
    }
    found: dict[str, type[GatewayError] | None] = {}
    for name, attempt in tries.items():
        try:
            await attempt
        except GatewayError as error:
            found[name] = type(error)
        else:
            found[name] = None
    return found


async def test_another_tenants_objects_do_not_exist(bureau: Bureau) -> None:
    acme, bolt = await Tenant.make(bureau, "acme"), await Tenant.make(bureau, "bolt")
    before = await bureau.actions()
    found = await attempts(acme, bolt.owner)
    assert set(found.values()) == {ObjectNotFoundError}, found
    assert await bureau.actions() == before
    for kind, subject in (("key", acme.key), ("member", acme.member), ("organization", acme.organization)):
        with pytest.raises(ObjectNotFoundError):
            await bureau.services.limits.set(bolt.owner, bolt.limited(subject_kind=kind, subject=subject))
    with pytest.raises(ObjectNotFoundError):
        await bureau.services.keys.create(bolt.owner, bolt.wanted(member=acme.member))
    trail = await bureau.services.audit.list(bolt.owner, requests.AuditQuery())
    assert {entry.organization for entry in trail.data} == {bolt.organization}


READS = {"projects.show", "members.show", "keys.show", "organizations.show"}


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (None, set()),
        ("viewer", READS),
        ("developer", READS),
        ("admin", None),
    ],
)
async def test_roles_may_what_the_table_says(bureau: Bureau, role: Any, allowed: set[str] | None) -> None:
    tenant = await Tenant.make(bureau, "acme")
    found = await attempts(tenant, actor(tenant.organization, role))
    if allowed is None:
        # Of owners only owners dispose, and of the organization; what the project was archived for is gone.
        refused = {"members.change", "members.disable", "organizations.change"}
        assert {name for name, error in found.items() if error is PermissionDeniedError} == refused
    else:
        assert {name for name, error in found.items() if error is None} == allowed
        assert set(found.values()) <= {None, PermissionDeniedError}


async def test_developer_has_keys_of_its_own_and_no_others(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    services = bureau.services
    dev = await services.members.create(tenant.owner, requests.CreateMember(name="Dev"))
    who = actor(tenant.organization, "developer", member=dev.id)
    issued = await services.keys.create(who, tenant.wanted())
    assert (issued.member, issued.created_by) == (dev.id, dev.id)
    await services.keys.rotate(who, issued.id, requests.RotateKey())
    await services.keys.revoke(who, issued.id)
    for attempt in (
        services.keys.create(who, tenant.wanted(member=tenant.member)),
        services.keys.create(actor(tenant.organization, "developer"), tenant.wanted()),
        services.keys.revoke(who, tenant.key),
        services.keys.create(who, tenant.wanted(scopes=requests.Scopes(admin="admin"))),
    ):
        with pytest.raises(PermissionDeniedError):
            await attempt
    await services.members.disable(tenant.owner, dev.id)
    with pytest.raises(ConflictError, match="disabled"):
        await services.keys.create(tenant.owner, tenant.wanted(member=dev.id))


async def test_nobody_gives_a_role_above_the_own(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    admin = actor(tenant.organization, "admin")
    services = bureau.services
    with pytest.raises(PermissionDeniedError, match="above"):
        await services.members.create(admin, requests.CreateMember(name="x", role="owner"))
    with pytest.raises(PermissionDeniedError, match="above"):
        await services.keys.create(admin, tenant.wanted(scopes=requests.Scopes(admin="owner")))
    powerful = await services.keys.create(tenant.owner, tenant.wanted(scopes=requests.Scopes(admin="owner")))
    for attempt in (
        services.keys.rotate(admin, powerful.id, requests.RotateKey()),
        services.keys.change(admin, powerful.id, requests.ChangeKey(scopes=requests.Scopes())),
    ):
        with pytest.raises(PermissionDeniedError, match="above"):
            await attempt


async def test_role_that_is_bound_to_a_project_ends_there(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    services = bureau.services
    other = await services.projects.create(tenant.owner, requests.CreateProject(name="other"))
    bound = actor(tenant.organization, "admin", bound_to=other.id)
    assert [one.id for one in (await services.projects.list(bound, requests.Paging())).data] == [other.id]
    assert (await services.keys.list(bound, requests.ListKeys(project=tenant.project))).data == []
    assert (await services.members.list(bound, requests.ListMembers())).data == []
    own = await services.keys.create(bound, tenant.wanted(project=other.id))
    limit = await services.limits.set(bound, tenant.limited(subject=other.id))
    await services.limits.set(bound, tenant.limited(subject_kind="key", subject=own.id))
    assert [one.id for one in (await services.limits.list(bound, requests.ListLimits())).data] == [limit.id]
    new = await services.members.create(bound, requests.CreateMember(name="x"))
    assert new.project == other.id
    for denied in (
        services.keys.show(bound, tenant.key),
        services.keys.create(bound, tenant.wanted()),
        services.members.show(bound, tenant.member),
        services.projects.show(bound, tenant.project),
        services.limits.remove(bound, tenant.limit),
        services.limits.list(bound, requests.ListLimits(subject=tenant.project)),
        services.limits.set(bound, tenant.limited(subject_kind="key", subject=tenant.key)),
    ):
        with pytest.raises(ObjectNotFoundError):
            await denied
    for denied_whole in (
        services.projects.create(bound, requests.CreateProject(name="third")),
        services.limits.set(bound, tenant.limited(subject_kind="organization", subject=None)),
        services.limits.set(bound, tenant.limited(subject_kind="model", subject="m")),
        services.audit.list(bound, requests.AuditQuery()),
        services.members.change(bound, new.id, requests.ChangeMember(project=None)),
    ):
        with pytest.raises(PermissionDeniedError, match="one project"):
            await denied_whole


async def test_request_that_is_sent_again_makes_nothing_twice(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    services = bureau.services
    again = replace(tenant.owner, idempotency_key="k-1")
    project = await services.projects.create(again, requests.CreateProject(name="p"))
    assert await services.projects.create(again, requests.CreateProject(name="p")) == project
    with pytest.raises(IdempotencyMismatchError):
        await services.projects.create(again, requests.CreateProject(name="q"))
    member = await services.members.create(again, requests.CreateMember(name="m"))
    assert await services.members.create(again, requests.CreateMember(name="m")) == member
    with pytest.raises(IdempotencyMismatchError):
        await services.members.create(again, requests.CreateMember(name="n"))
    made = operator(idempotency_key="k-2")
    one = await services.organizations.create(made, requests.CreateOrganization(name="o"))
    assert await services.organizations.create(made, requests.CreateOrganization(name="o")) == one
    with pytest.raises(IdempotencyMismatchError):
        await services.organizations.create(made, requests.CreateOrganization(name="oo"))
    key = await services.keys.create(again, tenant.wanted())
    with pytest.raises(ConflictError, match=f"'{key.id}', with its secret in the first answer"):
        await services.keys.create(again, tenant.wanted())


async def test_name_that_is_taken_undoes_the_whole_change(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    before = await bureau.actions()
    with pytest.raises(ConflictError, match="has this name"):
        await bureau.services.projects.create(tenant.owner, requests.CreateProject(name="web"))
    with pytest.raises(BadRequestError, match="no network"):
        await bureau.services.keys.create(
            tenant.owner, tenant.wanted(scopes=requests.Scopes(addresses=("10.0.0.1/8",)))
        )
    with pytest.raises(BadRequestError, match="do not sign in"):
        await bureau.services.members.create(
            tenant.owner, requests.CreateMember(name="x", kind="service", subject="https://i|s")
        )
    assert await bureau.actions() == before


async def test_audit_trail_is_filtered_and_paged(bureau: Bureau) -> None:
    tenant = await Tenant.make(bureau, "acme")
    bureau.now_s += 100
    await bureau.services.keys.revoke(tenant.owner, tenant.key)
    audit, owner = bureau.services.audit, tenant.owner
    page = await audit.list(owner, requests.AuditQuery(limit=2))
    assert [entry.action for entry in page.data] == ["projects.create", "members.create"]
    assert page.has_more
    assert (await audit.list(owner, requests.AuditQuery(after=page.last_id))).data[0].action == "keys.create"
    revoked = await audit.list(owner, requests.AuditQuery(action="keys.revoke", actor="somebody"))
    assert [entry.object_id for entry in revoked.data] == [tenant.key]
    late = await audit.list(owner, requests.AuditQuery(start=int(NOW_S) + 1))
    assert [entry.action for entry in late.data] == ["keys.revoke"]
    everything = await audit.list(operator(), requests.AuditQuery())
    assert everything.data[0].action == "organizations.create"
    with pytest.raises(BadRequestError, match="names no entry"):
        await audit.list(owner, requests.AuditQuery(after="x"))


async def test_who_asks_is_told_who_that_is(bureau: Bureau) -> None:
    me = bureau.services.me
    shown = await me.show(actor("org_1", "viewer", bound_to="proj_1"))
    assert (shown.kind, shown.role, shown.organization, shown.project) == (
        "person",
        "viewer",
        "org_1",
        "proj_1",
    )
    assert (await me.show(operator())).organization is None
    with pytest.raises(PermissionDeniedError, match=r"scopes\.admin"):
        await me.show(actor("org_1", None))
