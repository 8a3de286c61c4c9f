"""Sessions and the replicas they stay at."""

from __future__ import annotations

from collections import Counter

import pytest

from lmaas_gateway import envelope
from lmaas_gateway.routing.sessions import ConsistentHash, by_rendezvous
from support.calls import make_call
from support.replicas import make_replica

SESSIONS = [b"session-%d" % number for number in range(3000)]


def homes(names: str, weights: dict[str, float] | None = None) -> dict[bytes, str]:
    replicas = [make_replica(name, weight=(weights or {}).get(name, 1.0)) for name in names]
    return {session: by_rendezvous(session, replicas)[0].name for session in SESSIONS}


def test_sessions_are_spread_evenly() -> None:
    counts = Counter(homes("abc").values())
    assert all(900 < counts[name] < 1100 for name in "abc")


def test_sessions_are_spread_by_weight() -> None:
    counts = Counter(homes("abc", {"b": 2.0}).values())
    assert 1400 < counts["b"] < 1600


def test_replica_that_goes_or_comes_moves_its_own_sessions_only() -> None:
    with_all, without = homes("abc"), homes("ac")
    moved = {session for session in SESSIONS if with_all[session] != without[session]}
    assert moved == {session for session in SESSIONS if with_all[session] == "b"}
    # Those of the one that went are spread over all that stay.
    assert 400 < Counter(without[session] for session in moved)["a"] < 600


def test_order_of_the_candidates_does_not_matter() -> None:
    replicas = [make_replica(name) for name in "abc"]
    for session in SESSIONS[:50]:
        assert by_rendezvous(session, replicas) == by_rendezvous(session, replicas[::-1])


def test_session_stays_at_its_replica_though_another_is_idle() -> None:
    replicas = [make_replica(name) for name in "abc"]
    call = make_call(session=b"s")
    home = ConsistentHash().choose(call, replicas).replica
    home.enter(10_000)
    assert ConsistentHash().choose(call, replicas).replica is home


def test_one_session_cannot_overload_a_replica() -> None:
    replicas = [make_replica(name) for name in "abc"]
    call = make_call(session=b"s")
    for _ in range(300):
        ConsistentHash().choose(call, replicas).replica.enter(call.tokens)
    counts = sorted(replica.in_flight for replica in replicas)
    assert counts[-1] <= 300 * 1.25 / 3 + 1
    assert counts[0] < counts[-1]


def test_replica_whose_calls_wait_is_passed_over() -> None:
    replicas = [make_replica(name) for name in "abc"]
    call = make_call(session=b"s")
    first, second, _ = by_rendezvous(b"s", replicas)
    first.queues_above = -1
    assert ConsistentHash().choose(call, replicas).replica is second
    for replica in replicas:
        replica.queues_above = -1
    assert ConsistentHash().choose(call, replicas).replica in replicas


def test_call_without_a_session_goes_to_the_least_loaded() -> None:
    busy, idle = make_replica("a", tokens=5), make_replica("b")
    assert ConsistentHash().choose(make_call(), [busy, idle]).replica is idle
    assert ConsistentHash().choose(make_call(session=b"s"), [busy]).replica is busy


@pytest.mark.parametrize(
    ("fields", "header", "session"),
    [
        (b"", None, b""),
        (b',"user":"u"', None, b"u"),
        (b',"user":"u","prompt_cache_key":"k"', None, b"k"),
        (b',"user":"u","prompt_cache_key":null', None, b"u"),
        (b',"user":"","prompt_cache_key":"k"', b"h", b"h"),
        (b',"user":""', b"", b""),
        (b',"user":{"not":"text"}', None, b'{"not":"text"}'),
    ],
)
def test_session_is_named_by_header_then_cache_key_then_user(
    fields: bytes, header: bytes | None, session: bytes
) -> None:
    wanted = envelope.read(b'{"model":"m"' + fields + b"}")
    assert envelope.session_of(wanted, header) == session
