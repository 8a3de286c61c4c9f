"""A gateway with two tenants, each with one of everything, made through its own admin API."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmaas_gateway.call import ROUTES
from lmaas_gateway.identity.roles import PERMISSIONS
from lmaas_gateway.storage.database import Database
from lmaas_gateway.storage.schema import migrate
from lmaas_gateway.tenancy import Tenancy, prepare
from lmaas_gateway.testing import FakeReplica
from support.serving import ASK, CHAT, run_gateway, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lmaas_gateway.administration.operations import Operation
    from lmaas_gateway.call import Role
    from support.serving import Running
    from support.stub import Response

OPERATOR_KEY = "the-operators-key-of-this-world"
MASTER_KEY = "pT4xW9mK2rQ7vB5nZ8jL3cF6hD1sG0yA"
ROLES: tuple[Role, ...] = tuple(PERMISSIONS)
DATABASE = "lmaas.sqlite"
INFERENCE = tuple(route.path for route in ROUTES)


def bearer(secret: str) -> str:
    return f"authorization: Bearer {secret}"


@dataclass
class Tenant:
    """One organization and the ids of what it has.

    Attributes:
        ids: By the noun of a path, such as `keys`.
        keys: Secrets of keys that have each role.
        plain: The secret of a key for calls alone.
        word: Stands in every name that it gave.
    """

    word: str
    organization: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    keys: dict[Role, str] = field(default_factory=dict)
    plain: str = ""


class World:
    """The gateway and its tenants."""

    def __init__(self, running: Running, replica: FakeReplica) -> None:
        self.running = running
        self.replica = replica

    async def ask(self, method: str, path: str, body: object = b"", secret: str = OPERATOR_KEY) -> Response:
        """Ask the admin API; without a body, without one."""
        return await self.running.request(method, "/admin/v1" + path, body, bearer(secret))

    async def make(self, path: str, body: dict[str, Any], organization: str = "") -> dict[str, Any]:
        query = f"?organization={organization}" if organization else ""
        reply = await self.ask("PUT" if path == "/limits" else "POST", path + query, body)
        assert reply.status in {200, 201}, (path, reply.body)
        made: dict[str, Any] = reply.json
        return made

    async def tenant(self, word: str, *, has_called: bool = False) -> Tenant:
        """Make an organization with one of everything; a call that it made too, if that is wanted."""
        tenant = Tenant(word)
        organization = tenant.organization = (await self.make("/organizations", {"name": word}))["id"]
        project = (await self.make("/projects", {"name": f"{word}-project"}, organization))["id"]
        member = (await self.make("/members", {"name": f"{word}-member"}, organization))["id"]
        key = {"project": project, "name": f"{word}-key"}
        issued = await self.make("/keys", key, organization)
        limit = {"subject_kind": "project", "subject": project, "metric": "requests", "period": "day"}
        made = await self.make("/limits", {**limit, "amount": 10**9}, organization)
        tenant.plain = issued["secret"]
        tenant.ids = {
            "organizations": organization,
            "projects": project,
            "members": member,
            "keys": issued["id"],
            "limits": made["id"],
            "contents": f"call-of-{word}",
            "calls": f"request-of-{word}-made",
        }
        if has_called:
            called = f"x-request-id: {tenant.ids['calls']}"
            reply = await self.running.post(CHAT, ASK, bearer(tenant.plain), called)
            assert reply.status == 200, reply.body
        for role in ROLES:
            tenant.keys[role] = (await self.make("/keys", key | {"scopes": {"admin": role}}, organization))[
                "secret"
            ]
        return tenant

    def path_of(self, operation: Operation, tenant: Tenant) -> str:
        """Give the path of an operation on what a tenant has, with a query that it can go on with."""
        noun = operation.path.split("/")[1]
        path = operation.path.replace("{id}", tenant.ids.get(noun, ""))
        return path + ("?start=1700000000" if noun in {"usage", "quality"} else "")


async def _put_empty_tables(folder: Path) -> None:
    """Copy tables that were made once: to make them anew takes longer than what most tests do with them."""
    made, wanted = folder.parent / DATABASE, folder / DATABASE
    if not made.exists():
        database = Database(f"sqlite:///{made}")
        await migrate(database)
        await database.close()
    if not wanted.exists():
        shutil.copy(made, wanted)


@contextlib.asynccontextmanager
async def world_at(folder: Path, url: str = "", **fields: Any) -> AsyncIterator[World]:
    """Serve until the end of the block, from a store of its own; what is at `url`, or a fake replica."""
    async with FakeReplica() as replica:
        # What is tested is what is answered, not how soon.
        patient = {"storage": {"deadline_s": 10}, "data_dir": folder, "master_key": MASTER_KEY, **fields}
        settings = settings_for(url or replica, admin_key=OPERATOR_KEY, **patient)
        await _put_empty_tables(folder)
        await prepare(settings, lambda _: None, lambda _: None)
        tenancy = await Tenancy.open(settings)
        try:
            async with run_gateway(settings, tenancy=tenancy) as running:
                yield World(running, replica)
        finally:
            await tenancy.close()
