"""How long it takes to know a caller by a key, one of many: the first time, and from then on."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.loadgen import percentile
from bench.tenants import Store
from lmaas_gateway.tenancy import Tenancy

ADDRESS = "192.0.2.1"
_SEED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """What it came to with one kind of store.

    Attributes:
        keys: How many the store has.
        asked: How many of them called.
    """

    store: str
    keys: int
    asked: int
    cold_p50_ms: float
    cold_p99_ms: float
    warm_p50_us: float
    warm_p99_us: float


async def authenticate(name: str, store: Store, keys: Sequence[str], asked: int) -> Authentication:
    """Know some of the keys for the first time, one after another, and then again."""
    # It is measured, not cut short: the first connection takes longest.
    patient = {**store.settings["storage"], "deadline_s": 10}
    settings = store.read(identity={"max_lookups_per_s": 10**6}, storage=patient)
    tenancy = await Tenancy.open(settings)
    try:
        authenticator = tenancy.identities.authenticator(settings)
        chosen = random.Random(_SEED).sample(list(keys), asked + 1)
        headers = [[(b"authorization", b"Bearer " + key.encode())] for key in chosen]
        # The first connects to the store.
        await authenticator.look_up(headers.pop(), ADDRESS)
        cold, warm = [], []
        for one in headers:
            began_s = time.perf_counter()
            if authenticator.identify(one, ADDRESS) is None:
                await authenticator.look_up(one, ADDRESS)
            cold.append(time.perf_counter() - began_s)
        for one in headers:
            if authenticator.identify(one, ADDRESS) is None:
                # Who follows changes has begun meanwhile, and what was known before is asked for again.
                await authenticator.look_up(one, ADDRESS)
            began_s = time.perf_counter()
            assert authenticator.identify(one, ADDRESS) is not None
            warm.append(time.perf_counter() - began_s)
    finally:
        await tenancy.close()
    return Authentication(
        store=name,
        keys=len(keys),
        asked=asked,
        cold_p50_ms=percentile(cold, 0.5) * 1e3,
        cold_p99_ms=percentile(cold, 0.99) * 1e3,
        warm_p50_us=percentile(warm, 0.5) * 1e6,
        warm_p99_us=percentile(warm, 0.99) * 1e6,
    )
