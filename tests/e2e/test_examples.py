from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs_and_says_something(gateway: LiveGateway, path: Path) -> None:
    environ = {**os.environ, "LMAAS_BASE_URL": gateway.base_url, "OPENAI_BASE_URL": gateway.base_url}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environ,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
