"""Fields of a JSON object that a stranger wrote, read with messages that name the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmaas.sizing._errors import SizingError

_MOST = 10**9
_REQUIRED = -1


class Fields:
    """Reads whole numbers, flags and lists of an object; null counts as missing."""

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        self._values = values
        self._place = place

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self._values.get(name) is not None

    def whole(self, *names: str, default: int = _REQUIRED, lowest: int = 0) -> int:
        """Return the first of these fields that is there.

        Raises:
            SizingError: none is there and no default is given, or it is not a whole number from `lowest` to
                10^9 (from 1, without a default).
        """
        for name in names:
            value = self._values.get(name)
            if value is None:
                continue
            lowest = 1 if default == _REQUIRED else lowest
            if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= _MOST:
                wanted = f"a whole number from {lowest} to {_MOST}"
                raise SizingError(f"{self._place}: {name} must be {wanted}, not {value!r:.60}")
            return value
        if default == _REQUIRED:
            raise SizingError(f"{self._place}: {' or '.join(names)} is missing")
        return default

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a field that is true or false; `default` if it is missing.

        Raises:
            SizingError: it is neither.
        """
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise SizingError(f"{self._place}: {name} must be true or false, not {value!r:.60}")
        return value

    def text(self, name: str, default: str) -> str:
        """Return a field as text; `default` if it is missing."""
        value = self._values.get(name)
        return default if value is None else str(value)

    def words(self, name: str) -> list[str] | None:
        """Return a list of words; None if it is missing.

        Raises:
            SizingError: it is no list of words, or an endless one.
        """
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > 10_000 or not all(isinstance(w, str) for w in value):
            raise SizingError(f"{self._place}: {name} must be a list of words")
        return value

    def length(self, name: str) -> int:
        """Return how long a list is; 0 if it is missing."""
        value = self._values.get(name)
        return len(value) if isinstance(value, list) else 0

    def sizes(self, name: str) -> list[int]:
        """Return a list of one to three sizes; an empty one if it is missing.

        Raises:
            SizingError: it is something else.
        """
        value = self._values.get(name)
        if value is None:
            return []
        wrong = not isinstance(value, list) or not 1 <= len(value) <= 3
        if wrong or not all(isinstance(size, int) and 1 <= size <= _MOST for size in value):
            raise SizingError(f"{self._place}: {name} must be a list of sizes, not {value!r:.60}")
        return list(value)

    def group(self, *names: str) -> int:
        """Return a group's size; 0 where it is missing, or -1 says that there are no groups."""
        if any(self._values.get(name) == -1 for name in names):
            return 0
        return self.whole(*names, default=0)

    def part(self, name: str) -> Fields:
        """Return an object within; an empty one if it is missing.

        Raises:
            SizingError: it is no object.
        """
        value = self._values.get(name, {})
        if not isinstance(value, Mapping):
            raise SizingError(f"{self._place}: {name} must be an object, not {value!r:.60}")
        return Fields(value, f"{self._place}: {name}")

    def first(self, name: str) -> Fields:
        """Return the first object within an object; an empty one if there is none.

        Raises:
            SizingError: it, or what it holds, is no object.
        """
        groups = self.part(name)
        return groups.part(next(iter(groups._values), ""))  # noqa: SLF001 - its own class
