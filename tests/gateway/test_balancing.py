"""The choice between replicas by load, and which policy a pool gets."""

from __future__ import annotations

import random
from collections import Counter
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.replicas.pool import Pool
from lmaas_gateway.routing.balancing import LeastTokens, Policies, PowerOfTwo, RoundRobin
from lmaas_gateway.settings import RoutingPolicy
from support.calls import make_call
from support.replicas import make_replica

CALL = make_call()


class TestLeastTokens:
    def test_least_outstanding_tokens_win_then_fewest_calls_then_the_first(self) -> None:
        heavy, light = make_replica(tokens=100, calls=1), make_replica(tokens=10, calls=1)
        busy, idle = make_replica(tokens=10, calls=2), make_replica(tokens=10, calls=1)
        policy = LeastTokens()
        assert policy.choose(CALL, [heavy, busy, light, idle]).replica is light
        assert policy.choose(CALL, [heavy, busy]).replica is busy

    def test_twice_the_weight_bears_twice_the_tokens(self) -> None:
        small, big = make_replica(tokens=100), make_replica(tokens=199, weight=2)
        assert LeastTokens().choose(CALL, [small, big]).replica is big
        big.enter(2)
        assert LeastTokens().choose(CALL, [small, big]).replica is small

    def test_calls_of_others_count_like_this_one(self) -> None:
        ours = make_replica(tokens=3 * CALL.tokens - 1, calls=3)
        theirs = make_replica()
        theirs.foreign_calls = 3
        assert LeastTokens().choose(CALL, [theirs, ours]).replica is ours

    def test_replica_whose_calls_wait_comes_last_until_enough_of_them_have_ended(self) -> None:
        waiting, loaded = make_replica(tokens=10, calls=3), make_replica(tokens=100_000, calls=9)
        waiting.queues_above = 2
        assert LeastTokens().choose(CALL, [waiting, loaded]).replica is loaded
        waiting.leave(5)
        assert LeastTokens().choose(CALL, [waiting, loaded]).replica is waiting


class TestPowerOfTwo:
    def test_less_loaded_of_the_two_drawn_wins(self) -> None:
        idle, light, heavy = make_replica(), make_replica(tokens=1), make_replica(tokens=2)
        drawn = iter([0.99, 0.6])
        assert PowerOfTwo(lambda: next(drawn)).choose(CALL, [idle, light, heavy]).replica is light

    def test_most_loaded_of_all_is_never_chosen_and_every_other_is(self) -> None:
        replicas = [make_replica(str(index), tokens=index) for index in range(4)]
        policy = PowerOfTwo(random.Random(7).random)
        counts = Counter(policy.choose(CALL, replicas).replica.name for _ in range(600))
        assert set(counts) == {"0", "1", "2"}
        # One of two drawn: half of the pairs hold the idlest.
        assert 250 < counts["0"] < 350

    def test_only_one_is_taken_without_drawing(self) -> None:
        only = make_replica()
        assert PowerOfTwo(iter(()).__next__).choose(CALL, [only]).replica is only


def test_round_robin_takes_turns_whatever_the_load() -> None:
    replicas = [make_replica("a", tokens=999), make_replica("b"), make_replica("c")]
    policy = RoundRobin()
    assert "".join(policy.choose(CALL, replicas).replica.name for _ in range(7)) == "abcabca"


@pytest.mark.parametrize(
    "routing", ["prefix_aware", "least_tokens", "power_of_two", "consistent_hash", "round_robin"]
)
def test_pool_has_the_policy_of_its_setting_and_keeps_it_when_built_anew(routing: RoutingPolicy) -> None:
    policies = Policies()
    replicas = (make_replica("a"), make_replica("b"))
    policy = policies.of(Pool("mock", "chat", replicas, 0, routing=routing))
    assert type(policy).__name__.lower() == routing.replace("_", "")
    assert policy.choose(CALL, replicas).replica in replicas
    assert policies.of(Pool("mock", "chat", replicas[:1], 1, routing=routing)) is policy
    assert policies.of(Pool("other", "chat", replicas, 0, routing=routing)) is not policy


@given(
    routing=st.sampled_from(get_args(RoutingPolicy)),
    known=st.lists(
        st.tuples(
            st.integers(0, 1 << 40),
            st.integers(0, 5000),
            st.floats(0.01, 1000),
            st.integers(-9, 9),
            st.integers(0, 99),
        ),
        min_size=1,
        max_size=6,
    ),
    body=st.sampled_from(
        [b"null", b"[]", b'""', b'[{"role":"user","content":"hi"}]', b"7", b'"' + b"x" * 5000 + b'"']
    ),
    session=st.binary(max_size=40),
)
def test_whatever_is_known_of_the_replicas_one_of_them_is_chosen(
    routing: RoutingPolicy,
    known: list[tuple[int, int, float, int, int]],
    body: bytes,
    session: bytes,
) -> None:
    replicas = []
    for index, (tokens, calls, weight, queues_above, foreign_calls) in enumerate(known):
        replica = make_replica(str(index), weight=weight, tokens=tokens, calls=calls)
        replica.queues_above, replica.foreign_calls = queues_above, foreign_calls
        replicas.append(replica)
    policy = Policies(random.Random(1)).of(Pool("mock", "chat", tuple(replicas), 0, routing=routing))
    call = make_call(b'{"model":"mock","messages":' + body + b"}", session=session)
    for _ in range(3):
        assert policy.choose(call, replicas).replica in replicas
