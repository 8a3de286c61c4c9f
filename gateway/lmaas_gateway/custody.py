"""What an operator does with the master secret and the audit trail, on the host and without a gateway."""

from __future__ import annotations

import base64
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas_gateway.audit.notary import Notary
from lmaas_gateway.audit.trail import Trail
from lmaas_gateway.audit.witness import Witness, witness_path
from lmaas_gateway.contents.masters import check_masters
from lmaas_gateway.contents.rotation import rotate
from lmaas_gateway.errors import GatewayError, SettingsError, VaultError
from lmaas_gateway.storage import data_keys
from lmaas_gateway.storage.database import Database, database_url
from lmaas_gateway.storage.schema import migrate
from lmaas_gateway.vault.vault import Vault
from lmaas_gateway.watching.plan import derived_from

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lmaas_gateway.audit.verify import Verdict
    from lmaas_gateway.contents.rotation import Rotation
    from lmaas_gateway.settings import Settings

_OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class VaultStatus:
    """What there is.

    Attributes:
        source: Where the master secret comes from.
        versions: Of it; the last is the newest.
        data_keys: How many there are, by the version that they are wrapped by.
    """

    source: str
    versions: tuple[int, ...]
    data_keys: dict[int, int]


async def describe(settings: Settings) -> VaultStatus:
    """Say where the master secret is and what depends on which version of it.

    Raises:
        SettingsError: the secret or the store cannot be used.
    """
    async with _opened(settings) as (vault, database):
        async with database.reading(deadline_s=database.admin_deadline_s) as connection:
            counts = await data_keys.count_by_master(connection)
        source = "LMAAS_MASTER_KEY" if vault.path is None else str(vault.path)
        return VaultStatus(source, vault.versions, counts)


async def rotate_master(settings: Settings) -> Rotation:
    """Make a new version of the master secret, or finish what was begun.

    Raises:
        SettingsError: the secret or the store cannot be used.
    """
    async with _opened(settings) as (vault, database):
        done = await rotate(vault, database, Trail(vault), actor=_OPERATOR)
        await check_masters(vault, database, at=_now_us())
        return done


async def verify_trail(settings: Settings) -> Verdict:
    """Check the audit trail, straight from the database and the file of checkpoints.

    Raises:
        SettingsError: the secret, the store or the file cannot be used.
    """
    async with _opened(settings) as (vault, database):
        path = witness_path(settings)
        notary = Notary(database, Trail(vault), vault, Witness(path), rules=settings.audit)
        try:
            return await notary.verify()
        except OSError as error:
            raise SettingsError(
                f"the file of checkpoints {path} cannot be read: {error.strerror}; "
                "run this as the user that runs the gateway"
            ) from None


def webhook_secret(settings: Settings, name: str) -> str:
    """Give the secret that is made for a webhook which has none in the settings, as its receiver takes it.

    Raises:
        SettingsError: the master secret cannot be used, or the webhook has a secret of its own.
    """
    found = next((one for one in settings.alerts.webhooks if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in settings.alerts.webhooks) or "none"
        raise SettingsError(f"there is no webhook {name!r} in alerts.webhooks; there is: {known}")
    if found.secret is not None or settings.alerts.webhook_secret is not None:
        raise SettingsError(f"the webhook {name!r} has its secret from the settings, which is not shown")
    newest, *_ = derived_from(Vault.open(settings))(name)
    return "whsec_" + base64.b64encode(newest).decode("ascii")


@contextlib.asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Vault, Database]]:
    vault = Vault.open(settings)
    database = Database(database_url(settings.storage, settings.data_folder()), settings.storage)
    try:
        await migrate(database)
        await check_masters(vault, database, at=_now_us())
        yield vault, database
    except (GatewayError, VaultError) as error:
        raise SettingsError(f"{error}") from None
    finally:
        await database.close()


def _now_us() -> int:
    return int(time.time() * 1e6)
