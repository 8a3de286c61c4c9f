"""Limits of an organization: listed, set, lifted."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from lmaas_gateway.administration import requests
from lmaas_gateway.errors import BadRequestError
from lmaas_gateway.web.forms import convert
from lmaas_gateway.web.pages.keys import list_keys, list_projects
from lmaas_gateway.web.site import Section, see_other

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration.services import Services
    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor

_PATH = "/ui/limits"
_PAGE_SIZE = 100
METERED = (
    "requests/minute",
    "requests/day",
    "tokens/minute",
    "tokens/day",
    "money/day",
    "money/month",
    "calls_in_flight/none",
    "tokens_in_flight/none",
)
"""What can be limited: a metric and a period."""


class LimitPages:
    """Shows and changes limits; what may be done is up to the service.

    Args:
        site: Makes pages.
        services: Do what is asked for.
        models: Names those that are served.
    """

    def __init__(self, site: Site, services: Services, *, models: Callable[[], Iterable[str]]) -> None:
        self._site = site
        self._services = services
        self._models = models
        site.section(Section("limits", _PATH, "manage", "limits:read"), self.list)
        site.action(_PATH, self.set)
        site.action(_PATH + "/{id}/remove", self.remove)

    async def list(self, visitor: Visitor, request: Request) -> Response:
        """List limits, with a form for another one to those who may set one."""
        actor = visitor.acting()
        query = {name: request.query_params.get(name, "") for name in ("subject", "after")}
        page = await self._services.limits.list(
            actor, convert({**query, "limit": _PAGE_SIZE}, requests.ListLimits)
        )
        projects, keys = await list_projects(self._services, actor), await list_keys(self._services, actor)
        return self._site.render(
            visitor,
            request,
            "limits.html",
            page=page,
            subjects={
                "project": projects,
                "key": keys,
                "model": {name: name for name in sorted(self._models())},
            },
            names={**projects, **keys},
            metered=METERED,
            query=query,
        )

    async def set(self, visitor: Visitor, request: Request, fields: Mapping[str, str]) -> Response:
        """Set a limit, in the place of one on the same."""
        del request
        actor = visitor.acting()
        metric, _, period = fields.get("metered", "").partition("/")
        wanted = {name: fields.get(name, "") for name in ("subject_kind", "subject", "model")}
        amount = _read_amount(fields.get("amount", ""), is_money=metric == "money")
        limit = convert({**wanted, "metric": metric, "period": period, "amount": amount}, requests.SetLimit)
        await self._services.limits.set(actor, limit)
        return see_other(_PATH)

    async def remove(self, visitor: Visitor, request: Request, fields: Mapping[str, str]) -> Response:
        """Lift a limit."""
        del fields
        await self._services.limits.remove(visitor.acting(), request.path_params["id"])
        return see_other(_PATH)


def _read_amount(text: str, *, is_money: bool) -> int:
    """Read how much; money is written in US dollars, and kept in billionths.

    Raises:
        BadRequestError: it is no number.
    """
    try:
        amount = Decimal(text.strip())
        return int(amount * 10**9) if is_money else int(amount)
    except (InvalidOperation, ValueError, OverflowError):
        raise BadRequestError("The amount must be a number.", param="amount") from None
