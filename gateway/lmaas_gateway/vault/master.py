"""The master secret: read where the operator keeps it, or made at the first start; several versions at once.

A line is `VERSION:SECRET`; what stands alone is version 1. In a variable commas take the place of line ends.
"""

from __future__ import annotations

import os
import re
import secrets
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.private_files import check_private
from lmaas_gateway.vault.strength import find_weakness

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Masters = Mapping[int, bytes]

FILE_NAME = "master.key"
_MAKE_ONE = "make one with: openssl rand -base64 32"
_LINE = re.compile(r"(?:(?P<version>[1-9][0-9]{0,3}):)?(?P<secret>\S+)")
_HEADING = (
    "# The master secret of an lmaas gateway: keys of callers, contents and the audit log depend on it.\n"
    "# Keep a copy in a safe place, apart from the database. Without it they are lost.\n"
)


def parse(text: str, where: str) -> Masters:
    """Read the versions of a secret.

    Args:
        text: One a line, or with commas between them.
        where: What the text is, for people.

    Raises:
        SettingsError: there is none, or one could be guessed. What it says holds none.
    """
    masters: dict[int, bytes] = {}
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for part in filter(None, map(str.strip, ",".join(lines).split(","))):
        match = _LINE.fullmatch(part)
        if match is None:
            raise SettingsError(f"{where} has a line that is not VERSION:SECRET, as in 1:…; {_MAKE_ONE}")
        version = int(match["version"] or 1)
        if version in masters:
            raise SettingsError(f"{where} has version {version} twice; number each secret, as in 2:…")
        weakness = find_weakness(match["secret"])
        if weakness is not None:
            raise SettingsError(f"{where} {weakness}, so that it could be guessed; {_MAKE_ONE}")
        masters[version] = match["secret"].encode()
    if not masters:
        raise SettingsError(f"{where} holds no secret; {_MAKE_ONE}")
    return masters


def read(path: Path) -> Masters:
    """Read the versions of a secret from a file that nobody else can read.

    Raises:
        SettingsError: it cannot be read, others can read it too, or a secret could be guessed.
    """
    try:
        with path.open("r", encoding="utf-8") as file:
            check_private(path, os.fstat(file.fileno()), "the master key file")
            text = file.read()
    except OSError as error:
        raise SettingsError(
            f"the master key file {path} cannot be read: {error.strerror}; put the copy of it that you kept "
            "in its place"
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"the master key file {path} is not text; {_MAKE_ONE}") from None
    return parse(text, f"the master key file {path}")


def make(path: Path) -> Masters:
    """Make a first secret, unless another process is faster; give the one that is there then.

    Raises:
        SettingsError: the file cannot be written or read.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = _write_draft(path, {1: _draw()})
        try:
            # A link is made whole or not at all, and never over a file that is there.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise SettingsError(
            f"the master key file {path} cannot be made: {error.strerror}; set data_dir to a folder that "
            "can be written, or LMAAS_MASTER_KEY"
        ) from None
    return read(path)


def add_version(path: Path) -> int:
    """Draw a new version beside those that a file has; the file changes as a whole or not at all.

    Raises:
        SettingsError: the file cannot be read or written.
    """
    masters = dict(read(path))
    version = max(masters) + 1
    masters[version] = _draw()
    try:
        _write_draft(path, masters).replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise SettingsError(f"the master key file {path} cannot be changed: {error.strerror}") from None
    return version


def _draw() -> bytes:
    while True:
        secret = secrets.token_urlsafe(32)
        if find_weakness(secret) is None:
            return secret.encode()


def _write_draft(path: Path, masters: Masters) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    lines = (f"{version}:{secret.decode()}\n" for version, secret in sorted(masters.items()))
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_HEADING + "".join(lines))
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
