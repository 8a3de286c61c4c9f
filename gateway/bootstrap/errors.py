"""What can go wrong before the service exists. Every message is a sentence a newcomer can act on.

BootstrapError
├── PreflightError   this machine lacks something; nothing was installed (exit code 2)
└── ToolError        an installer failed; its last lines and its log file (exit code 1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class BootstrapError(Exception):
    """Something stopped the set-up; `str()` is the message for the terminal."""

    exit_code = 1


class PreflightError(BootstrapError):
    """The machine lacks something that the service needs."""

    exit_code = 2


class ToolError(BootstrapError):
    """A tool that was run for the set-up failed."""

    def __init__(self, title: str, exit_code: int, last_lines: Sequence[str], log: Path) -> None:
        """`exit_code` is the tool's own, negative for the signal that ended it."""
        quoted = "".join(f"\n    {line}" for line in last_lines)
        super().__init__(
            f"{title} failed (exit code {exit_code}); its last lines were:{quoted}\n  all of it: {log}"
        )
