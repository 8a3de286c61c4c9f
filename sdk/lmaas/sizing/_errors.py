"""What sizing refuses, with what to give instead."""

from __future__ import annotations

from lmaas.errors import ConfigurationError


class SizingError(ConfigurationError):
    """A model, a file or a split that cannot be sized; the message says which, why, and what to do."""
