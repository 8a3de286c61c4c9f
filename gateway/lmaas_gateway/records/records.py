"""Finding records: by request id, or the last ones that are failed, slow, or anything else."""

from __future__ import annotations

import asyncio
import heapq
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from lmaas_gateway.records.record import CallRecord, decode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from lmaas_gateway.records.ring import Ring
    from lmaas_gateway.records.rings import Rings

# So many records are read, or looked through, before other tasks have a turn: a fraction of a millisecond.
_READ_AT_ONCE = 64
_SEARCHED_AT_ONCE = 1024

Place: TypeAlias = tuple[int, str, int]
"""Where a record is among all of them: when it ended, in which ring, and its number there."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which records.

    Attributes:
        organization: Whose; empty for those of the configuration's keys, None for everybody's.
        project: Only of this project.
        model: Only of calls that this model answered, or was to answer.
        failed: Only those that the service failed on, or refused.
        slow_over_s: Only of calls that took longer, in seconds.
        since_us: Only of calls that ended then or later, in Unix microseconds.
    """

    organization: str | None
    project: str | None = None
    model: str | None = None
    failed: bool = False
    slow_over_s: float | None = None
    since_us: int = 0

    def takes(self, record: CallRecord) -> bool:
        """Tell whether a record is one of them; `since_us` is for who reads them in order."""
        return (
            (self.organization is None or record.organization == self.organization)
            and (self.project is None or record.project == self.project)
            and (self.model is None or record.model == self.model)
            and (not self.failed or record.has_failed)
            and (self.slow_over_s is None or record.duration_us > self.slow_over_s * 1e6)
        )


class Found(msgspec.Struct, frozen=True):
    """A part of the records, the newest first.

    Attributes:
        last: The place of the last of them, which the next part comes after.
        has_more: Whether there is a next part.
    """

    records: tuple[CallRecord, ...]
    last: Place | None = None
    has_more: bool = False


class Records:
    """The last calls of all processes of this gateway.

    Args:
        rings: Where they are.
    """

    def __init__(self, rings: Rings) -> None:
        self._rings = rings

    async def find(
        self, organization: str | None, request_id: str, *, project: str | None = None
    ) -> CallRecord | None:
        """Give the newest call of this id; None if it is in no ring any more.

        Args:
            organization: Whose; empty for those of the configuration's keys, None for everybody's.
            request_id: As the client was told, or told itself.
            project: Only of this project.
        """
        newest: CallRecord | None = None
        wanted = Wanted(organization=organization, project=project)
        words = msgspec.msgpack.encode(request_id)
        for _, ring in self._rings.all():
            for begin in range(0, ring.slots, _SEARCHED_AT_ONCE):
                for data in ring.holding(words, begin, begin + _SEARCHED_AT_ONCE):
                    record = _read(data)
                    if (
                        record is not None
                        and record.request_id == request_id
                        and wanted.takes(record)
                        and (newest is None or record.ended_us > newest.ended_us)
                    ):
                        newest = record
                await asyncio.sleep(0)
        return newest

    async def recent(
        self,
        organization: str | None,
        *,
        slow_over_s: float | None = None,
        failed: bool = False,
        model: str | None = None,
        limit: int = 50,
    ) -> tuple[CallRecord, ...]:
        """Give the last calls, the newest first; see `Wanted`."""
        wanted = Wanted(organization=organization, slow_over_s=slow_over_s, failed=failed, model=model)
        return (await self.list(wanted, limit=limit)).records

    async def list(self, wanted: Wanted, *, after: Place | None = None, limit: int = 50) -> Found:
        """Give a part of the calls that are still known, the newest first.

        Args:
            wanted: Which.
            after: The `last` of the part before.
            limit: How many at most.
        """
        records: list[CallRecord] = []
        last = after
        async for place, record in self._newest_first():
            if place[0] < wanted.since_us:
                break
            if (after is not None and place >= after) or not wanted.takes(record):
                continue
            if len(records) == limit:
                return Found(tuple(records), last, has_more=True)
            records.append(record)
            last = place
        return Found(tuple(records), last)

    async def _newest_first(self) -> AsyncIterator[tuple[Place, CallRecord]]:
        rings = [_placed(name, ring) for name, ring in self._rings.all()]
        for number, found in enumerate(heapq.merge(*rings, key=itemgetter(0), reverse=True)):
            yield found
            if number % _READ_AT_ONCE == 0:
                await asyncio.sleep(0)


def _placed(name: str, ring: Ring) -> Iterator[tuple[Place, CallRecord]]:
    for number, data in ring.newest_first():
        record = _read(data)
        if record is not None:
            yield (int(record.ended_us), name, number), record


def _read(data: bytes) -> CallRecord | None:
    try:
        return decode(data)
    except msgspec.DecodeError:
        # Of another version of the gateway: a worker that has not been replaced yet.
        return None
