"""Whether a request that changes something was sent by a page of ours, and not by one of somebody else's.

Two proofs, both needed: the browser says where the request comes from, and the request holds a token that
only our pages can read, made from the cookie.

Source: OWASP Cross-Site Request Forgery Prevention Cheat Sheet; Fetch Metadata Request Headers (W3C).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from lmaas_gateway.errors import PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER = "x-csrf-token"
FIELD = "csrf"


def token_of(cookie: str) -> str:
    """Give the token of the pages of a browser with this cookie, which tells nothing of the cookie."""
    digest = hmac.digest(cookie.encode(), b"lmaas csrf", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def require_own_page(headers: Mapping[str, str], scheme: str, public_url: str | None) -> None:
    """Let a request go on that a page of this gateway has sent.

    Args:
        headers: Of the request.
        scheme: That it came by.
        public_url: The origin of our pages; None for what the browser calls this host.

    Raises:
        PermissionDeniedError: another page sent it, or that cannot be told.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    expected = public_url or f"{scheme}://{headers.get('host', '')}".lower()
    is_own = site == "same-origin" if origin is None else origin.lower() == expected
    if not is_own or site not in {None, "same-origin"}:
        raise PermissionDeniedError(
            "This was not sent by a page of this gateway. If there is a proxy before it, set "
            "`dashboard.public_url` to the address that browsers use."
        )


def require_token(given: str, cookie: str) -> None:
    """Let a request go on that holds the token of its cookie.

    Raises:
        PermissionDeniedError: it does not.
    """
    if not cookie or not hmac.compare_digest(given.encode(), token_of(cookie).encode()):
        raise PermissionDeniedError(
            "The page is too old, or was opened by somebody else; reload it and try again."
        )
