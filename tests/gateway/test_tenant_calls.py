"""Calls of tenants over sockets: whose key may do what, and what becomes of a call whose key ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.test_tokens import AUDIENCE, ISSUER, KEYS, token_of
from lmaas_gateway.identity.configured import names_key
from lmaas_gateway.identity.identities import _CHANNEL
from lmaas_gateway.identity.keys import NewKey, make_key
from lmaas_gateway.settings import Settings
from lmaas_gateway.storage import keys, tables
from lmaas_gateway.tenancy import Tenancy
from lmaas_gateway.testing import FakeReplica, Script
from lmaas_gateway.vault.vault import Vault
from support.administration import MASTER_KEY
from support.serving import ASK, CHAT, STREAM, run_gateway
from support.stub import ask, raw_client, request_bytes
from support.tenants import Tenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.serving import Running
    from support.stub import Response

LISTED = {"mock", "other", "spare", "alias"}


class Site:
    """A gateway with a store, and one tenant in it."""

    def __init__(self, running: Running, tenancy: Tenancy, tenant: Tenant) -> None:
        self.running = running
        self.tenancy = tenancy
        self.tenant = tenant

    async def key(self, **fields: Any) -> NewKey:
        scopes = json.dumps(fields.pop("scopes", {}))
        return await self.tenant.add_key(make_key(self.tenancy.vault), scopes=scopes, **fields)

    async def call(self, key: NewKey, *headers: str, model: str = "mock", path: str = CHAT) -> Response:
        bearer = f"authorization: Bearer {key.text}"
        return await self.running.post(path, {**ASK, "model": model}, bearer, *headers)

    async def models(self, key: NewKey) -> set[str]:
        reply = await self.running.get("/v1/models", f"authorization: Bearer {key.text}")
        return {model["id"] for model in reply.json["data"]}


@contextlib.asynccontextmanager
async def site_at(url: str, folder: Path, replica: FakeReplica, **fields: Any) -> AsyncIterator[Site]:
    def model(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "kind": "chat", "replicas": [{"url": replica.url}], **more}

    settings = Settings.model_validate(
        {
            "probe_interval_s": 0.05,
            "models": [model("mock", aliases=["alias"], fallbacks=["spare"]), model("other"), model("spare")],
            "data_dir": folder,
            "master_key": MASTER_KEY,
            "storage": {"url": url, "deadline_s": 10},
            **fields,
            "identity": {"poll_s": 0.05, **fields.get("identity", {})},
        }
    )
    tenancy = await Tenancy.open(settings)
    try:
        async with run_gateway(settings, tenancy=tenancy) as running:
            yield Site(running, tenancy, await Tenant(tenancy.database).make())
    finally:
        await tenancy.close()


@pytest.fixture
async def replica() -> AsyncIterator[FakeReplica]:
    async with FakeReplica() as running:
        yield running


@pytest.fixture
async def site(sqlite_url: str, tmp_path: Path, replica: FakeReplica) -> AsyncIterator[Site]:
    async with site_at(sqlite_url, tmp_path, replica, identity={"trusted_proxies": "127.0.0.0/8"}) as running:
        yield running


async def test_key_opens_the_gateway_and_nothing_else_does(site: Site) -> None:
    key = await site.key()
    assert (await site.call(key)).status == 200
    assert (await site.running.logged())["principal"] == key.id
    assert (await site.running.post(CHAT, ASK)).status == 401
    stranger = await site.call(make_key(site.tenancy.vault))
    assert (stranger.status, stranger.error["code"]) == (401, "invalid_api_key")
    assert stranger.headers["www-authenticate"] == "Bearer"


async def test_key_of_the_store_is_no_other_one_though_the_configuration_names_it_too(
    sqlite_url: str, tmp_path: Path, replica: FakeReplica
) -> None:
    vault = Vault.open(Settings.model_validate({"data_dir": tmp_path, "master_key": MASTER_KEY}))
    key = make_key(vault)
    async with site_at(sqlite_url, tmp_path, replica, api_key=key.text) as site:
        assert (await site.call(key)).status == 401
        await site.tenant.add_key(key)
        async with asyncio.timeout(8):
            while (await site.call(key)).status != 200:
                await asyncio.sleep(0.1)
        assert site.running.log[-1]["principal"] == key.id
    assert not names_key(Settings.model_validate({"api_key": key.text}))
    assert names_key(Settings.model_validate({"api_key": "0123456789abcdef"}))


@pytest.mark.parametrize("name", ["x-api-key", "api-key"])
async def test_one_key_is_taken_from_every_header_and_two_are_a_bad_request(site: Site, name: str) -> None:
    key, other = await site.key(), await site.key()
    assert (await site.running.post(CHAT, ASK, f"{name}: {key.text}")).status == 200
    both = await site.call(key, f"{name}: {other.text}")
    assert (both.status, both.error["code"]) == (400, "invalid_header")
    assert (await site.call(key, f"{name}: {key.text}")).status == 200


async def test_key_in_the_query_is_no_key(site: Site) -> None:
    key = await site.key()
    for query in (f"?api_key={key.text}", f"?key={key.text}", f"?access_token={key.text}"):
        assert (await site.running.post(CHAT + query, ASK)).status == 401


async def test_models_are_kept_to_the_scope_in_every_answer(site: Site) -> None:
    free, bound = await site.key(), await site.key(scopes={"models": ["mock", "spa*"]})
    assert await site.models(free) == LISTED
    assert await site.models(bound) == {"mock", "spare"}
    assert (await site.call(bound, model="mock")).status == 200
    for model in ("other", "nothing", "alias"):
        refused = await site.call(bound, model=model)
        assert (refused.status, refused.error["code"]) == (403, "model_not_permitted"), model
        assert refused.error["param"] == "model"
    shown = await site.running.get("/v1/models/other", f"authorization: Bearer {bound.text}")
    missing = await site.running.get("/v1/models/othe", f"authorization: Bearer {bound.text}")
    assert (shown.status, shown.error["code"]) == (404, "model_not_found")
    assert "'other'" not in missing.error["message"]
    close = await site.call(await site.key(scopes={"models": ["o*"]}), model="othr")
    assert (close.status, close.error["message"].endswith("Did you mean 'other'?")) == (404, True)


async def test_alias_needs_the_name_behind_it_too(site: Site) -> None:
    alone = await site.key(scopes={"models": ["alias"]})
    both = await site.key(scopes={"models": ["alias", "mock"]})
    assert (await site.call(alone, model="alias")).error["code"] == "model_not_permitted"
    assert (await site.call(both, model="alias")).status == 200
    assert await site.models(both) == {"alias", "mock"}
    assert await site.models(alone) == set()


async def test_fallback_leads_around_no_scope(sqlite_url: str, tmp_path: Path) -> None:
    async with FakeReplica(script=Script(status=500)) as broken, FakeReplica() as replica:
        models = [
            {"name": "mock", "kind": "chat", "fallbacks": ["spare"], "replicas": [{"url": broken.url}]},
            {"name": "spare", "kind": "chat", "replicas": [{"url": replica.url}]},
        ]
        async with site_at(sqlite_url, tmp_path, replica, models=models) as site:
            assert (await site.call(await site.key())).headers["x-lmaas-model"] == "spare"
            bound = await site.call(await site.key(scopes={"models": ["mock"]}))
            assert bound.status >= 500
            assert "x-lmaas-model" not in bound.headers


async def test_routes_are_kept_to_the_scope_before_a_body_is_read(site: Site) -> None:
    key = await site.key(scopes={"routes": ["/v1/chat/*"]})
    assert (await site.call(key)).status == 200
    async with raw_client(site.running.port) as client:
        client.send(
            b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n"
            b"authorization: Bearer " + key.text.encode() + b"\r\n\r\n"
        )
        refused = await client.response()
    assert (refused.status, refused.error["code"]) == (403, "route_not_permitted")


async def test_addresses_are_kept_to_the_scope_as_trusted_proxies_tell_them(site: Site) -> None:
    key = await site.key(scopes={"addresses": ["192.0.2.0/24"]})
    for said, status in (
        ((), 403),
        (("x-forwarded-for: 192.0.2.7",), 200),
        (("x-forwarded-for: 192.0.2.7, 198.51.100.1",), 403),
        (("x-forwarded-for: 198.51.100.1, 192.0.2.7",), 200),
        (("x-forwarded-for: 192.0.2.7, 127.0.0.5",), 200),
        (("x-forwarded-for: 192.0.2.7", "x-forwarded-for: 198.51.100.1"), 403),
        (("x-forwarded-for: 192.0.2.7, nonsense",), 403),
    ):
        reply = await site.call(key, *said)
        assert reply.status == status, said
    assert reply.error["code"] == "address_not_permitted"


async def test_address_is_the_socket_s_where_no_proxy_is_trusted(
    sqlite_url: str, tmp_path: Path, replica: FakeReplica
) -> None:
    async with site_at(sqlite_url, tmp_path, replica) as site:
        here = await site.key(scopes={"addresses": ["127.0.0.1"]})
        elsewhere = await site.key(scopes={"addresses": ["192.0.2.0/24"]})
        assert (await site.call(here, "x-forwarded-for: 192.0.2.7")).status == 200
        assert (await site.call(elsewhere, "x-forwarded-for: 192.0.2.7")).status == 403


async def test_metrics_are_for_roles_that_may_see_them(site: Site) -> None:
    plain, viewer = await site.key(), await site.key(scopes={"admin": "viewer"})
    refused = await site.running.get("/metrics", f"authorization: Bearer {plain.text}")
    assert (refused.status, refused.error["code"]) == (403, "permission_denied")
    assert (await site.running.get("/metrics", f"authorization: Bearer {viewer.text}")).status == 200
    assert "models" not in (await site.running.get("/readyz", f"authorization: Bearer {plain.text}")).json
    assert "models" in (await site.running.get("/readyz", f"authorization: Bearer {viewer.text}")).json


async def revoke(site: Site, key: NewKey) -> None:
    async with site.tenancy.database.writing() as connection:
        at = int(time.time() * 1e6)
        assert await keys.revoke(connection, site.tenant.organization, key.id, at)


async def test_revoked_key_is_out_within_the_next_look(site: Site) -> None:
    key = await site.key()
    assert (await site.call(key)).status == 200
    await revoke(site, key)
    async with asyncio.timeout(5):
        while (reply := await site.call(key)).status == 200:
            await asyncio.sleep(0.02)
    assert (reply.status, reply.error["code"]) == (401, "key_revoked")


async def streamed(site: Site, key: NewKey, ends: Any, **fields: Any) -> bytes:
    """Read a stream, and have its key end in the middle."""
    return await streamed_to(site, key.text, ends, **fields)


async def streamed_to(site: Site, credential: str, ends: Any, **fields: Any) -> bytes:
    """Read a stream with a key or a token, and have something happen in the middle."""
    wanted = {**STREAM, "max_tokens": 200, **fields}
    async with raw_client(site.running.port) as client:
        client.send(request_bytes(CHAT, wanted, f"authorization: Bearer {credential}"))
        status, _ = await client.head()
        assert status == 200
        read = await client.chunk()
        await ends()
        async with asyncio.timeout(60):
            while piece := await client.chunk():
                read += piece
        return read


@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_stream_of_a_key_that_ends_is_cut_with_the_reason_and_billed(
    sqlite_url: str, tmp_path: Path, how: str
) -> None:
    async with (
        FakeReplica(script=Script(tokens=200, token_gap_s=0.03)) as slow,
        site_at(sqlite_url, tmp_path, slow) as site,
    ):
        expires_at = int((time.time() + 1.5) * 1e6) if how == "expired" else None
        key, other = await site.key(expires_at=expires_at), await site.key()
        spared = asyncio.create_task(streamed(site, other, lambda: asyncio.sleep(0)))

        async def end() -> None:
            if how == "revoked":
                await revoke(site, key)

        rest = await streamed(site, key, end)
        last = json.loads(rest.rpartition(b"data: ")[2].partition(b"\n")[0])
        assert last["error"]["code"] == f"key_{how}"
        assert last["error"]["retryable"] is False
        assert b"[DONE]" not in rest
        line = await site.running.logged()
        assert (line["outcome"], line["code"], line["status"]) == ("interrupted", f"key_{how}", 200)
        assert 0 < line["completion_tokens"] < 200
        await site.running.until(lambda: site.running.in_flight == 1)
        assert b"[DONE]" in await spared


async def test_stream_of_a_person_who_is_disabled_is_cut_with_the_reason(
    sqlite_url: str, tmp_path: Path
) -> None:
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": KEYS}))
    issuer = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": str(tmp_path / "jwks.json")}
    async with (
        FakeReplica(script=Script(tokens=200, token_gap_s=0.03)) as slow,
        site_at(sqlite_url, tmp_path, slow, identity={"issuers": [issuer]}) as site,
    ):
        ann = await site.tenant.add_member(subject=f"{ISSUER}|ann")
        now = int(time.time())

        async def disable() -> None:
            await site.tenant.change(tables.members, ann, disabled_at=now * 10**6)

        rest = await streamed_to(site, token_of(exp=now + 600, iat=now), disable)
        last = json.loads(rest.rpartition(b"data: ")[2].partition(b"\n")[0])
        assert (last["error"]["code"], last["error"]["retryable"]) == ("permission_denied", False)
        assert b"[DONE]" not in rest
        line = await site.running.logged()
        assert (line["outcome"], line["code"], line["principal"]) == ("interrupted", "permission_denied", ann)
        assert 0 < line["completion_tokens"] < 200


async def test_stream_of_a_key_that_ends_may_finish_where_the_operator_says_so(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with (
        FakeReplica(script=Script(tokens=30, token_gap_s=0.03)) as slow,
        site_at(sqlite_url, tmp_path, slow, identity={"running_streams": "finish"}) as site,
    ):
        key = await site.key()
        rest = await streamed(site, key, lambda: revoke(site, key), max_tokens=30)
        assert b"[DONE]" in rest
        async with asyncio.timeout(5):
            while (await site.call(key)).status != 401:
                await asyncio.sleep(0.02)


async def test_key_is_as_it_was_changed_in_another_gateway_on_the_same_database(
    database_url: str, tmp_path: Path, replica: FakeReplica
) -> None:
    async with site_at(database_url, tmp_path / "one", replica) as one:
        settings = one.running.gateway.settings.model_copy(update={"data_dir": tmp_path / "two"})
        tenancy = await Tenancy.open(settings)
        try:
            async with run_gateway(settings, tenancy=tenancy) as two:
                key = await one.key()
                bearer = f"authorization: Bearer {key.text}"
                assert (await one.call(key)).status == (await two.post(CHAT, ASK, bearer)).status == 200
                await revoke(one, key)
                async with asyncio.timeout(5):
                    while (await two.post(CHAT, ASK, bearer)).status == 200:
                        await asyncio.sleep(0.02)
        finally:
            await tenancy.close()


async def test_valkey_tells_other_gateways_at_once(
    sqlite_url: str, tmp_path: Path, replica: FakeReplica, valkey_url: str
) -> None:
    storage = {"url": sqlite_url, "deadline_s": 10, "valkey_url": valkey_url}
    slow = {"poll_s": 5}
    async with (
        site_at(sqlite_url, tmp_path / "one", replica, storage=storage, identity=slow) as one,
        contextlib.AsyncExitStack() as stack,
    ):
        settings = one.running.gateway.settings.model_copy(update={"data_dir": tmp_path / "two"})
        tenancy = await Tenancy.open(settings)
        stack.push_async_callback(tenancy.close)
        two = await stack.enter_async_context(run_gateway(settings, tenancy=tenancy))
        key = await one.key()
        bearer = f"authorization: Bearer {key.text}"
        valkey = one.tenancy.identities.valkey
        assert valkey is not None
        async with asyncio.timeout(10):
            while (await valkey.execute("PUBSUB", "NUMSUB", _CHANNEL))[1] < 2:
                await asyncio.sleep(0.02)
        assert (await two.post(CHAT, ASK, bearer)).status == 200
        await revoke(one, key)
        await one.tenancy.identities.announce()
        async with asyncio.timeout(3):
            while (await two.post(CHAT, ASK, bearer)).status == 200:
                await asyncio.sleep(0.02)


async def test_limits_of_junk_hold_over_sockets(site: Site) -> None:
    junk = [make_key(site.tenancy.vault) for _ in range(40)]
    replies = [
        await ask(site.running.port, request_bytes(CHAT, ASK, f"x-api-key: {key.text}")) for key in junk
    ]
    assert {reply.status for reply in replies} == {401, 503}
    busy = next(reply for reply in replies if reply.status == 503)
    assert busy.error["code"] == "authentication_busy"
    assert busy.headers["retry-after"] == "1"
