"""All that one process knows of who calls, put together."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from lmaas_gateway.errors import StoreUnavailableError
from lmaas_gateway.identity.addresses import Proxies
from lmaas_gateway.identity.authenticator import Authenticator
from lmaas_gateway.identity.changes import KeyChanges
from lmaas_gateway.identity.configured import is_of_store, principals_of
from lmaas_gateway.identity.people import PeopleAtWork
from lmaas_gateway.identity.running import RunningCalls
from lmaas_gateway.identity.source import Holders
from lmaas_gateway.identity.stored import StoredKeys, principal_of_key
from lmaas_gateway.identity.warm import Warm

if TYPE_CHECKING:
    from lmaas_gateway.call import Principal
    from lmaas_gateway.identity.authenticator import Callers
    from lmaas_gateway.identity.keys import Peppers
    from lmaas_gateway.identity.salts import Salts
    from lmaas_gateway.settings import Settings
    from lmaas_gateway.storage.database import Database
    from lmaas_gateway.storage.holders import KeyHolder
    from lmaas_gateway.storage.valkey import Valkey

_CHANNEL = "lmaas:keys"


class Identities:
    """Knows the callers, and follows what becomes of them.

    Args:
        database: Where the tenants are.
        peppers: What MACs of keys are made with.
        salts: Keep the prompts of tenants apart.
        settings: How callers are known; nothing of that changes while the process runs.

    Attributes:
        valkey: Carries the news of keys, where there is one; closed here.
    """

    def __init__(self, database: Database, peppers: Peppers, salts: Salts, settings: Settings) -> None:
        rules = settings.identity
        self._salts = salts
        self._source = Holders(database)
        self._warm = Warm()
        self._proxies = Proxies(rules.trusted_proxies)
        is_cut = rules.running_streams == "cut"
        self._running = RunningCalls() if is_cut else None
        self._people = RunningCalls() if is_cut and rules.issuers else None
        self._poll_s = rules.poll_s
        self._keys = StoredKeys(
            self._source, peppers, rules, warm=self._warm, principal_of=self._principal_of
        )
        self._tokens = self._build_tokens(settings)
        self.valkey = self._open_valkey(settings)
        self._changes = KeyChanges(
            self._source, self._keys, self._warm, running=self._running, poll_s=rules.poll_s
        )

    def _build_tokens(self, settings: Settings) -> Callers | None:
        issuers = settings.identity.issuers
        if not issuers:
            return None
        # Signatures of tokens are nobody's business who knows no identity provider.
        from lmaas_gateway.identity.key_sets import key_set_of  # noqa: PLC0415 - see above
        from lmaas_gateway.identity.tokens import Tokens  # noqa: PLC0415 - likewise

        return Tokens(
            self._source,
            {issuer.issuer: (issuer, key_set_of(issuer)) for issuer in issuers},
            settings.identity,
            warm=self._warm,
            finish=self._salts.give,
        )

    def _open_valkey(self, settings: Settings) -> Valkey | None:
        url = settings.storage.valkey_url
        if url is None:
            return None
        from lmaas_gateway.storage.valkey import Valkey  # noqa: PLC0415 - likewise

        rules = settings.storage
        return Valkey(url.get_secret_value(), rules, deadline_s=rules.deadline_s)

    def authenticator(self, settings: Settings) -> Authenticator:
        """Make what tells callers apart, those of the configuration among them."""
        principals = principals_of(settings, self._salts)
        return Authenticator(
            {key: principal for key, principal in principals.items() if not is_of_store(key)},
            keys=self._keys,
            tokens=self._tokens,
            warm=self._warm,
            proxies=self._proxies,
            running=self._running,
            people=self._people,
        )

    async def run(self) -> None:
        """Follow what becomes of keys, and of people, for ever."""
        beside = [asyncio.create_task(self._listen())]
        if self._people is not None:
            at_work = PeopleAtWork(self._source, self._people, poll_s=self._poll_s)
            beside.append(asyncio.create_task(at_work.run()))
        try:
            await self._changes.run()
        finally:
            for task in beside:
                task.cancel()

    async def announce(self, *revoked: str) -> None:
        """Have all processes find out at once what has changed; those that are not told do within seconds.

        Args:
            revoked: Ids of keys that are valid no more. Whoever hears of them takes them no more unasked, so
                that they are not served either if the database goes away this moment.
        """
        self._changes.hear(revoked)
        if self.valkey is not None:
            with contextlib.suppress(StoreUnavailableError):
                await self.valkey.publish(_CHANNEL, " ".join(revoked).encode())

    async def close(self) -> None:
        """Close what was opened here."""
        if self.valkey is not None:
            await self.valkey.close()

    async def _listen(self) -> None:
        if self.valkey is not None:
            # The database alone says what has changed; until it does, what is said to be revoked is in doubt.
            async for message in self.valkey.listen(_CHANNEL):
                self._changes.hear((message or b"").decode(errors="replace").split())

    def _principal_of(self, holder: KeyHolder) -> Principal:
        return self._salts.give(principal_of_key(holder))
