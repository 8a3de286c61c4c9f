"""Contents from a call to its administrator, over sockets: kept where that is wanted, read on record."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lmaas_gateway.tenancy import Tenancy
from lmaas_gateway.testing import FakeReplica, Script
from support.administration import MASTER_KEY
from support.serving import CHAT, run_gateway, settings_for
from support.stub import raw_client, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.serving import Running
    from support.stub import Response

ADMIN = "authorization: Bearer operators-key-of-this-test"
CANARY = "the-canary-sings-in-the-coal-mine"
ASKED: dict[str, Any] = {"model": "mock", "messages": [{"role": "user", "content": CANARY}], "max_tokens": 8}


class Tenant:
    """A project of an organization, its key, and what an operator sees of it."""

    def __init__(self, running: Running, tenancy: Tenancy) -> None:
        self.running = running
        self._tenancy = tenancy
        self.key = self.project = ""

    async def admin(self, method: str, path: str, fields: object = b"") -> Response:
        return await self.running.request(method, "/admin/v1" + path, fields, ADMIN)

    async def begin(self, *, stores_content: bool) -> None:
        await self.admin("POST", "/organizations", {"name": "acme"})
        wanted = {"name": "web", "stores_content": stores_content}
        self.project = (await self.admin("POST", "/projects", wanted)).json["id"]
        issued = await self.admin("POST", "/keys", {"project": self.project, "name": "laptop"})
        assert issued.status == 201, issued.body
        self.key = issued.json["secret"]

    async def call(self, fields: dict[str, Any]) -> Response:
        return await self.running.post(CHAT, fields, f"authorization: Bearer {self.key}")

    async def contents(self) -> list[dict[str, Any]]:
        assert self._tenancy._writer is not None
        await self._tenancy._writer.flush()
        listed = (await self.admin("GET", "/contents")).json["data"]
        return [(await self.admin("GET", f"/contents/{each['id']}")).json for each in listed]


@contextlib.asynccontextmanager
async def tenant_of(
    database_url: str, folder: Path, *, stores_content: bool = True, script: Script | None = None
) -> AsyncIterator[Tenant]:
    async with FakeReplica(script=script or Script()) as replica:
        settings = settings_for(
            replica,
            admin_key=ADMIN.rpartition(" ")[2],
            data_dir=folder,
            master_key=MASTER_KEY,
            storage={"url": database_url, "deadline_s": 10, "admin_deadline_s": 20},
        )
        tenancy = await Tenancy.open(settings)
        try:
            async with run_gateway(settings, tenancy=tenancy) as running:
                tenant = Tenant(running, tenancy)
                await tenant.begin(stores_content=stores_content)
                yield tenant
        finally:
            await tenancy.close()


async def test_call_and_stream_are_kept_as_they_were_and_readings_are_audited(
    database_url: str, tmp_path: Path
) -> None:
    async with tenant_of(database_url, tmp_path / "data") as tenant:
        plain = await tenant.call(ASKED)
        stream = await tenant.call({**ASKED, "stream": True})
        assert (plain.status, stream.status) == (200, 200)
        kept = await tenant.contents()
        assert {each["project"] for each in kept} == {tenant.project}
        assert all(each["request"]["messages"] == ASKED["messages"] for each in kept)
        told = (await tenant.admin("GET", f"/calls/{plain.headers['x-request-id']}")).json["steps"]
        assert (
            "was kept, encrypted, for its project"
            in [step["text"] for step in told if step["name"] == "masking"][-1]
        )
        assert sorted(map(str, (each["reply"] for each in kept))) == sorted(
            map(str, (plain.json, stream.body.decode()))
        )
        audited = (await tenant.admin("GET", "/audit?action=contents.show")).json["data"]
        assert {row["object_id"] for row in audited} == {each["id"] for each in kept}
        usage = await tenant.admin("GET", "/contents/call_of_nobody")
        assert usage.status == 404


async def test_project_that_does_not_want_it_has_nothing_kept(sqlite_url: str, tmp_path: Path) -> None:
    async with tenant_of(sqlite_url, tmp_path / "data", stores_content=False) as tenant:
        assert (await tenant.call(ASKED)).status == 200
        assert (await tenant.call({**ASKED, "stream": True})).status == 200
        assert await tenant.contents() == []


async def test_project_that_wants_it_no_more_is_heeded_within_seconds(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with tenant_of(sqlite_url, tmp_path / "data") as tenant:
        await tenant.call(ASKED)
        assert len(await tenant.contents()) == 1
        await tenant.admin("PATCH", f"/projects/{tenant.project}", {"stores_content": False})
        async with asyncio.timeout(5):
            kept = 0
            while kept != len(await tenant.contents()):
                kept = len(await tenant.contents())
                await tenant.call(ASKED)


async def test_stream_whose_client_left_is_kept_as_far_as_it_came(sqlite_url: str, tmp_path: Path) -> None:
    slow = Script(token_gap_s=0.02, tokens=500)
    async with tenant_of(sqlite_url, tmp_path / "data", script=slow) as tenant:
        async with raw_client(tenant.running.port) as client:
            fields = {**ASKED, "stream": True, "max_tokens": 500}
            client.send(request_bytes(CHAT, fields, f"authorization: Bearer {tenant.key}"))
            await client.head()
            first = await client.chunk()
        await tenant.running.until(lambda: tenant.running.in_flight == 0)
        await tenant.running.logged()
        (kept,) = await tenant.contents()
        assert kept["reply"].startswith(first.decode())
        assert "[DONE]" not in kept["reply"]


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


async def test_no_file_of_the_gateway_holds_a_prompt_in_clear(sqlite_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with tenant_of(sqlite_url, folder) as tenant:
        reply = await tenant.call(ASKED)
        said = reply.json["choices"][0]["message"]["content"]
        kept = await tenant.contents()
        assert CANARY in msgspec.json.encode(kept).decode()
        assert CANARY not in msgspec.json.encode(tenant.running.log).decode()
    files = list(files_below(tmp_path))
    assert any(path.name == "lmaas.sqlite" for path in files)
    for path in files:
        data = path.read_bytes()
        assert CANARY.encode() not in data, path
        assert said.encode() not in data, path


@pytest.mark.parametrize("is_destroyed", [True, False])
async def test_content_that_does_not_open_is_not_there_and_the_operator_is_told(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, is_destroyed: bool
) -> None:
    from sqlalchemy import update  # noqa: PLC0415 - few tests need it

    from lmaas_gateway.storage import tables  # noqa: PLC0415 - likewise

    async with tenant_of(sqlite_url, tmp_path / "data") as tenant:
        await tenant.call(ASKED)
        (kept,) = await tenant.contents()
        change = (
            {"destroyed_at": 1, "wrapped": b""}
            if is_destroyed
            else {"master_version": 1, "wrapped": b"x" * 60}
        )
        async with tenant._tenancy.database.writing(deadline_s=10) as connection:
            await connection.execute(update(tables.data_keys).values(**change))
        assert (await tenant.admin("GET", f"/contents/{kept['id']}")).status == 404
        assert "a stored content does not open" in caplog.text
