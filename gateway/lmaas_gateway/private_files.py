"""Files of secrets: nobody but this process's user may read them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def check_private(path: Path, state: os.stat_result, what: str) -> None:
    """Refuse a file that others can read. Root may let a group, as Kubernetes mounts secrets.

    Args:
        path: For the message.
        state: Of the file.
        what: The file holds, for people.

    Raises:
        SettingsError: others can read it; the message says what to run.

    Source: PostgreSQL's manual, "Secure TCP/IP Connections with SSL", on the server's key file.
    """
    if state.st_uid not in {0, os.geteuid()}:
        raise SettingsError(f"{what} {path} belongs to another user; chown it to the one that runs this")
    is_mounted = state.st_uid == 0 and os.geteuid() != 0
    if state.st_mode & (stat.S_IRWXO | (0 if is_mounted else stat.S_IRWXG)):
        raise SettingsError(f"{what} {path} can be read by others; run: chmod 600 {path}")
