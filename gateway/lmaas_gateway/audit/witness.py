"""The file of checkpoints, apart from the database: best where it can only be appended to."""

from __future__ import annotations

import base64
import fcntl
import os
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.audit.checkpoints import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lmaas_gateway.settings import Settings


FILE_NAME = "audit-checkpoints.jsonl"


def witness_path(settings: Settings) -> Path:
    """Where the settings say that the file is."""
    return settings.audit.checkpoint_file or settings.data_folder() / FILE_NAME


class _Line(msgspec.Struct):
    """A line as it is read by people and other programs."""

    seq: int
    at: int
    size: int
    head: str
    signature: str
    public_key: str


class Witness:
    """Appends checkpoints to a file, and reads them.

    Args:
        path: JSON lines.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, checkpoints: Iterable[Checkpoint], public_key: bytes) -> None:
        """Append those that are not there yet; they are on the disk when this returns.

        Raises:
            OSError: the file cannot be written.
        """
        opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(opened, "ab") as file:
            # The workers of a host share the file; the lock ends with the file's last use.
            fcntl.flock(file, fcntl.LOCK_EX)
            known = set(self.read())
            lines = (_encode(each, public_key) for each in checkpoints if each not in known)
            # Each begins a line of its own, whatever the power left of the last one.
            file.write(b"".join(b"\n" + line for line in lines))
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Checkpoint]:
        """Give all that can be read; a line that was cut short says nothing.

        Raises:
            OSError: there is a file that cannot be read.
        """
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [checkpoint for line in lines if (checkpoint := _decode(line)) is not None]


def _encode(checkpoint: Checkpoint, public_key: bytes) -> bytes:
    return msgspec.json.encode(
        _Line(
            checkpoint.seq,
            checkpoint.at,
            checkpoint.size,
            checkpoint.head.hex(),
            base64.b64encode(checkpoint.signature).decode(),
            base64.b64encode(public_key).decode(),
        )
    )


def _decode(line: bytes) -> Checkpoint | None:
    try:
        fields = msgspec.json.decode(line, type=_Line)
        head, signature = bytes.fromhex(fields.head), base64.b64decode(fields.signature, validate=True)
    except (msgspec.DecodeError, ValueError):
        return None
    return Checkpoint(seq=fields.seq, at=fields.at, size=fields.size, head=head, signature=signature)
