"""Which releases of vLLM may serve strangers: those before 0.32.0 fall to a single request of anybody."""

from __future__ import annotations

import re

import msgspec

# Source: CVE-2026-115911 and CVE-2026-115918: a chat template of the caller's blocks every chat endpoint.
MIN_VERSION = (0, 32, 0)
_RELEASE = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


class _Version(msgspec.Struct):
    version: str


_VERSIONS = msgspec.json.Decoder(_Version)


def read_version(status: int, body: bytes) -> str | None:
    """Read the answer to `/version`; None if it is not vLLM's, as of other engines."""
    if status != 200:
        return None
    try:
        return _VERSIONS.decode(body).version[:64]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def is_too_old(version: str | None) -> bool:
    """Tell whether a version is known and before `MIN_VERSION`; one that nobody told is not."""
    release = None if version is None else _RELEASE.match(version)
    return release is not None and tuple(int(part or 0) for part in release.groups()) < MIN_VERSION
