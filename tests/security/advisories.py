"""Which of the packages that are locked have known vulnerabilities, where anybody can be asked for that."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Source = Literal["pypi", "osv"]

_ANSWER_S = 5
_AUDIT_S = 110
# A mirror of the index need not have what the index says of vulnerabilities: one question tells.
_PROBES: dict[Source, tuple[str, bytes | None]] = {
    "pypi": ("https://pypi.org/pypi/pip/20.0/json", None),
    "osv": (
        "https://api.osv.dev/v1/query",
        b'{"package":{"name":"pip","ecosystem":"PyPI"},"version":"20.0"}',
    ),
}


class Finding(NamedTuple):
    """A vulnerability that is known of a package."""

    package: str
    version: str
    advisory: str


def find_source() -> Source | None:
    """Find a source of advisories that answers and knows what is known of an old pip; None if none does."""
    for name, (url, question) in _PROBES.items():
        try:
            with urllib.request.urlopen(url, question, timeout=_ANSWER_S) as answer:
                said = json.load(answer)
        except (OSError, ValueError):
            continue
        if said.get("vulnerabilities") or said.get("vulns"):
            return name
    return None


def audit(locks: Iterable[Path], source: Source, *, but: Iterable[str] = ()) -> list[Finding]:
    """Ask for every package of these locks.

    Args:
        locks: Requirements with versions and hashes.
        source: Whom to ask.
        but: Advisories that do not concern us.
    """
    arguments = [sys.executable, "-m", "pip_audit", "--service", source, "--disable-pip", "--format", "json"]
    arguments += [part for lock in locks for part in ("--requirement", str(lock))]
    arguments += [part for advisory in but for part in ("--ignore-vuln", advisory)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=_AUDIT_S, check=False)
    if not done.stdout:
        raise RuntimeError(done.stderr[-2000:])
    return read(done.stdout)


def read(report: str) -> list[Finding]:
    """Read pip-audit's report; a package that it could not ask for is no clean one."""
    dependencies = json.loads(report)["dependencies"]
    unknown = [entry["name"] for entry in dependencies if "skip_reason" in entry]
    if unknown:
        message = f"not audited: {', '.join(unknown)}"
        raise RuntimeError(message)
    return [
        Finding(entry["name"], entry["version"], vulnerability["id"])
        for entry in dependencies
        for vulnerability in entry["vulns"]
    ]
