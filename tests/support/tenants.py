"""Tenants in a database, made row by row."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import insert, update

from lmaas_gateway.identity.keys import NewKey, make_key
from lmaas_gateway.storage import tables

if TYPE_CHECKING:
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

    async def add_key(self, **fields: Any) -> NewKey:
        """Add a key; give it with its secret."""
        key = make_key(FakePeppers())
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
