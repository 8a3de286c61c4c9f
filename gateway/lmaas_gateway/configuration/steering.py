"""Who changes the configuration of a gateway that serves, as those see it who ask for a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lmaas_gateway.configuration.changes import Change
    from lmaas_gateway.configuration.live import Outcome


class Steering(Protocol):
    """Changes the configuration."""

    async def reload(self) -> Outcome:
        """Read all settings again."""
        ...

    async def change(self, change: Change) -> Outcome:
        """Apply an operator's change."""
        ...
