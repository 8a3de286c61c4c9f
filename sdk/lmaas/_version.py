"""The version, written out: reading package metadata would double the time of `import lmaas`."""

from __future__ import annotations

__version__ = "0.1.0"
