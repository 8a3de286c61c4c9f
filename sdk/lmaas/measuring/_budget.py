"""The most that a measurement may cost. What calls under way may still cost counts as spent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from lmaas._cost import Price, TokenCounts
from lmaas.errors import ConfigurationError

if TYPE_CHECKING:
    from lmaas.measuring._prompts import Prompt
    from lmaas.measuring._rows import Row

_UNBOUNDED_OUTPUT_TOKENS: Final = 4096
"""What an answer without a limit is taken to be at most."""


class Budget:
    """Money for a run.

    Args:
        max_usd: The cap; None is none.
        prices: By the label of the target; None where nobody knows one.
        spent_usd: What earlier parts of the same run have cost.

    Raises:
        ConfigurationError: there is a cap, and a price is not known or not in US dollars.
    """

    def __init__(
        self, max_usd: float | None, prices: Mapping[str, Price | None], *, spent_usd: float = 0.0
    ) -> None:
        self._max_usd = None if max_usd is None else Decimal(repr(max_usd))
        self._prices = dict(prices)
        self._reserved_usd = Decimal(0)
        self._spent_usd = Decimal(repr(spent_usd))
        if max_usd is not None:
            for label, price in self._prices.items():
                _check(label, price)

    @property
    def spent_usd(self) -> float:
        """What calls that have ended came to, where prices are known."""
        return float(self._spent_usd)

    def reserve(self, platform: str, prompt: Prompt) -> bool:
        """Set aside what a call may cost at most; False if the cap leaves no room for it."""
        most = self._most(platform, prompt)
        if self._max_usd is not None and self._spent_usd + self._reserved_usd + most > self._max_usd:
            return False
        self._reserved_usd += most
        return True

    def settle(self, platform: str, prompt: Prompt, row: Row) -> None:
        """Replace what was set aside by what the call cost; one that failed and told nothing cost nothing."""
        self._reserved_usd -= self._most(platform, prompt)
        self._spent_usd += cost_of(row, self._prices.get(platform)) or 0

    def _most(self, platform: str, prompt: Prompt) -> Decimal:
        price = self._prices.get(platform)
        if price is None or self._max_usd is None:
            return Decimal(0)
        output = prompt.output_tokens or _UNBOUNDED_OUTPUT_TOKENS
        # A token is at least a byte, and what a template adds to a message is less than JSON does.
        written = json.dumps(prompt.body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        answers = prompt.body.get("n")
        times = answers if type(answers) is int and answers > 1 else 1
        return price.of(TokenCounts(len(written), 0, output * times)).amount


def cost_of(row: Row, price: Price | None) -> Decimal | None:
    """Return what a call cost; None without a price. Without usage it told nothing, and counts as nothing."""
    if price is None:
        return None
    return price.of(TokenCounts(row.prompt_tokens or 0, row.cached_tokens, row.output_tokens or 0)).amount


def _check(label: str, price: Price | None) -> None:
    if price is None:
        message = (
            f"no price is known of {label}, so a spending cap cannot be kept; give one in a file of "
            "overrides, or measure without a cap."
        )
        raise ConfigurationError(message)
    if price.currency != "USD":
        message = f"the price of {label} is in {price.currency}; a spending cap in US dollars cannot be kept."
        raise ConfigurationError(message)
