"""The stage: answer a call from what is stored, or see to it that its reply is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from lmaas_gateway.errors import DeadlineExceededError
from lmaas_gateway.metrics import names
from lmaas_gateway.notes import STORED
from lmaas_gateway.replay.cache import CacheKeeper
from lmaas_gateway.replay.keys import forbids_storing, wants_fresh
from lmaas_gateway.replay.replies import Recorded, RecordedReply, Room, StoredReply

if TYPE_CHECKING:
    from lmaas_gateway.call import Call, Exits, Principal
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replay.cache import ResponseCache
    from lmaas_gateway.replay.claims import Claim, Claims
    from lmaas_gateway.replay.flights import Turn
    from lmaas_gateway.replay.replies import Keeper
    from lmaas_gateway.replicas.pool import Pool
    from lmaas_gateway.reply import Reply


class Replay:
    """What the stage found out about one call.

    Attributes:
        reply: The stored reply, if there is one: the call need go no further.
    """

    __slots__ = ("_keepers", "_meter", "_room", "reply")

    def __init__(
        self, meter: Meter, keepers: list[Keeper], room: Room, reply: StoredReply | None = None
    ) -> None:
        self._meter = meter
        self._room = room
        self._keepers = keepers
        self.reply = reply

    def record(self, reply: Reply, exits: Exits) -> Reply:
        """Have the reply of the call recorded, if anybody wants it."""
        if not self._keepers:
            return reply
        self._meter.applied |= STORED
        recorded = RecordedReply(reply, self._keepers, self._meter, self._room)
        exits.append(recorded.close)
        return recorded


class Replays:
    """Stored replies, by idempotency key and by content.

    Args:
        claims: Idempotency keys; None takes no notice of them.
        cache: None caches nothing.
        room_bytes: How much of replies under way may be held.
    """

    def __init__(
        self, claims: Claims | None, cache: ResponseCache | None, metrics: Metrics, *, room_bytes: int
    ) -> None:
        self._claims = claims
        self._cache = cache
        self._metrics = metrics
        self._room = Room(room_bytes)

    def concerns(self, call: Call, pool: Pool) -> bool:
        """Tell whether a reply to `call` may be stored, or be needed again; few calls ask for either."""
        return call.idempotency is not None or (self._cache is not None and self._cache.takes(call, pool))

    async def open(
        self, call: Call, principal: Principal, pool: Pool, *, meter: Meter, exits: Exits
    ) -> Replay:
        """Find the reply to a call, wait for that of its twin, or take the right to make it.

        Raises:
            IdempotencyInFlightError: another call with the same key and body is under way.
            IdempotencyMismatchError: the key was used with another body.
            DeadlineExceededError: an equal call was still under way at the end of this one's time.
        """
        keepers: list[Keeper] = []
        claim: Claim | None = None
        if call.idempotency is not None and self._claims is not None:
            scope = (principal.tenant, call.route.path, call.idempotency.key)
            found = await self._claims.claim(scope, call.idempotency.fingerprint)
            if isinstance(found, Recorded):
                return self._replayed(found, meter)
            claim = found
        if claim is not None:
            exits.append(claim.release)
            if not forbids_storing(call):
                keepers.append(claim)
        if self._cache is not None and self._cache.takes(call, pool):
            cached = await self._cached(self._cache, call, principal, pool, meter=meter, exits=exits)
            if isinstance(cached, Recorded):
                for keeper in keepers:
                    if (pending := keeper.keep(cached)) is not None:
                        await pending
                return self._stored(cached, meter)
            keepers += cached
        return Replay(meter, keepers, self._room)

    async def sweep(self) -> None:
        """Drop what has expired."""
        if self._claims is not None:
            await self._claims.sweep()
        if self._cache is not None:
            self._cache.store.sweep()

    def sizes_bytes(self) -> list[tuple[tuple[str], float]]:
        """Tell what each store takes of this process's memory."""
        return [
            (("idempotency",), 0 if self._claims is None else self._claims.size_bytes),
            (("cache",), 0 if self._cache is None else self._cache.store.size_bytes),
        ]

    def _replayed(self, recorded: Recorded, meter: Meter) -> Replay:
        meter.cache = "replayed"
        meter.reply_headers.append((b"idempotent-replayed", b"true"))
        self._metrics.count(names.IDEMPOTENT_REPLAYS, (meter.model,))
        return self._stored(recorded, meter)

    def _stored(self, recorded: Recorded, meter: Meter) -> Replay:
        meter.reply_headers += recorded.headers
        return Replay(meter, [], self._room, StoredReply(recorded))

    async def _cached(
        self,
        cache: ResponseCache,
        call: Call,
        principal: Principal,
        pool: Pool,
        *,
        meter: Meter,
        exits: Exits,
    ) -> Recorded | list[Keeper]:
        """Give the cached reply, or those who want the one that will be made."""
        key = cache.key_of(call, principal, pool)
        turn: Recorded | Turn = "alone"
        if not wants_fresh(call):
            hit = cache.store.get(key)
            if hit is not None:
                meter.reply_headers.append((b"age", b"%d" % hit[1]))
                return self._hit(hit[0], meter, "hit")
            turn = await cache.flights.join(key, call.deadline_s - asyncio.get_running_loop().time())
            if isinstance(turn, Recorded):
                return self._hit(turn, meter, "coalesced")
            if turn == "late":
                raise DeadlineExceededError(
                    "The call's deadline passed while an equal one was under way; allow it more time."
                )
        meter.cache = "miss"
        meter.reply_headers.append((b"x-lmaas-cache", b"miss"))
        self._metrics.count(names.CACHE_MISSES, (meter.model,))
        keeper = CacheKeeper(cache, key, meter, is_leading=turn == "lead")
        exits.append(keeper.release)
        return [keeper]

    def _hit(self, recorded: Recorded, meter: Meter, how: Literal["hit", "coalesced"]) -> Recorded:
        meter.cache = how
        meter.reply_headers.append((b"x-lmaas-cache", how.encode()))
        self._metrics.count(names.CACHE_HITS, (meter.model, how))
        if recorded.usage is not None:
            usage = recorded.usage
            self._metrics.count(
                names.CACHE_SAVED_TOKENS, (meter.model,), usage.prompt_tokens + usage.completion_tokens
            )
        return recorded
