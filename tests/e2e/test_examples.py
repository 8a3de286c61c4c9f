from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.at_once import AtOnce
from e2e.live_gateway import LiveGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert EXAMPLES


def run(gateway: LiveGateway, path: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "LMAAS_BASE_URL": gateway.base_url, "OPENAI_BASE_URL": gateway.base_url}
    return subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environ,
    )


@pytest.fixture(scope="module")
def ran(gateway: LiveGateway) -> Iterator[AtOnce[Path, subprocess.CompletedProcess[str]]]:
    with AtOnce(partial(run, gateway), EXAMPLES, width=4) as done:
        yield done


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs_and_says_something(
    ran: AtOnce[Path, subprocess.CompletedProcess[str]], path: Path
) -> None:
    done = ran[path]
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
