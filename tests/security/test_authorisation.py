"""Every route with every role and every kind of bad key, and every object of one tenant asked for by another.

Both follow the tables that the routes are made from: a route that has no rule here fails the first test.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import pytest

from lmaas_gateway.administration.operations import OPERATIONS
from lmaas_gateway.api.alerts import ALERT_OPERATIONS
from lmaas_gateway.api.fleet import MODEL_OPERATIONS
from lmaas_gateway.api.live import LIVE_OPERATION
from lmaas_gateway.identity.keys import make_key
from lmaas_gateway.testing import FakeReplica
from security.worlds import INFERENCE, OPERATOR_KEY, ROLES, Tenant, World, bearer, world_at
from support.serving import ASK, CHAT, run_gateway, settings_for
from support.tenants import FakePeppers

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.administration.operations import Operation
    from lmaas_gateway.call import Role

Least = Literal["viewer", "developer", "admin", "owner", "operator"]

# The least that each operation takes.
RULES: dict[str, Least] = {
    "me.show": "viewer",
    "organizations.list": "viewer",
    "organizations.create": "operator",
    "organizations.show": "viewer",
    "organizations.change": "owner",
    "organizations.archive": "operator",
    "organizations.erase": "owner",
    "projects.list": "viewer",
    "projects.create": "admin",
    "projects.show": "viewer",
    "projects.change": "admin",
    "projects.archive": "admin",
    "members.list": "viewer",
    "members.create": "admin",
    "members.show": "viewer",
    "members.change": "admin",
    "members.disable": "admin",
    "keys.list": "viewer",
    # Own keys are a developer's; these are the project's.
    "keys.create": "admin",
    "keys.show": "viewer",
    "keys.change": "admin",
    "keys.rotate": "admin",
    "keys.revoke": "admin",
    "limits.list": "viewer",
    "limits.set": "admin",
    "limits.remove": "admin",
    "prices.list": "viewer",
    "usage.list": "viewer",
    "usage.export": "admin",
    "quality.list": "viewer",
    "audit.list": "admin",
    "audit.verify": "admin",
    "contents.list": "admin",
    "contents.show": "admin",
    "calls.list": "viewer",
    "calls.show": "viewer",
}
# Routes beside those of tenants, by who may ask.
PUBLIC = {"/livez", "/readyz", "/openapi.json", "/admin/v1/openapi.json"}
CALLERS = {*INFERENCE, "/v1/models", "/v1/models/{model:path}", "/v1/feedback", "/metrics"}
# `tests/gateway/test_web.py` knows who may see which page.
PAGES = {"/ui", "/ui/{rest:path}", "/ui/v1/{rest:path}"}
OPERATORS = {"/pools", "/pools/{model:path}", "/replicas", "/replicas/{name:path}", "/config"}
OPERATORS |= {"/config/reload", "/config/reset", "/logs"}

BODIES: dict[str, Any] = {
    "organizations.create": {"name": "another"},
    "organizations.change": {"name": "renamed"},
    "organizations.erase": {"confirm": "no such name"},
    "projects.create": {"name": "another"},
    "projects.change": {"name": "renamed"},
    "members.create": {"name": "another"},
    "members.change": {"name": "renamed"},
    "keys.change": {"name": "renamed"},
    "keys.rotate": {},
}
# What takes away what the others need comes last.
DESTRUCTIVE = ("limits.remove", "keys.revoke", "members.disable", "projects.archive", "organizations.archive")


def _last(name: str) -> str:
    return name if name in DESTRUCTIVE else ""


ORDERED = sorted(OPERATIONS, key=lambda operation: ("", *DESTRUCTIVE).index(_last(operation.name)))


def body_of(operation: Operation, tenant: Tenant) -> object:
    if operation.name == "keys.create":
        return {"project": tenant.ids["projects"], "name": "another"}
    if operation.name == "limits.set":
        subject = {"subject_kind": "project", "subject": tenant.ids["projects"]}
        return {**subject, "metric": "requests", "period": "minute", "amount": 10**9}
    return b"" if operation.body is None else BODIES[operation.name]


def may(role: Role, least: Least) -> bool:
    return least != "operator" and ROLES.index(role) >= ROLES.index(least)


class TestTables:
    def test_every_operation_has_a_rule(self) -> None:
        assert {operation.name for operation in OPERATIONS} == set(RULES)

    def test_every_operation_that_takes_a_body_has_one_here(self) -> None:
        made_here = {"keys.create", "limits.set"}
        needed = {operation.name for operation in OPERATIONS if operation.body is not None}
        assert needed == set(BODIES) | made_here

    async def test_every_route_of_the_gateway_is_known_here(self, tmp_path: Path) -> None:
        async with world_at(tmp_path) as world:
            paths = set(_paths(world.running.gateway._current.snapshot.application))
        tables = (*OPERATIONS, *MODEL_OPERATIONS, *ALERT_OPERATIONS, LIVE_OPERATION)
        admin = {"/admin/v1" + path for path in OPERATORS | {operation.path for operation in tables}}
        assert paths == PUBLIC | CALLERS | PAGES | admin


def _paths(dispatcher: Any) -> list[str]:
    return [route.path for route in dispatcher._fallback._application.routes]


async def test_every_operation_takes_the_roles_that_it_should_and_no_other(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        wrong = []
        for role in reversed(ROLES):
            tenant = await world.tenant(f"tenant-{role}", has_called=True)
            for operation in ORDERED:
                reply = await world.ask(
                    operation.method,
                    world.path_of(operation, tenant),
                    body_of(operation, tenant),
                    tenant.keys[role],
                )
                is_allowed = may(role, RULES[operation.name])
                # With the right to, the object may still be missing, or the wish be wrong.
                as_expected = (
                    reply.status in {operation.status, 400, 404} if is_allowed else reply.status == 403
                )
                if not as_expected:
                    wrong.append((role, operation.name, reply.status, reply.body[:200]))
        assert wrong == []


@pytest.mark.parametrize("kind", ["none", "wrong", "mistyped", "unknown", "expired", "revoked", "two"])
async def test_bad_key_opens_no_route(kind: str, tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        headers = await _bad_key(kind, world, tenant)
        asked_before = world.replica.requests
        wrong = []
        for method, path in _every_route(world, tenant):
            body = b"" if method in {"GET", "DELETE"} else ASK
            reply = await world.running.request(method, path, body, *headers)
            if (reply.status, reply.error.get("type")) != _refusal(kind):
                wrong.append((method, path, reply.status, reply.body[:200]))
        assert wrong == []
        assert world.replica.requests == asked_before


def _refusal(kind: str) -> tuple[int, str]:
    return (400, "invalid_request_error") if kind == "two" else (401, "authentication_error")


async def _bad_key(kind: str, world: World, tenant: Tenant) -> tuple[str, ...]:
    owner = tenant.keys["owner"]
    if kind == "expired":
        return (bearer(await _expired(world, tenant)),)
    if kind == "revoked":
        path = f"/keys/{tenant.ids['keys']}?organization={tenant.organization}"
        assert (await world.ask("DELETE", path)).status == 200
    headers = {
        "none": (),
        "wrong": (bearer("sk-something-of-another-service"),),
        "mistyped": (bearer(owner[:-1] + ("a" if owner[-1] != "a" else "b")),),
        "unknown": (bearer(make_key(FakePeppers()).text),),
        "revoked": (bearer(tenant.plain),),
        "two": (bearer(owner), f"x-api-key: {OPERATOR_KEY}"),
    }
    return headers[kind]


async def _expired(world: World, tenant: Tenant) -> str:
    key = {"project": tenant.ids["projects"], "name": "short", "scopes": {"admin": "owner"}}
    issued = await world.make("/keys", key, tenant.organization)
    path = f"/keys/{issued['id']}?organization={tenant.organization}"
    changed = await world.ask("PATCH", path, {"expires_at": 1_700_000_000})
    assert changed.status == 200, changed.body
    secret: str = issued["secret"]
    return secret


def _every_route(world: World, tenant: Tenant) -> list[tuple[str, str]]:
    routes = [("POST", path) for path in (*INFERENCE, "/v1/feedback")]
    routes += [("GET", "/v1/models"), ("GET", "/v1/models/mock"), ("GET", "/metrics")]
    routes += [(operation.method, "/admin/v1" + world.path_of(operation, tenant)) for operation in OPERATIONS]
    routes += [
        (one.method, "/admin/v1" + one.path.replace("{model:path}", "mock")) for one in MODEL_OPERATIONS
    ]
    routes += [("GET", "/admin/v1/alerts"), ("POST", "/admin/v1/alerts/alrt_0/silence")]
    routes += [("GET", "/admin/v1/pools"), ("GET", "/admin/v1/config"), ("POST", "/admin/v1/config/reload")]
    return [*routes, ("POST", "/admin/v1/replicas"), ("DELETE", "/admin/v1/replicas/mock-0")]


async def test_keys_of_tenants_open_nothing_of_operators(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        for secret in (tenant.plain, tenant.keys["owner"]):
            for method, path in (("GET", "/pools"), ("GET", "/config"), ("POST", "/config/reload")):
                assert (await world.ask(method, path, b"", secret)).status in {401, 403}


async def test_models_are_seen_by_every_role_and_changed_by_the_operator_where_there_are_several_tenants(
    tmp_path: Path,
) -> None:
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        await world.tenant("neighbour")
        for operation in MODEL_OPERATIONS:
            path = operation.path.replace("{model:path}", "mock")
            body = {"replicas": 0} if operation.body else b""
            # Nothing is launched here, so that what is let through is refused for that.
            statuses = {
                role: (await world.ask(operation.method, path, body, tenant.keys[role])).status
                for role in ROLES
            }
            allowed = 200 if operation.needs == "metrics:read" else 403
            assert set(statuses.values()) == {allowed}, (operation.name, statuses)
            assert (await world.ask(operation.method, path, body, tenant.plain)).status == 403
            assert (await world.ask(operation.method, path, body)).status != 403


async def test_alerts_are_seen_by_every_role_and_silenced_by_the_operator_where_there_are_several_tenants(
    tmp_path: Path,
) -> None:
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        await world.tenant("neighbour")
        silence, wanted = "/alerts/alrt_0/silence", {"duration_s": 60}
        for role in ROLES:
            assert (await world.ask("GET", "/alerts", b"", tenant.keys[role])).status == 200
            assert (await world.ask("POST", silence, wanted, tenant.keys[role])).status == 403
        assert (await world.ask("GET", "/alerts", b"", tenant.plain)).status == 403
        assert (await world.ask("POST", silence, wanted)).status == 404, "there is none"


async def test_models_of_the_only_tenant_are_its_owners_to_change(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        (only,) = (await world.ask("GET", "/organizations")).json["data"]
        project = await world.make("/projects", {"name": "web"})
        for role in ROLES:
            key = {"project": project["id"], "name": role, "scopes": {"admin": role}}
            secret = (await world.make("/keys", key))["secret"]
            status = (await world.ask("POST", "/models/mock/stop", b"", secret)).status
            assert status == (400 if role == "owner" else 403), "its only replica was not launched here"
        assert only["id"] == project["organization"]


async def test_key_without_a_role_opens_nothing_of_administrators(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        for operation in OPERATIONS:
            path = world.path_of(operation, tenant)
            reply = await world.ask(operation.method, path, body_of(operation, tenant), tenant.plain)
            assert reply.status == 403, operation.name


class TestTenants:
    async def test_object_of_another_is_as_one_that_never_was(self, tmp_path: Path) -> None:
        async with world_at(tmp_path) as world:
            mine, other = await world.tenant("mine"), await world.tenant("other", has_called=True)
            before = await _all_of(world, other)
            nobody = Tenant("nobody", ids={noun: f"{id_[:-4]}none" for noun, id_ in other.ids.items()})
            wrong = []
            for operation in OPERATIONS:
                if not operation.has_id or RULES[operation.name] == "operator":
                    continue
                told = [
                    await world.ask(
                        operation.method,
                        world.path_of(operation, whose),
                        body_of(operation, mine),
                        mine.keys["owner"],
                    )
                    for whose in (other, nobody)
                ]
                same = [
                    _without_ids(reply.body, whose)
                    for reply, whose in zip(told, (other, nobody), strict=True)
                ]
                if {reply.status for reply in told} != {404} or same[0] != same[1]:
                    wrong.append((operation.name, [(reply.status, reply.body[:160]) for reply in told]))
            assert wrong == []
            assert await _all_of(world, other) == before

    async def test_no_listing_shows_another(self, tmp_path: Path) -> None:
        async with world_at(tmp_path) as world:
            mine, other = await world.tenant("mine"), await world.tenant("other", has_called=True)
            await world.running.post(CHAT, ASK, bearer(other.plain))
            listings = [one for one in OPERATIONS if one.method == "GET" and not one.has_id]
            asked = [(one, query) for one in listings for query in _queries(one, other)]
            named = ""
            for operation, query in sorted(asked, key=lambda pair: bool(pair[1])):
                named += query
                path = world.path_of(operation, mine)
                path += ("&" if "?" in path else "?") + query if query else ""
                body = (await world.ask("GET", path, b"", mine.keys["owner"])).body
                # What was named may come back, as in the audit trail of who named it.
                found = [id_ for id_ in _secrets_of(other) if id_.encode() in body and id_ not in named]
                assert found == [], (operation.name, query, body)

    async def test_operators_query_is_no_way_into_another(self, tmp_path: Path) -> None:
        async with world_at(tmp_path) as world:
            mine, other = await world.tenant("mine"), await world.tenant("other", has_called=True)
            for operation in OPERATIONS:
                path = world.path_of(operation, mine)
                path += ("&" if "?" in path else "?") + f"organization={other.organization}"
                body = body_of(operation, mine)
                reply = await world.ask(operation.method, path, body, mine.keys["owner"])
                assert reply.status in {403, 404}, operation.name

    async def test_nothing_of_another_can_be_referred_to(self, tmp_path: Path) -> None:
        async with world_at(tmp_path) as world:
            mine, other = await world.tenant("mine"), await world.tenant("other", has_called=True)
            limit = {"metric": "requests", "period": "day", "amount": 1}
            own = {"project": mine.ids["projects"], "name": "stolen"}
            for method, path, body in (
                ("POST", "/keys", {"project": other.ids["projects"], "name": "stolen"}),
                ("POST", "/keys", own | {"member": other.ids["members"]}),
                ("POST", "/members", {"name": "spy", "project": other.ids["projects"]}),
                ("PATCH", f"/members/{mine.ids['members']}", {"project": other.ids["projects"]}),
                *(
                    ("PUT", "/limits", {"subject_kind": kind, "subject": other.ids[f"{kind}s"], **limit})
                    for kind in ("organization", "project", "key", "member")
                ),
            ):
                reply = await world.ask(method, path, body, mine.keys["owner"])
                assert reply.status in {400, 404}, (method, path, body, reply.body)

    async def test_role_of_a_key_is_bound_by_who_gives_it(self, tmp_path: Path) -> None:
        async with world_at(tmp_path) as world:
            mine = await world.tenant("mine")
            wanted = {"project": mine.ids["projects"], "name": "more", "scopes": {"admin": "owner"}}
            reply = await world.ask("POST", "/keys", wanted, mine.keys["admin"])
            assert reply.status == 403
            higher = {"name": "boss", "role": "owner"}
            assert (await world.ask("POST", "/members", higher, mine.keys["admin"])).status == 403


async def _all_of(world: World, tenant: Tenant) -> list[bytes]:
    """What there is of a tenant, as its operator sees it."""
    nouns = ("organizations", "projects", "members", "keys", "limits")
    query = f"?organization={tenant.organization}"
    return [(await world.ask("GET", f"/{noun}{query}")).body for noun in nouns]


def _without_ids(body: bytes, tenant: Tenant) -> bytes:
    for id_ in tenant.ids.values():
        body = body.replace(id_.encode(), b"<id>")
    return body


def _queries(operation: Operation, other: Tenant) -> list[str]:
    """Every way to name something of another in a query."""
    named = {"project": "projects", "key": "keys", "member": "members", "subject": "projects"}
    fields = set(operation.query.__struct_fields__)
    after = [f"after={id_}" for id_ in other.ids.values()] if "after" in fields else []
    return ["", *after, *(f"{name}={other.ids[noun]}" for name, noun in named.items() if name in fields)]


def _secrets_of(tenant: Tenant) -> list[str]:
    return [*tenant.ids.values(), *tenant.keys.values(), tenant.plain, f"{tenant.word}-project"]


async def test_open_gateway_has_no_admin_routes() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        for operation in OPERATIONS:
            path = "/admin/v1" + re.sub(r"\{id\}", "x", operation.path)
            assert (await running.request(operation.method, path)).status == 404
