"""Coverage sees what runs in greenlets, and what runs beside them, exactly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

TESTS = Path(__file__).parents[1]
PROGRAM = """
    import asyncio, sys
    sys.path.append({tests!r})
    from sqlalchemy.util import await_only, greenlet_spawn
    from support.greenlets import follow_greenlets

    def work(n):
        first = await_only(wait(n))
        if first > 5:
            return "never"
        return await_only(wait(first))

    async def wait(n):
        await asyncio.sleep(0)
        return n

    async def main():
        for n in range(3):
            found = await greenlet_spawn(work, n)
            if found == n:
                both = await asyncio.gather(greenlet_spawn(work, 1), greenlet_spawn(work, 2))
        if found == "never":
            print("never")
        return both

    follow_greenlets()
    asyncio.run(main())
"""


def test_lines_in_greenlets_and_around_them_are_those_that_ran(tmp_path: Path) -> None:
    program = textwrap.dedent(PROGRAM).format(tests=str(TESTS))
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    (tmp_path / ".coveragerc").write_text("[run]\nbranch = true\nconcurrency = thread\n", encoding="utf-8")
    # The suite's own coverage would start in these too, and only one can trace a process.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    for words in (["run", "--include=program.py", "program.py"], ["json", "-q", "-o", "seen.json"]):
        subprocess.run([sys.executable, "-m", "coverage", *words], cwd=tmp_path, env=env, check=True)
    seen = json.loads((tmp_path / "seen.json").read_text("utf-8"))["files"]["program.py"]
    numbered = dict(enumerate(program.splitlines(), 1))
    assert [numbered[line].strip() for line in seen["missing_lines"]] == ['return "never"', 'print("never")']
    branches = [[numbered[max(line, 1)].strip() for line in one] for one in seen["missing_branches"]]
    assert branches == [
        ["if first > 5:", 'return "never"'],
        ["if found == n:", "for n in range(3):"],
        ['if found == "never":', 'print("never")'],
    ]
