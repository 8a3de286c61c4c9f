"""The quality watch: a sample of replies is looked at after their calls, counted, and forgotten.

What is looked at is in memory until its turn comes, within a second, and nowhere else: neither written nor
logged. Only counts are kept, by day, project and model.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.errors import GatewayError
from lmaas_gateway.flaws import FLAWS, FlawCounts
from lmaas_gateway.kept_reply import KeptReply
from lmaas_gateway.metrics.names import QUALITY_CHECKED, QUALITY_FLAGS
from lmaas_gateway.quality.judging import judge
from lmaas_gateway.storage.records import QualityDay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lmaas_gateway.call import Call, Dialect, Exits, Principal
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.reply import Reply
    from lmaas_gateway.settings import QualitySettings
    from lmaas_gateway.storage.database import Database

_LOG = logging.getLogger("lmaas.gateway")
_LOOK_INTERVAL_S = 0.5
_ROUNDS_A_FLUSH = 20
_DAY_S = 86_400
# A sample that waits takes at most twice this much: request and reply.
_MAX_BYTES = 2**20
_MAX_WAITING = 32
_MAX_GROUPS = 10_000

_Group = tuple[int, str, str, str]


class Sample(msgspec.Struct, frozen=True):
    """A reply to be looked at, and whose it is."""

    organization: str
    project: str
    model: str
    dialect: Dialect
    request: bytes
    reply: bytes
    is_stream: bool


class QualityWatch:
    """Looks at a sample of replies.

    Args:
        settings: How many.
        metrics: Where they are counted.
        database: Where the counts of days are kept; None keeps none.
        clock: Unix seconds.
        draw: Gives a number from 0 to 1.
    """

    def __init__(
        self,
        settings: QualitySettings,
        metrics: Metrics,
        database: Database | None = None,
        *,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._rate = settings.sample_rate
        self._max_per_s = settings.max_per_s
        self._metrics = metrics
        self._database = database
        self._clock = clock
        self._draw = draw
        self._second = 0
        self._taken = 0
        self._waiting: deque[Sample] = deque()
        self._days: defaultdict[_Group, FlawCounts] = defaultdict(FlawCounts)

    def wants(self, call: Call) -> bool:
        """Tell whether the reply to a call is one of the sample."""
        return self._draw() < self._rate and call.route.dialect != "plain" and self._has_room()

    def keep(self, reply: Reply, call: Call, principal: Principal, *, meter: Meter, exits: Exits) -> Reply:
        """Have a reply looked at when its call has ended, if it came to its end."""
        kept = KeptReply(reply, _MAX_BYTES)

        def finish() -> None:
            if kept.is_cut or len(call.body) > _MAX_BYTES or len(self._waiting) >= _MAX_WAITING:
                return
            self._waiting.append(
                Sample(
                    principal.organization,
                    principal.project,
                    meter.model,
                    call.route.dialect,
                    call.body,
                    kept.data,
                    kept.is_stream,
                )
            )

        exits.append(finish)
        return kept

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look at what waits, and keep the counts, until cancelled."""
        while True:
            for _ in range(_ROUNDS_A_FLUSH):
                await sleep(_LOOK_INTERVAL_S)
                await self.look()
            await self.flush()

    async def look(self) -> None:
        """Look at what waits, in a thread."""
        while self._waiting:
            sample = self._waiting.popleft()
            try:
                counts = await asyncio.to_thread(_judge, sample)
            except Exception as error:  # one reply must not end the watch over all others
                _LOG.error("a reply could not be looked at: %s", type(error).__name__)
                continue
            if counts is not None:
                self._count(sample, counts)

    async def flush(self) -> None:
        """Add what was counted to the days' counts; what the store does not take now goes with the next."""
        if self._database is None or not self._days:
            return
        from lmaas_gateway.storage import quality  # noqa: PLC0415 - heavy, and there only with a store

        days, self._days = self._days, defaultdict(FlawCounts)
        rows = [
            QualityDay(
                day=day,
                organization_id=organization,
                project_id=project,
                model=model,
                **counts.counts(),
            )
            for (day, organization, project, model), counts in days.items()
        ]
        try:
            async with self._database.writing(deadline_s=self._database.admin_deadline_s) as connection:
                await quality.add(connection, rows)
        except GatewayError as error:
            _LOG.warning("counts of quality wait for the database: %s", error)
            for group, counts in days.items():
                if len(self._days) < _MAX_GROUPS:
                    self._days[group] = self._days[group].plus(counts)

    def _has_room(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        return self._taken <= self._max_per_s and len(self._waiting) < _MAX_WAITING

    def _count(self, sample: Sample, counts: FlawCounts) -> None:
        if self._database is not None:
            group = (int(self._clock()) // _DAY_S, sample.organization, sample.project, sample.model)
            self._days[group] = self._days[group].plus(counts)
        seen = counts.counts()
        for flaw, base in FLAWS.items():
            if seen[base]:
                self._metrics.count(QUALITY_CHECKED, (sample.model, flaw))
                self._metrics.count(QUALITY_FLAGS, (sample.model, flaw), seen[flaw])


def _judge(sample: Sample) -> FlawCounts | None:
    return judge(sample.request, sample.reply, sample.dialect, is_stream=sample.is_stream)
