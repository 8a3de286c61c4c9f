"""The SDK's `client.admin` against a real gateway: from a first key to the audit, sync and async."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.test_tenants import KEY, administered
from lmaas import APIStatusError, AsyncLMaaS, NotFoundError, PermissionDeniedError
from support.serving import ASK, Running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = (Path(__file__).parents[2] / "docs" / "sdk-admin.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@contextlib.asynccontextmanager
async def administrator(
    sqlite_url: str, folder: Path, **fields: Any
) -> AsyncIterator[tuple[Running, AsyncLMaaS]]:
    async with administered(sqlite_url, folder, api_key=None, **fields) as admin:
        url = f"http://127.0.0.1:{admin.running.port}"
        async with AsyncLMaaS(base_url=url, admin_key=KEY, max_retries=0) as client:
            await client.admin.organizations.create(name="acme")
            yield admin.running, client


async def chat(client: AsyncLMaaS, secret: str) -> str:
    with_key = client.with_options(api_key=secret)
    answer = await with_key.chat.completions.create(model="mock", messages=ASK["messages"])
    return answer.choices[0].message.content or ""


async def booked(client: AsyncLMaaS) -> Any:
    async with asyncio.timeout(30):
        while not (usage := (await client.admin.usage.list(start=0)).data):
            await asyncio.sleep(0.05)
    return usage


async def test_key_lives_from_its_issue_to_its_revocation(sqlite_url: str, tmp_path: Path) -> None:
    async with administrator(sqlite_url, tmp_path) as (running, client):
        project = await client.admin.projects.create(name="web")
        key = await client.admin.keys.create(project=project.id, name="laptop", scopes={"models": ["mo*"]})
        assert await chat(client, key.secret)
        (usage,) = await booked(client)
        assert (usage.project, usage.calls) == (project.id, 1)
        assert usage.completion_tokens > 0
        successor = await client.admin.keys.rotate(key.id, overlap_s=600)
        assert await chat(client, successor.secret)
        assert await chat(client, key.secret), "both are valid for a while"
        await client.admin.keys.update(successor.id, scopes={"models": ["other"]})
        await refused(client, successor.secret, "model_not_permitted")
        await client.admin.keys.revoke(key.id)
        await refused(client, key.secret, "key_revoked")
        states = {one.id: one.state async for one in client.admin.keys.list(limit=1)}
        assert states == {key.id: "revoked", successor.id: "active"}
        actions = [entry.action async for entry in client.admin.audit.list(limit=2)]
        assert (
            actions[-4:] == ["keys.create", "keys.rotate", "keys.update", "keys.revoke"]
            or actions[-1] == "keys.revoke"
        )
        assert (await client.admin.audit.verify()).is_intact
        assert running.lines


async def refused(client: AsyncLMaaS, secret: str, code: str) -> None:
    """Wait until a key is refused; tests of identity say how soon that is."""
    async with asyncio.timeout(30):
        while True:
            try:
                await chat(client, secret)
            except APIStatusError as error:
                assert error.code == code  # noqa: PT017 - what comes before it is right too
                return
            await asyncio.sleep(0.02)


async def test_roles_of_real_keys_bound_what_they_administer(sqlite_url: str, tmp_path: Path) -> None:
    async with administrator(sqlite_url, tmp_path) as (_, client):
        project = await client.admin.projects.create(name="web")
        other = await client.admin.organizations.create(name="bolt")
        foreign = await client.admin.projects.create(name="web", organization=other.id)
        place: Any = {"organization": project.organization}
        secrets = {}
        for role in ("viewer", "admin"):
            scopes: Any = {"admin": role}
            issued = await client.admin.keys.create(project=project.id, name=role, scopes=scopes, **place)
            secrets[role] = issued.secret
        plain = await client.admin.keys.create(project=project.id, name="plain", **place)
        viewer = client.with_options(admin_key=secrets["viewer"]).admin
        admin = client.with_options(admin_key=secrets["admin"]).admin
        nobody = client.with_options(admin_key=plain.secret).admin
        assert [(await one.me()).role for one in (viewer, admin)] == ["viewer", "admin"]
        assert [one.name async for one in viewer.projects.list()] == ["web"]
        for denied in (
            viewer.projects.create(name="x"),
            admin.organizations.create(name="x"),
            nobody.me(),
            admin.keys.create(project=project.id, name="x", scopes={"admin": "owner"}),
        ):
            with pytest.raises(PermissionDeniedError):
                await denied
        for hidden in (
            admin.projects.retrieve(foreign.id),
            admin.keys.create(project=foreign.id, name="x"),
            admin.organizations.retrieve(other.id),
            admin.projects.list(organization=other.id),
        ):
            with pytest.raises(NotFoundError):
                await hidden
        assert (await admin.projects.create(name="mine")).organization == project.organization


async def test_member_that_is_disabled_loses_its_keys(sqlite_url: str, tmp_path: Path) -> None:
    async with administrator(sqlite_url, tmp_path) as (_, client):
        project = await client.admin.projects.create(name="web")
        await client.admin.members.create(name="boss", role="owner")
        member = await client.admin.members.create(name="nightly", kind="service", role="admin")
        key = await client.admin.keys.create(
            project=project.id, name="k", member=member.id, scopes={"admin": "admin"}
        )
        own = client.with_options(admin_key=key.secret).admin
        assert (await own.me()).id == member.id
        assert await chat(client, key.secret)
        await client.admin.members.update(member.id, role="viewer")
        with pytest.raises(PermissionDeniedError):
            await own.projects.create(name="x")
        await client.admin.members.disable(member.id)
        await refused(client, key.secret, "key_revoked")


@pytest.mark.parametrize("block", BLOCKS)
async def test_code_of_the_page_runs(
    block: str,
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with administrator(sqlite_url, tmp_path) as (running, _):
        monkeypatch.setenv("LMAAS_BASE_URL", f"http://127.0.0.1:{running.port}")
        monkeypatch.setenv("LMAAS_ADMIN_KEY", KEY)
        code = block.replace("smollm2-135m-instruct", "mock").replace("smollm2-*", "mo*")
        program = compile(code, "sdk-admin.md", "exec", dont_inherit=True)
        await asyncio.to_thread(exec, program, {"__name__": "__main__"})
        said = capsys.readouterr().out
        assert said.startswith("owner\n")
        assert "('nightly', 'revoked')" in said
