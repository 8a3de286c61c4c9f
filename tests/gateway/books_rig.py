"""A bookkeeper over a ledger in memory, and a clock that moves when told."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lmaas_gateway.books.bookkeeper import Bookkeeper
from lmaas_gateway.books.books import Books
from lmaas_gateway.books.price_list import PriceList
from lmaas_gateway.call import ROUTES, Call, Principal, Usage
from lmaas_gateway.envelope import Envelope
from lmaas_gateway.meter import Meter
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.metrics.exposition import render
from lmaas_gateway.settings import BooksSettings, ModelSettings
from support.ledgers import MemoryLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from lmaas_gateway.entries import Entry


CALLER = Principal("web", organization="org_1", project="proj_1", member="user_1", key="k1")


PRICED = ModelSettings.model_validate(
    {"name": "mock", "model": "x", "price": {"input_per_million": 1, "output_per_million": 2}}
)


CALL = Call(
    id="req_1",
    route=ROUTES[0],
    model="mock",
    body=b"{}",
    is_stream=True,
    wants_usage=True,
    choices=1,
    tokens=9,
    prompt=msgspec.Raw(b"x" * 40),
    headers=b"",
    wanted=Envelope(model="mock"),
)


class Clock:
    """Time that moves when told."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Keeper:
    """A bookkeeper, its ledger and its counts."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        self.ledger = MemoryLedger()
        self.metrics = Metrics()
        self.prices = PriceList()
        self.folder = folder
        self.fields = fields
        self.keeper = self.reopen()

    @property
    def books(self) -> Books:
        return self.keeper.books

    def reopen(self) -> Bookkeeper:
        settings = BooksSettings.model_validate(
            {
                "segment_bytes": 65536,
                "sync_interval_s": 0.01,
                "ship_interval_s": 0.01,
                "max_open_calls": 16,
                "batch_rows": 3,
                **self.fields,
            }
        )
        self.prices.follow([PRICED])
        self.keeper = Bookkeeper(self.folder, settings, self.ledger, self.prices, self.metrics)
        return self.keeper

    def call(self, number: int = 0, *, usage: Usage | None = None) -> None:
        """One call from its beginning to its end."""
        meter = make_meter(f"req_{number}")
        self.books.open(CALL, CALLER, meter)
        meter.status, meter.usage = 200, usage or Usage(10, number)
        self.books.close(meter)

    def count(self, name: str) -> float:
        (line,) = (line for line in render(self.metrics).decode().splitlines() if line.startswith(name + " "))
        return float(line.split()[1])


@pytest.fixture
async def make_keeper(tmp_path: Path) -> AsyncIterator[Callable[..., Keeper]]:
    made: list[Keeper] = []

    def make(**fields: Any) -> Keeper:
        made.append(Keeper(tmp_path / f"data{len(made)}", **fields))
        return made[-1]

    yield make
    for keeper in made:
        await keeper.keeper.close(0)


def make_meter(request_id: str = "req_1", clock: Callable[[], float] | None = None) -> Meter:
    meter = Meter(request_id, "/v1/chat/completions", clock or Clock())
    meter.caller, meter.principal, meter.model, meter.is_stream = CALLER, CALLER.id, "mock", True
    return meter


async def shipped(keeper: Keeper) -> list[Entry]:
    await keeper.keeper.close(5)
    entries = keeper.ledger.entries
    keeper.reopen()
    return entries


def die(keeper: Keeper) -> Keeper:
    """Leave the files of a process as they are, and read a copy of them in another one's place."""
    other = Keeper(keeper.folder.with_name(keeper.folder.name + "-copy"), **keeper.fields)
    (folder,) = (keeper.folder / "books").iterdir()
    # A segment still being made takes its name while the folder is read: it is not of the files yet.
    shutil.copytree(folder, other.folder / "books" / folder.name, ignore=shutil.ignore_patterns("*.draft"))
    return other


def no_room(file: int, size: int) -> None:
    raise OSError(28, "No space left on device")


async def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Wait for what happens in other tasks and threads."""

    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)
