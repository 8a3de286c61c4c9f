"""What a call must keep to count as good."""

from __future__ import annotations

from dataclasses import dataclass

from lmaas.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class SLO:
    """Service level objective: the limits of one call. None is no limit.

    A call counts towards goodput if it was answered whole and kept each limit that there is (AIPerf's and
    `vllm bench serve --goodput`'s rule). Percentiles of all calls are compared to the same limits.

    Attributes:
        ttft_s: To the first token, in seconds.
        itl_s: Mean time between the tokens of one call, in seconds.
        e2e_s: To the end of the answer, in seconds.
        percentile: The share of calls that must keep them for a load to be sustained, 0 to 1.
        availability: The share of calls that must be answered at all, 0 to 1; None asks for none.

    Raises:
        ConfigurationError: a limit is not above 0, or a share not within 0 to 1.
    """

    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None
    percentile: float = 0.95
    availability: float | None = None

    def __post_init__(self) -> None:
        for name in ("ttft_s", "itl_s", "e2e_s"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                message = f"slo: `{name}` is {limit!r}; give seconds above 0, or leave it out."
                raise ConfigurationError(message)
        for name in ("percentile", "availability"):
            share = getattr(self, name)
            if share is not None and not 0 < share <= 1:
                message = f"slo: `{name}` is {share!r}; give a share above 0 and up to 1, such as 0.95."
                raise ConfigurationError(message)

    def is_kept_by(self, ttft_s: float | None, itl_s: float | None, e2e_s: float) -> bool:
        """Tell whether an answered call kept every limit; what it has no figure for it cannot have broken."""
        measured = ((self.ttft_s, ttft_s), (self.itl_s, itl_s), (self.e2e_s, e2e_s))
        return all(limit is None or value is None or value <= limit for limit, value in measured)
