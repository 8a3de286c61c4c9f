"""What a gateway with a store has beside its models: tenants, their keys, limits and books.

Each process opens its own; the one that launches workers has brought the store up to date before. Without a
tenancy only the keys of the configuration exist, and nothing is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Self

from lmaas_gateway.administration.office import Office
from lmaas_gateway.administration.services import Services
from lmaas_gateway.audit.notary import Notary
from lmaas_gateway.audit.trail import Trail
from lmaas_gateway.audit.witness import Witness, witness_path
from lmaas_gateway.books.bookkeeper import Bookkeeper
from lmaas_gateway.books.ledger import StoredLedger
from lmaas_gateway.contents.archive import Archive
from lmaas_gateway.contents.data_keys import DataKeys
from lmaas_gateway.contents.masters import check_masters
from lmaas_gateway.contents.stage import Contents
from lmaas_gateway.contents.writer import ContentWriter
from lmaas_gateway.errors import SettingsError, StoreUnavailableError
from lmaas_gateway.identity.configured import names_key
from lmaas_gateway.identity.first_start import FirstStart
from lmaas_gateway.identity.identities import Identities
from lmaas_gateway.identity.salts import Salts
from lmaas_gateway.limits.build import prepare_kept
from lmaas_gateway.limits.stored import StoredLimits
from lmaas_gateway.metrics.names import STORE_OPEN
from lmaas_gateway.quality.feedback import FeedbackBox, KnownCalls
from lmaas_gateway.storage.database import Database, database_url
from lmaas_gateway.storage.schema import migrate
from lmaas_gateway.vault.vault import Vault
from lmaas_gateway.web.sessions import Sessions
from lmaas_gateway.web.stored_sessions import StoredSessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.books.books import Books
    from lmaas_gateway.books.price_list import PriceList
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.records.records import Records
    from lmaas_gateway.settings import Settings

_PREPARATION_PAUSE_S = 1.0
_LAST_SHIPPING_S = 5.0
_LAST_CONTENTS_S = 2.0


class Tenancy:
    """The services of tenants, of one process.

    Args:
        settings: Those that it was opened by.
        vault: Makes the keys of each purpose.
        database: Holds the tenants; closed here.
    """

    def __init__(self, settings: Settings, vault: Vault, database: Database) -> None:
        self.settings = settings
        self.vault = vault
        self.database = database
        self.identities = Identities(database, vault, Salts(vault.keys_of("salt")), settings)
        self.trail = Trail(vault)
        witness = Witness(witness_path(settings))
        self.notary = Notary(database, self.trail, vault, witness, rules=settings.audit)
        self._data_keys = DataKeys(vault, max_age_days=settings.contents.data_key_days)
        self.archive = Archive(self._data_keys, self.trail)
        self._writer: ContentWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._bookkeeper: Bookkeeper | None = None

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Open everything, in the order in which it needs each other.

        Raises:
            SettingsError: the store cannot be used.
        """
        vault = Vault.open(settings)
        database = Database(database_url(settings.storage, settings.data_folder()), settings.storage)
        tenancy = cls(settings, vault, database)
        tenancy.start()
        return tenancy

    def start(self) -> None:
        """Begin what goes on by itself."""
        self._tasks = [
            asyncio.create_task(self.identities.run()),
            asyncio.create_task(self.notary.run()),
        ]

    def keep_books(self, prices: PriceList, metrics: Metrics) -> Books:
        """Begin to record calls, and to ship what is recorded.

        Raises:
            SettingsError: there is no room for a journal.
        """
        folder, rules = self.settings.data_folder(), self.settings.books
        self._bookkeeper = Bookkeeper(folder, rules, StoredLedger(self.database), prices, metrics)
        self._bookkeeper.start()
        return self._bookkeeper.books

    def measure(self, metrics: Metrics) -> None:
        """Count how long the stores take, and show whether they are left alone."""
        self.database.observe = partial(metrics.observe_store, "database")
        if self.identities.valkey is not None:
            self.identities.valkey.observe = partial(metrics.observe_store, "valkey", "command")
        metrics.watch(STORE_OPEN, self._open_breakers)

    def store_states(self) -> dict[str, str]:
        """Tell of each store whether it is asked (`closed`) or left alone since it fails (`open`)."""
        circuits = self.database.circuits.items()
        states: dict[str, str] = {f"database_{operation}s": circuit.state for operation, circuit in circuits}
        if self.identities.valkey is not None:
            states["valkey"] = self.identities.valkey.circuit.state
        return states

    def _open_breakers(self) -> list[tuple[tuple[str, str], float]]:
        circuits = self.database.circuits.items()
        return [
            (("database", operation), float(circuit.state != "closed")) for operation, circuit in circuits
        ]

    def keep_contents(self, metrics: Metrics) -> Contents:
        """Begin to keep prompts and replies of projects that want it; after the books, which name calls."""
        if self._bookkeeper is None:
            message = "contents go by the names that calls have in the books, so those are opened first"
            raise RuntimeError(message)
        rules = self.settings.contents
        self._writer = ContentWriter(self.database, self._data_keys, rules, metrics)
        self._tasks.append(asyncio.create_task(self._writer.run()))
        return Contents(self._writer, self._bookkeeper.name_of, rules)

    def feedback(self, metrics: Metrics, records: Records | None) -> FeedbackBox:
        """Take what callers say of their calls."""
        return FeedbackBox(self.database, KnownCalls(self.database, records), metrics)

    def limits(self) -> StoredLimits:
        """Read the limits of tenants."""
        return StoredLimits(self.database)

    def services(self, settings: Settings, records: Records | None = None) -> Services:
        """Make what administrators work with.

        Args:
            settings: The configuration that serves, or is prepared to.
            records: The last calls, if they are kept.
        """
        return Services.open(
            self.office(),
            peppers=self.vault,
            notary=self.notary,
            settings=settings,
            archive=self.archive,
            records=records,
        )

    def office(self) -> Office:
        """Give what administrators' services work with."""
        return Office(self.database, self.trail, self.identities.announce)

    def sessions(self) -> Sessions:
        """Keep which browsers are signed in."""
        return Sessions(
            StoredSessions(self.database),
            key_of=partial(self.vault.keys_of, "session"),
            newest=lambda: self.vault.newest,
            lifetime_s=self.settings.dashboard.session_hours * 3600,
        )

    async def close(self) -> None:
        """Close everything, the last opened first; what is to be written is written."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._writer is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_CONTENTS_S):
                    await self._writer.flush()
        if self._bookkeeper is not None:
            await self._bookkeeper.close(_LAST_SHIPPING_S)
        await self.identities.close()
        await self.database.close()


async def prepare(
    settings: Settings, report: Callable[[str], None], tell: Callable[[str], None]
) -> asyncio.Task[None] | None:
    """Bring the store up to date, and make what a first start needs; done once, before any process opens it.

    A database that does not answer keeps nobody from starting: keys of the configuration are served, others
    are told to come back, and calls are written into the journal, until it answers.

    Args:
        settings: Say where the store is.
        report: Takes lines for people.
        tell: Takes the first key, if this is the first start and the configuration names no key.

    Returns:
        What goes on trying; None if all is done.

    Raises:
        SettingsError: the store cannot be used.
    """
    try:
        await _bring_up(settings, tell)
    except StoreUnavailableError:
        report("the database does not answer: keys that are kept in it cannot be looked up until it does")
        return asyncio.create_task(_keep_trying(settings, report, tell))
    return None


async def _bring_up(settings: Settings, tell: Callable[[str], None]) -> None:
    vault = Vault.open(settings)
    prepare_kept(settings)
    database = Database(database_url(settings.storage, settings.data_folder()), settings.storage)
    try:
        await migrate(database)
        await check_masters(vault, database, at=int(time.time() * 1e6))
        first = FirstStart(database, Trail(vault), vault)
        key = await first.make(
            wants_key=not names_key(settings), lifetime_days=settings.identity.key_lifetime_days
        )
        if key is not None:
            tell(key.text)
    finally:
        await database.close()


async def _keep_trying(
    settings: Settings, report: Callable[[str], None], tell: Callable[[str], None]
) -> None:
    while True:
        await asyncio.sleep(_PREPARATION_PAUSE_S)
        try:
            await _bring_up(settings, tell)
        except StoreUnavailableError:
            continue
        except SettingsError as error:
            report(f"the database cannot be used: {error}")
            return
        report("the database answers and is up to date")
        return
