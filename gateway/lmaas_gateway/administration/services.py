"""All services of administrators together, as the table of operations names them."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lmaas_gateway.administration.actors import Actors
    from lmaas_gateway.administration.audit import Audit
    from lmaas_gateway.administration.keys import Keys
    from lmaas_gateway.administration.limits import Limits
    from lmaas_gateway.administration.me import Me
    from lmaas_gateway.administration.members import Members
    from lmaas_gateway.administration.operations import Operation
    from lmaas_gateway.administration.organizations import Organizations
    from lmaas_gateway.administration.prices import Prices
    from lmaas_gateway.administration.projects import Projects


@dataclass(frozen=True, slots=True)
class Services:
    """One service a noun."""

    actors: Actors
    me: Me
    organizations: Organizations
    projects: Projects
    members: Members
    keys: Keys
    limits: Limits
    prices: Prices
    audit: Audit

    def method(self, operation: Operation) -> Callable[..., Awaitable[Any]]:
        """Give what does an operation: it takes the actor, and then what the operation's path, query and body say."""
        found: Callable[..., Awaitable[Any]] = attrgetter(operation.name)(self)
        return found
