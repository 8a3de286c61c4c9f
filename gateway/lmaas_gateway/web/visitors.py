"""Who looks at a page: from the cookie of a browser to a principal, and to an actor if there are tenants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lmaas_gateway.administration.actor import OPERATOR, Actor
from lmaas_gateway.api.callers import address_of
from lmaas_gateway.errors import AuthenticationError, GatewayError, ObjectNotFoundError, PermissionDeniedError
from lmaas_gateway.identity.authenticator import KEY_HEADERS
from lmaas_gateway.identity.roles import permits
from lmaas_gateway.web.cookies import choice_of
from lmaas_gateway.web.words import Words, choose_language

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from starlette.requests import Request

    from lmaas_gateway.administration.services import Services
    from lmaas_gateway.api.operators import OperatorKey
    from lmaas_gateway.call import Principal
    from lmaas_gateway.identity.authenticator import Authenticator
    from lmaas_gateway.identity.roles import Permission
    from lmaas_gateway.web.cookies import Cookies
    from lmaas_gateway.web.sessions import Sessions

_MAX_CREDENTIAL_BYTES = 8192
# What is not of one tenant: keys of the configuration are the operator's own.
_OF_ALL_TENANTS = frozenset({"metrics:read"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page.

    Attributes:
        cookie: Of the browser.
        words: In the language that it reads.
        principal: Whom it stands for; None if it is not signed in.
        actor: The same as administrators are known; None where the key has no role, or there are no tenants.
        is_open: Whether nobody needs to sign in here.
        ended: Why it is signed in no more, if it was.
    """

    cookie: str
    words: Words
    principal: Principal | None = None
    actor: Actor | None = None
    is_open: bool = False
    ended: GatewayError | None = None

    @property
    def is_operator(self) -> bool:
        """Whether it holds the operator's key."""
        return self.principal is OPERATOR

    def can(self, permission: Permission | None) -> bool:
        """Tell whether it may do that; None is what everybody may who is let in."""
        if self.principal is None:
            return False
        if permission is None or self.is_operator:
            return True
        if not self.principal.organization:
            return permission in _OF_ALL_TENANTS
        return self.actor is not None and self.actor.has(permission)

    def require(self, permission: Permission | None) -> None:
        """Let it go on if it may do that.

        Raises:
            PermissionDeniedError: it may not.
        """
        if not self.can(permission):
            raise PermissionDeniedError(
                f"This needs the permission {permission!r}, which this key does not have: ask an owner or "
                "administrator for one with `scopes.admin`, or sign in with another key."
            )

    def signed_in(self) -> Principal:
        """Give whom it stands for.

        Raises:
            AuthenticationError: nobody.
        """
        if self.principal is None:
            raise AuthenticationError("You are not signed in.")
        return self.principal

    def acting(self) -> Actor:
        """Give the actor.

        Raises:
            PermissionDeniedError: it has no role.
        """
        if self.actor is None:
            raise PermissionDeniedError(
                "The key that you are signed in with has no role here; use another one."
            )
        return self.actor


class Door:
    """Recognises browsers.

    Args:
        sessions: Those that are signed in.
        cookies: Where they carry it.
        authenticator: Knows whom keys stand for.
        operator_key: Knows the operator.
        services: Know the actors; None where there are no tenants.
    """

    def __init__(
        self,
        sessions: Sessions,
        cookies: Cookies,
        *,
        authenticator: Authenticator,
        operator_key: OperatorKey,
        services: Services | None,
    ) -> None:
        self.sessions = sessions
        self.cookies = cookies
        self._authenticator = authenticator
        self._operator_key = operator_key
        self._services = services

    async def recognise(self, request: Request) -> Visitor:
        """Tell who sends a request.

        Raises:
            GatewayError: that cannot be found out now.
        """
        stranger = self.stranger(request)
        credential = await self.credential_of(stranger.cookie)
        if credential is None:
            anybody = self._anybody()
            return stranger if anybody is None else replace(stranger, principal=anybody, is_open=True)
        try:
            principal = await self.identify(credential, request.scope)
        except (AuthenticationError, PermissionDeniedError) as error:
            return replace(stranger, ended=error)
        return replace(stranger, principal=principal, actor=await self._actor(principal, request))

    def stranger(self, request: Request) -> Visitor:
        """Tell what can be told without knowing who it is."""
        accepted = request.headers.get("accept-language", "")
        words = Words(choose_language(choice_of(request, "language"), accepted))
        return Visitor(self.cookies.read(request), words)

    async def credential_of(self, cookie: str) -> bytes | None:
        """Give the key of a browser that is signed in.

        Raises:
            StoreUnavailableError: that cannot be found out.
        """
        session = await self.sessions.find(cookie) if cookie else None
        return None if session is None else session.credential

    async def identify(self, credential: bytes, scope: Mapping[str, Any]) -> Principal:
        """Tell whom a key stands for that a browser came with; the operator is `OPERATOR`.

        Raises:
            GatewayError: it is not valid here, or that cannot be found out.
        """
        if (
            not credential.isascii()
            or len(credential) > _MAX_CREDENTIAL_BYTES
            or not _is_printable(credential)
        ):
            raise AuthenticationError("The API key is not valid here.")
        if self._operator_key.matches(credential):
            return OPERATOR
        headers, address = with_credential(scope["headers"], credential), address_of(scope)
        return self._authenticator.identify(headers, address) or await self._authenticator.look_up(
            headers, address
        )

    async def still_permits(self, cookie: str, scope: Mapping[str, Any], permission: Permission) -> bool:
        """Tell whether who was let in with a cookie may still do that; costs less than to recognise it.

        Raises:
            GatewayError: that cannot be found out now.
        """
        credential = await self.credential_of(cookie)
        if credential is None:
            return self.is_open
        try:
            principal = await self.identify(credential, scope)
        except (AuthenticationError, PermissionDeniedError):
            return False
        return not principal.organization or permits(principal.role, permission)

    @property
    def is_open(self) -> bool:
        """Whether nobody needs to sign in."""
        return self._anybody() is not None

    def _anybody(self) -> Principal | None:
        """Give whom everybody stands for where nobody needs a key."""
        try:
            return self._authenticator.identify((), "")
        except AuthenticationError:
            return None

    async def _actor(self, principal: Principal, request: Request) -> Actor | None:
        if self._services is None:
            return Actor(OPERATOR, "operator", "owner") if principal is OPERATOR else None
        actors = self._services.actors
        if principal is not OPERATOR:
            try:
                return await actors.member(principal, None, "")
            except PermissionDeniedError:
                return None
        try:
            return await actors.operator(choice_of(request, "organization") or None, "")
        except ObjectNotFoundError:
            # It was chosen before, and is gone.
            return await actors.operator(None, "")


def with_credential(headers: list[tuple[bytes, bytes]], credential: bytes) -> list[tuple[bytes, bytes]]:
    """Write the headers of a browser's request as those of a client with this key."""
    kept = [header for header in headers if header[0] not in KEY_HEADERS and header[0] != b"cookie"]
    return [*kept, (b"authorization", b"Bearer " + credential)]


def _is_printable(credential: bytes) -> bool:
    return bool(credential) and all(0x21 <= byte <= 0x7E for byte in credential)
