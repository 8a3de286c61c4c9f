"""Who asks: the first thing that a new key is tried with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.administration import objects
from lmaas_gateway.errors import PermissionDeniedError

if TYPE_CHECKING:
    from lmaas_gateway.administration.actor import Actor


class Me:
    """Tells actors of themselves."""

    async def show(self, actor: Actor) -> objects.Me:
        """Show the actor."""
        if actor.role is None:
            raise PermissionDeniedError(
                "This key has no role on the admin API; ask for one with `scopes.admin`."
            )
        return objects.Me(
            id=actor.id,
            kind=actor.kind,
            role=actor.role,
            organization=actor.organization or None,
            project=actor.bound_to or None,
        )
