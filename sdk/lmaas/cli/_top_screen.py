"""`lmaas top` in a terminal: drawn anew for each view, as wide and as high as the terminal is then."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Self

from rich.live import Live
from rich.table import Table
from rich.text import Text

from lmaas._shown import without_controls
from lmaas.cli._top_rows import (
    MODELS,
    REPLICAS,
    alert_lines,
    headline,
    model_rows,
    replica_rows,
    sparkline,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from rich.console import Console, ConsoleOptions, RenderableType

    from lmaas.cli._top_rows import Row
    from lmaas.cli._top_spend import Surroundings
    from lmaas.types import LiveView

_SECONDS: Final = 60
# A table's frame: a line above and below its header, one at its end, the title and a blank line.
_FRAME_LINES: Final = 6
_MAX_WORDS: Final = 24
# In a narrow terminal these are left out, the last of them first.
_DISPENSABLE: Final = (
    "TOKENS/S", "BUSY", "ERRORS", "CALLS", "KV CACHE", "TTFT P50", "WAIT", "RUN", "QUEUE", "$/H", "MODEL",
    "TOKEN P50", "P95", "WAIT P95",
)  # fmt: skip
_STYLES: Final = {
    "ready": "green",
    "degraded": "yellow",
    "starting": "yellow",
    "draining": "yellow",
    "suspect": "yellow",
    "cooling": "yellow",
    "ejected": "red",
    "down": "red",
    "unavailable": "red",
    "failed": "red",
}


class Screen:
    """The terminal, for as long as the block lasts.

    Args:
        around: What is shown beside the numbers.
        console: Where it is drawn; default: the terminal.
    """

    def __init__(self, around: Surroundings, console: Console | None = None) -> None:
        self._around = around
        self._view: LiveView | None = None
        self._problem = ""
        self._calls: deque[float] = deque(maxlen=_SECONDS)
        self._tokens: deque[float] = deque(maxlen=_SECONDS)
        self._live = Live(
            self,
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self, problem: str) -> None:
        """Show why nothing comes; what was shown stays."""
        self._problem = problem
        self._live.refresh()

    def show(self, view: LiveView) -> None:
        """Show a view."""
        self._view, self._problem = view, ""
        self._calls.append(view.last.calls)
        self._tokens.append(view.last.completion_tokens)
        self._live.refresh()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        view = self._view
        if self._problem:
            yield _text(self._problem, "bold red")
        if view is None:
            if not self._problem:
                yield _text("waiting for the gateway", "dim")
            return
        yield _text(headline(view, self._around), "bold")
        alerts = alert_lines(self._around)
        for line in alerts[:3]:
            yield _text(line, "red")
        yield _text(f"calls/s  {sparkline(self._calls)}   tokens/s  {sparkline(self._tokens)}", "cyan")
        left = console.size.height - 3 - min(len(alerts), 3) - bool(self._problem)
        models, replicas = model_rows(view, self._around), replica_rows(view)
        # Models are few and matter more; replicas get what is left.
        shown = max(1, min(len(models), left - 2 * _FRAME_LINES))
        width = options.max_width
        yield _drawn("Models", *fitting(MODELS, models, width), shown)
        most = max(0, left - shown - 2 * _FRAME_LINES)
        yield _drawn("Replicas", *fitting(REPLICAS, replicas, width), most)


def fitting(header: Sequence[str], rows: Sequence[Row], width: int) -> tuple[Sequence[str], Sequence[Row]]:
    """Leave columns out until the others are not cut; the last ones of `_DISPENSABLE` go first."""
    kept = [*range(len(header))]
    widths = [max(len(row[number]) for row in (header, *rows)) for number in kept]
    # What is long is words, which may be cut.
    widths = [min(one, _MAX_WORDS) for one in widths]
    for name in reversed(_DISPENSABLE):
        if sum(widths[number] + 3 for number in kept) + 1 <= width:
            break
        kept = [number for number in kept if number == 0 or header[number] != name]
    return [header[number] for number in kept], [tuple(row[number] for number in kept) for row in rows]


def _drawn(title: str, header: Sequence[str], rows: Sequence[Row], most: int) -> Table:
    """Draw a table of so many rows at most, and say how many more there are."""
    hidden = len(rows) - most if len(rows) > most else 0
    drawn = Table(
        title=Text(f"{title} (and {hidden} more)" if hidden else title, style="dim"),
        title_justify="left",
        expand=True,
    )
    for number, name in enumerate(header):
        is_words = name in {"MODEL", "REPLICA", "STATE", "PROBLEM"}
        drawn.add_column(
            Text(name),
            justify="left" if is_words else "right",
            no_wrap=True,
            ratio=2 if number == 0 else None,
        )
    for row in rows[:most] if hidden else rows:
        drawn.add_row(*(_text(cell, _STYLES.get(cell, "")) for cell in row))
    return drawn


def _text(words: str, style: str) -> Text:
    # Names and problems are others': no markup of theirs, and nothing that moves the cursor.
    return Text(without_controls(words), style=style, no_wrap=True, overflow="ellipsis")
