"""The bounded store: whatever is put in, it stays within its bounds and forgets in time."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lmaas_gateway.replay.bounded import ENTRY_OVERHEAD_BYTES, BoundedStore, Bounds

BOUNDS = Bounds(max_bytes=6 * ENTRY_OVERHEAD_BYTES, max_entry_bytes=3000, max_entries=4, ttl_s=10)
KEYS = st.integers(0, 7)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Model(RuleBasedStateMachine):
    """Beside the store, a list of all that could be in it: the least recently used first."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = BoundedStore[int, bytes](BOUNDS, self.clock)
        self.model: dict[int, tuple[bytes, float]] = {}

    def _living(self) -> None:
        now_s = self.clock.now_s
        self.model = {key: held for key, held in self.model.items() if now_s - held[1] < BOUNDS.ttl_s}

    def _size_bytes(self) -> int:
        return sum(len(value) + ENTRY_OVERHEAD_BYTES for value, _ in self.model.values())

    @rule(key=KEYS, value_bytes=st.integers(0, 4000))
    def put(self, key: int, value_bytes: int) -> None:
        value = bytes([key]) * value_bytes
        # What has expired may still take room, but then only until the next sweep.
        self.store.sweep()
        self._living()
        self.model.pop(key, None)
        if value_bytes <= BOUNDS.max_entry_bytes:
            self.model[key] = value, self.clock.now_s
            while self._size_bytes() > BOUNDS.max_bytes or len(self.model) > BOUNDS.max_entries:
                del self.model[next(iter(self.model))]
        self.store.put(key, value, value_bytes)

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        self._living()
        held = self.model.pop(key, None)
        if held is None:
            assert self.store.get(key) is None
        else:
            self.model[key] = held
            assert self.store.get(key) == (held[0], self.clock.now_s - held[1])

    @rule(key=KEYS)
    def discard(self, key: int) -> None:
        self.model.pop(key, None)
        self.store.discard(key)

    @rule(seconds=st.floats(0, 12))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule()
    def sweep(self) -> None:
        self._living()
        self.store.sweep()
        assert len(self.store) == len(self.model)
        assert self.store.size_bytes == self._size_bytes()

    @invariant()
    def is_within_bounds(self) -> None:
        assert self.store.size_bytes <= BOUNDS.max_bytes
        assert len(self.store) <= BOUNDS.max_entries


TestBoundedStore = Model.TestCase


def test_value_larger_than_the_whole_store_is_not_taken() -> None:
    store = BoundedStore[int, bytes](Bounds(2048, 10_000, 4, 10))
    store.put(1, b"", 0)
    store.put(2, b"x" * 2000, 2000)
    assert store.get(1) is not None
    assert store.get(2) is None
