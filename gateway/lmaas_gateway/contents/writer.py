"""Writes contents down behind the calls: in batches, sealed in a thread, and no more than fits the memory."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING

from lmaas_gateway.contents.archive import seal_all
from lmaas_gateway.errors import ConflictError, GatewayError, VaultError
from lmaas_gateway.metrics import names
from lmaas_gateway.storage import contents

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lmaas_gateway.contents.archive import Kept
    from lmaas_gateway.contents.data_keys import DataKeys
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.settings import ContentSettings
    from lmaas_gateway.storage.database import Database

_LOG = logging.getLogger("lmaas.gateway")
_INTERVAL_S = 0.25
# What one transaction writes: it holds up others that write no longer than for some tens of milliseconds.
_BATCH = 64
_BATCH_BYTES = 4 * 2**20
_DAY_US = 86_400 * 10**6
_ROUNDS_AN_HOUR = int(3600 / _INTERVAL_S)


class ContentWriter:
    """Takes contents of calls that have ended.

    Args:
        database: Where they go.
        keys: Seal them.
        settings: How much may wait, and how long it is kept.
        metrics: Where those that were not kept are counted.
        clock: Unix seconds.
    """

    def __init__(
        self,
        database: Database,
        keys: DataKeys,
        settings: ContentSettings,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._retention_days = settings.retention_days
        self._database = database
        self._keys = keys
        self._max_waiting_bytes = settings.max_waiting_bytes
        self._metrics = metrics
        self._waiting: deque[Kept] = deque()
        self._waiting_bytes = 0
        self._is_failing = False
        self._lock = asyncio.Lock()

    def put(self, kept: Kept) -> None:
        """Take one, without waiting; it is dropped, and counted, if too much waits already."""
        if self._waiting_bytes + kept.size_bytes > self._max_waiting_bytes:
            self._metrics.count(names.CONTENTS_LOST, ("full",))
            return
        self._waiting.append(kept)
        self._waiting_bytes += kept.size_bytes

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Write until cancelled; what the store does not take now is tried again. Drop what is old."""
        for round_ in itertools.count():
            await sleep(_INTERVAL_S)
            await self.flush()
            if round_ % _ROUNDS_AN_HOUR == 0:
                await self.drop_old()

    async def drop_old(self) -> None:
        """Delete what is older than contents are to be kept."""
        if self._retention_days is None:
            return
        until = int(self._clock() * 1e6) - self._retention_days * _DAY_US
        try:
            while True:
                async with self._database.writing(deadline_s=self._database.admin_deadline_s) as connection:
                    if await contents.drop_before(connection, until) == 0:
                        return
        except GatewayError as error:
            _LOG.warning("old contents could not be deleted, and will be later: %s", error)

    async def flush(self) -> None:
        """Write what waits, as far as the store takes it."""
        async with self._lock:
            await self._flush()

    async def _flush(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            try:
                await self._write(batch)
            except VaultError as error:
                self._lose(batch, error)
            except ConflictError:
                # A batch whose commit was not answered had been kept; else one of it has a twin.
                await self._write_singly(batch)
            except GatewayError as error:
                self._keys.forget()
                if not self._is_failing:
                    _LOG.warning("contents wait for the database: %s", error)
                self._is_failing = True
                return
            except Exception as error:  # it must not hold up for ever what comes after it
                self._lose(batch, error)
            self._is_failing = False
            self._drop(len(batch))

    def _next_batch(self) -> list[Kept]:
        batch: list[Kept] = []
        size_bytes = 0
        for kept in itertools.islice(self._waiting, _BATCH):
            size_bytes += kept.size_bytes
            if batch and size_bytes > _BATCH_BYTES:
                break
            batch.append(kept)
        return batch

    async def _write(self, batch: list[Kept]) -> None:
        def owner(kept: Kept) -> str:
            return kept.organization_id

        ordered = sorted(batch, key=owner)
        async with self._database.writing(deadline_s=self._database.admin_deadline_s) as connection:
            for organization_id, group in groupby(ordered, owner):
                own = list(group)
                key = await self._keys.take(connection, organization_id, len(own))
                for content in await asyncio.to_thread(seal_all, own, key):
                    await contents.add(connection, content)

    async def _write_singly(self, batch: list[Kept]) -> None:
        self._keys.forget()
        for kept in batch:
            try:
                await self._write([kept])
            except ConflictError:
                continue

    def _lose(self, batch: list[Kept], error: Exception) -> None:
        self._keys.forget()
        self._metrics.count(names.CONTENTS_LOST, ("unsealed",), len(batch))
        _LOG.error("contents of %d calls were not kept: %s", len(batch), error, exc_info=error)

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._waiting_bytes -= self._waiting.popleft().size_bytes
