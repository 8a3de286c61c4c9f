"""When calls are due. They come when they come, however the platform fares: an open loop."""

from __future__ import annotations

import random
from collections.abc import Iterator


def due_times(
    calls_per_s: float, duration_s: float, *, burstiness: float = 1.0, source: random.Random
) -> Iterator[float]:
    """Yield the moments at which calls are due, in seconds from the start.

    Args:
        calls_per_s: The mean rate.
        duration_s: For how long.
        burstiness: Coefficient of variation of the gaps: 1 is a Poisson process, less is more even.
        source: Of randomness; the same seed gives the same moments.

    Source: a renewal process with gamma-distributed gaps, of shape 1 / burstiness² (`vllm bench serve` calls
        that shape its burstiness).
    """
    shape = 1 / burstiness**2
    scale = 1 / (calls_per_s * shape)
    due_s = source.gammavariate(shape, scale)
    while due_s < duration_s:
        yield due_s
        due_s += source.gammavariate(shape, scale)
