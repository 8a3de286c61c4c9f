"""Tenants in a database, made row by row."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from sqlalchemy import insert, update

from lmaas_gateway.errors import StoreUnavailableError
from lmaas_gateway.identity.keys import NewKey, make_key
from lmaas_gateway.storage import tables
from lmaas_gateway.storage.holders import KeyHolder, KeyScopes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lmaas_gateway.storage.changes import Place
    from lmaas_gateway.storage.database import Database

NOW_US = 1_800_000_000_000_000


class FakePeppers:
    """A vault with two versions of one pepper, of which the second is in use."""

    newest = 2

    def keys_of(self, purpose: Literal["pepper"], version: int | None = None) -> bytes:
        """Give the pepper of a version."""
        assert purpose == "pepper"
        return {1: b"1" * 32, 2: b"2" * 32}[version or self.newest]


class Tenant:
    """An organization with a project, in a database."""

    def __init__(self, database: Database, name: str = "one") -> None:
        self._database = database
        self.organization = f"org_{name}"
        self.project = f"proj_{name}"
        self._numbers = itertools.count(1)

    async def make(self) -> Tenant:
        """Write its rows."""
        await self.insert(
            tables.organizations, id=self.organization, name=self.organization, created_at=NOW_US
        )
        await self.insert(
            tables.projects,
            id=self.project,
            organization_id=self.organization,
            name="default",
            stores_content=False,
            created_at=NOW_US,
        )
        return self

    async def add_member(self, role: str = "developer", **fields: Any) -> str:
        """Add a person."""
        id_ = f"user_{self.organization}_{next(self._numbers)}"
        values = {"kind": "person", "name": id_, "role": role, "created_at": NOW_US, **fields}
        await self.insert(tables.members, id=id_, organization_id=self.organization, **values)
        return id_

    async def add_key(self, key: NewKey | None = None, **fields: Any) -> NewKey:
        """Add a key; give it with its secret."""
        key = key or make_key(FakePeppers())
        values = {
            "id": key.id,
            "organization_id": self.organization,
            "project_id": self.project,
            "name": f"key {key.id}",
            "mac": key.mac,
            "pepper_version": key.pepper_version,
            "last4": key.last4,
            "created_at": NOW_US,
            "changed_at": NOW_US,
            **fields,
        }
        await self.insert(tables.keys, **values)
        return key

    async def insert(self, table: Any, **values: Any) -> None:
        """Write one row."""
        async with self._database.writing() as connection:
            await connection.execute(insert(table).values(values))

    async def change(self, table: Any, id_: str, **values: Any) -> None:
        """Change one row."""
        async with self._database.writing() as connection:
            await connection.execute(update(table).where(table.c.id == id_).values(values))


class FakeKeys:
    """A store of keys in memory, which counts what it is asked and may be down."""

    def __init__(self) -> None:
        self.holders: dict[str, KeyHolder] = {}
        self.asked: list[str] = []
        self.used: dict[str, int] = {}
        self.is_down = False
        self.pause: asyncio.Event | None = None

    def add(self, **fields: Any) -> NewKey:
        """Add a key; give it with its secret."""
        key = make_key(FakePeppers())
        self.holders[key.id] = holder_of(key, **fields)
        return key

    def change(self, key: NewKey, **fields: Any) -> None:
        """Change a key, later than all that changed before."""
        at = max(holder.changed_at for holder in self.holders.values()) + 1
        self.holders[key.id] = msgspec.structs.replace(self.holders[key.id], changed_at=at, **fields)

    async def find(self, key_id: str) -> KeyHolder | None:
        """Find a key as it is when this is asked."""
        self.asked.append(key_id)
        found = self.holders.get(key_id)
        await self._answer()
        return found

    async def find_all(self, key_ids: Sequence[str]) -> list[KeyHolder]:
        """Find several keys."""
        await self._answer()
        return [self.holders[key_id] for key_id in key_ids if key_id in self.holders]

    async def find_latest_change(self) -> Place:
        """Tell which key changed last."""
        await self._answer()
        return max(self._places(), default=(0, ""))

    async def list_changed(self, after: Place) -> list[Place]:
        """List which keys changed after that."""
        await self._answer()
        return sorted(place for place in self._places() if place > after)

    async def note_used(self, times: Mapping[str, int]) -> None:
        """Note when keys were used."""
        await self._answer()
        self.used |= times

    def _places(self) -> list[Place]:
        return [(holder.changed_at, holder.id) for holder in self.holders.values()]

    async def _answer(self) -> None:
        if self.pause is not None:
            await self.pause.wait()
        await asyncio.sleep(0)
        if self.is_down:
            raise StoreUnavailableError("The store is down.")


def holder_of(key: NewKey, **fields: Any) -> KeyHolder:
    """Say of a key what the store would."""
    values: dict[str, Any] = {
        "id": key.id,
        "organization": "org_one",
        "project": "proj_one",
        "member": "",
        "mac": key.mac,
        "pepper_version": key.pepper_version,
        "scopes": KeyScopes(),
        "weight": 1.0,
        "priority": "normal",
        "role": None,
        "expires_at": None,
        "revoked_at": None,
        "changed_at": NOW_US,
        "stores_content": False,
        "is_closed": False,
    }
    return KeyHolder(**(values | fields))
