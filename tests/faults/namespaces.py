"""Replicas behind a network link of their own, which can go down: needs root, and iproute2."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from faults.replicas import ReplicaProcess

if TYPE_CHECKING:
    from collections.abc import Sequence


async def run(*command: str) -> None:
    """Run a command; its failure is the test's."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, f"{' '.join(command)}: {out.decode()}"


def _namespace(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/net").readlink()


class FarReplica(ReplicaProcess):
    """A fake replica in a network namespace of its own, at the far end of a virtual cable."""

    _holder: asyncio.subprocess.Process

    async def command(self) -> Sequence[str]:
        """Make the namespace, lay the cable, and run the replica at its far end."""
        assert os.geteuid() == 0, "network namespaces need root; run this test as root"
        subnet = f"10.{secrets.randbelow(100) + 100}.{secrets.randbelow(250)}"
        self.host, self._near, self._far = f"{subnet}.2", f"lm{secrets.token_hex(4)}", "far0"
        self._holder = await asyncio.create_subprocess_exec("unshare", "-n", "sleep", "infinity")
        await self._until_apart()
        pid = str(self._holder.pid)
        await run(*f"ip link add {self._near} type veth peer name {self._far} netns {pid}".split())
        await run(*f"ip addr add {subnet}.1/24 dev {self._near}".split())
        await run(*f"ip link set {self._near} up".split())
        await self._inside("ip", "addr", "add", f"{self.host}/24", "dev", self._far)
        await self.link("up")
        return ("nsenter", "-t", pid, "-n", sys.executable, "-m", "lmaas_gateway.testing")

    async def link(self, state: str) -> None:
        """Bring the far end of the cable `up` or `down`: nobody is told, packets are just lost."""
        await self._inside("ip", "link", "set", self._far, state)

    async def kill(self) -> None:
        await super().kill()
        if self._holder.returncode is None:
            # The namespace goes with its last process, and the cable with the namespace.
            self._holder.kill()
            await self._holder.wait()

    async def _inside(self, *command: str) -> None:
        await run("nsenter", "-t", str(self._holder.pid), "-n", *command)

    async def _until_apart(self) -> None:
        own = _namespace(os.getpid())
        async with asyncio.timeout(10):
            while _namespace(self._holder.pid) == own:
                await asyncio.sleep(0.01)
