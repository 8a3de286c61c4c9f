"""The services of a gateway without tenants. Beside the others, since it loads no database."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lmaas_gateway.administration.calls import Calls
    from lmaas_gateway.administration.operations import Operation


@dataclass(frozen=True, slots=True)
class OpenServices:
    """The services that need no store."""

    calls: Calls

    def method(self, operation: Operation) -> Callable[..., Awaitable[Any]]:
        """Give what does an operation; see `Services.method`."""
        found: Callable[..., Awaitable[Any]] = attrgetter(operation.name)(self)
        return found
