"""The operator's key: `admin_key` of the configuration, which works when nothing else does."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from lmaas_gateway.errors import AuthenticationError
from lmaas_gateway.identity.authenticator import KEY_HEADERS, read_credential

if TYPE_CHECKING:
    from starlette.requests import Request


class OperatorKey:
    """Knows the operator.

    Args:
        key: The operator's; none lets nobody be one.
    """

    def __init__(self, key: str | None) -> None:
        self._key = None if key is None else key.encode()

    def is_in(self, request: Request) -> bool:
        """Tell whether a request comes from the operator.

        Raises:
            AuthenticationError: it has no key at all.
            InvalidHeaderError: it has two that differ.
        """
        held = [header for header in request.scope["headers"] if header[0] in KEY_HEADERS]
        return self.matches(read_credential(held))

    def matches(self, credential: bytes) -> bool:
        """Tell whether this is the operator's key."""
        return self._key is not None and hmac.compare_digest(credential, self._key)

    def require(self, request: Request) -> None:
        """Let a request go on that comes from the operator.

        Raises:
            AuthenticationError: it does not.
            InvalidHeaderError: it has two keys that differ.
        """
        if not self.is_in(request):
            raise AuthenticationError("This is for the operator: send `admin_key` of the configuration.")
