"""Has the trail signed every so often, and puts what was signed where the database cannot reach it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from lmaas_gateway.audit.checkpoints import is_signed, public_key
from lmaas_gateway.audit.verify import verify
from lmaas_gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lmaas_gateway.audit.trail import Trail
    from lmaas_gateway.audit.verify import Verdict
    from lmaas_gateway.audit.witness import Witness
    from lmaas_gateway.settings import AuditSettings
    from lmaas_gateway.storage.database import Database
    from lmaas_gateway.vault.vault import Vault

_LOG = logging.getLogger("lmaas.gateway")
_LOOK_INTERVAL_S = 5.0


class Notary:
    """Makes checkpoints. Every process has one: whichever comes first signs, and each fills its host's file.

    Args:
        database: Holds the trail.
        trail: Reads and signs it.
        vault: Has the keys.
        witness: The file elsewhere.
        rules: How often.
        clock: Unix seconds.
    """

    def __init__(
        self,
        database: Database,
        trail: Trail,
        vault: Vault,
        witness: Witness,
        *,
        rules: AuditSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._trail = trail
        self._vault = vault
        self._witness = witness
        self._rules = rules
        self._clock = clock
        self._witnessed = 0

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look until cancelled; a store or a disk that fails is tried again."""
        while True:
            await sleep(_LOOK_INTERVAL_S)
            await self.look()

    async def look(self) -> None:
        """Sign if it is time, and write down what is not in the file yet."""
        try:
            if await self._is_due():
                await self.sign()
            else:
                await self._write_down()
        except (GatewayError, OSError) as error:
            _LOG.warning("the audit trail could not be signed, and will be as soon as it can: %s", error)

    async def sign(self) -> None:
        """Sign now, if the trail has grown.

        Raises:
            StoreUnavailableError: the database does not answer.
            OSError: the file cannot be written.
        """
        async with self._database.writing(deadline_s=self._database.admin_deadline_s) as connection:
            await self._trail.sign(connection)
        await self._write_down()

    async def verify(self) -> Verdict:
        """Read the whole trail and compare it with all checkpoints, here and in the file.

        Raises:
            StoreUnavailableError: the database does not answer.
            OSError: there is a file that cannot be read.
        """
        # Before the rows: those that come meanwhile are in no checkpoint yet.
        witnessed = await asyncio.to_thread(self._witness.read)
        async with self._database.reading(deadline_s=self._database.admin_deadline_s) as connection:
            kept = await self._trail.checkpoints(connection)
        return await verify(self._trail.all_rows(self._database), [*kept, *witnessed], self._vault)

    async def _is_due(self) -> bool:
        async with self._database.reading(deadline_s=self._database.admin_deadline_s) as connection:
            head = await self._trail.last(connection)
            newest = await self._trail.last_checkpoint(connection)
        if head is None:
            return False
        if newest is None:
            return True
        age_s = self._clock() - newest.at / 1e6
        # A clock that was set back must not put it off.
        is_old = not 0 <= age_s < self._rules.checkpoint_interval_s
        grown = head[0] - newest.size
        return grown >= self._rules.checkpoint_rows or (grown > 0 and is_old)

    async def _write_down(self) -> None:
        async with self._database.reading(deadline_s=self._database.admin_deadline_s) as connection:
            found = await self._trail.checkpoints(connection, after=self._witnessed)
        if not found:
            return
        # What stands there is to be believed, so what was not signed here does not get there.
        good = [checkpoint for checkpoint in found if is_signed(checkpoint, self._vault)]
        if len(good) < len(found):
            _LOG.error("the audit trail has checkpoints that were not signed here; run: lmaas audit verify")
        await asyncio.to_thread(self._witness.append, good, public_key(self._vault))
        self._witnessed = found[-1].seq
