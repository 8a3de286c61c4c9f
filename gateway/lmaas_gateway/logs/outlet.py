"""Where log lines go: to standard output and standard error, or all to a file."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.logs.files import RotatingFile
from lmaas_gateway.logs.lines import configure
from lmaas_gateway.logs.writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmaas_gateway.logs.writer import Sink
    from lmaas_gateway.settings import LogFileSettings


@contextlib.contextmanager
def opened(rules: LogFileSettings, level: str) -> Iterator[Callable[[bytes], None]]:
    """Send log lines where the settings say, until the end of the block; give what takes those of calls.

    Raises:
        SettingsError: the file cannot be written.
    """
    writer = LineWriter(_sink(rules))
    configure(level, None if rules.path is None else writer.write)
    try:
        yield writer.write
    finally:
        writer.close()


def _sink(rules: LogFileSettings) -> Sink:
    if rules.path is None:
        return io.FileIO(sys.stdout.fileno(), "wb", closefd=False)
    try:
        return RotatingFile(rules.path, max_bytes=rules.max_bytes, keep=rules.keep)
    except OSError as error:
        message = f"log_file.path {rules.path} cannot be written: {error.strerror}"
        raise SettingsError(message) from None
