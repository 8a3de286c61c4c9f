"""Where a body goes that may not fit the memory: into a file, piece by piece."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias


class Writable(Protocol):
    """A file that takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""
        ...


Target: TypeAlias = "str | os.PathLike[str] | Writable"
"""A path, or a binary file that is open."""


@contextmanager
def opened(target: Target) -> Iterator[Writable]:
    """Give a file to write to. One at a path has its name once it is whole; what breaks off leaves nothing.

    Raises:
        OSError: it cannot be written.
    """
    if not isinstance(target, str | os.PathLike):
        yield target
        return
    path = Path(target)
    draft = path.with_name(path.name + ".part")
    try:
        with draft.open("wb") as file:
            yield file
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
