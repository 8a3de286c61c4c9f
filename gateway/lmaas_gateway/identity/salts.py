"""What keeps the prompts of tenants apart in the engines' prefix caches.

An engine answers sooner where it has read the beginning of a prompt before. Whoever shares its cache can so
find out, by the time, what others have asked. vLLM shares nothing between prompts whose `cache_salt` differs,
so each tenant has one of its own, which nobody outside can guess.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from lmaas_gateway.call import Principal

# 128 bits, as vLLM takes them: neither `/` nor `@`.
_SALT_CHARS = 32


class Salts:
    """Makes the salts of tenants.

    Args:
        key: Of the vault, for this purpose alone.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def give(self, principal: Principal) -> Principal:
        """Give a caller the salt of its tenant."""
        named = f"{principal.organization}/{principal.tenant}".encode()
        salt = hmac.digest(self._key, named, "sha256").hex()[:_SALT_CHARS].encode()
        return msgspec.structs.replace(principal, salt=salt)
