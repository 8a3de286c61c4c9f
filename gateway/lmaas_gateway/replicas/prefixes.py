"""Which prompts a replica has read lately: a model, kept here, of the prefix cache that is kept there.

A prompt is known by a chain of hashes, one where each of its blocks ends, each over everything before it. Two
prompts that begin alike have chains that begin alike, whatever follows; and a conversation's next turn begins
with all of the turn before, whose end is one more hash.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmaas_gateway.board import SharedMarks

# Of English text in most vocabularies.
BYTES_PER_TOKEN = 4
# The same with room for JSON's own signs: to think that a cache holds less than it does costs more than the
# other way round (tests/bench/routing.py).
CACHED_BYTES_PER_TOKEN = 6
# Text of 128 tokens or so, a block of vLLM's own cache on a CPU.
_BLOCK_BYTES = 512
# After so many blocks they double: a prompt costs the logarithm of its length and is known to 1/8 of it.
_BLOCKS_OF_A_SIZE = 8
# What comes later decides nothing.
_MAX_PROMPT_BYTES = 1 << 20
# One turn of a chat adds an answer and a question, one of an agent the results of several tools.
_MAX_SEAMS = 8
# Between two messages, as JSON is written with and without spaces. Inside a string a quote would be escaped.
_SEAMS = (b'},{"', b'}, {"')
# Of one replica, together some megabytes.
_MAX_ENTRIES = 32_768


def _ends() -> Iterator[int]:
    end = index = 0
    while end < _MAX_PROMPT_BYTES:
        yield end
        end += _BLOCK_BYTES << index // _BLOCKS_OF_A_SIZE
        index += 1
    yield end


# Where a beginning of so many blocks ends.
_ENDS = tuple(_ends())
_SPANS = tuple(slice(start, end) for start, end in pairwise(_ENDS))


class Chain:
    """The hashes of one prompt.

    Args:
        prompt: Its raw JSON: a list of messages, or a string.
        preamble: What a replica reads before it, or separates its cache by.

    Attributes:
        blocks: The hashes of its beginnings that end with a block, the shortest first.
        end: The hash of all of it.
    """

    __slots__ = ("_root", "_text", "blocks", "end")

    def __init__(self, prompt: bytes | memoryview, preamble: bytes = b"") -> None:
        if len(prompt) > _MAX_PROMPT_BYTES:
            prompt = memoryview(prompt)[:_MAX_PROMPT_BYTES]
        text = self._text = bytes(prompt)
        # What closes the list or the string is no part of what the next turn begins with.
        size = text.rfind(b"}") + 1 if text.endswith(b"]") else max(len(text) - 1, 0)
        count = bisect_right(_ENDS, size) - 1
        state = self._root = crc32(preamble) if preamble else 0
        self.blocks = [state := crc32(text[span], state) for span in _SPANS[:count]]
        self.end = crc32(text[_ENDS[count] : size], state)

    def has_earlier_turns(self) -> bool:
        """Tell whether the conversation may have had a turn before: a question and its answer."""
        text = self._text
        # That makes three messages; most prompts have fewer braces, and single bytes are found fastest.
        second = text.find(b"}", text.find(b"}") + 1)
        if second < 0 or text.find(b"}", second + 1) < 0:
            return False
        return text.count(_SEAMS[0]) > 1 or text.count(_SEAMS[1]) > 1

    def earlier_ends(self) -> Iterator[tuple[int, int, int]]:
        """Tell where earlier turns of the conversation may have ended, the last first.

        Yields:
            The length in bytes, how many whole blocks it has, and its hash.
        """
        text = self._text
        end = text.rfind(_SEAMS[0])
        seam = _SEAMS[0] if end > 0 else _SEAMS[1]
        end = end if end > 0 else text.rfind(seam)
        for _ in range(_MAX_SEAMS):
            if end < 0:
                return
            end += 1
            count = bisect_right(_ENDS, end) - 1
            state = self.blocks[count - 1] if count else self._root
            yield end, count, crc32(text[_ENDS[count] : end], state)
            end = text.rfind(seam, 0, end)


class HeldPrefixes:
    """What a replica's prefix cache probably holds: what it has read last, as much as fits.

    Args:
        capacity_bytes: Text that fits.
        shared: Where several workers tell each other what they have sent there.

    Attributes:
        states: The hashes that are held, those read longest ago first, and the bytes that each adds.
        capacity_bytes: Text that fits; what was read longest ago is forgotten beyond it.
        held_bytes: Text that it holds.
    """

    __slots__ = ("_shared", "capacity_bytes", "held_bytes", "states")

    def __init__(
        self, capacity_bytes: int = _MAX_ENTRIES * _BLOCK_BYTES, shared: SharedMarks | None = None
    ) -> None:
        self.states: OrderedDict[int, int] = OrderedDict()
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self._shared = shared

    def count(self, chain: Chain) -> int:
        """Count the blocks that a prompt begins with and that are held.

        A block is never held without those before it, so the search can halve.
        """
        states, shared, blocks = self.states, self._shared, chain.blocks
        low, high = 0, len(blocks)
        while low < high:
            middle = (low + high + 1) >> 1
            state = blocks[middle - 1]
            if state in states or (shared is not None and state in shared):
                low = middle
            else:
                high = middle - 1
        return low

    def has_end(self, chain: Chain, state: int, count: int) -> bool:
        """Tell whether a beginning that ends inside of a block is held, and the `count` blocks before."""
        if state in self.states:
            return count == 0 or chain.blocks[count - 1] in self.states
        return self._shared is not None and state in self._shared

    def note(self, chain: Chain) -> None:
        """Take note of a prompt that the replica is going to read.

        The longest beginning is entered first, so that it is also forgotten first, as vLLM does.
        """
        states, blocks = self.states, chain.blocks
        if chain.end in states:
            states.move_to_end(chain.end)
        else:
            states[chain.end] = 0
        for index in range(len(blocks) - 1, -1, -1):
            state = blocks[index]
            if state in states:
                states.move_to_end(state)
            else:
                states[state] = size_bytes = _ENDS[index + 1] - _ENDS[index]
                self.held_bytes += size_bytes
        if self._shared is not None:
            for state in (chain.end, *blocks):
                self._shared.add(state)
        while self.held_bytes > self.capacity_bytes or len(states) > _MAX_ENTRIES:
            self.held_bytes -= states.popitem(last=False)[1]

    def clear(self) -> None:
        """Take note that the replica has begun anew."""
        self.states.clear()
        self.held_bytes = 0
        if self._shared is not None:
            self._shared.clear()


def bytes_of(blocks: int) -> int:
    """Tell how long a beginning of so many blocks is."""
    return _ENDS[blocks]
