"""What is done to the gateway itself, in the audit trail: models started and stopped, alerts silenced.

Such a deed is no transaction of the store, so it is written down before it is done: the trail may tell of
something that was then refused, which it tells too, but nothing is done that it does not tell of.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from lmaas_gateway.errors import GatewayError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.office import Office


class Deeds:
    """Writes down what is done.

    Args:
        office: Has the audit trail; None where there are no tenants, and so no trail.
    """

    def __init__(self, office: Office | None) -> None:
        self._office = office

    @contextlib.asynccontextmanager
    async def doing(
        self, actor: Actor, action: str, object_: tuple[str, str], **detail: Any
    ) -> AsyncIterator[None]:
        """Write down what the block is about to do, and that it was refused if it raises.

        Args:
            actor: Who does it.
            action: As in `models.stop`.
            object_: Kind and id of what it is done to.
            **detail: What else is to be known; never a secret.

        Raises:
            StoreUnavailableError: it cannot be written down; nothing was done.
        """
        await self._note(actor, action, object_, detail)
        try:
            yield
        except GatewayError as error:
            with contextlib.suppress(StoreUnavailableError):
                await self._note(actor, action, object_, {**detail, "refused": error.code or "refused"})
            raise

    async def _note(
        self, actor: Actor, action: str, object_: tuple[str, str], detail: dict[str, Any]
    ) -> None:
        if self._office is None:
            return
        async with self._office.changing() as connection:
            await self._office.note(connection, actor, action, object_, **detail)
