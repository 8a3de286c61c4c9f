"""A first start: a tenant and a key, made once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from lmaas_gateway.audit.trail import Trail
from lmaas_gateway.identity.first_start import FirstStart
from lmaas_gateway.identity.keys import read_id
from lmaas_gateway.storage import holders, organizations, projects, tables
from lmaas_gateway.testing import FakeReplica
from lmaas_gateway.vault.vault import Vault
from support.processes import served, stop
from support.serving import ASK, CHAT
from support.stub import ask, request_bytes
from support.tenants import NOW_US

if TYPE_CHECKING:
    from pathlib import Path

    from lmaas_gateway.storage.database import Database


def first_start(database: Database) -> FirstStart:
    vault = Vault({1: b"m" * 32})
    return FirstStart(database, Trail(vault), vault, clock=lambda: NOW_US / 1e6)


async def test_first_start_makes_a_tenant_and_the_key_of_its_owner(database: Database) -> None:
    made = await first_start(database).make(wants_key=True, lifetime_days=90)
    assert made is not None
    assert read_id(made.text.encode()) == made.id
    async with database.reading() as connection:
        holder = await holders.find_key(connection, made.id)
        (tenant,) = (await organizations.list_all(connection)).items
        (project,) = (await projects.list_of(connection, tenant.id)).items
    assert (tenant.name, project.name) == ("default", "default")
    assert holder is not None
    assert (holder.organization, holder.project) == (tenant.id, project.id)
    assert (holder.role, holder.scopes.admin) == ("owner", "owner")
    assert holder.expires_at == NOW_US + 90 * 86_400 * 10**6


async def test_second_start_makes_nothing(database: Database) -> None:
    await first_start(database).make(wants_key=False, lifetime_days=0)
    assert await first_start(database).make(wants_key=True, lifetime_days=0) is None
    async with database.reading() as connection:
        assert len((await organizations.list_all(connection)).items) == 1
        assert (await connection.execute(select(tables.keys.c.id))).all() == []


async def test_of_two_hosts_that_start_at_once_one_makes_the_tenant(database: Database) -> None:
    made = await asyncio.gather(
        *(first_start(database).make(wants_key=True, lifetime_days=0) for _ in range(3))
    )
    assert sum(key is not None for key in made) == 1


async def call(port: int, key: str = "") -> int:
    headers = (f"authorization: Bearer {key}",) if key else ()
    return (await ask(port, request_bytes(CHAT, ASK, *headers))).status


async def test_first_key_opens_what_is_closed_to_all_others(tmp_path: Path) -> None:
    said: list[bytes] = []
    async with FakeReplica() as replica:
        for workers in (1, 2):
            lines = (f"data_dir: {tmp_path / 'data'}", f"workers: {workers}")
            async with served(replica, tmp_path, *lines, is_open=False, said=said) as (process, port):
                assert await call(port) == 401
                key = (tmp_path / "data" / "first-key").read_text().strip()
                assert {await call(port, key) for _ in range(4)} == {200}
                assert await call(port, key[:-1] + ("a" if key[-1] != "a" else "b")) == 401
                out = await stop(process)
            # It is told of once, shown nowhere, and opens after a restart.
            assert sum(b"first start" in line for line in said) == 1
            assert not any(key.encode() in line for line in (*said, *out))
    (tmp_path / "data" / "first-key").unlink()
    assert [path for path in (tmp_path / "data").rglob("*") if _holds(path, key)] == []


def _holds(path: Path, key: str) -> bool:
    return path.is_file() and key.encode() in path.read_bytes()


async def test_open_gateway_says_so_and_stores_nothing(tmp_path: Path) -> None:
    said: list[bytes] = []
    async with (
        FakeReplica() as replica,
        served(replica, tmp_path, f"data_dir: {tmp_path / 'data'}", said=said) as (process, port),
    ):
        assert await call(port) == 200
        await stop(process)
    assert any(line.startswith(b"OPEN: everybody") for line in said)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("line", ["api_key: 0123456789abcdef", "admin_key: 0123456789abcdef"])
async def test_no_key_is_made_where_the_configuration_has_one(tmp_path: Path, line: str) -> None:
    lines: tuple[Any, ...] = (f"data_dir: {tmp_path / 'data'}", line)
    async with FakeReplica() as replica, served(replica, tmp_path, *lines, is_open=False) as (process, port):
        expected = 200 if line.startswith("api_key") else 401
        assert await call(port, "0123456789abcdef") == expected
        assert await call(port) == 401
        await stop(process)
    assert not (tmp_path / "data" / "first-key").exists()
