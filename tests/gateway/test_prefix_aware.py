"""Chats go where they have been read before, unless that is too busy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lmaas_gateway.call import ROUTES
from lmaas_gateway.replicas.engine_stats import EngineStats
from lmaas_gateway.routing.prefix_aware import PrefixAware, cheapest
from support.calls import make_call
from support.replicas import make_replica

if TYPE_CHECKING:
    from lmaas_gateway.call import Call
    from lmaas_gateway.replicas.pool import Replica

SYSTEM = "You know everything about ships. " * 40


def turn(*said: str, system: str = SYSTEM, **fields: object) -> Call:
    messages = [{"role": "system", "content": system}]
    messages += [
        {"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(said)
    ]
    return make_call(
        json.dumps({"model": "mock", "messages": messages, **fields}, separators=(",", ":")).encode()
    )


def three() -> list[Replica]:
    return [make_replica(name) for name in "abc"]


def choose(call: Call, replicas: list[Replica]) -> Replica:
    return PrefixAware().choose(call, replicas).replica


def test_chat_stays_where_its_last_turn_was_though_others_are_idler() -> None:
    replicas = three()
    replicas[0].enter(500)
    home = choose(turn("a"), replicas)
    home.enter(1000)
    assert home is not replicas[0]
    assert choose(turn("a", "answer", "b"), replicas) is home
    assert choose(turn("a", "answer", "b", "answer", "c"), replicas[::-1]) is home


def test_chats_that_only_share_a_beginning_are_spread_once_there_is_load() -> None:
    replicas = three()
    chosen = set()
    for number in range(60):
        replica = choose(turn(f"question {number}"), replicas)
        replica.enter(1000)
        chosen.add(replica.name)
    assert chosen == set("abc")
    loads = [replica.in_flight for replica in replicas]
    assert max(loads) - min(loads) <= 5


def test_short_chat_without_a_whole_block_stays_too() -> None:
    replicas = three()
    first = choose(turn("hi", system=""), replicas)
    first.enter(10)
    assert choose(turn("hi", "hello", "bye", system=""), replicas) is first


def test_replica_far_above_the_least_loaded_loses_its_chats() -> None:
    replicas = three()
    home = choose(turn("a"), replicas)
    call = turn("a", "answer", "b")
    for _ in range(9):
        home.enter(call.tokens)
    assert choose(call, replicas) is not home


def test_bound_is_relative_to_the_least_load() -> None:
    assert cheapest([1000.0, 2100.0], [0.0, 1e6], 10) == 0
    assert cheapest([1100.0, 2100.0], [0.0, 1e6], 10) == 1
    assert cheapest([0.0, 79.0], [0.0, 1e6], 10) == 1
    assert cheapest([0.0, 81.0], [0.0, 1e6], 10) == 0
    assert cheapest([5.0, 4.0, 4.0], [0.0, 0.0, 0.0], 10) == 1


def test_replica_whose_calls_wait_loses_its_chats_if_another_has_none_waiting() -> None:
    replicas = three()
    home = choose(turn("a"), replicas)
    home.note_stats(EngineStats(running=3, waiting=1, kv_cache_usage=1.0))
    assert choose(turn("a", "answer", "b"), replicas) is not home


def test_chat_of_another_tenant_is_another_chat() -> None:
    replicas = three()
    home = choose(turn("a", cache_salt="one"), replicas)
    home.enter(1)
    assert choose(turn("a", "answer", "b", cache_salt="two"), replicas) is not home
    assert choose(turn("a", "answer", "b", cache_salt="one"), replicas) is home


def test_replica_that_was_restarted_is_known_to_hold_nothing() -> None:
    replicas = three()
    home = choose(turn("a"), replicas)
    home.note_stats(EngineStats(0, 0, 0.0, started_at=1.0))
    home.note_stats(EngineStats(0, 0, 0.0, started_at=1.0))
    home.enter(1)
    assert choose(turn("a", "answer", "b"), replicas) is home
    home.note_stats(EngineStats(0, 0, 0.0, started_at=2.0))
    assert choose(turn("a", "answer", "b", "answer", "c"), replicas) is not home


def test_replica_without_metrics_that_was_away_is_known_to_hold_nothing() -> None:
    replicas = three()
    home = choose(turn("a"), replicas)
    home.enter(1)
    home.mark_failed("gone")
    home.mark_ready("mock", 2048)
    assert choose(turn("a", "answer", "b"), replicas) is not home


def test_last_replica_left_learns_what_it_is_sent() -> None:
    replicas = three()
    only = replicas[2]
    assert choose(turn("a"), [only]) is only
    only.enter(1)
    assert choose(turn("a", "answer", "b"), replicas) is only


def test_calls_that_generate_nothing_go_to_the_least_loaded_and_leave_no_trace() -> None:
    replicas = three()
    tokenize = next(route for route in ROUTES if route.path == "/v1/tokenize")
    replicas[0].enter(5)
    call = make_call(turn("a").body, route=tokenize)
    assert choose(call, replicas) is replicas[1]
    assert not any(replica.prefixes.states for replica in replicas)
