"""Ledger, sums, contents and data keys, on both databases."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lmaas_gateway.errors import BadRequestError, ConflictError
from lmaas_gateway.storage import contents, data_keys, erasure, ledger
from lmaas_gateway.storage.database import Database
from lmaas_gateway.storage.ledger import DAY_US
from lmaas_gateway.storage.records import (
    Content,
    DataKey,
    Erased,
    LedgerEntry,
    Usage,
)


def _call(number: int, **fields: Any) -> LedgerEntry:
    values: dict[str, Any] = {
        "request_id": "req_same",
        "at": DAY_US + number,
        "organization_id": "org_a",
        "project_id": "proj_a",
        "key_id": "key_a",
        "model": "m",
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "cost_nanos": 7,
    }
    return LedgerEntry(id=f"call_{number:05}", **(values | fields))


async def _record(database: Database, *calls: LedgerEntry) -> tuple[str, ...]:
    async with database.writing() as connection:
        return await ledger.record(connection, calls)


async def _usage(database: Database, **options: Any) -> tuple[Usage, ...]:
    async with database.reading() as connection:
        return await ledger.usage(connection, "org_a", **({"first_day": 0, "last_day": 99} | options))


async def test_a_call_that_is_booked_twice_counts_once(database: Database) -> None:
    assert await _record(database, _call(1), _call(2)) == ("call_00001", "call_00002")
    # The answer was lost: the shipper sends them again, with one more, and one of them twice.
    assert await _record(database, _call(2), _call(3), _call(3), _call(1)) == ("call_00003",)
    assert await _record(database) == ()
    (total,) = await _usage(database)
    assert (total.calls, total.prompt_tokens, total.completion_tokens, total.cost_nanos) == (3, 9, 15, 21)
    async with database.reading() as connection:
        assert await ledger.find(connection, "org_a", "call_00003") == _call(3)
        assert await ledger.find(connection, "org_b", "call_00003") is None


async def test_more_calls_than_one_statement_takes_are_booked(database: Database) -> None:
    assert len(await _record(database, *(_call(number) for number in range(1557)))) == 1557
    (total,) = await _usage(database)
    assert total.calls == 1557


async def test_many_that_book_the_same_calls_at_once_never_lock_each_other_out(database: Database) -> None:
    calls = [_call(number, project_id=f"proj_{number % 7}") for number in range(200)]
    draw = random.Random(5)

    async def book() -> int:
        shuffled = draw.sample(calls, len(calls))
        return len(await _record(database, *shuffled))

    assert sum(await asyncio.gather(*(book() for _ in range(6)))) == 200
    (total,) = await _usage(database)
    assert (total.calls, total.cost_nanos) == (200, 1400)


async def test_sums_are_told_apart_as_asked(database: Database) -> None:
    await _record(
        database,
        _call(1),
        _call(2, project_id="proj_b", outcome="error", status=502),
        _call(3, project_id="proj_b", model="other", at=2 * DAY_US, outcome="client_gone"),
        _call(4, key_id="key_b", at=3 * DAY_US, duration_us=50, cached_tokens=1, reasoning_tokens=2),
        _call(5, organization_id="org_b"),
    )
    by_project = await _usage(database, by=("project_id",))
    assert [(one.project_id, one.calls, one.failed_calls) for one in by_project] == [
        ("proj_a", 2, 0),
        ("proj_b", 2, 1),
    ]
    assert all(one.day is None and one.organization_id is None for one in by_project)
    by_day = await _usage(database, by=("day", "model"), first_day=1, last_day=2)
    assert [(one.day, one.model, one.calls) for one in by_day] == [(1, "m", 2), (2, "other", 1)]
    first = await _usage(database, by=("day", "model"), part=ledger.Part(limit=2))
    rest = await _usage(database, by=("day", "model"), part=ledger.Part(after=(2, "other")))
    assert [(one.day, one.model) for one in first] == [(1, "m"), (2, "other")]
    assert [(one.day, one.model) for one in rest] == [(3, "m")]
    (only,) = await _usage(database, key_id="key_b", project_id="proj_a", model="m")
    assert (only.calls, only.duration_us, only.cached_tokens, only.reasoning_tokens) == (1, 50, 1, 2)
    (nothing,) = await _usage(database, first_day=50)
    assert (nothing.calls, nothing.cost_nanos) == (0, 0)
    async with database.reading() as connection:
        everything = await ledger.usage_of_all(connection, first_day=0, last_day=99)
    assert [(one.organization_id, one.calls) for one in everything] == [("org_a", 4), ("org_b", 1)]


async def test_an_export_gives_each_call_once_in_order(database: Database) -> None:
    # Three share each microsecond.
    calls = [_call(number, at=1000 + number // 3) for number in range(20)]
    await _record(
        database, *calls, _call(50, organization_id="org_b"), _call(51, project_id="proj_b", at=1000)
    )
    seen: list[LedgerEntry] = []
    after = None
    has_more = True
    while has_more:
        async with database.reading() as connection:
            page = await ledger.list_of(
                connection, "org_a", since=1000, until=1006, project_id="proj_a", after=after, limit=4
            )
        seen += page.items
        after, has_more = (page.items[-1].at, page.items[-1].id), page.has_more
    assert seen == [call for call in calls if call.at < 1006]


async def test_retention_goes_by_batches_and_leaves_the_sums(database: Database) -> None:
    await _record(database, *(_call(number, at=number) for number in range(25)))
    dropped: list[int] = []
    while not dropped or dropped[-1]:
        async with database.writing() as connection:
            dropped.append(await ledger.drop_before(connection, 20, limit=8))
    assert dropped == [8, 8, 4, 0]
    (total,) = await _usage(database)
    assert total.calls == 25


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(0, 2)), max_size=20), max_size=5
    )
)
def test_sums_are_those_of_the_calls_whatever_is_sent_how_often(
    sqlite_url: str, batches: list[list[tuple[int, int, int]]]
) -> None:
    async def run() -> None:
        database = Database(sqlite_url)
        await erasure.erase_rows(database, "org_a")
        booked: dict[str, LedgerEntry] = {}
        for batch in batches:
            calls = [
                _call(number, project_id=f"p{project}", at=day * DAY_US) for number, project, day in batch
            ]
            async with database.writing(deadline_s=10) as connection:
                await ledger.record(connection, calls)
            # Of two that claim one id within a batch the last stands, of two batches the first.
            booked = {call.id: call for call in calls} | booked
        async with database.reading(deadline_s=10) as connection:
            found = await ledger.usage(connection, "org_a", first_day=0, last_day=9, by=("project_id", "day"))
        await database.close()
        expected: dict[tuple[str, int], int] = {}
        for call in booked.values():
            place = (call.project_id, call.at // DAY_US)
            expected[place] = expected.get(place, 0) + 1
        assert {(one.project_id, one.day): one.calls for one in found} == expected

    asyncio.run(run())


def _content(number: int, **fields: Any) -> Content:
    values: dict[str, Any] = {"organization_id": "org_a", "project_id": "proj_a", "at": number // 2}
    return Content(
        ledger_id=f"call_{number:05}",
        data_key_id="dk_1",
        nonce=b"n" * 12,
        ciphertext=bytes(range(256)),
        **(values | fields),
    )


async def test_contents_are_kept_found_listed_and_dropped_by_age(database: Database) -> None:
    async with database.writing() as connection:
        for number in range(6):
            await contents.add(connection, _content(number))
        await contents.add(connection, _content(9, project_id="proj_b"))
        await contents.add(connection, _content(10, organization_id="org_b"))
    async with database.writing() as connection:
        assert await contents.find(connection, "org_a", "call_00003") == _content(3)
        assert await contents.find(connection, "org_b", "call_00003") is None
        first = await contents.list_of(connection, "org_a", project_id="proj_a", limit=4)
        rest = await contents.list_of(
            connection, "org_a", project_id="proj_a", after=first.items[-1].ledger_id, limit=4
        )
        assert [one.ledger_id[-1] for one in (*first.items, *rest.items)] == list("543210")
        assert (first.has_more, rest.has_more) == (True, False)
        with pytest.raises(BadRequestError):
            await contents.list_of(connection, "org_a", after="call_00010")
        assert await contents.drop_before(connection, 2, limit=3) == 3
        assert await contents.drop_before(connection, 2, limit=3) == 1
    with pytest.raises(ConflictError, match="kept already"):
        async with database.writing() as connection:
            await contents.add(connection, _content(5))


def _data_key(number: int, **fields: Any) -> DataKey:
    values: dict[str, Any] = {"organization_id": "org_a", "master_version": 1, "created_at": number}
    return DataKey(id=f"dk_{number}", wrapped=b"wrapped", **(values | fields))


async def test_data_keys_are_wrapped_anew_and_destroyed(database: Database) -> None:
    async with database.writing() as connection:
        for number in (1, 2):
            await data_keys.create(connection, _data_key(number))
        await data_keys.create(connection, _data_key(3, organization_id="org_b", master_version=2))
        assert await data_keys.find_newest(connection, "org_a") == _data_key(2)
        assert await data_keys.find_newest(connection, "org_c") is None
        assert [key.id for key in await data_keys.list_wrapped_before(connection, 2)] == ["dk_1", "dk_2"]
        assert await data_keys.rewrap(connection, "org_a", "dk_1", wrapped=b"anew", master_version=2)
        assert not await data_keys.rewrap(connection, "org_b", "dk_2", wrapped=b"x", master_version=2)
        anew = replace(_data_key(1), wrapped=b"anew", master_version=2)
        assert await data_keys.find(connection, "org_a", "dk_1") == anew
        assert await data_keys.destroy_all(connection, "org_a", 9) == 2
        assert await data_keys.destroy_all(connection, "org_a", 10) == 0
        destroyed = await data_keys.find(connection, "org_a", "dk_1")
        assert destroyed == replace(anew, wrapped=b"", destroyed_at=9)
        assert await data_keys.find_newest(connection, "org_a") is None
        assert not await data_keys.rewrap(connection, "org_a", "dk_1", wrapped=b"back", master_version=3)
        assert await data_keys.find_newest(connection, "org_b") is not None


async def test_what_is_erased_is_one_organizations_and_all_of_it(database: Database) -> None:
    calls = [_call(number) for number in range(30)]
    await _record(database, *calls, _call(99, organization_id="org_b"))
    async with database.writing() as connection:
        for number in range(5):
            await contents.add(connection, _content(number))
        await contents.add(connection, _content(9, organization_id="org_b"))
        await data_keys.create(connection, _data_key(1))
        assert await erasure.shred(connection, "org_a", 7) == Erased(data_keys=1)
    assert await erasure.erase_rows(database, "org_a", batch=8) == Erased(contents=5, ledger_rows=30)
    (total,) = await _usage(database)
    assert total.calls == 0
    async with database.reading() as connection:
        assert (await contents.list_of(connection, "org_a")).items == ()
        assert (await ledger.list_of(connection, "org_a", since=0, until=2**60)).items == ()
        assert await contents.find(connection, "org_b", "call_00009") is not None
        assert await ledger.find(connection, "org_b", "call_00099") is not None
        (other,) = await ledger.usage(connection, "org_b", first_day=0, last_day=9)
    assert other.calls == 1
