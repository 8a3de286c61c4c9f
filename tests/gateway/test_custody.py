"""`lmaas vault` on a host: what it says, does and answers."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from lmaas.cli import main
from lmaas_gateway.contents.archive import Archive, Exchange, Kept
from lmaas_gateway.contents.data_keys import DataKeys
from lmaas_gateway.contents.masters import check_masters
from lmaas_gateway.contents.writer import ContentWriter
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.settings import Settings
from lmaas_gateway.storage.schema import migrate
from lmaas_gateway.tenancy import Tenancy

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a gateway that has kept one content and noted three things."""
    monkeypatch.setenv("LMAAS_DATA_DIR", str(tmp_path))
    asyncio.run(fill(Settings(data_dir=tmp_path)))
    return tmp_path


async def fill(settings: Settings) -> None:
    tenancy = await Tenancy.open(settings)
    await migrate(tenancy.database)
    await check_masters(tenancy.vault, tenancy.database, at=1)
    writer = ContentWriter(
        tenancy.database, DataKeys(tenancy.vault, max_age_days=1), settings.contents, Metrics()
    )
    writer.put(Kept("call_1", "org_a", "proj_a", 1, Exchange(b"{}", b"{}")))
    await writer.flush()
    for number in range(3):
        async with tenancy.database.writing(deadline_s=10) as connection:
            await tenancy.trail.append(
                connection, actor="op", action="keys.create", object_kind="key", object_id=str(number)
            )
    await tenancy.notary.sign()
    await tenancy.close()


def damage(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "lmaas.sqlite") as database:
        database.execute(statement)
    database.close()


def test_rotation_is_told_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vault", "status"]) == 0
    assert "master.key, versions 1\ndata keys wrapped by version 1: 1" in capsys.readouterr().out
    assert main(["vault", "rotate"]) == 0
    said = capsys.readouterr()
    assert "1 data keys were wrapped by version 2" in said.out
    assert "Keep a new copy" in said.err
    assert main(["vault", "status"]) == 0
    assert "versions 1, 2\ndata keys wrapped by version 2: 1" in capsys.readouterr().out

    async def read() -> Kept | None:
        settings = Settings(data_dir=folder)
        tenancy = await Tenancy.open(settings)
        archive: Archive = tenancy.archive
        async with tenancy.database.writing(deadline_s=10) as connection:
            found = await archive.read(connection, "org_a", "call_1", actor="op")
        await tenancy.close()
        return found

    found = asyncio.run(read())
    assert found is not None
    assert found.exchange == Exchange(b"{}", b"{}")


def test_intact_trail_is_said_to_be(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vault", "verify"]) == 0
    assert capsys.readouterr().out == (
        "the audit trail is intact: 3 rows, 1 checkpoints, signed up to row 3\n"
    )


def test_changed_trail_is_said_row_by_row(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(folder, "UPDATE audit SET actor = 'nobody' WHERE seq = 2")
    damage(folder, "DELETE FROM audit WHERE seq = 3")
    assert main(["vault", "verify"]) == 1
    said = capsys.readouterr()
    assert said.out == (
        "edited: row 2 is not as it was written\ntruncated: rows 3 to 3 are missing at the end\n"
    )
    assert "changed in 2 places" in said.err


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "master.key").chmod(0o644), "chmod 600"),
        (lambda folder: (folder / "master.key").unlink(), "is not the one that the database was made with"),
        (lambda folder: damage(folder, "UPDATE data_keys SET wrapped = zeroblob(60)"), "does not open"),
    ],
)
def test_what_cannot_be_used_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], spoil: object, said: str
) -> None:
    spoil(folder)  # type: ignore[operator]  # a function, as parametrized
    assert main(["vault", "rotate"]) == 2
    assert said in capsys.readouterr().err


def test_checkpoints_that_cannot_be_read_are_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "audit-checkpoints.jsonl").unlink()
    (folder / "audit-checkpoints.jsonl").mkdir()
    assert main(["vault", "verify"]) == 2
    assert "file of checkpoints" in capsys.readouterr().err
