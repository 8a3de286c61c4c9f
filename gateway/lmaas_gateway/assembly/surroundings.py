"""What a gateway finds in the process that it is made in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmaas_gateway.board import Seat
    from lmaas_gateway.configuration.steering import Steering
    from lmaas_gateway.policy.fetching import MediaFetcher
    from lmaas_gateway.replicas.directory import Launches
    from lmaas_gateway.tenancy import Tenancy


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is there already, or is not: a gateway serves without any of it.

    Attributes:
        log: Takes access log lines.
        seat: Of one of several workers, its place among them.
        launches: Tells what the launcher knows of a model's replicas.
        steering: Changes the configuration where operators ask for it.
        fetcher: Fetches media for callers, in place of the usual one.
        tenancy: Knows the tenants; without one only keys of the configuration exist, and nothing is stored.
        admin_port: Of the listener that the admin API has to itself, if it has one.
    """

    log: Callable[[bytes], None] | None = None
    seat: Seat | None = None
    launches: Launches | None = None
    steering: Steering | None = None
    fetcher: MediaFetcher | None = None
    tenancy: Tenancy | None = None
    admin_port: int | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process does what one of several workers does for all."""
        return self.seat is None or self.seat.slot == 0

    @property
    def workers(self) -> int:
        """How many processes serve together."""
        return 1 if self.seat is None else self.seat.slots

    @property
    def shared_folder(self) -> Path | None:
        """Where several workers leave what they share; None if there is one."""
        return None if self.seat is None else self.seat.folder


NOTHING = Surroundings()
"""Of a gateway by itself."""
