"""The code blocks of docs/several-platforms.md run against the real gateway, which stands in for "ours"."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

DOC = (Path(__file__).parents[2] / "docs" / "several-platforms.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=["choosing", "restarting"])
def test_block_runs_when_pasted(gateway: LiveGateway, code: str) -> None:
    program = code.replace("http://127.0.0.1:8000", gateway.url)
    assert program != code
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).strip()
