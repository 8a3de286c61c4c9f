"""What a gateway with a store has beside its models: tenants, their keys, limits and books.

Each process opens its own; the one that launches workers has brought the store up to date before. Without a
tenancy only the keys of the configuration exist, and nothing is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.settings import Settings


class Tenancy:
    """The services of tenants, of one process.

    Args:
        settings: Those that it was opened by.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Open everything, in the order in which it needs each other.

        Raises:
            SettingsError: the store cannot be used.
        """
        return cls(settings)

    async def close(self) -> None:
        """Close everything, the last opened first; what is to be written is written."""


async def prepare(settings: Settings, report: Callable[[str], None]) -> None:
    """Bring the store up to date, and make what a first start needs; done once, before any process opens it.

    Args:
        settings: Say where the store is.
        report: Takes lines for people.

    Raises:
        SettingsError: the store cannot be used.
    """
    del settings, report
