"""Who sent a request: where its connection comes from, and whom its key stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmaas_gateway.identity.roles import require

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from lmaas_gateway.call import Principal
    from lmaas_gateway.identity.authenticator import Authenticator


def address_of(scope: Mapping[str, Any]) -> str:
    """Give the address of the connection's other end; none over a unix socket."""
    client = scope["client"]
    return "" if client is None else client[0]


async def identify(authenticator: Authenticator, request: Request) -> Principal:
    """Find who sent a request that is not on the hot route.

    Raises:
        GatewayError: as `Authenticator.look_up`.
    """
    headers, address = request.scope["headers"], address_of(request.scope)
    return authenticator.identify(headers, address) or await authenticator.look_up(headers, address)


def require_sight(principal: Principal) -> None:
    """Let a caller see what is not its tenant's alone: keys of the configuration are the operator's own.

    Raises:
        PermissionDeniedError: its role may not.
    """
    if principal.organization:
        require(principal, "metrics:read")
