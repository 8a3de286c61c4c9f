"""Multi-turn traffic is the same for every variant, and what the caches held is counted as it was told."""

from __future__ import annotations

import random
from collections import Counter
from statistics import median

import pytest

from bench import prefix
from bench.conversations import TrafficSize, chats, messages, rounds, turn_words
from lmaas_gateway.testing import FakeReplica, Script

SIZE = TrafficSize(chats=6, turns=3, system_prompts=2, answer_tokens=4, in_flight=2)


class TestConversations:
    def test_same_seed_same_chats(self) -> None:
        assert chats(SIZE) == chats(SIZE) != chats(SIZE, seed=9)

    def test_system_prompts_are_shared(self) -> None:
        assert set(Counter(chat.system for chat in chats(SIZE)).values()) == {3}

    def test_each_round_has_every_chat_once_in_another_order(self) -> None:
        assert [sorted(order) for order in rounds(SIZE)] == [list(range(6))] * 3
        assert len(set(rounds(SIZE))) > 1

    def test_lengths_are_mostly_short_and_now_and_then_long(self) -> None:
        drawn = [turn_words(random.Random(seed)) for seed in range(2_000)]
        assert 70 < median(drawn) < 110
        assert max(drawn) == 600
        assert min(drawn) == 12

    def test_answers_are_fed_back_between_the_turns(self) -> None:
        chat = chats(SIZE)[0]
        told = messages(chat, ["first answer"])
        assert [one["role"] for one in told] == ["system", "user", "assistant", "user"]
        assert (told[2]["content"], told[3]["content"]) == ("first answer", chat.turns[1])


class TestPlayer:
    async def test_every_pass_sends_the_prompts_of_the_first(self) -> None:
        player = prefix.Player(SIZE, chats(SIZE))
        async with FakeReplica() as replica:
            await player.play(replica.url)
            first = Counter(call.request.body for call in replica.calls)
            assert (player.errors, sum(first.values())) == (0, 18)
            assert player.prompt_tokens > 1000
            replica.script = Script(text="something else altogether")
            await player.play(replica.url)
        assert Counter(call.request.body for call in replica.calls) == first + first

    async def test_calls_that_fail_are_counted(self) -> None:
        player = prefix.Player(SIZE, chats(SIZE))
        async with FakeReplica(script=Script(status=500)) as replica:
            await player.play(replica.url)
        assert (player.errors, player.cached_tokens) == (18, 0)


def variant(name: str, *cached: int, errors: int = 0) -> prefix.Variant:
    passes = (
        prefix.Pass(prompt_tokens=1000, cached_tokens=tokens, seconds=1, busiest_share=0.4, errors=errors)
        for tokens in cached
    )
    return prefix.Variant(name, tuple(passes))


class TestSection:
    RESULT = prefix.Variants(
        traffic=SIZE,
        variants=(
            variant(prefix.ONE_REPLICA, 600),
            variant(prefix.OURS, 590, 580, 300),
            variant(prefix.ROUND_ROBIN, 200),
            variant(prefix.CACHE_AWARE, 580),
        ),
    )

    def test_medians_are_held_against_the_other_variants(self) -> None:
        share, over_turns, over_theirs = prefix.judge(self.RESULT)
        assert share.measured == pytest.approx(580 / 600)
        assert (over_turns.measured, over_turns.word) == (380, "met")
        assert (over_theirs.measured, over_theirs.word) == (0, "**missed**")

    def test_variant_with_failed_calls_is_no_yardstick(self) -> None:
        failing = prefix.Variants(traffic=SIZE, variants=(variant(prefix.OURS, 9, errors=1),))
        assert {verdict.word for verdict in prefix.judge(failing)} == {"not measured"}

    def test_page_tells_every_variant(self) -> None:
        text = prefix.describe(self.RESULT)
        assert "| lmaas, prefix_aware | 1,000 | 580 (300 to 590) | 0.967 | 40% | 1.0 | 0 |" in text
