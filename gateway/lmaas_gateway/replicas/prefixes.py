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

# Of English text in most vocabularies.
BYTES_PER_TOKEN = 4
# Text of 128 tokens or so, a block of vLLM's own cache on a CPU.
_BLOCK_BYTES = 512
# After so many blocks they double: a prompt costs the logarithm of its length and is known to 1/32 of it.
_BLOCKS_OF_A_SIZE = 32
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
        size_bytes: Its length.
    """

    __slots__ = ("_root", "_text", "blocks", "end", "size_bytes")

    def __init__(self, prompt: bytes | memoryview, preamble: bytes = b"") -> None:
        view = memoryview(prompt)[:_MAX_PROMPT_BYTES]
        text = bytes(view)
        # What closes the list or the string is no part of what the next turn begins with.
        size = text.rfind(b"}") + 1 if text.endswith(b"]") else len(text) - 1
        state = self._root = crc32(preamble) if preamble else 0
        spans = _SPANS[: bisect_right(_ENDS, size) - 1] if size > 0 else ()
        self.blocks = [state := crc32(view[span], state) for span in spans]
        self.size_bytes = max(size, 0)
        self._text = text
        self.end = self._hash(self.size_bytes)

    def earlier_ends(self) -> Iterator[tuple[int, int, int]]:
        """Tell where earlier turns of the conversation may have ended, the last first.

        Yields:
            The length in bytes, how many whole blocks it has, and its hash.
        """
        text = self._text
        seam = _SEAMS[0] if _SEAMS[0] in text else _SEAMS[1]
        end = text.rfind(seam)
        for _ in range(_MAX_SEAMS):
            if end < 0:
                return
            end += 1
            yield end, bisect_right(_ENDS, end) - 1, self._hash(end)
            end = text.rfind(seam, 0, end)

    def _hash(self, end: int) -> int:
        count = bisect_right(_ENDS, end) - 1
        state = self.blocks[count - 1] if count else self._root
        return crc32(self._text[_ENDS[count] : end], state)


class HeldPrefixes:
    """What a replica's prefix cache probably holds: what it has read last, as much as fits.

    Attributes:
        capacity_bytes: Text that fits; what was read longest ago is forgotten beyond it.
        held_bytes: Text that it holds.
    """

    __slots__ = ("_sizes", "capacity_bytes", "held_bytes")

    def __init__(self, capacity_bytes: int = _MAX_ENTRIES * _BLOCK_BYTES) -> None:
        self._sizes: OrderedDict[int, int] = OrderedDict()
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, state: int) -> bool:
        return state in self._sizes

    def count(self, chain: Chain) -> int:
        """Count the blocks that a prompt begins with and that are held.

        A block is never held without those before it, so the search can halve.
        """
        sizes, blocks = self._sizes, chain.blocks
        low, high = 0, len(blocks)
        while low < high:
            middle = (low + high + 1) >> 1
            if blocks[middle - 1] in sizes:
                low = middle
            else:
                high = middle - 1
        return low

    def note(self, chain: Chain) -> None:
        """Take note of a prompt that the replica is going to read.

        The longest beginning is entered first, so that it is also forgotten first, as vLLM does.
        """
        sizes = self._sizes
        self._touch(chain.end, 0)
        for index in range(len(chain.blocks), 0, -1):
            self._touch(chain.blocks[index - 1], _ENDS[index] - _ENDS[index - 1])
        while self.held_bytes > self.capacity_bytes or len(sizes) > _MAX_ENTRIES:
            self.held_bytes -= sizes.popitem(last=False)[1]

    def clear(self) -> None:
        """Take note that the replica has begun anew."""
        self._sizes.clear()
        self.held_bytes = 0

    def _touch(self, state: int, size_bytes: int) -> None:
        sizes = self._sizes
        if state in sizes:
            sizes.move_to_end(state)
        else:
            sizes[state] = size_bytes
            self.held_bytes += size_bytes


def bytes_of(blocks: int) -> int:
    """Tell how long a beginning of so many blocks is."""
    return _ENDS[blocks]
