"""The books over the death of gateways: real processes, real signals, and the replica's own count."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from lmaas_gateway.testing import FakeReplica
from support.processes import served
from support.serving import ASK, CHAT, STREAM
from support.stub import ask, request_bytes

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-books-0123456789abcdef"
PRICE = "price: {input_per_million: 1, output_per_million: 2}"


def settings_lines(folder: Path, *more: str) -> tuple[str, ...]:
    return (
        f"data_dir: '{folder / 'data'}'",
        f"keys: [{{name: web, key: '{KEY}'}}]",
        "books: {ship_interval_s: 0.05, segment_bytes: 65536, max_open_calls: 256}",
        *more,
    )


def request(fields: object, request_id: str = "") -> bytes:
    lines = [f"authorization: Bearer {KEY}", "connection: close"]
    if request_id:
        lines.append(f"x-request-id: {request_id}")
    return request_bytes(CHAT, fields, *lines)


def ledger(folder: Path) -> list[dict[str, Any]]:
    path = folder / "data" / "lmaas.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM ledger ORDER BY at, id")]


def days(folder: Path) -> dict[str, int]:
    with closing(sqlite3.connect(folder / "data" / "lmaas.sqlite")) as connection:
        calls, tokens = connection.execute(
            "SELECT sum(calls), sum(completion_tokens) FROM usage_days"
        ).fetchone()
        return {"calls": calls, "completion_tokens": tokens}


async def booked(folder: Path, count: int, within_s: float = 15.0) -> list[dict[str, Any]]:
    """Wait until the ledger has so many calls."""
    async with asyncio.timeout(within_s):
        while len(rows := ledger(folder)) < count:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)
    return rows


async def test_calls_are_in_the_ledger_soon_after_they_ended(tmp_path: Path) -> None:
    async with (
        FakeReplica() as replica,
        served(replica, tmp_path, *settings_lines(tmp_path)) as (process, port),
    ):
        plain = await ask(port, request({**ASK, "max_tokens": 4}, "mine"))
        await ask(port, request({**STREAM, "max_tokens": 5}, "mine"))
        await ask(port, request({**ASK, "model": "no such"}, "mine"))
        rows = await booked(tmp_path, 3)
        assert [row["completion_tokens"] for row in rows] == [4, 5, 0]
        assert [row["code"] for row in rows] == ["", "", "model_not_found"]
        assert {row["request_id"] for row in rows} == {"mine"}
        assert {row["key_id"] for row in rows} == {"web"}
        assert rows[0]["prompt_tokens"] == plain.json["usage"]["prompt_tokens"]
        assert days(tmp_path) == {"calls": 3, "completion_tokens": 9}
        process.terminate()
        assert await process.wait() == 0
        assert list((tmp_path / "data" / "books").iterdir()) == []
