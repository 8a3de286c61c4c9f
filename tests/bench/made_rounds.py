"""Rounds as a comparison would give them, for tests of what is made of them."""

from __future__ import annotations

from bench.side_by_side import Round


def round_of(cpu_us: float, *, errors: int = 0) -> Round:
    """Make a round of a gateway whose calls cost so much CPU."""
    return Round(
        cpu_us_per_call=cpu_us,
        cpu_us_per_event=cpu_us / 10,
        calls_per_s=1,
        events_per_s=1,
        p50_ms=0.2,
        p99_ms=0.9,
        added_p50_ms=0.1,
        added_p99_ms=0.5,
        errors=errors,
    )
