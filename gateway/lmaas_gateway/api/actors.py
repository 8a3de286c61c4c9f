"""Who sends a request of the admin API, and what it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.administration.actor import OPERATOR, Actor
from lmaas_gateway.api.callers import identify, require_sight
from lmaas_gateway.errors import PermissionDeniedError

if TYPE_CHECKING:
    from starlette.requests import Request

    from lmaas_gateway.administration.actors import Actors
    from lmaas_gateway.api.operators import OperatorKey
    from lmaas_gateway.call import Principal
    from lmaas_gateway.identity.authenticator import Authenticator


class ActorReader:
    """Finds out who asks.

    Args:
        authenticator: Knows the callers.
        operator_key: Knows the operator.
        actors: Know what callers may by now; None where there are no tenants.
    """

    def __init__(
        self, authenticator: Authenticator, operator_key: OperatorKey, actors: Actors | None = None
    ) -> None:
        self._authenticator = authenticator
        self._operator_key = operator_key
        self._actors = actors

    async def identify(self, request: Request) -> Principal | None:
        """Find out who asks, before anything of what is asked is looked at; None is the operator.

        Raises:
            GatewayError: it is not known.
        """
        if self._operator_key.is_in(request):
            return None
        return await identify(self._authenticator, request)

    async def admit(
        self, caller: Principal | None, organization: str | None = None, idempotency_key: str = ""
    ) -> Actor:
        """Find out what a caller may.

        Args:
            caller: As identified.
            organization: In which it wants to act, if it says so.
            idempotency_key: Of its request.

        Raises:
            GatewayError: it may nothing here, or there is no such organization.
        """
        if self._actors is None:
            if caller is None:
                return Actor(
                    OPERATOR, "operator", "owner", organization or "", idempotency_key=idempotency_key
                )
            raise PermissionDeniedError("This is for the operator of the gateway, who holds its `admin_key`.")
        if caller is None:
            return await self._actors.operator(organization, idempotency_key)
        return await self._actors.member(caller, organization, idempotency_key)

    async def require_sight(self, request: Request) -> None:
        """Let go on who may see what serves, the operator or another.

        Raises:
            GatewayError: it is not known, or its role may not.
        """
        caller = await self.identify(request)
        if caller is not None:
            require_sight(caller)

    async def require_fleet(self, request: Request) -> Actor:
        """Let go on who may change what serves (`Actor.require_fleet`), and give who it is.

        Raises:
            GatewayError: it is not known, or may not.
        """
        actor = await self.admit(await self.identify(request))
        actor.require_fleet()
        return actor
