"""Follows what becomes of people with calls under way: who is disabled has them ended."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.errors import PermissionDeniedError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.identity.running import RunningCalls

_LOG = logging.getLogger("lmaas.gateway")


class MemberSource(Protocol):
    """Where members are asked for."""

    async def find_open(self, members: Sequence[str]) -> set[str]:
        """Tell which of these members may call.

        Raises:
            StoreUnavailableError: it cannot be asked now.
        """
        ...


class PeopleAtWork:
    """Ends the calls of people who may not call any more.

    Args:
        source: The store.
        running: The calls of people, by member.
        poll_s: How often the store is asked, while there are any.
    """

    def __init__(self, source: MemberSource, running: RunningCalls, *, poll_s: float) -> None:
        self._source = source
        self._running = running
        self._poll_s = poll_s

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.follow()
            except Exception:
                _LOG.exception("what has become of members could not be found out")

    async def follow(self) -> None:
        """Find out once who may not call any more, and end their calls."""
        members = [*self._running]
        if not members:
            return
        try:
            may_call = await self._source.find_open(members)
        except StoreUnavailableError:
            _LOG.debug("the store does not tell what has become of members")
            return
        for member in set(members) - may_call:
            calls = self._running.end(member, membership_closed())
            _LOG.warning("ended %d calls of the member %s, who may not call any more", calls, member)


def membership_closed() -> PermissionDeniedError:
    """Say that a person may not call any more."""
    return PermissionDeniedError("Your membership, or what it belongs to, was closed.")
