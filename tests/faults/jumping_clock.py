"""`lmaas` under a wall clock that is off by what a file says: `jumping_clock.py OFFSET_FILE serve …`."""

from __future__ import annotations

import mmap
import struct
import sys
import time
from pathlib import Path

_OFFSET = struct.Struct("d")


def set_offset(path: Path, seconds: float) -> None:
    """Set the clock of every process that runs under `path`."""
    if not path.exists():
        path.write_bytes(bytes(_OFFSET.size))
    with path.open("r+b") as file:
        file.write(_OFFSET.pack(seconds))


def main() -> None:
    """Replace the clock before anything can have taken it, then run `lmaas`."""
    with Path(sys.argv.pop(1)).open("r+b") as file:
        shared = mmap.mmap(file.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)
    true_time = time.time
    time.time = lambda: true_time() + _OFFSET.unpack_from(shared)[0]
    from lmaas.cli import main as lmaas  # noqa: PLC0415 - after the clock

    sys.exit(lmaas())


if __name__ == "__main__":
    main()
