"""The code blocks of the pages in docs/, run as a reader runs them: pasted into a shell of one's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def blocks_of(page: str) -> list[tuple[str, str]]:
    """Return the blocks of `page` that can be run: (language, code), in order."""
    text = (DOCS / page).read_text("utf-8")
    return re.findall(r"^```(python|bash)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_block(language: str, code: str, *, base_url: str, folder: Path) -> str:
    """Run a block in `folder` against the gateway at `base_url`; return what it wrote."""
    interpreter = {
        "bash": ["bash", "-euo", "pipefail", "-c"],
        "python": [sys.executable, "-W", "error", "-c"],
    }
    done = subprocess.run(
        [*interpreter[language], code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={
            **os.environ,
            "LMAAS_BASE_URL": base_url,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
    )
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).strip()
