"""Keys for each purpose, made from the master secret, so that one that leaks opens nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lmaas_gateway.errors import VaultError
from lmaas_gateway.vault import master

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmaas_gateway.settings import Settings
    from lmaas_gateway.vault.master import Masters

Purpose = Literal["pepper", "salt", "audit", "session", "wrap", "checkpoint", "webhook"]
"""What a key is for. To use one for two things is how one leak becomes two."""

_KEY_BYTES = 32
# Not secret: it keeps our keys apart from those that others make from the same secret.
_SALT = b"lmaas vault"


class Vault:
    """Gives the keys of each purpose and version; makes no use of them itself.

    Args:
        masters: The master secret's versions, at least one; the highest is the newest.
        read_again: Reads them anew, where another process may have added one.
        path: The file that they come from; None where it is a variable.
    """

    def __init__(
        self, masters: Masters, *, read_again: Callable[[], Masters] | None = None, path: Path | None = None
    ) -> None:
        self._masters = masters
        self._read_again = read_again
        self._keys: dict[tuple[str, int], bytes] = {}
        self.path = path

    @classmethod
    def open(cls, settings: Settings) -> Vault:
        """Read the master secret where the settings say, or make one in `data_dir`.

        Raises:
            SettingsError: it cannot be read or made, could be guessed, or can be read by others.
        """
        if settings.master_key is not None:
            return cls(master.parse(settings.master_key.get_secret_value(), "master_key"))
        path = settings.master_key_file or settings.data_folder() / master.FILE_NAME
        is_ours = settings.master_key_file is None and not path.exists()
        masters = master.make(path) if is_ours else master.read(path)
        return cls(masters, read_again=lambda: master.read(path), path=path)

    @property
    def newest(self) -> int:
        """The version that new keys are made with."""
        return max(self._masters)

    @property
    def versions(self) -> tuple[int, ...]:
        """All versions that are here, the oldest first."""
        return tuple(sorted(self._masters))

    def keys_of(self, purpose: Purpose, version: int | None = None) -> bytes:
        """Give the key of a purpose, 32 bytes.

        Args:
            purpose: What it is for.
            version: Of the master secret; default: the newest.

        Raises:
            VaultError: there is no such version any more, or not here.

        Source: RFC 5869; `info` names purpose and version, so that each pair has a key of its own.
        """
        return self._derive(purpose, self.newest if version is None else version)

    def fingerprint(self, version: int) -> str:
        """Tell one master secret from another without telling anything of it."""
        return self._derive("fingerprint", version).hex()

    def refresh(self) -> None:
        """Take in the versions that were added since.

        Raises:
            SettingsError: the file has become one that cannot be used.
        """
        if self._read_again is not None:
            self._masters = self._read_again()
            self._keys = {key: value for key, value in self._keys.items() if key[1] in self._masters}

    def _derive(self, purpose: str, version: int) -> bytes:
        key = self._keys.get((purpose, version))
        if key is None:
            info = f"lmaas|{purpose}|{version}".encode()
            key = HKDF(SHA256(), _KEY_BYTES, salt=_SALT, info=info).derive(self._master(version))
            self._keys[purpose, version] = key
        return key

    def _master(self, version: int) -> bytes:
        if version not in self._masters:
            self.refresh()
        try:
            return self._masters[version]
        except KeyError:
            raise VaultError(
                f"version {version} of the master secret is not here, only {list(self.versions)}; "
                "add it again to the file or variable that it was taken from"
            ) from None
