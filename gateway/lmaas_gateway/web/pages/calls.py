"""Single calls: the last ones, those that were slow or failed, and of each one what happened and why."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from lmaas_gateway.administration import requests
from lmaas_gateway.web.charts import Stretch, stretches
from lmaas_gateway.web.forms import convert
from lmaas_gateway.web.site import Section, see_other

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration.calls import Calls
    from lmaas_gateway.administration.objects import CallExplanation
    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor

_PATH = "/ui/calls"
_PAGE_SIZE = 50
_SLOW_S = 5.0


class CallPages:
    """Shows calls, as far as the visitor may see them.

    Args:
        site: Makes pages.
        calls: Knows them.
    """

    def __init__(self, site: Site, calls: Calls) -> None:
        self._site = site
        self._calls = calls
        site.section(Section("calls", _PATH, "observe", "calls:read"), self.list)
        site.page(_PATH + "/{id}", self.show, "calls:read")

    async def list(self, visitor: Visitor, request: Request) -> Response:
        """List calls, the newest first, or lead to the one whose id was typed."""
        actor, query = visitor.acting(), request.query_params
        if wanted_id := query.get("id", "").strip():
            return see_other(f"{_PATH}/{quote(wanted_id, safe='')}")
        which = query.get("which", "all")
        slow_s = query.get("slow_s") or str(_SLOW_S)
        fields = {name: query.get(name, "") for name in ("model", "after")}
        fields |= {"failed": "true"} if which == "failed" else {}
        fields |= {"slow_over_s": slow_s} if which == "slow" else {}
        wanted = convert(
            {**fields, "organization": actor.organization, "limit": _PAGE_SIZE}, requests.ListCalls
        )
        page = await self._calls.list(actor, wanted)
        shown = {"which": which, "slow_s": slow_s, "model": fields["model"]}
        return self._site.render(visitor, request, "calls.html", page=page, query=shown)

    async def show(self, visitor: Visitor, request: Request) -> Response:
        """Explain one call."""
        actor = visitor.acting()
        wanted = convert({"organization": actor.organization}, requests.ShowCall)
        call = await self._calls.show(
            actor, request.path_params["id"], wanted, language=visitor.words.language
        )
        return self._site.render(visitor, request, "call.html", call=call, stretches=_draw(call))


def _draw(call: CallExplanation) -> list[Stretch | None]:
    """Draw the time that each step took beside that of the call."""
    return stretches([(step.at_s, step.duration_s) for step in call.steps], call.duration_s)
