"""`import lmaas` stays light: what came with choosing and measuring platforms is not in it.

The baseline is what `import lmaas` loaded before that: its own modules by name, those of others by package.
All that is loaded beyond it is growth, ours or a library's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

_BASELINE = frozenset((Path(__file__).parent / "data" / "import_baseline.txt").read_text("utf-8").split())
_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")
_PROGRAM = """
import sys
sys.stderr.write("begins\\n")
import lmaas
print(*sys.modules)
"""
_MOST_S = 0.005


def growth_s() -> dict[str, float]:
    """The modules beyond the baseline, each with the seconds that it takes without those that it imports.

    What the interpreter loads by itself comes before, and what is looked for and not there is not loaded.
    """
    # Python keeps what it compiles, as it does where lmaas is installed.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", _PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env=environ,
    )
    loaded = set(done.stdout.split())
    took = _LINE.findall(done.stderr.partition("begins\n")[2])
    found = {name: int(micros) / 1e6 for micros, name in took if name in loaded}
    assert "lmaas._client" in found
    return {name: seconds for name, seconds in found.items() if not _is_known(name)}


def _is_known(name: str) -> bool:
    package = name.partition(".")[0]
    return (name if package == "lmaas" else package) in _BASELINE


def test_import_loads_nothing_of_what_came_later() -> None:
    assert set(growth_s()) == {"lmaas._client_options", "lmaas._client_resources"}  # parts of `_client`


@pytest.mark.alone
def test_import_has_grown_by_at_most_five_milliseconds() -> None:
    growth_s()  # compiles what was not
    assert median(sum(growth_s().values()) for _ in range(7)) <= _MOST_S
