"""How far a run over many texts is: told to a function, or drawn as a bar."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from typing import TextIO

_BAR = 24


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        done: Texts that are finished, failed and resumed ones included.
        resumed: Texts whose result was in the journal.
    """

    done: int
    total: int
    failed: int
    resumed: int
    elapsed_s: float

    @property
    def per_s(self) -> float:
        """Texts a second, those of the journal not counted."""
        fresh = self.done - self.resumed
        return fresh / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def __str__(self) -> str:
        facts = [f"{self.done}/{self.total}"]
        if self.resumed:
            facts.append(f"{self.resumed} resumed")
        if self.failed:
            facts.append(f"{self.failed} failed")
        return ", ".join([*facts, f"{self.per_s:.1f}/s"])


class ProgressBar:
    """Draws one line that is drawn over; a file that is no terminal gets nothing.

    Args:
        file: Where it is drawn; left out: standard error.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stderr

    def __call__(self, progress: Progress) -> None:
        """Draw how far the run is; end the line when it is over."""
        if not self._file.isatty():
            return
        filled = round(_BAR * progress.done / max(1, progress.total))
        line = f"[{'#' * filled}{'.' * (_BAR - filled)}] {progress}"
        width = shutil.get_terminal_size().columns - 1
        is_over = progress.done >= progress.total
        self._file.write(f"\r{line[:width]:{width}}" + ("\n" if is_over else ""))
        self._file.flush()
