"""A run on disk, so that one that was stopped goes on where it was.

The first line is the head: what is measured. Each other line is a leg that has ended. A leg that was cut
short is not there, and is measured again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lmaas.errors import ConfigurationError
from lmaas.measuring._rows import Leg

_FORMAT: Final = 1


class Journal:
    """The file of one run.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, head: Mapping[str, Any]) -> None:
        """Write the head of a new run.

        Raises:
            ConfigurationError: there is such a file already, or it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("x", encoding="utf-8") as file:
                file.write(_line({"format": _FORMAT, **head}))
        except FileExistsError:
            if not self.path.exists():  # a file stands where its folder should be
                raise ConfigurationError(f"{self.path.parent.name} is no folder.") from None
            message = f"{self.path.name} is there already; go on with --resume, or give another --run."
            raise ConfigurationError(message) from None
        except OSError as error:
            raise ConfigurationError(f"{self.path.name} cannot be written: {error.strerror}.") from None

    def note_models(self, models: Mapping[str, str]) -> None:
        """Write down which model of each target is called."""
        self._append({"models": dict(models)})

    def append(self, leg: Leg) -> None:
        """Write down a leg that has ended, whole, before returning."""
        self._append({"leg": leg.to_dict()})

    def _append(self, row: Mapping[str, Any]) -> None:
        data = _line(row).encode()
        with self.path.open("ab", buffering=0) as file:
            if not _ends_whole(self.path):
                data = b"\n" + data
            file.write(data)

    def read(self) -> tuple[dict[str, Any], tuple[Leg, ...]]:
        """Return the head, with `models` if they are known, and all legs; a broken last line does not count.

        Raises:
            ConfigurationError: there is no such file, or it is none of these.
        """
        try:
            lines = self.path.read_text("utf-8", errors="replace").split("\n")
        except OSError as error:
            raise ConfigurationError(f"{self.path.name} cannot be read: {error.strerror}.") from None
        rows = [row for row in map(_parsed, lines) if row is not None]
        if not rows or rows[0].get("format") != _FORMAT:
            raise ConfigurationError(f"{self.path.name} is no journal of this release's `lmaas bench`.")
        head = dict(rows[0])
        for row in rows[1:]:
            head |= {"models": row["models"]} if "models" in row else {}
        return head, tuple(Leg.from_dict(row["leg"]) for row in rows[1:] if "leg" in row)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
