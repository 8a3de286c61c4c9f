"""What was used and what it cost: by project, key, model or day, of any days, and as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import StreamingResponse

from lmaas_gateway.administration import requests
from lmaas_gateway.web.charts import bars
from lmaas_gateway.web.days import read_days, starts_until, this_day
from lmaas_gateway.web.forms import convert
from lmaas_gateway.web.pages.keys import list_keys, list_projects
from lmaas_gateway.web.rendering import show_short, show_usd
from lmaas_gateway.web.site import Section

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from datetime import date

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.files import File
    from lmaas_gateway.administration.objects import Usage
    from lmaas_gateway.administration.services import Services
    from lmaas_gateway.web.days import Days
    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor

_PATH = "/ui/usage"
GROUPS = ("project", "key", "model", "day")
_MAX_SHOWN = 200


class UsagePages:
    """Shows the books, as far as the visitor may see them.

    Args:
        site: Makes pages.
        services: Add the books up.
        models: Names those that are served.
        today: Gives the day, in UTC.
    """

    def __init__(
        self,
        site: Site,
        services: Services,
        *,
        models: Callable[[], Iterable[str]],
        today: Callable[[], date] = this_day,
    ) -> None:
        self._site = site
        self._services = services
        self._models = models
        self._today = today
        site.section(Section("usage", _PATH, "observe", "usage:read"), self.show)
        site.page(_PATH + "/export", self.export, "usage:export")

    async def show(self, visitor: Visitor, request: Request) -> Response:
        """Show sums, by what is asked for, and the days beside each other."""
        actor, query = visitor.acting(), request.query_params
        days = read_days(query, self._today())
        group = query.get("by", "project")
        narrowed = {name: query.get(name, "") for name in ("project", "key", "model")}
        found = await self._add_up(actor, days, group, narrowed)
        by_day = found if group == "day" else await self._add_up(actor, days, "day", narrowed)
        found = found if group == "day" else sorted(found, key=lambda one: (-one.cost_nanos, -one.calls))
        total = _total(by_day)
        projects, keys = await self._names(actor)
        return self._site.render(
            visitor,
            request,
            "usage.html",
            days=days,
            group=group,
            groups=GROUPS,
            starts=starts_until(self._today()),
            today=self._today(),
            dollars=lambda dollars: show_usd(int(dollars * 1e9)),
            short=show_short,
            query=narrowed,
            rows=found[:_MAX_SHOWN],
            left_out=max(0, len(found) - _MAX_SHOWN),
            total=total,
            # What is not known is not shown as nothing.
            is_unpriced=bool(total.completion_tokens + total.prompt_tokens) and not total.cost_nanos,
            projects=projects,
            keys=keys,
            models=sorted(self._models()),
            names={**projects, **keys},
            cost_chart=bars(days.each(), {one.day or "": one.cost_nanos / 1e9 for one in by_day}),
            token_chart=bars(
                days.each(), {one.day or "": one.prompt_tokens + one.completion_tokens for one in by_day}
            ),
        )

    async def export(self, visitor: Visitor, request: Request) -> Response:
        """Send the ledger's rows of these days as a file."""
        days = read_days(request.query_params, self._today())
        project = request.query_params.get("project", "")
        wanted = convert({"start": days.start, "end": days.end, "project": project}, requests.ExportQuery)
        file = await self._services.usage.export(visitor.acting(), wanted)
        # With the first piece it is known that there will be a file.
        first = await anext(file.pieces, b"")
        headers = {"content-disposition": f'attachment; filename="{file.name}"'}
        return StreamingResponse(_from(first, file), 200, headers, file.media_type)

    async def _add_up(self, actor: Actor, days: Days, group: str, narrowed: Mapping[str, str]) -> list[Usage]:
        wanted = {"start": days.start, "end": days.end, "group_by": group, **narrowed}
        return (await self._services.usage.list(actor, convert(wanted, requests.UsageQuery))).data

    async def _names(self, actor: Actor) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Give the names of projects and keys by their ids, as far as there are some at hand."""
        if not actor.organization:
            return {}, {}
        return await list_projects(self._services, actor), await list_keys(self._services, actor)


class _Total(NamedTuple):
    calls: int
    failed_calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_nanos: int


def _total(rows: Sequence[Usage]) -> _Total:
    return _Total(*(sum(getattr(row, name) for row in rows) for name in _Total._fields))


async def _from(first: bytes, file: File) -> AsyncIterator[bytes]:
    yield first
    async for piece in file.pieces:
        yield piece
