"""What is counted, kept and traced of calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas_gateway.accounting import Accounting
from lmaas_gateway.books.price_list import PriceList
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.records.recorder import Recorder
from lmaas_gateway.records.records import Records
from lmaas_gateway.records.rings import open_rings
from lmaas_gateway.tallies import TallyFolder
from lmaas_gateway.tracing import open_tracing

if TYPE_CHECKING:
    from lmaas_gateway.assembly.surroundings import Surroundings
    from lmaas_gateway.books.books import Books
    from lmaas_gateway.contents.stage import Contents
    from lmaas_gateway.quality.feedback import FeedbackBox
    from lmaas_gateway.quality.watch import QualityWatch
    from lmaas_gateway.settings import Settings
    from lmaas_gateway.tenancy import Tenancy
    from lmaas_gateway.tracing import Tracing


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a store keeps of calls; nothing where there is none."""

    books: Books | None = None
    contents: Contents | None = None
    feedback: FeedbackBox | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """What is told of calls when they have ended, and who tells it.

    Attributes:
        records: The last calls; None where none are kept.
        quality: Looks at a sample of replies; None looks at none.
        tracing: None traces none.
    """

    metrics: Metrics
    prices: PriceList
    records: Records | None
    stored: Stored
    quality: QualityWatch | None
    tracing: Tracing | None
    accounting: Accounting

    async def close(self) -> None:
        """Tell what is left, once the last call has ended."""
        if self.quality is not None:
            await self.quality.look()
            await self.quality.flush()
        self.metrics.publish()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.stop)


def open_counting(settings: Settings, around: Surroundings) -> Counting:
    """Begin to count.

    Args:
        settings: Those of the start.
        around: Without tenancy nothing is stored.

    Raises:
        SettingsError: there is no room for what is to be kept, or a library is missing.
    """
    seat, tenancy = around.seat, around.tenancy
    metrics = Metrics(folder=None if seat is None else TallyFolder(seat.folder, str(seat.slot)))
    prices = PriceList()
    prices.follow(settings.models)
    rings = open_rings(settings.records, seat) if settings.records.calls else None
    records = None if rings is None else Records(rings)
    stored = Stored() if tenancy is None else _open_stored(tenancy, prices, metrics, records)
    tracing = open_tracing(settings.tracing)
    accounting = Accounting(
        metrics,
        log=around.log if settings.access_log else None,
        books=stored.books,
        records=None if rings is None else Recorder(rings, prices, slow_s=settings.records.slow_s),
        traces=tracing,
        tells_timing=settings.records.server_timing,
    )
    return Counting(
        metrics=metrics,
        prices=prices,
        records=records,
        stored=stored,
        quality=_open_quality(settings, metrics, tenancy),
        tracing=tracing,
        accounting=accounting,
    )


def _open_stored(tenancy: Tenancy, prices: PriceList, metrics: Metrics, records: Records | None) -> Stored:
    tenancy.measure(metrics)
    # Contents go by the names that calls have in the books.
    books = tenancy.keep_books(prices, metrics)
    return Stored(
        books=books,
        contents=tenancy.keep_contents(metrics),
        feedback=tenancy.feedback(metrics, records),
    )


def _open_quality(settings: Settings, metrics: Metrics, tenancy: Tenancy | None) -> QualityWatch | None:
    if not settings.quality.sample_rate:
        return None
    # It takes a database's libraries.
    from lmaas_gateway.quality.watch import QualityWatch  # noqa: PLC0415 - see above

    return QualityWatch(settings.quality, metrics, None if tenancy is None else tenancy.database)
