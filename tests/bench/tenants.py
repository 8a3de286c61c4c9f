"""A store with tenants in it, for measurements: one organization with limits, and as many keys as wanted."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from bench.configuration import write_config
from bench.gateways import Gateway, lmaas_command
from lmaas_gateway.identity.keys import NewKey, make_key
from lmaas_gateway.settings import Settings
from lmaas_gateway.storage import limits, organizations, projects, tables
from lmaas_gateway.storage.database import Database, database_url
from lmaas_gateway.storage.loan import Connection
from lmaas_gateway.storage.records import Limit, Organization, Project
from lmaas_gateway.storage.schema import migrate
from lmaas_gateway.vault.vault import Vault

ORGANIZATION, PROJECT = "org_bench", "proj_bench"
LIMITS = (
    ("organization", ORGANIZATION, "money", "month"),
    ("project", PROJECT, "tokens", "minute"),
    ("project", PROJECT, "requests", "minute"),
)
"""What every call is held against; none is ever reached."""

PRICE = {"input_per_million": "0.15", "output_per_million": "0.60"}
_PLENTY = 10**17
_BATCH = 10_000
_PATIENCE_S = 600.0
_NOW_US = 1_790_000_000_000_000


@dataclass(frozen=True, slots=True)
class Store:
    """Where tenants are.

    Attributes:
        settings: What a gateway must be told to serve them.
    """

    settings: Mapping[str, Any]

    @classmethod
    def in_folder(cls, folder: Path, url: str | None = None) -> Store:
        """An embedded database, or the one at `url`; it has no tables yet."""
        storage: dict[str, Any] = {} if url is None else {"url": url}
        return cls({"data_dir": str(folder), "master_key": secrets.token_hex(32), "storage": storage})

    def read(self, **further: Any) -> Settings:
        """The settings as the gateway reads them."""
        return Settings.model_validate({**self.settings, **further})

    async def furnish(self, keys: int) -> list[str]:
        """Make tables, an organization with a project, its limits, and keys; give the keys."""
        settings = self.read()
        vault = Vault.open(settings)
        database = Database(database_url(settings.storage, settings.data_folder()), settings.storage)
        made = [make_key(vault) for _ in range(keys)]
        try:
            await migrate(database)
            async with database.writing(deadline_s=_PATIENCE_S) as connection:
                await _add_tenant(connection)
            for start in range(0, keys, _BATCH):
                async with database.writing(deadline_s=_PATIENCE_S) as connection:
                    rows = [_row(key) for key in made[start : start + _BATCH]]
                    await connection.execute(insert(tables.keys), rows)
        finally:
            await database.close()
        return [key.text for key in made]


async def _add_tenant(connection: Connection) -> None:
    organization = Organization(id=ORGANIZATION, name="bench", created_at=_NOW_US)
    await organizations.create(connection, organization)
    project = Project(id=PROJECT, organization_id=ORGANIZATION, name="bench", created_at=_NOW_US)
    await projects.create(connection, project)
    for number, (kind, subject, metric, period) in enumerate(LIMITS):
        limit = Limit(
            id=f"lim_{number}",
            organization_id=ORGANIZATION,
            subject_kind=kind,
            subject_id=subject,
            metric=metric,
            period=period,
            amount=_PLENTY,
        )
        await limits.create(connection, limit)


def _row(key: NewKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "project_id": PROJECT,
        "organization_id": ORGANIZATION,
        "name": key.id,
        "mac": key.mac,
        "pepper_version": key.pepper_version,
        "last4": key.last4,
        "created_at": _NOW_US,
        "changed_at": _NOW_US,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantGateway(Gateway):
    """lmaas with tenants: a key of the store, limits, a price and books, beside all else that is on."""

    store: Store

    def command(self, *, port: int, replicas: Sequence[str], folder: Path) -> list[str]:
        """Write its configuration into `folder`, and return what serves on `port`."""
        assert self.python is not None
        config = write_config(
            folder / f"tenants-{port}.yaml",
            replicas,
            model={"price": PRICE},
            open=False,
            keys=[],
            **self.store.settings,
        )
        return lmaas_command(str(self.python.parent / self.package), port, config)
