"""What lets calls in, has them wait, or turns them away."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas_gateway.admission.admission import Admission, rules_of
from lmaas_gateway.api.bodies import BodyRoom
from lmaas_gateway.api.connections import Connections
from lmaas_gateway.limits.build import build_limiter
from lmaas_gateway.limits.rules import limits_of
from lmaas_gateway.metrics import names
from lmaas_gateway.policy.fetching import MediaFetcher
from lmaas_gateway.replay.build import build_claims

if TYPE_CHECKING:
    from lmaas_gateway.assembly.counting import Counting
    from lmaas_gateway.assembly.snapshot import Current, Snapshot
    from lmaas_gateway.assembly.surroundings import Surroundings
    from lmaas_gateway.board import SharedBoard
    from lmaas_gateway.limits.stage import Limiter
    from lmaas_gateway.replay.claims import Claims
    from lmaas_gateway.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What knows of the calls under way, of one configuration or another.

    Attributes:
        connections: Of clients.
        body_room: Memory for bodies that are being read.
        claims: Calls by their `Idempotency-Key`; None where no replies are kept for retries.
        admission: The queue of each pool.
        limiter: What callers may use.
        fetcher: Fetches media for callers.
    """

    connections: Connections
    body_room: BodyRoom
    claims: Claims | None
    admission: Admission
    limiter: Limiter
    fetcher: MediaFetcher

    def follow(self, snapshot: Snapshot) -> None:
        """Go by another configuration."""
        settings = snapshot.settings
        self.connections.follow(settings.connections)
        self.body_room.max_bytes = settings.connections.max_bodies_bytes
        self.limiter.follow(limits_of(settings))
        self.admission.change(rules_of(settings), snapshot.directory.pools)

    async def close(self) -> None:
        """Let go of what is held."""
        await self.limiter.close()
        await self.fetcher.close()
        if self.claims is not None:
            self.claims.close()


def open_gates(
    settings: Settings,
    counting: Counting,
    current: Current,
    around: Surroundings,
    board: SharedBoard | None,
) -> Gates:
    """Open them.

    Args:
        settings: Those of the start.
        counting: Counts whom they turn away, and knows prices.
        current: The configuration of the moment.
        around: Its tenancy knows the limits of tenants.
        board: What the workers share.

    Raises:
        SettingsError: the folder of kept replies cannot be used.
    """
    metrics = counting.metrics
    connections = Connections(
        settings.connections, metrics, max_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    )
    admission = Admission(rules_of(settings), metrics, board=board, workers=around.workers)
    source = None if around.tenancy is None else around.tenancy.limits()
    limiter = build_limiter(
        settings, metrics, around.seat, current.settings, prices=counting.prices, source=source
    )
    limiter.follow(limits_of(settings))
    metrics.watch(names.QUEUE_DEPTH, admission.depths)
    metrics.watch(names.CAPACITY, admission.capacities)
    metrics.watch(names.RESERVED_TOKENS, lambda: [((), limiter.reserved_tokens)])
    return Gates(
        connections=connections,
        body_room=BodyRoom(settings.connections.max_bodies_bytes),
        claims=build_claims(settings.idempotency, around.shared_folder),
        admission=admission,
        limiter=limiter,
        fetcher=around.fetcher or MediaFetcher(),
    )
