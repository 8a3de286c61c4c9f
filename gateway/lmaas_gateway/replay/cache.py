"""The exact response cache: the same body of the same tenant gets the same reply, where that is certain.

That is so for what is computed, not drawn: embeddings, scores, tokens, and completions at temperature 0.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from lmaas_gateway.replay.keys import forbids_storing

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.call import Call, Principal
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.replay.bounded import BoundedStore
    from lmaas_gateway.replay.flights import Flights
    from lmaas_gateway.replay.replies import Recorded
    from lmaas_gateway.replicas.pool import Pool

_COMPUTED = frozenset(
    {"/v1/embeddings", "/v1/rerank", "/v1/score", "/v1/classify", "/v1/tokenize", "/v1/detokenize"}
)
# Responses and messages are left out: the one may refer to what a server remembers, the other's form depends
# on headers.
_GENERATED = frozenset({"/v1/chat/completions", "/v1/completions"})


class ResponseCache:
    """Replies by tenant, route, engine and body, and the calls that will bring some.

    Args:
        store: Keeps the replies.
        flights: Who waits for whom.
        max_entry_bytes: Longer replies are not kept.
        models: Names of the models whose replies are cached.
    """

    def __init__(
        self,
        store: BoundedStore[bytes, Recorded],
        flights: Flights,
        *,
        max_entry_bytes: int,
        models: frozenset[str],
    ) -> None:
        self.store = store
        self.flights = flights
        self.max_entry_bytes = max_entry_bytes
        self._models = models
        self._engines: dict[str, tuple[object, int]] = {}
        self._generation = 0

    def takes(self, call: Call, pool: Pool) -> bool:
        """Tell whether the reply to `call` may come from here."""
        if pool.name not in self._models:
            return False
        path = call.route.path
        is_certain = path in _COMPUTED or (path in _GENERATED and call.wanted.temperature == 0)
        return is_certain and not forbids_storing(call)

    def key_of(self, call: Call, principal: Principal, pool: Pool) -> bytes:
        """Name the reply to a call: a digest of all that it depends on, and of who may see it."""
        who = principal.tenant.encode()
        digest = sha256(
            b"%d %b %b %d %d "
            % (len(who), who, call.route.path.encode(), call.wants_usage, self._engine(pool))
        )
        digest.update(call.body)
        return digest.digest()

    def _engine(self, pool: Pool) -> int:
        """Number what serves the model: another number as soon as anything about it is different."""
        engines = tuple((replica.served_model_name, replica.max_model_len) for replica in pool.replicas)
        known = self._engines.get(pool.name)
        if known is not None and known[0] == engines:
            return known[1]
        self._generation += 1
        self._engines[pool.name] = (engines, self._generation)
        return self._generation


class CacheKeeper:
    """A call whose reply will be cached, and on which others may wait.

    Args:
        meter: Of the call; tells which model answered in the end.
        is_leading: Whether equal calls wait for this one; if it brings nothing, one of them leads.
    """

    __slots__ = ("_cache", "_is_leading", "_key", "_meter", "_model", "max_entry_bytes")

    def __init__(self, cache: ResponseCache, key: bytes, meter: Meter, *, is_leading: bool) -> None:
        self._cache = cache
        self._meter = meter
        self._model = meter.model
        self._key = key
        self._is_leading = is_leading
        self.max_entry_bytes = cache.max_entry_bytes

    def keep(self, recorded: Recorded) -> None:
        """Give the reply to all who wait, and store it unless another model stood in for the one asked."""
        if len(recorded.body) > self.max_entry_bytes:
            self.forgo()
            return
        if self._meter.model == self._model:
            self._cache.store.put(self._key, recorded, len(recorded.body))
        self._end(lambda key: self._cache.flights.land(key, recorded))

    def forgo(self) -> None:
        """Let all who wait work for themselves."""
        self._end(self._cache.flights.disband)

    def release(self) -> None:
        """Make the next one lead if the call has brought no reply."""
        self._end(self._cache.flights.fail)

    def _end(self, way: Callable[[bytes], None]) -> None:
        if self._is_leading:
            self._is_leading = False
            way(self._key)
