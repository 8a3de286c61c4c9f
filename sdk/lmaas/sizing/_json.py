"""JSON of a file that a stranger wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmaas.sizing._errors import SizingError


def read_json(path: Path, longest_bytes: int) -> Any:
    """Read a JSON file of bounded size.

    Raises:
        SizingError: it cannot be read, is longer than allowed, or is not JSON; the message names the file.
    """
    try:
        with path.open("rb") as file:
            text = file.read(longest_bytes + 1)
    except OSError as error:
        raise SizingError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(text) > longest_bytes:
        raise SizingError(f"{path.name} is longer than {longest_bytes} bytes")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise SizingError(f"{path.name} is not JSON") from None
