"""Where the settings of a gateway come from, to be read again and again."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmaas_gateway.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Source:
    """File, environment and command line of one gateway.

    Attributes:
        config: The file that was named on the command line.
        flags: What else was said there.
    """

    config: Path | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @property
    def path(self) -> Path | None:
        """The configuration file, if there is one."""
        named = self.environ.get("LMAAS_CONFIG")
        return self.config or (Path(named) if named else None)

    def load(self) -> Settings:
        """Read all of it.

        Raises:
            SettingsError: the file cannot be read, or a setting cannot work.
        """
        return load_settings(self.path, self.flags, self.environ)
