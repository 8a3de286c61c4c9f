"""Services of administrators on a database of the test's own, and actors of every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmaas_gateway.administration.actor import OPERATOR, Actor
from lmaas_gateway.administration.office import Office
from lmaas_gateway.administration.services import Services
from lmaas_gateway.audit.notary import Notary
from lmaas_gateway.audit.trail import Trail
from lmaas_gateway.audit.witness import Witness
from lmaas_gateway.call import Principal
from lmaas_gateway.settings import Settings
from lmaas_gateway.vault.vault import Vault

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.call import Role
    from lmaas_gateway.storage.database import Database

MASTER_KEY = "bA9f3kQ7vX2mZ8wL5tR1yN6cJ4hD0sGp"
NOW_S = 1_700_000_000.0


class Bureau:
    """The services, the time that they have, and what they announced."""

    def __init__(self, database: Database, folder: Path, settings: Settings | None = None) -> None:
        self.now_s = NOW_S
        self.announced = 0
        self.revoked: list[str] = []
        self.settings = settings or Settings.model_validate({"data_dir": folder, "master_key": MASTER_KEY})
        vault = Vault.open(self.settings)
        self.trail = Trail(vault, clock=lambda: self.now_s)
        notary = Notary(database, self.trail, vault, Witness(folder / "w"), rules=self.settings.audit)
        office = Office(database, self.trail, announce=self._announce, clock=lambda: self.now_s)
        self.database, self.notary = database, notary
        self.services = Services.open(office, peppers=vault, notary=notary, settings=self.settings)

    async def _announce(self, *revoked: str) -> None:
        self.announced += 1
        self.revoked += revoked

    async def actions(self) -> list[str]:
        """What stands in the audit trail, by name."""
        async with self.database.reading() as connection:
            return [row.action for row in await self.trail.find(connection, None)]


def operator(organization: str = "", **fields: Any) -> Actor:
    """The operator, in an organization."""
    return Actor(OPERATOR, "operator", "owner", organization, **fields)


def actor(organization: str, role: Role | None = "owner", **fields: Any) -> Actor:
    """A person of an organization."""
    principal = Principal("somebody", organization=organization, member=fields.pop("member", ""), role=role)
    return Actor(principal, "person", role, organization, **fields)
