"""The stage that looks at what a call asks for, before it costs anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.notes import MEDIA
from lmaas_gateway.policy.media import MediaRules, may_hold_media
from lmaas_gateway.policy.parameters import ParameterRules

if TYPE_CHECKING:
    from lmaas_gateway.call import Call
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.policy.fetching import MediaFetcher
    from lmaas_gateway.settings import Settings


class Policy:
    """What callers may ask of an engine that serves others too.

    Args:
        settings: The operator's rules.
        fetcher: Fetches media.
    """

    def __init__(self, settings: Settings, fetcher: MediaFetcher) -> None:
        self._parameters = ParameterRules(settings)
        self._media = MediaRules(settings.media, fetcher)

    def check(self, call: Call) -> bool:
        """Pass a call that stays within bounds; tell whether it may hold media, which `settle` then looks at.

        Raises:
            GatewayError: what it may not ask for.
        """
        self._parameters.check(call)
        return may_hold_media(call)

    async def settle(self, call: Call, tenant: str, meter: Meter) -> Call:
        """Give the call with its media fetched for `tenant`, or itself if there is nothing to fetch.

        Raises:
            GatewayError: media that is not taken here, or cannot be had.
        """
        settled = await self._media.settle(call, self._parameters.allowed_for(call.model), tenant)
        if settled is not call:
            meter.applied |= MEDIA
        return settled
