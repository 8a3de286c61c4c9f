"""Reading an engine's log for people: how far its start has come, and why it failed."""

from __future__ import annotations

import re
from pathlib import Path

_TAIL_BYTES = 64 * 2**10
_MAX_REASON_CHARS = 240

_PHASES = (
    ("Loading weights took", "step 4 of 4, making the KV cache"),
    ("Initializing a V1 LLM engine", "step 3 of 4, loading the weights"),
    ("non-default args", "step 2 of 4, starting the engine core"),
)
_ERROR = re.compile(r"\b(?:\w+(?:Error|Exception)|error): (.+)")
# What vLLM's API server says when its engine core has failed; the cause stands further up.
_SECONDARY = "Engine core initialization failed"
_ADDRESS = re.compile(r"\w+://\S+|(?<![\w.])~?/[^\s'\",:;)\]]+")


def phase(log: Path) -> str:
    """Tell how far an engine's start has come."""
    text = tail(log)
    return next((words for marker, words in _PHASES if marker in text), "step 1 of 4, importing vLLM")


def last_error(log: Path) -> str | None:
    """Return the error that an engine wrote last as one line fit for a caller: no path, no address."""
    causes = [cause for cause in _ERROR.findall(tail(log)) if _SECONDARY not in cause]
    return safe(causes[-1]) if causes else None


def safe(text: str) -> str:
    """Take paths and addresses out of `text`, and shorten it."""
    line = _ADDRESS.sub("…", text.strip().splitlines()[0] if text.strip() else "")
    return line if len(line) <= _MAX_REASON_CHARS else line[: _MAX_REASON_CHARS - 1] + "…"


def tail(log: Path) -> str:
    """Return the end of the log; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
