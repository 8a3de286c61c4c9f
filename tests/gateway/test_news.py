"""What one gateway does to a key, the gateways of other hosts know at once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from lmaas_gateway.tenancy import Tenancy
from lmaas_gateway.testing import FakeReplica
from support.administration import MASTER_KEY
from support.serving import ASK, CHAT, run_gateway, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.serving import Running

_OPERATOR = "operators-key-of-this-test"
_CALLERS = "an-api-key-of-callers"


@contextlib.asynccontextmanager
async def _serving(replica: FakeReplica, folder: Path, storage: dict[str, Any]) -> AsyncIterator[Running]:
    settings = settings_for(
        replica,
        admin_key=_OPERATOR,
        api_key=_CALLERS,
        data_dir=folder,
        master_key=MASTER_KEY,
        storage={"deadline_s": 10, **storage},
        # So seldom that what is found out sooner was not found out by asking.
        identity={"poll_s": 5.0},
    )
    tenancy = await Tenancy.open(settings)
    try:
        async with run_gateway(settings, tenancy=tenancy) as running:
            yield running
    finally:
        await tenancy.close()


async def _admin(running: Running, method: str, path: str, fields: object = b"") -> dict[str, Any]:
    reply = await running.request(method, f"/admin/v1{path}", fields, f"authorization: Bearer {_OPERATOR}")
    assert reply.status in {200, 201}, reply.body
    answer: dict[str, Any] = reply.json
    return answer


async def test_revocation_is_known_to_other_hosts_at_once(
    sqlite_url: str, valkey_url: str, tmp_path: Path
) -> None:
    storage = {"url": sqlite_url, "valkey_url": valkey_url}
    async with (
        FakeReplica() as replica,
        _serving(replica, tmp_path / "one", storage) as one,
        _serving(replica, tmp_path / "other", storage) as other,
    ):
        await _admin(one, "POST", "/organizations", {"name": "acme"})
        project = (await _admin(one, "POST", "/projects", {"name": "web"}))["id"]
        key = await _admin(one, "POST", "/keys", {"project": project, "name": "laptop"})
        bearer = f"authorization: Bearer {key['secret']}"
        assert (await other.post(CHAT, ASK, bearer)).status == 200
        stores = (await other.get("/readyz", f"authorization: Bearer {_CALLERS}")).json["stores"]
        assert stores == {"database_reads": "closed", "database_writes": "closed", "valkey": "closed"}
        await _admin(one, "DELETE", f"/keys/{key['id']}")
        async with asyncio.timeout(3.0):
            while (await other.post(CHAT, ASK, bearer)).status != 401:
                await asyncio.sleep(0.05)
