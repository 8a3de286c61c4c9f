"""Draws that look random and come out the same each time: a number from 0 to 1 for what a thing is called."""

from __future__ import annotations

_MASK = (1 << 64) - 1


def draw(key: int, seed: int) -> float:
    """Give a number above 0 and below 1 that depends on `key` and `seed` alone, each the CRC-32 of a name.

    For spreading things, not for secrets. The same in every process, on every machine.

    Source: MurmurHash3's 64-bit finalizer.
    """
    mixed = key << 32 | seed
    mixed = (mixed ^ mixed >> 33) * 0xFF51AFD7ED558CCD & _MASK
    mixed = (mixed ^ mixed >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return ((mixed ^ mixed >> 33) + 0.5) / (_MASK + 2.0)
