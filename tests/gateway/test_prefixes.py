"""Prompts as chains of hashes, and what a replica is thought to hold of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway import envelope
from lmaas_gateway.board import Seat, SharedBoard
from lmaas_gateway.replicas.prefixes import Chain, HeldPrefixes, bytes_of

if TYPE_CHECKING:
    from pathlib import Path

COMPACT, SPACED = (",", ":"), (", ", ": ")


def chat(*turns: str, separators: tuple[str, str] = COMPACT) -> bytes:
    """The raw JSON of a chat: user and assistant in turn."""
    messages = [
        {"role": ("user", "assistant")[index % 2], "content": turn} for index, turn in enumerate(turns)
    ]
    return json.dumps(messages, separators=separators).encode()


def preamble(**fields: Any) -> bytes:
    return envelope.preamble_of(envelope.read(json.dumps({"model": "m", **fields}).encode()))


class TestChain:
    @given(st.text(max_size=3000), st.text(max_size=3000))
    def test_prompts_that_begin_alike_have_chains_that_begin_alike(self, first: str, second: str) -> None:
        shorter, longer = Chain(chat(first)), Chain(chat(first, second))
        assert longer.blocks[: len(shorter.blocks)] == shorter.blocks

    @pytest.mark.parametrize("separators", [COMPACT, SPACED])
    @given(turns=st.lists(st.text(max_size=700), min_size=1, max_size=5))
    def test_next_turn_knows_where_the_one_before_ended(
        self, separators: tuple[str, str], turns: list[str]
    ) -> None:
        before = Chain(chat(*turns, separators=separators))
        after = Chain(chat(*turns, "the answer", "and then?", separators=separators))
        assert before.end in [state for _, _, state in after.earlier_ends()]

    def test_history_that_was_changed_has_another_end(self) -> None:
        before = Chain(chat("one", "two", "three"))
        after = Chain(chat("one", "2", "three", "four", "five"))
        assert before.end not in [state for _, _, state in after.earlier_ends()]

    def test_agents_next_turn_brings_several_messages(self) -> None:
        tools = [f"result {number}" for number in range(6)]
        before, after = Chain(chat("ask")), Chain(chat("ask", "calls", *tools))
        assert before.end in [state for _, _, state in after.earlier_ends()]

    def test_prompt_that_is_one_string_grows_at_its_end(self) -> None:
        before, after = Chain(b'"once upon a"'), Chain(b'"once upon a time"')
        assert before.end != after.end
        assert before.end == Chain(b'"once upon a"').end
        assert list(after.earlier_ends()) == []

    @pytest.mark.parametrize(
        "fields",
        [
            {"tools": [{"type": "function"}]},
            {"system": "Be kind."},
            {"instructions": "Be kind."},
            {"cache_salt": "tenant-1"},
        ],
    )
    def test_what_is_read_before_the_messages_or_partitions_the_cache_is_part_of_it(
        self, fields: dict[str, Any]
    ) -> None:
        text = chat("x" * 2000)
        plain, other = Chain(text, preamble()), Chain(text, preamble(**fields))
        assert not set(plain.blocks) & set(other.blocks)
        assert plain.end != other.end
        assert Chain(text, preamble(**fields)).blocks == other.blocks

    def test_same_text_as_tools_or_as_salt_is_not_the_same(self) -> None:
        assert (
            len({preamble(**{name: "x"}) for name in ("tools", "system", "instructions", "cache_salt")}) == 4
        )

    @pytest.mark.parametrize("text", [b"", b"null", b"[]", b'""', b"[1,2,3]", b"7", b"}]", b'},{"'])
    def test_anything_is_a_prompt(self, text: bytes) -> None:
        chain = Chain(text)
        list(chain.earlier_ends())
        assert list(chain.blocks) == []

    def test_long_prompt_has_few_blocks(self) -> None:
        lengths = {
            size: len(Chain(chat("x" * size)).blocks) for size in (4_000, 64_000, 1_000_000, 9_000_000)
        }
        assert lengths[4_000] <= 8
        assert lengths[64_000] <= 40
        assert lengths[9_000_000] == lengths[1_000_000] + 1 <= 80


class TestHeld:
    def test_longest_beginning_that_was_read_is_counted(self) -> None:
        held = HeldPrefixes()
        read, asked = Chain(chat("x" * 5000)), Chain(chat("x" * 3000 + "y" * 2000))
        assert held.count(read) == 0
        held.note(read)
        assert held.count(read) == len(read.blocks)
        assert 2500 <= bytes_of(held.count(asked)) <= 3050

    def test_what_was_read_longest_ago_is_forgotten_first_and_its_end_before_its_beginning(self) -> None:
        held = HeldPrefixes(capacity_bytes=8192)
        first, second, third = (Chain(chat(letter * 3800)) for letter in "abc")
        for chain in (first, second, first, third):
            held.note(chain)
        assert held.held_bytes <= 8192
        assert held.count(third) == len(third.blocks)
        assert len(second.blocks) > held.count(second)
        counts = []
        for number in range(20):
            held.note(Chain(chat(str(number) * 600)))
            counts.append(held.count(third))
        assert counts == sorted(counts, reverse=True)
        assert counts[-1] == 0

    def test_end_counts_only_with_the_blocks_before_it(self) -> None:
        held = HeldPrefixes()
        before, after = Chain(chat("x" * 700)), Chain(chat("x" * 700, "answer", "more"))
        held.note(before)
        (count, state), *_ = [
            (count, state) for _, count, state in after.earlier_ends() if state == before.end
        ]
        assert held.has_end(after, state, count)
        del held.states[before.blocks[-1]]
        assert not held.has_end(after, state, count)

    def test_memory_is_bounded_however_many_prompts_come(self) -> None:
        held = HeldPrefixes(capacity_bytes=1 << 60)
        for number in range(40_000):
            held.note(Chain(b'"%d"' % number))
        assert len(held.states) == 32_768

    @given(st.lists(st.binary(max_size=4000), max_size=30), st.integers(0, 20_000))
    def test_books_of_what_is_held_are_right(self, prompts: list[bytes], capacity_bytes: int) -> None:
        held = HeldPrefixes(capacity_bytes)
        for prompt in prompts:
            held.note(Chain(prompt))
        assert held.held_bytes == sum(held.states.values()) <= capacity_bytes
        held.clear()
        assert (held.held_bytes, len(held.states)) == (0, 0)


def test_workers_know_what_the_others_have_sent(tmp_path: Path) -> None:
    boards = [SharedBoard(Seat(tmp_path, slot, 2)) for slot in range(2)]
    mine, theirs = (HeldPrefixes(shared=board.marks("read mock http://h:1")) for board in boards)
    other = HeldPrefixes(shared=boards[1].marks("read mock http://h:2"))
    before, after = Chain(chat("x" * 3000)), Chain(chat("x" * 3000, "answer", "more"))
    mine.note(before)
    _, count, state = next(end for end in after.earlier_ends() if end[2] == before.end)
    assert theirs.count(after) == len(before.blocks) > 3
    assert theirs.has_end(after, state, count)
    assert other.count(after) == 0
    assert not other.has_end(after, state, count)
    theirs.clear()
    assert not theirs.has_end(after, state, count)
    assert mine.has_end(after, state, count)
