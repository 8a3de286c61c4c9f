"""From a caller to an actor: what the caller is by now, and in which organization it acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lmaas_gateway.administration.actor import OPERATOR, Actor, no_such
from lmaas_gateway.errors import PermissionDeniedError
from lmaas_gateway.identity import roles
from lmaas_gateway.storage import members, organizations

if TYPE_CHECKING:
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.call import Principal, Role
    from lmaas_gateway.storage.loan import Connection

_KINDS: dict[str, Literal["person", "service"]] = {"person": "person", "service": "service"}


class Actors:
    """Finds out what callers may do here, at each request: a role that was taken away must not linger.

    Args:
        office: Has the store.
    """

    def __init__(self, office: Office) -> None:
        self._office = office

    async def operator(self, organization: str | None, idempotency_key: str) -> Actor:
        """Give the operator, in the organization that it named, or in the only one that there is.

        Raises:
            ObjectNotFoundError: there is no such organization.
        """
        async with self._office.reading() as connection:
            tenant = await _find_organization(connection, organization)
        return Actor(OPERATOR, "operator", "owner", tenant, idempotency_key=idempotency_key)

    async def member(self, principal: Principal, organization: str | None, idempotency_key: str) -> Actor:
        """Give who came with a key or a token of an organization.

        Raises:
            PermissionDeniedError: it has no role here.
            ObjectNotFoundError: it named another organization.
        """
        if not principal.organization or principal.role is None:
            raise PermissionDeniedError(
                "This key has no role on the admin API; that takes the operator's `admin_key`, keys with the "
                "scope `admin`, or people's tokens."
            )
        if organization not in {None, principal.organization}:
            raise no_such("organization", str(organization))
        role, kind, bound_to = await self._standing(principal)
        async with self._office.reading() as connection:
            is_alone = await _find_only(connection) == principal.organization
        return Actor(principal, kind, role, principal.organization, bound_to, idempotency_key, is_alone)

    async def _standing(
        self, principal: Principal
    ) -> tuple[Role | None, Literal["person", "service", "key"], str]:
        if not principal.member:
            return principal.role, "key", ""
        async with self._office.reading() as connection:
            member = await members.find(connection, principal.organization, principal.member)
        if member is None or member.disabled_at is not None:
            raise PermissionDeniedError("The member that this stands for is disabled.")
        role: Role | None = roles.lesser(principal.role, member.role)  # type: ignore[arg-type] # as stored
        return role, _KINDS[member.kind], member.project_id or ""


async def _find_organization(connection: Connection, organization: str | None) -> str:
    if organization is not None:
        if await organizations.find(connection, organization) is None:
            raise no_such("organization", organization)
        return organization
    return await _find_only(connection)


async def _find_only(connection: Connection) -> str:
    """Give the only organization there is; empty if there are several."""
    found = await organizations.list_all(connection, limit=1)
    return found.items[0].id if found.items and not found.has_more else ""
