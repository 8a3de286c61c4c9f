"""The walk-through of docs/operating.md, block by block, in a shell, against a gateway of its own."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import sys
from pathlib import Path

import pytest

from lmaas import AsyncLMaaS
from lmaas_gateway.testing import FakeReplica
from support.processes import served, stop

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text("utf-8")
SECTION = PAGE.partition("## Tenants: from the first start to the audit")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


# What each block shows, on standard output or standard error.
EXPECTED = [
    ("default", "STORES CONTENT"),
    ("web", "25000000000", "The secret is shown this once"),
    ("rivers",),
    ("proj_", "mock", "COST", "INPUT/1M"),
    ("lakes", "The old key works too", "lmaas: ", "revoked", "active"),
    ("keys.revoke", "intact:"),
    ("wrote usage.csv", "entries to audit.jsonl"),
    ("ops", "revoked"),
]


def test_each_block_has_something_to_show() -> None:
    assert len(BLOCKS) == len(EXPECTED)


class Shell:
    """Runs blocks one after another as if they were typed into one shell."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        bin_folder = Path(sys.executable).parent
        self._environ = {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_DATA_HOME": os.environ["XDG_DATA_HOME"],
            "LMAAS_BASE_URL": f"http://127.0.0.1:{port}",
        }

    async def run(self, block: str) -> str:
        script = f"set -aeuo pipefail; {block}\nexport -p > {self._folder}/environment"
        begin = f"[ ! -e {self._folder}/environment ] || source {self._folder}/environment\n"
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", begin + script),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._folder,
            env=self._environ,
        )
        async with asyncio.timeout(100):
            out, err = await process.communicate()
        assert process.returncode == 0, (block, out.decode(), err.decode())
        return out.decode() + err.decode()

    def exported(self, name: str) -> str:
        text = (self._folder / "environment").read_text()
        return str(re.findall(rf'^declare -x {name}="(.*)"$', text, re.MULTILINE)[0])


async def until_booked(port: int, key: str) -> None:
    async with AsyncLMaaS(base_url=f"http://127.0.0.1:{port}", admin_key=key) as client, asyncio.timeout(60):
        while not (await client.admin.usage.list(start=0)).data:
            await asyncio.sleep(0.2)


@pytest.mark.timeout(300)
async def test_the_walk_through_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    home = tmp_path / "home"
    home.mkdir()
    async with FakeReplica() as replica, served(replica, tmp_path, is_open=False) as (process, port):
        shell = Shell(home, port)
        for block, expected in zip(BLOCKS, EXPECTED, strict=True):
            if "usage show" in block:
                await until_booked(port, shell.exported("LMAAS_ADMIN_KEY"))
            typed = block.replace("smollm2-135m-instruct", "mock").replace("smollm2-*", "mo*")
            said = await shell.run(typed)
            assert all(part in said for part in expected), (block, said)
        await stop(process)
    rows = list(csv.DictReader((home / "usage.csv").read_text().splitlines()))
    assert {row["outcome"] for row in rows} >= {"ok"}
    trail = [json.loads(line)["action"] for line in (home / "audit.jsonl").read_text().splitlines()]
    assert trail[0] == "organizations.create"
    assert {"projects.create", "limits.set", "keys.create", "keys.rotate", "keys.revoke"} <= set(trail)
    assert replica.record.calls
