"""docs/caching.md and examples/retry_safely.py, run as they stand against a gateway that caches."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from lmaas_gateway.settings import load_settings
from lmaas_gateway.testing import FakeReplica
from support.serving import Running, run_gateway, settings_of

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "caching.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)
MODEL = "smollm2-135m-instruct"


async def run(running: Running, *command: str) -> str:
    environ = {**os.environ, "LMAAS_BASE_URL": f"http://127.0.0.1:{running.port}/v1"}
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environ)
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


@pytest.mark.parametrize(
    ("code", "header"),
    list(
        zip(
            [code for language, code in BLOCKS if language == "bash"],
            ["idempotent-replayed: true", "x-lmaas-cache: hit"],
            strict=True,
        )
    ),
)
async def test_shell_block_shows_what_the_page_says(code: str, header: str) -> None:
    async with (
        FakeReplica() as replica,
        run_gateway(settings_of({MODEL: [replica]}, **{MODEL: {"cache": True}})) as running,
    ):
        out = await run(running, "bash", "-euc", code.replace("127.0.0.1:8000", f"127.0.0.1:{running.port}"))
        assert out.count("HTTP/1.1 200") == 2
        assert out.count(header) == 1
        assert replica.requests == 1


def test_configuration_loads(tmp_path: Path) -> None:
    (code,) = (code for language, code in BLOCKS if language == "yaml")
    path = tmp_path / "lmaas.yaml"
    path.write_text(code, "utf-8")
    settings = load_settings(path, environ={})
    assert [model.cache for model in settings.models] == [None, False]


async def test_example_runs_once_and_refuses_another_question() -> None:
    async with FakeReplica() as replica, run_gateway(settings_of({MODEL: [replica]})) as running:
        example = str(ROOT / "examples" / "retry_safely.py")
        first, again, verdict, code = (await run(running, sys.executable, "-W", "error", example)).split(
            "\n", 3
        )
        assert first == again
        assert (verdict, code.strip()) == ("one run", "idempotency_mismatch")
        assert replica.requests == 1
