"""Tell a secret that was drawn at random from one that a person thought of, forgot to change or cut short."""

from __future__ import annotations

import itertools

MIN_CHARS = 32
_MIN_DISTINCT = 10
# Words of examples, of other gateways' defaults and of habit. Long enough not to turn up in a random secret.
_WELL_KNOWN = (
    "changeme",
    "change-me",
    "change_me",
    "changethis",
    "default",
    "example",
    "insecure",
    "master-key",
    "masterkey",
    "password",
    "placeholder",
    "replace",
    "secret",
    "sk-1234",
)


def find_weakness(secret: str) -> str | None:
    """Tell what makes a secret one that could be guessed; None if nothing is seen.

    It guards against accidents. What a person made up with care may pass, and be worse than a random one.
    """
    known = next((word for word in _WELL_KNOWN if word in secret.lower()), None)
    problems = (
        (len(secret) < MIN_CHARS, f"is shorter than {MIN_CHARS} characters"),
        (known is not None, f"holds {known!r}, as examples and defaults do"),
        (len(set(secret)) < _MIN_DISTINCT, f"has fewer than {_MIN_DISTINCT} different characters"),
        (_period(secret) <= len(secret) // 2, "repeats itself"),
        (_steps(secret) > len(secret) // 2, "counts up or down"),
        (_kinds(secret) < 2, "has characters of one kind only, as words have"),
    )
    return next((text for is_so, text in problems if is_so), None)


def _period(text: str) -> int:
    """Give the length of the shortest beginning of which `text` is a repetition."""
    return next((length for length in range(1, len(text)) if text.startswith(text[length:])), len(text))


def _steps(text: str) -> int:
    """Count the characters that follow on the one before them, or repeat it."""
    return sum(abs(ord(after) - ord(before)) <= 1 for before, after in itertools.pairwise(text))


def _kinds(text: str) -> int:
    return sum(any(map(test, text)) for test in (str.islower, str.isupper, str.isdigit))
