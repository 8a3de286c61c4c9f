"""How deeply a JSON body is nested, told fast: parsers further on recurse, and vLLM decodes all of it."""

from __future__ import annotations

from itertools import accumulate

# Everything but brackets and quotes, and then quotes as well.
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_ALIKE = bytes.maketrans(b"{}", b"[]")
_STEPS = {ord("["): 1, ord("]"): -1}
_BLOCK_BYTES = 65536
# Lists and objects of one body. A scan of so many brackets takes less than 10 ms.
MAX_CONTAINERS = 65536
# Flat bodies lose all their brackets in so many rounds, deep ones are counted out bracket by bracket.
_ROUNDS = 6


def is_too_deep(body: bytes, max_depth: int) -> bool:
    """Tell whether a body that is valid JSON is nested deeper than that, or has too many lists and objects.

    A body with fewer brackets than that in all, which is nearly every one, costs two counts of bytes; to
    take a byte out and compare lengths is several times faster than `bytes.count`.
    """
    openings = 2 * len(body) - len(body.replace(b"[", b"")) - len(body.replace(b"{", b""))
    if openings <= max_depth:
        return False
    brackets = _brackets(body)
    if len(brackets) > 2 * MAX_CONTAINERS:
        return True
    for removed in range(_ROUNDS):
        # Each round takes the innermost ones away, and with them one level.
        if removed + len(brackets) // 2 <= max_depth:
            return False
        brackets = brackets.replace(b"[]", b"")
    return _ROUNDS + max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > max_depth


def _brackets(body: bytes) -> bytes:
    """Keep the brackets that stand outside strings, all of one shape."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    structure = body.translate(_ALIKE, _NOT_STRUCTURE)
    kept = []
    is_inside = 0
    # In blocks, or a body of quotes alone would be cut into millions of pieces at once.
    for at in range(0, len(structure), _BLOCK_BYTES):
        pieces = structure[at : at + _BLOCK_BYTES].split(b'"')
        kept.append(b"".join(pieces[is_inside::2]))
        is_inside = (is_inside + len(pieces) - 1) % 2
    return b"".join(kept)
