"""How many calls of a pool may be tried again: retries must never become the load that keeps a pool down."""

from __future__ import annotations


class RetryBudget:
    """A bucket of tokens: a retry takes one, each call that goes well puts a share of one back.

    It is full at the start, so that all calls of a replica that dies can move at once. While nothing goes
    well nothing is put back: an outage sees no more retries than the bucket held.

    Args:
        percent: Retries that calls earn, of 100 that go well.
        burst: The most that the bucket holds.

    Attributes:
        tokens: What it holds.
    """

    __slots__ = ("_burst", "_share", "tokens")

    def __init__(self, *, percent: float = 10.0, burst: int = 500) -> None:
        self._share = percent / 100
        self._burst = float(burst)
        self.tokens = self._burst

    def follow(self, *, percent: float, burst: int) -> None:
        """Go by other rules from now on; they give nobody new retries."""
        self._share = percent / 100
        self._burst = float(burst)
        self.tokens = min(self.tokens, self._burst)

    def note_success(self) -> None:
        """Put a share of a token back."""
        tokens = self.tokens + self._share
        self.tokens = tokens if tokens < self._burst else self._burst

    def give_back(self) -> None:
        """Put back the token of a retry that no replica could have answered."""
        self.tokens = min(self.tokens + 1, self._burst)

    def take(self) -> bool:
        """Take a token for a retry; False if there is none."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
