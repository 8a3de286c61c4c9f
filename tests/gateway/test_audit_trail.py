"""The trail in a database: many writers, one chain; what is done to its rows is found."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from lmaas_gateway.audit.notary import Notary
from lmaas_gateway.audit.trail import Trail
from lmaas_gateway.audit.witness import Witness
from lmaas_gateway.settings import AuditSettings
from lmaas_gateway.storage.database import Database
from lmaas_gateway.vault.vault import Vault

if TYPE_CHECKING:
    from pathlib import Path

VAULT = Vault({1: b"Zk3pQ9xT7mB1vR5nW8yL2cH6dJ0fG4sAuEoI"})
HOUR_S = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


async def append(database: Database, trail: Trail, count: int = 1, **fields: object) -> None:
    for number in range(count):
        async with database.writing() as connection:
            await trail.append(
                connection,
                **{  # type: ignore[arg-type]  # as the fields are
                    "actor": "user_1",
                    "action": "keys.create",
                    "object_kind": "key",
                    "object_id": f"k{number}",
                    "organization_id": "org_a",
                    **fields,
                },
            )


async def change(database: Database, *statements: str) -> None:
    async with database.writing() as connection:
        for statement in statements:
            await connection.execute(text(statement))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trail(clock: Clock) -> Trail:
    return Trail(VAULT, clock=clock)


@pytest.fixture
def notary(database: Database, trail: Trail, tmp_path: Path, clock: Clock) -> Notary:
    rules = AuditSettings(checkpoint_rows=10, checkpoint_interval_s=300)
    return Notary(database, trail, VAULT, Witness(tmp_path / "seen.jsonl"), rules=rules, clock=clock)


async def problems(notary: Notary) -> list[tuple[int, str]]:
    return [(finding.seq, finding.kind) for finding in (await notary.verify()).findings]


class TestAppending:
    async def test_row_is_there_if_its_transaction_is(self, database: Database, trail: Trail) -> None:
        await append(database, trail, 2, detail={"weight": 2.0, "name": "é"})
        with contextlib.suppress(ZeroDivisionError):
            async with database.writing() as connection:
                await trail.append(connection, actor="a", action="b", object_kind="c", object_id="d")
                raise ZeroDivisionError
        async with database.reading() as connection:
            rows = await trail.rows(connection)
        assert [(row.seq, row.object_id, row.detail) for row in rows] == [
            (1, "k0", '{"name":"\\u00e9","weight":2.0}'),
            (2, "k1", '{"name":"\\u00e9","weight":2.0}'),
        ]

    async def test_writers_of_several_processes_make_one_chain(
        self, database: Database, database_url: str, trail: Trail, notary: Notary
    ) -> None:
        script = (
            "import asyncio, sys\n"
            "from gateway.test_audit_trail import VAULT, append\n"
            "from lmaas_gateway.audit.trail import Trail\n"
            "from lmaas_gateway.settings import StorageSettings\n"
            "from lmaas_gateway.storage.database import Database\n"
            "async def main():\n"
            "    database = Database(sys.argv[1], StorageSettings(deadline_s=30))\n"
            "    await asyncio.gather(*(append(database, Trail(VAULT), 10) for _ in range(2)))\n"
            "    await database.close()\n"
            "asyncio.run(main())\n"
        )
        command = (sys.executable, "-c", script, database_url)
        others = [await asyncio.create_subprocess_exec(*command, cwd="tests") for _ in range(2)]
        await asyncio.gather(*(append(database, trail, 10) for _ in range(2)))
        assert [await other.wait() for other in others] == [0, 0]
        verdict = await notary.verify()
        assert (verdict.rows, verdict.findings) == (60, ())

    async def test_clock_that_is_set_back_keeps_the_order(
        self, database: Database, trail: Trail, notary: Notary, clock: Clock
    ) -> None:
        for jump_s in (0.0, HOUR_S, -2 * HOUR_S, HOUR_S):
            clock.now += jump_s
            await append(database, trail)
            await notary.look()
        async with database.reading() as connection:
            assert [row.seq for row in await trail.rows(connection)] == [1, 2, 3, 4]
            assert [each.size for each in await trail.checkpoints(connection)] == [1, 2, 3, 4]
        assert await problems(notary) == []


class TestReading:
    async def test_organization_sees_its_own_rows_only(self, database: Database, trail: Trail) -> None:
        await append(database, trail, 3)
        await append(database, trail, 2, organization_id="org_b", actor="user_2", action="keys.revoke")
        await append(database, trail, organization_id=None)
        async with database.reading() as connection:
            mine = await trail.find(connection, "org_b")
            assert [row.seq for row in mine] == [4, 5]
            assert [row.seq for row in await trail.find(connection, "org_a", after=1, limit=1)] == [2]
            assert [row.seq for row in await trail.find(connection, None)] == [1, 2, 3, 4, 5, 6]
            assert [row.seq for row in await trail.find(connection, None, action="keys.revoke")] == [4, 5]
            assert await trail.find(connection, "org_a", actor="user_2") == []

    async def test_rows_of_a_time(self, database: Database, trail: Trail, clock: Clock) -> None:
        for _ in range(3):
            await append(database, trail)
            clock.now += 1
        async with database.reading() as connection:
            found = await trail.find(connection, None, start=int(1e15 + 1e6), end=int(1e15 + 2e6))
        assert [row.seq for row in found] == [2]


class TestTampering:
    @pytest.fixture
    async def signed(self, database: Database, trail: Trail, notary: Notary) -> None:
        await append(database, trail, 6)
        await notary.sign()
        await append(database, trail, 4)
        await notary.sign()

    @pytest.mark.usefixtures("signed")
    async def test_untouched_trail_is_intact(self, notary: Notary) -> None:
        verdict = await notary.verify()
        assert (verdict.rows, verdict.checkpoints, verdict.signed_rows) == (10, 2, 10)
        assert verdict.is_intact

    @pytest.mark.usefixtures("signed")
    @pytest.mark.parametrize(
        ("statements", "found"),
        [
            (("UPDATE audit SET actor = 'nobody' WHERE seq = 3",), [(3, "edited")]),
            (("DELETE FROM audit WHERE seq = 3",), [(3, "removed")]),
            (
                (
                    "UPDATE audit SET seq = 99 WHERE seq = 3",
                    "UPDATE audit SET seq = 3 WHERE seq = 4",
                    "UPDATE audit SET seq = 4 WHERE seq = 99",
                ),
                [(3, "reordered"), (3, "edited"), (4, "reordered"), (4, "edited"), (5, "reordered")],
            ),
            (("DELETE FROM audit WHERE seq > 7",), [(8, "truncated")]),
            (
                ("DELETE FROM audit WHERE seq > 7", "DELETE FROM audit_checkpoints WHERE seq > 1"),
                [(8, "truncated")],
            ),
            (
                ("DELETE FROM audit", "DELETE FROM audit_checkpoints"),
                [(1, "truncated")],
            ),
            (("UPDATE audit_checkpoints SET size = 9 WHERE seq = 2",), [(9, "forged_checkpoint")]),
        ],
    )
    async def test_change_is_found_and_named(
        self, database: Database, notary: Notary, statements: tuple[str, ...], found: list[tuple[int, str]]
    ) -> None:
        await change(database, *statements)
        assert await problems(notary) == found

    @pytest.mark.usefixtures("signed")
    async def test_rewrite_of_all_that_follows_a_checkpoint_is_found(
        self, database: Database, trail: Trail, notary: Notary
    ) -> None:
        """Even by one who has all keys: the file elsewhere tells."""
        await change(
            database, "DELETE FROM audit WHERE seq > 6", "DELETE FROM audit_checkpoints WHERE seq > 1"
        )
        await append(database, trail, 4, actor="someone-else")
        async with database.writing() as connection:
            await trail.sign(connection)
        assert await problems(notary) == [(10, "rewritten")]


class TestNotary:
    async def test_trail_is_signed_after_so_many_rows_and_so_much_time(
        self, database: Database, trail: Trail, notary: Notary, clock: Clock
    ) -> None:
        async def sizes() -> list[int]:
            await notary.look()
            async with database.reading() as connection:
                return [each.size for each in await trail.checkpoints(connection)]

        assert await sizes() == []
        await append(database, trail)
        assert await sizes() == [1]
        await append(database, trail, 9)
        assert await sizes() == [1]
        await append(database, trail)
        assert await sizes() == [1, 11]
        await append(database, trail)
        clock.now += 299
        assert await sizes() == [1, 11]
        clock.now += 2
        assert await sizes() == [1, 11, 12]
        clock.now += HOUR_S
        assert await sizes() == [1, 11, 12]

    async def test_checkpoint_that_a_crash_kept_from_the_file_comes_there_later(
        self, database: Database, trail: Trail, notary: Notary, tmp_path: Path
    ) -> None:
        await append(database, trail, 2)
        async with database.writing() as connection:
            made = await trail.sign(connection)
        assert Witness(tmp_path / "seen.jsonl").read() == []
        await notary.look()
        assert Witness(tmp_path / "seen.jsonl").read() == [made]

    async def test_processes_of_one_host_write_each_checkpoint_down_once(
        self, database: Database, trail: Trail, notary: Notary, tmp_path: Path
    ) -> None:
        witness = Witness(tmp_path / "seen.jsonl")
        other = Notary(database, trail, VAULT, witness, rules=AuditSettings())
        await append(database, trail, 2)
        for each in (notary, other, notary, other):
            await each.look()
        assert len(witness.read()) == 1

    async def test_forged_checkpoint_does_not_get_into_the_file(
        self, database: Database, trail: Trail, notary: Notary, tmp_path: Path
    ) -> None:
        await append(database, trail, 2)
        await notary.sign()
        await change(
            database,
            "INSERT INTO audit_checkpoints (seq, at, size, head, signature) "
            "SELECT 2, at, 1, head, signature FROM audit_checkpoints",
        )
        await notary.look()
        assert [each.seq for each in Witness(tmp_path / "seen.jsonl").read()] == [1]
        assert await problems(notary) == [(1, "forged_checkpoint")]

    async def test_disk_that_fails_ends_no_watch(
        self, database: Database, trail: Trail, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "gone" / "seen.jsonl"
        notary = Notary(database, trail, VAULT, Witness(path), rules=AuditSettings())
        await append(database, trail)
        await notary.look()
        assert "could not be signed" in caplog.text
        path.parent.mkdir()
        looks = iter(range(2))

        async def sleep(_: float) -> None:
            if next(looks, None) is None:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await notary.run(sleep)
        assert len(Witness(path).read()) == 1
