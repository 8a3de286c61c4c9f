"""Keeps what callers say of replies that they got (`/v1/feedback`)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from lmaas_gateway.errors import InvalidBodyError, ObjectNotFoundError
from lmaas_gateway.metrics.names import FEEDBACK
from lmaas_gateway.quality.opinions import Accepted
from lmaas_gateway.storage import feedback, ledger
from lmaas_gateway.storage.records import Feedback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lmaas_gateway.call import Principal
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.quality.opinions import Opinion
    from lmaas_gateway.storage.database import Database

_DAY_US = 86_400_000_000
_THUMBS: dict[str | None, int] = {None: 0, "up": 1, "down": -1}

# A call reaches the ledger about a second after its end; who has just read the reply may be quicker.
_LOOKS = 12
_LOOK_INTERVAL_S = 0.25


class JudgedCall(msgspec.Struct, frozen=True):
    """What is to be known of a call that somebody judges.

    Attributes:
        at: When it came, in microseconds since 1970.
    """

    project: str
    model: str
    at: int


class Calls(Protocol):
    """Knows calls that have ended."""

    async def find(self, principal: Principal, request_id: str) -> JudgedCall | None:
        """Give the last call of the caller's own tenant that has this request id, if there is one.

        Raises:
            StoreUnavailableError: nobody knows.
        """
        ...


class Record(Protocol):
    """What is known of a call that has just ended."""

    @property
    def project(self) -> str:
        """Where it is booked."""
        ...

    @property
    def key(self) -> str:
        """The key that it came with."""
        ...

    @property
    def model(self) -> str:
        """The one that answered."""
        ...

    @property
    def at_us(self) -> float:
        """When it came, in microseconds since 1970."""
        ...


class Records(Protocol):
    """The last calls of this machine, which the ledger may not have yet."""

    async def find(
        self, organization: str | None, request_id: str, *, project: str | None = None
    ) -> Record | None:
        """Give the newest call of this id, if there is one."""
        ...


class KnownCalls:
    """The calls of the ledger, and those that have just ended.

    Args:
        database: Where the ledger is.
        records: Of the last calls; None where none are kept.
    """

    def __init__(self, database: Database, records: Records | None = None) -> None:
        self._database = database
        self._records = records

    async def find(self, principal: Principal, request_id: str) -> JudgedCall | None:
        """Look in the caller's organization and project; keys of the configuration have but themselves."""
        if self._records is not None:
            record = await self._records.find(
                principal.organization, request_id, project=principal.project or None
            )
            if record is not None and (principal.organization or record.key == principal.id):
                return JudgedCall(record.project, record.model, int(record.at_us))
        async with self._database.reading() as connection:
            found = await ledger.find_request(
                connection,
                principal.organization,
                request_id,
                project_id=principal.project,
                key_id="" if principal.organization else principal.id,
            )
        return None if found is None else JudgedCall(found.project_id, found.model, found.at)


class FeedbackBox:
    """Takes what callers say of their calls.

    Args:
        database: Where it is kept.
        calls: Knows the calls.
        metrics: Where it is counted.
        clock: Unix seconds.
        sleep: Waits for a call that has not reached the ledger yet.
    """

    def __init__(
        self,
        database: Database,
        calls: Calls,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._calls = calls
        self._metrics = metrics
        self._clock = clock
        self._sleep = sleep

    async def take(self, principal: Principal, opinion: Opinion) -> Accepted:
        """Keep an opinion, in the place of what the same person, or key, said of the call before.

        Raises:
            InvalidBodyError: it says nothing.
            ObjectNotFoundError: the caller's project has no such call.
            StoreUnavailableError: it could not be kept.
        """
        if opinion.thumbs is None and opinion.score is None and opinion.label is None:
            raise InvalidBodyError("The body says nothing of the call: send `thumbs`, `score` or `label`.")
        call = await self._find(principal, opinion.request_id)
        author = principal.member or principal.key or principal.id
        said = Feedback(
            id=_id_of(principal.organization, author, opinion.request_id),
            organization_id=principal.organization,
            project_id=call.project,
            author=author,
            request_id=opinion.request_id,
            model=call.model,
            day=call.at // _DAY_US,
            thumbs=_THUMBS[opinion.thumbs],
            score=opinion.score,
            label=opinion.label or "",
            at=int(self._clock() * 1e6),
        )
        async with self._database.writing() as connection:
            await feedback.put(connection, said)
        self._metrics.count(FEEDBACK, (call.model, opinion.thumbs or "none"))
        return Accepted(
            call=opinion.request_id,
            model=call.model,
            thumbs=opinion.thumbs,
            score=opinion.score,
            label=opinion.label,
        )

    async def _find(self, principal: Principal, request_id: str) -> JudgedCall:
        for look in range(_LOOKS):
            if look:
                await self._sleep(_LOOK_INTERVAL_S)
            call = await self._calls.find(principal, request_id)
            if call is not None:
                return call
        raise ObjectNotFoundError(
            f"Your project has no call {request_id!r}; send the `x-request-id` of a reply.",
            param="request_id",
        )


def _id_of(organization: str, author: str, request_id: str) -> str:
    return hashlib.sha256("\0".join((organization, author, request_id)).encode()).hexdigest()
