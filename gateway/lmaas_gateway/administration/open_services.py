"""The services of a gateway without tenants. Beside the others, since it loads no database."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lmaas_gateway.administration.calls import Calls
    from lmaas_gateway.administration.operations import Operation


class Served:
    """Services, each under the name that the table of operations gives it."""

    __slots__ = ()

    def method(self, operation: Operation) -> Callable[..., Awaitable[Any]]:
        """Give what does an operation. It takes the actor, then the id, query and body that there are."""
        found: Callable[..., Awaitable[Any]] = attrgetter(operation.name)(self)
        return found


@dataclass(frozen=True, slots=True)
class OpenServices(Served):
    """One service: that of single calls."""

    calls: Calls
