"""What watching must not forget with its process, in two small files that all workers of a gateway read.

One process watches and writes what it knows; any of them may take a silence, which the watching one reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from typing import TYPE_CHECKING, TypeVar

import msgspec

from lmaas_gateway.watching.alerts import Alert, Silence
from lmaas_gateway.watching.burn import Counts
from lmaas_gateway.watching.history import Bars
from lmaas_gateway.watching.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOG = logging.getLogger("lmaas.gateway")

T = TypeVar("T")


class Kept(msgspec.Struct):
    """What the watching process knows.

    Attributes:
        histories: The counts of each objective, by its window.
        last: What was read last of each sum.
        undelivered: By the name of the webhook, the oldest first.
    """

    alerts: list[Alert] = []
    histories: dict[str, dict[float, Bars]] = {}
    last: dict[str, Counts] = {}
    undelivered: dict[str, list[Message]] = {}


class _KeptAlerts(msgspec.Struct):
    """The part of it that people see; the rest is not even decoded for them."""

    alerts: list[Alert] = []


class Keeping:
    """The files.

    Args:
        folder: Made if it is not there; nobody else may read it.
        name: Of the gateway, where several share the folder.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._kept = folder / f"alerts-{name}.msgpack"
        self._silences = folder / f"silences-{name}.json"
        self._saving = threading.Lock()

    def load(self) -> Kept:
        """Read what was kept; nothing if there is none, or it cannot be read."""
        return _read(self._kept, msgspec.msgpack.Decoder(Kept)) or Kept()

    def alerts(self) -> list[Alert]:
        """Read the alerts alone."""
        kept = _read(self._kept, msgspec.msgpack.Decoder(_KeptAlerts))
        return [] if kept is None else kept.alerts

    def encode(self, kept: Kept) -> bytes:
        """Write what is to be kept as it is now, for `save`."""
        return msgspec.msgpack.encode(kept)

    def save(self, data: bytes) -> None:
        """Put the file in place, in one step. It may block: call it in a thread."""
        with self._saving, contextlib.suppress(OSError):
            _write(self._kept, data)

    def silences(self) -> dict[str, Silence]:
        """Read the silences, those that are over too."""
        return _read(self._silences, msgspec.json.Decoder(dict[str, Silence])) or {}

    def silence(self, id_: str, silence: Silence | None, at_s: float) -> None:
        """Silence an alert, or no longer.

        Raises:
            OSError: it cannot be written.
        """
        with _locked(self._silences.with_suffix(".lock")):
            silences = {one: kept for one, kept in self.silences().items() if kept.until_s > at_s}
            silences.pop(id_, None)
            if silence is not None:
                silences[id_] = silence
            _write(self._silences, msgspec.json.encode(silences))


def _read(path: Path, decoder: msgspec.msgpack.Decoder[T] | msgspec.json.Decoder[T]) -> T | None:
    try:
        return decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        _LOG.warning("%s cannot be read (%s); beginning anew", path.name, type(error).__name__)
        return None


def _write(path: Path, data: bytes) -> None:
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, for its permissions
        file.write(data)
    draft.replace(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
