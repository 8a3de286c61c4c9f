"""The books over the death of gateways: real processes, real signals, and the replica's own count."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, Any

from faults.clients import History, Told
from lmaas_gateway.books.open_calls import NAME, read_open_calls
from lmaas_gateway.testing import FakeReplica, Outcome
from support.processes import served
from support.serving import ASK, CHAT, STREAM
from support.stub import ask, request_bytes

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-books-0123456789abcdef"


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
        while len(rows := ledger(folder)) < count:
            await asyncio.sleep(0.05)
    return rows


async def test_calls_are_in_the_ledger_soon_after_they_ended(tmp_path: Path) -> None:
    async with (
        FakeReplica() as replica,
        served(replica, tmp_path, *settings_lines(tmp_path), is_open=False) as (process, port),
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


def stream(tokens: int, **script: object) -> dict[str, Any]:
    return {**STREAM, "max_tokens": tokens, "fake": {"tokens": tokens, **script}}


async def kill(process: asyncio.subprocess.Process) -> None:
    process.kill()
    await process.wait()


async def call(history: History, fields: dict[str, Any]) -> Told:
    """One call, whatever becomes of its gateway."""
    try:
        async with history.open(fields, key=KEY) as talk:
            return await talk.finish()
    except OSError:
        return history.calls[-1]


async def test_streams_of_a_killed_gateway_are_billed_by_the_next_to_the_token(tmp_path: Path) -> None:
    told = [3, 0, 11, 7]
    async with FakeReplica() as replica:
        async with served(replica, tmp_path, *settings_lines(tmp_path), is_open=False) as (process, port):
            history = History(port)
            # Each hangs after so many tokens, an opening event before them.
            calls = [
                asyncio.create_task(
                    call(history, stream(20, fault="hang", fault_at="after_events", fault_events=tokens + 1))
                )
                for tokens in told
            ]
            await replica.record.until(
                lambda: sorted(seen.tokens for seen in replica.calls) == sorted(told), within_s=10
            )
            async with asyncio.timeout(10):
                while sorted(one.tokens for one in history.calls if one.first_byte_s) != sorted(told):
                    await asyncio.sleep(0.01)
            await kill(process)
            await asyncio.gather(*calls)
        async with served(replica, tmp_path, *settings_lines(tmp_path), is_open=False) as (process, port):
            rows = await booked(tmp_path, len(told))
            await ask(port, request({**ASK, "max_tokens": 2}))
            assert len(await booked(tmp_path, len(told) + 1)) == len(told) + 1
    by_id = {row["request_id"]: row for row in rows}
    assert {one.request_id: one.tokens for one in history.calls} == {
        name: row["completion_tokens"] for name, row in by_id.items()
    }
    assert {row["outcome"] for row in rows} == {"gateway_lost"}
    assert all(row["is_estimated"] and row["prompt_tokens"] > 0 for row in rows)
    assert {row["replica"] for row in rows} == {"mock-0"}
    assert days(tmp_path) == {"calls": 5, "completion_tokens": sum(told) + 2}


async def test_calls_of_a_killed_gateway_cost_their_replicas_time(tmp_path: Path) -> None:
    async with FakeReplica() as replica:
        async with served(replica, tmp_path, *settings_lines(tmp_path), is_open=False) as (process, port):
            history = History(port)
            hangs = [
                stream(20, fault="hang", fault_at="after_events", fault_events=3),
                {**ASK, "fake": {"fault": "hang"}},
            ]
            calls = [asyncio.create_task(call(history, fields)) for fields in hangs]
            (folder,) = (tmp_path / "data" / "books").iterdir()
            known: list[int] = []
            async with asyncio.timeout(15):
                while len(known) < 2 or not all(known):
                    await asyncio.sleep(0.05)
                    known = [entry.busy_ns for entry, _ in read_open_calls(folder / NAME)]
            await kill(process)
            await asyncio.gather(*calls)
        async with served(replica, tmp_path, *settings_lines(tmp_path), is_open=False):
            rows = await booked(tmp_path, 2)
    assert {row["outcome"] for row in rows} == {"gateway_lost"}
    assert {row["is_stream"] for row in rows} == {0, 1}
    assert all(min(known) <= row["busy_ns"] < 15e9 for row in rows)


async def test_gateway_killed_again_and_again_books_every_call_once(tmp_path: Path) -> None:
    draw = random.Random(20261126)
    histories: list[History] = []
    async with FakeReplica() as replica:
        for _ in range(2):
            async with served(replica, tmp_path, *settings_lines(tmp_path), is_open=False) as (process, port):
                histories.append(History(port))
                load = [asyncio.create_task(ask_on(histories[-1], draw)) for _ in range(12)]
                await asyncio.sleep(draw.uniform(0.3, 1.0))
                await kill(process)
                await asyncio.gather(*load)
        async with served(replica, tmp_path, *settings_lines(tmp_path), is_open=False) as (process, _):
            async with asyncio.timeout(15):
                while len(list((tmp_path / "data" / "books").iterdir())) > 1:
                    await asyncio.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        check(ledger(tmp_path), [told for history in histories for told in history.calls], replica)
    assert days(tmp_path)["calls"] == len(ledger(tmp_path))


async def ask_on(history: History, draw: random.Random) -> None:
    """Call until the gateway is gone."""
    while True:
        tokens = draw.randint(1, 30)
        fields = stream(tokens, token_gap_s=0.01) if draw.random() < 0.7 else {**ASK, "max_tokens": tokens}
        told = await call(history, fields)
        if not told.is_whole:
            return


def check(rows: list[dict[str, Any]], calls: list[Told], replica: FakeReplica) -> None:
    """The ledger is the replica's own count, as far as its bytes came to the gateway."""
    booked = defaultdict(list)
    for row in rows:
        booked[row["request_id"]].append(row)
    sent = defaultdict(list)
    for seen in replica.calls:
        sent[seen.request.headers["x-request-id"]].append(seen)
    assert set(sent) <= set(booked), "the replica worked on calls that are not in the books"
    whole = 0
    for told in calls:
        if told.request_id not in sent:
            continue
        (row,), (seen,) = booked[told.request_id], sent[told.request_id]
        billed = row["completion_tokens"]
        if told.outcome == "ok":
            whole += 1
            assert billed == told.tokens == seen.tokens
        elif told.is_stream:
            assert told.tokens <= billed <= seen.tokens
        else:
            # A plain reply comes whole or not at all.
            assert billed in {0, seen.tokens}
        if row["outcome"] == "ok" and seen.outcome is Outcome.FINISHED:
            assert billed == seen.tokens
    lost = [row for row in rows if row["outcome"] == "gateway_lost"]
    assert whole > 10
    assert len(lost) > 5
