"""What the first page shows of this second, made once for all who look at it in one language.

Viewers get server-sent events. Each holds the figures of a second for the charts, as JSON, and the tables as
HTML, which the script of the page puts in the place of those that it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.web.spending import spending
from lmaas_gateway.web.words import Words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from lmaas_gateway.administration.alerts import Alert, Alerts
    from lmaas_gateway.live import Live
    from lmaas_gateway.prices import Price
    from lmaas_gateway.web.rendering import Templates
    from lmaas_gateway.web.words import Language

WINDOW_S = 60
CHARTED_S = 300
_LOOK_AGAIN_EVENTS = 3
_COLUMNS = (
    "at",
    "calls",
    "errors",
    "completion_tokens",
    "ttft_p50_s",
    "ttft_p95_s",
    "inter_token_p50_s",
    "in_flight",
    "waiting",
)


class LivePage:
    """Makes the live part of the page.

    Args:
        live: Has the numbers.
        templates: What it is made of.
        alerts: Knows what is wrong.
        prices: Of models; those without one are left out.
    """

    def __init__(
        self, live: Live, templates: Templates, *, alerts: Alerts, prices: Mapping[str, Price]
    ) -> None:
        self._live = live
        self._templates = templates
        self._alerts = alerts
        self._prices = prices
        self._made: dict[Language, tuple[int, str, bytes]] = {}
        self._history: tuple[int, bytes] = (0, b"")

    def fragment(self, language: Language) -> str:
        """Give the HTML of this second."""
        return self._make(language)[1]

    def history(self) -> bytes:
        """Give the figures of the last seconds, a list a column, for the charts to begin with."""
        at = self._live.snapshot(WINDOW_S).at
        if self._history[0] != at:
            seconds = self._live.snapshot(CHARTED_S, has_seconds=True).seconds
            columns = {name: [getattr(second, name) for second in seconds] for name in _COLUMNS}
            self._history = at, msgspec.json.encode(columns)
        return self._history[1]

    async def events(
        self, language: Language, may_go_on: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[bytes]:
        """Give this second and each that follows, until the gateway stops.

        Args:
            language: Of the HTML.
            may_go_on: Asked every few seconds: who is not signed in any more sees no more.
        """
        count = 0
        while not self._live.is_over:
            if count and count % _LOOK_AGAIN_EVENTS == 0 and not await may_go_on():
                return
            count += 1
            yield self._make(language)[2]
            await self._live.next(WINDOW_S)

    def _make(self, language: Language) -> tuple[int, str, bytes]:
        view = self._live.snapshot(WINDOW_S)
        made = self._made.get(language)
        if made is None or made[0] != view.at:
            values = {
                "view": view,
                "t": Words(language),
                "firing": self._firing(language),
                "spending": spending(view, self._prices),
            }
            html = self._templates.write("_live.html", values)
            last = {name: getattr(view.last, name) for name in _COLUMNS}
            event = b"data: %b\n\n" % msgspec.json.encode({"last": last, "html": html})
            made = self._made[language] = view.at, html, event
        return made

    def _firing(self, language: Language) -> list[Alert]:
        """Give the alerts that people are to be told of."""
        alerts = self._alerts.list(language).data
        return [one for one in alerts if one.state == "firing" and one.silenced_until is None]
