"""Code of the documentation passes the strict checks that its readers may run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "sdk.md"]
TOOLS = {
    # By the project's own configuration, which is strict and more; the cache of `make check` spares work.
    "mypy": ["mypy", "--no-error-summary"],
    # The fork of pyright whose wheel holds all that it needs; its strict mode is pyright's.
    "basedpyright": ["basedpyright", "--project", "{folder}"],
}


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.timeout(300)
def test_code_of_the_documentation_is_strictly_typed(tool: str, tmp_path: Path) -> None:
    files = []
    for page in PAGES:
        for number, block in enumerate(blocks(page)):
            file = tmp_path / f"{page.stem.lower()}_{number}.py"
            file.write_text(block, "utf-8")
            files.append(file.name)
    config = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT / "sdk")], "include": files}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config), "utf-8")
    command = [part.format(folder=tmp_path) for part in TOOLS[tool]]
    command += (
        [str(tmp_path / file) for file in files] if tool == "mypy" else ["--pythonpath", sys.executable]
    )
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(files) >= 8
