"""The README's code blocks: shell and Python run against the live gateway, YAML loads as a configuration.

Blocks marked `console` show what a person types to set a machine up, and are not run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.live_gateway import LiveGateway
from lmaas_gateway.settings import load_settings

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(match[1], match[2]) for match in _BLOCK.finditer(README)]
RUNNABLE = [(language, code) for language, code in BLOCKS if language in {"bash", "python"}]
DEFAULT_URL = "http://127.0.0.1:8000"


def test_each_kind_of_block_is_there() -> None:
    assert {language for language, _ in BLOCKS} == {"console", "bash", "python", "yaml"}


@pytest.mark.parametrize(("language", "code"), RUNNABLE, ids=lambda part: part.split("\n")[0][:40])
def test_block_runs_when_pasted(gateway: LiveGateway, language: str, code: str) -> None:
    interpreter = {
        "bash": ["bash", "-euo", "pipefail", "-c"],
        "python": [sys.executable, "-W", "error", "-c"],
    }
    bin_folder = str(Path(sys.executable).parent)
    done = subprocess.run(
        [*interpreter[language], code.replace(DEFAULT_URL, gateway.url)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "LMAAS_BASE_URL": gateway.base_url,
            "LMAAS_API_KEY": "none",
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        },
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert '"error"' not in done.stdout


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "yaml"])
def test_configuration_loads(tmp_path: Path, code: str) -> None:
    path = tmp_path / "lmaas.yaml"
    path.write_text(code, "utf-8")
    assert load_settings(path, environ={}).models
