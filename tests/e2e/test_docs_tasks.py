"""The code blocks of docs/tasks.md run against the real gateway."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

DOC = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(python|bash)\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)


def test_there_are_blocks_of_both_kinds() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "bash"}


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=lambda part: part.split("\n")[0][:30])
def test_block_runs_when_pasted(gateway: LiveGateway, tmp_path: Path, language: str, code: str) -> None:
    interpreter = {
        "bash": ["bash", "-euo", "pipefail", "-c"],
        "python": [sys.executable, "-W", "error", "-c"],
    }
    bin_folder = str(Path(sys.executable).parent)
    done = subprocess.run(
        [*interpreter[language], code],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
        env={
            **os.environ,
            "LMAAS_BASE_URL": gateway.base_url,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        },
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
