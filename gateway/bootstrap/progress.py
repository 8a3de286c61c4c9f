"""One line for each long step: what, how far, how long; refreshed in place where that can be seen."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_REFRESH_S = 2.0  # not oftener: what `detail` counts on disk costs half a second of one core
_REPEAT_S = 10.0


class Progress:
    """Tells how the steps of a set-up go.

    On a terminal the line of a step is rewritten in place; elsewhere it is repeated every 10 s.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        is_terminal: bool,
        columns: int = 80,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`columns` is the terminal's width; a longer line could not be rewritten."""
        self._stream = stream
        self._is_terminal = is_terminal
        self._columns = columns
        self._clock = clock
        self._steps = 0
        self._done = 0
        self._title = ""
        self._started_s = 0.0
        self._last_shown_s = 0.0

    def expect(self, steps: int) -> None:
        """Announce that so many steps will follow."""
        self._steps = steps
        self._done = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Frame one step; its closing line gives its whole time."""
        self._done += 1
        self._steps = max(self._steps, self._done)
        self._title = title
        self._started_s = self._clock()
        self._show("starting")
        try:
            yield
        except BaseException:
            self._show("failed", is_last=True)
            raise
        self._show("done", is_last=True)

    def update(self, detail: Callable[[], str]) -> None:
        """Tell how far the step is; cheap to call often, as `detail` is asked only when it is shown."""
        wait_s = _REFRESH_S if self._is_terminal else _REPEAT_S
        if self._clock() - self._last_shown_s >= wait_s:
            self._show(detail())

    def _show(self, detail: str, *, is_last: bool = False) -> None:
        self._last_shown_s = self._clock()
        elapsed_s = self._last_shown_s - self._started_s
        line = f"[{self._done}/{self._steps}] {self._title} · {elapsed_s:.0f} s · {detail}"
        if self._is_terminal:
            line = f"\r\x1b[K{line[: self._columns - 1]}"
        self._stream.write(line if self._is_terminal and not is_last else f"{line}\n")
        self._stream.flush()
