"""What a key looks like, and what is kept of it.

    sk-lmaas-<id: 10>-<secret: 43><checksum: 6>

All in base62. The checksum keeps what is no key away from the database; whoever knows it can still invent
keys, so it proves nothing. The secret does: 256 random bits. Of the whole key only an HMAC is stored, under a
pepper that the database never sees, so that neither the database nor a copy of it helps to make a key.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
from typing import TYPE_CHECKING, NamedTuple, Protocol
from zlib import crc32

if TYPE_CHECKING:
    from typing import Literal

PREFIX = "sk-lmaas-"
"""By which scanners recognise a key that has leaked."""

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_CHARS = 10
_SECRET_CHARS = 43
_CHECK_CHARS = 6
_FORMAT = re.compile(
    rb"sk-lmaas-([0-9A-Za-z]{%d})-[0-9A-Za-z]{%d}([0-9A-Za-z]{%d})" % (ID_CHARS, _SECRET_CHARS, _CHECK_CHARS)
)


class Peppers(Protocol):
    """Gives the secrets that MACs of keys are made with; the vault does."""

    @property
    def newest(self) -> int:
        """The version that new MACs are made with."""
        ...

    def keys_of(self, purpose: Literal["pepper"], version: int | None = None) -> bytes:
        """Give the pepper of a version.

        Raises:
            VaultError: it is not here.
        """
        ...


class NewKey(NamedTuple):
    """A key that was just made.

    Attributes:
        id: Its public part.
        text: All of it, to be shown once and kept nowhere.
        last4: How it ends, by which people recognise it.
        mac: What is stored in its place.
        pepper_version: What that was made with.
    """

    id: str
    text: str
    last4: str
    mac: bytes
    pepper_version: int


def make_key(peppers: Peppers, id_: str | None = None) -> NewKey:
    """Make a key, and what is stored of it.

    Args:
        peppers: Seal it.
        id_: Its public part, `ID_CHARS` of base62; default: a random one.
    """
    id_ = id_ or _random(ID_CHARS)
    body = f"{PREFIX}{id_}-{_random(_SECRET_CHARS)}"
    text = body + _checksum(body.encode()).decode()
    version = peppers.newest
    return NewKey(id_, text, text[-4:], mac_of(text.encode(), peppers.keys_of("pepper", version)), version)


def read_id(credential: bytes) -> str | None:
    """Read the id out of a key; None for what is no key."""
    match = _FORMAT.fullmatch(credential)
    if match is None or match[2] != _checksum(credential[:-_CHECK_CHARS]):
        return None
    return match[1].decode()


def looks_like_key(credential: bytes) -> bool:
    """Tell whether this was meant to be a key of ours."""
    return credential.startswith(PREFIX.encode())


def mac_of(credential: bytes, pepper: bytes) -> bytes:
    """Give what is stored in a key's place."""
    return hmac.digest(pepper, credential, "sha256")


def is_key(credential: bytes, mac: bytes, pepper: bytes) -> bool:
    """Tell whether this is the key whose MAC that is, in a time that tells nothing."""
    return hmac.compare_digest(mac_of(credential, pepper), mac)


def _random(chars: int) -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(chars))


def _checksum(body: bytes) -> bytes:
    rest, digits = crc32(body), ""
    for _ in range(_CHECK_CHARS):
        rest, digit = divmod(rest, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits.encode()
