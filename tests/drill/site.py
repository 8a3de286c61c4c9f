"""What a drill takes place on: gateways of one PostgreSQL and one Valkey, before replicas with journals."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from drill.ledger import Ledger
from faults.clients import History
from faults.gateways import GatewayProcess
from faults.replicas import ReplicaProcess
from support.store_servers import free_port
from support.stub import ask, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from lmaas_gateway.testing import Attempt
    from support.store_servers import PostgresServer, ValkeyServer

Stores: TypeAlias = "tuple[PostgresServer, ValkeyServer]"

ADMIN_KEY = "operators-key-of-the-drills"
READY_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class DrillKey:
    """A caller's key."""

    id: str
    secret: str


def tell(title: str, *figures: str) -> None:
    """Print the result of a drill."""
    print(f"\n{title}", *(f"  {figure}" for figure in figures), sep="\n")  # noqa: T201 - what it is made for


class Site:
    """Everything, running.

    Attributes:
        postgres: The ledger's server; a drill may stop it.
        ledger: What stands in the books.
        histories: What the clients of each gateway were told.
    """

    def __init__(
        self, postgres: PostgresServer, gateways: Sequence[GatewayProcess], replicas: Sequence[ReplicaProcess]
    ) -> None:
        self.postgres = postgres
        self.ledger = Ledger(postgres)
        self.gateways = gateways
        self.replicas = replicas
        self.histories: list[History] = []
        self._organization = ""
        self._project = ""

    async def open(self) -> None:
        """Start the gateways, one after the other, and make a tenant."""
        for gateway in self.gateways:
            await gateway.start(within_s=READY_WITHIN_S)
        self.histories = [History(gateway.port) for gateway in self.gateways]
        self._organization = (await self.operator("POST", "/organizations", {"name": "drill"}))["id"]
        self._project = (await self.operator("POST", "/projects", {"name": "drill"}))["id"]

    async def new_key(self, name: str) -> DrillKey:
        """Issue a key."""
        made = await self.operator("POST", "/keys", {"project": self._project, "name": name})
        return DrillKey(made["id"], made["secret"])

    async def revoke(self, key: DrillKey) -> None:
        """Revoke a key."""
        await self.operator("DELETE", f"/keys/{key.id}")

    async def limit(self, key: DrillKey, metric: str, period: str, amount: int) -> None:
        """Limit a key."""
        fields = {"subject_kind": "key", "subject": key.id, "metric": metric, "period": period}
        await self.operator("PUT", "/limits", {**fields, "amount": amount})

    async def operator(self, method: str, path: str, fields: Mapping[str, Any] | bytes = b"") -> Any:
        """Ask the first gateway's admin API."""
        where = f"?organization={self._organization}" if self._organization else ""
        data = request_bytes(
            f"/admin/v1{path}{where}", fields, f"authorization: Bearer {ADMIN_KEY}", method=method
        )
        reply = await ask(self.gateways[0].port, data)
        assert 200 <= reply.status < 300, reply.body
        return reply.json

    def attempts(self) -> dict[str, list[Attempt]]:
        """What the replicas saw of each call."""
        found: dict[str, list[Attempt]] = {}
        for replica in self.replicas:
            for attempt in replica.attempts():
                found.setdefault(attempt.request_id, []).append(attempt)
        return found


@contextlib.asynccontextmanager
async def site_of(
    folder: Path,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    *,
    storage: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> AsyncIterator[Site]:
    """Run two gateways before two replicas; both stores run already."""
    postgres.run("CREATE DATABASE drill")
    replicas = [ReplicaProcess(folder, f"replica-{number}") for number in range(2)]
    master = secrets.token_hex(32)
    async with contextlib.AsyncExitStack() as stack:
        for replica in replicas:
            stack.push_async_callback(replica.kill)
        await asyncio.gather(*(replica.start() for replica in replicas))
        processes = []
        for number in range(2):
            own = folder / f"gateway-{number}"
            own.mkdir()
            config = {
                "open": False,
                # The same one after a restart, as behind a service's name.
                "port": free_port(),
                "probe_interval_s": 0.2,
                "admin_key": ADMIN_KEY,
                "master_key": master,
                "data_dir": str(own / "data"),
                "storage": {"url": postgres.url("drill"), "valkey_url": valkey.url, **storage},
                "models": [
                    {
                        "name": "mock",
                        "kind": "chat",
                        "max_in_flight": 2000,
                        "replicas": [{"url": replica.url} for replica in replicas],
                    }
                ],
                **settings,
            }
            processes.append(GatewayProcess(own, config))
            stack.push_async_callback(processes[-1].stop)
        site = Site(postgres, processes, replicas)
        await site.open()
        yield site
