"""The gateway as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lmaas_gateway.testing import FakeReplica


@contextlib.asynccontextmanager
async def served(
    replica: FakeReplica,
    tmp_path: Path,
    *lines: str,
    max_files: int | None = None,
    is_open: bool = True,
    said: list[bytes] | None = None,
    replica_key: str = "",
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run `lmaas serve`, in a process group of its own, until its greeting; give the process and its port.

    Args:
        replica: Of the one model, `mock`.
        tmp_path: For the configuration.
        lines: Further lines of it.
        max_files: The most files that it may have open.
        is_open: Whether it serves without tenants.
        said: Takes what it says before it is ready.
        replica_key: What the replica is told as the gateway's key.
    """
    limit = ""
    if max_files is not None:
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({max_files}, {max_files})); "
    config = tmp_path / "lmaas.yaml"
    at = f"url: '{replica.url}'" + (f", api_key: {replica_key}" if replica_key else "")
    model = f"models: [{{name: mock, kind: chat, max_in_flight: 1000, replicas: [{{{at}}}]}}]"
    config.write_text("\n".join(["port: 0", f"open: {str(is_open).lower()}", model, *lines]))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", limit + "import sys; from lmaas.cli import main; sys.exit(main())"),
        *("serve", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(110):
            greeting = b""
            while not greeting.startswith(b"Ready: "):
                greeting = await process.stderr.readline()
                assert greeting, "it ended before it was ready"
                if said is not None:
                    said.append(greeting)
        yield process, int(greeting.split(b"/v1")[0].rpartition(b":")[2])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def stop(process: asyncio.subprocess.Process, number: signal.Signals = signal.SIGTERM) -> list[bytes]:
    """Signal the process; give the lines of its standard output."""
    process.send_signal(number)
    return await finish(process)


async def finish(process: asyncio.subprocess.Process) -> list[bytes]:
    """Wait for the end of a process that was told; give the lines of its standard output."""
    async with asyncio.timeout(15):
        out, err = await process.communicate()
    assert process.returncode == 0, err
    assert b"Traceback" not in err
    return out.splitlines()
