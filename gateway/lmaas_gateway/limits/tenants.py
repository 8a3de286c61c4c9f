"""What a gateway knows of the limits of tenants: those of every organization that has called, kept fresh."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.limits.rules import Limit

# What somebody changed in the database itself, past the administrators' API, is seen after so many looks.
_ROUNDS = 60
_MAX_ORGANIZATIONS = 50_000


class LimitSource(Protocol):
    """Where limits stand."""

    async def version(self) -> int:
        """Give a number that changes when limits may have."""
        ...

    async def load(self, organizations: Sequence[str]) -> list[Limit]:
        """Give all limits of some organizations."""
        ...


class TenantLimits:
    """The limits of the organizations that have called.

    Attributes:
        organizations: Those whose limits are known; callers without one have none.
        limits: All of them.
    """

    def __init__(self, source: LimitSource) -> None:
        self._source = source
        self._version = -1
        self._rounds = itertools.count(1)
        self._learning: dict[str, asyncio.Task[None]] = {}
        self.organizations: set[str] = {""}
        self.limits: tuple[Limit, ...] = ()

    async def learn(self, organization: str) -> tuple[Limit, ...]:
        """Read the limits of one more organization; give all.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        learning = self._learning.get(organization)
        if learning is None:
            learning = self._learning[organization] = asyncio.ensure_future(self._learn(organization))
            learning.add_done_callback(lambda _: self._learning.pop(organization, None))
        await asyncio.shield(learning)
        return self.limits

    async def refresh(self) -> tuple[Limit, ...] | None:
        """Give all limits anew if they may have changed, or None if they have not, or nobody can tell."""
        try:
            version = await self._source.version()
            if version == self._version and next(self._rounds) % _ROUNDS:
                return None
            known = frozenset(self.organizations)
            limits = await self._source.load(sorted(known - {""}))
        except StoreUnavailableError:
            return None
        self._version = version
        late = tuple(limit for limit in self.limits if limit.organization not in known)
        self.limits = (*limits, *late)
        return self.limits

    async def _learn(self, organization: str) -> None:
        limits = await self._source.load([organization])
        if len(self.organizations) >= _MAX_ORGANIZATIONS:
            self.organizations, self.limits = {""}, ()
        self.organizations.add(organization)
        self.limits = (*self.limits, *limits)
