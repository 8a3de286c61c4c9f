"""What stands beside the numbers of `lmaas top`: alerts, what an hour costs, and what today has cost."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from lmaas.cli._admin import money
from lmaas.errors import APIError

if TYPE_CHECKING:
    from lmaas.resources import Admin
    from lmaas.types import Alert, LiveModel, LiveView, ModelPrice

_MILLION: Final = 1_000_000
_HOUR_S: Final = 3600
_REFRESH_S: Final = 60.0


class Surroundings:
    """What is shown beside a view, as far as the key may see it: alerts, prices and the books.

    A gateway without tenants has no books; one without prices costs nothing that is known.

    Args:
        admin: Asked for them.
    """

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self.alerts: list[Alert] = []
        self._prices: dict[str, ModelPrice] = {}
        self._today_nanos: int | None = None
        self._next_s = 0.0

    def refresh(self, now_s: float) -> None:
        """Ask for alerts, and now and then for prices and what today has cost."""
        with suppress(APIError):
            self.alerts = [alert for alert in self._admin.alerts.list().data if alert.state == "firing"]
        if now_s < self._next_s:
            return
        self._next_s = now_s + _REFRESH_S
        midnight = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        usage = self._admin.usage
        try:
            self._prices = {price.id: price for price in usage.prices().data}
            totals = usage.list(start=int(midnight.timestamp()), group_by="day").data
            self._today_nanos = sum(total.cost_nanos for total in totals)
        except APIError:
            self._today_nanos = None

    def per_hour(self, model: LiveModel, covered_s: int) -> float | None:
        """Return what an hour like the window costs, in billionths of a dollar; None if it has no price."""
        price = self._prices.get(model.name)
        if price is None or not covered_s:
            return None
        flow = model.flow
        tokens = (
            (flow.prompt_tokens - flow.cached_tokens) * price.input_per_million_nanos
            + flow.cached_tokens * price.cached_input_per_million_nanos
            + flow.completion_tokens * price.output_per_million_nanos
        )
        # GPUs cost what they cost, whoever calls.
        gpus = price.gpus * sum(replica.state != "down" for replica in model.replicas)
        per_hour = tokens / _MILLION / covered_s * _HOUR_S + gpus * price.gpu_second_nanos * _HOUR_S
        return per_hour or None

    def per_hour_text(self, model: LiveModel, covered_s: int) -> str:
        """Write it for people."""
        return _text(self.per_hour(model, covered_s))

    def total_text(self, view: LiveView) -> str:
        """Write the same of all models."""
        known = [self.per_hour(model, view.covered_s) for model in view.models]
        return _text(sum(one for one in known if one is not None) or None)

    @property
    def today(self) -> str:
        """What the books say of today, in UTC."""
        return "-" if self._today_nanos is None else money(self._today_nanos)


def _text(nanos: float | None) -> str:
    return "-" if nanos is None else f"${nanos / 1e9:,.2f}" if nanos >= 1e7 else f"${nanos / 1e9:.2g}"
