"""The aiohttp client that a program gives to `AsyncLMaaS`. Light: aiohttp is imported when one is made."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from lmaas import errors

if TYPE_CHECKING:
    import aiohttp

_MAX_CONNECTIONS: Final = 1000
_KEEP_ALIVE_S: Final = 4.0  # a gateway on uvicorn closes idle connections after 5 s


class DefaultAioHttpClient:
    """Give one to `AsyncLMaaS(http_client=...)` to have calls sent by aiohttp in place of httpx.

    The client that it is given to closes it. For proxies, certificates or cookies of your own, give an
    `aiohttp.ClientSession` instead, which stays yours to close.

    Raises:
        ConfigurationError: aiohttp is not installed.
    """

    def __init__(self, *, max_connections: int = _MAX_CONNECTIONS) -> None:
        import_aiohttp()
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    def session(self) -> aiohttp.ClientSession:
        """Return the session, made at the first call: aiohttp wants a running event loop for it."""
        if self._is_closed:
            raise RuntimeError("The client has been closed; make another one.")
        if self._session is None:
            from urllib.request import getproxies  # noqa: PLC0415 - 20 ms, with the first call

            aiohttp = import_aiohttp()
            connector = aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=_KEEP_ALIVE_S)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                # Asked for each call, the environment costs more than the rest of it.
                trust_env=bool(getproxies()),
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def is_aiohttp(http_client: object) -> bool:
    """Tell whether `http_client` is for this module, without importing aiohttp."""
    aiohttp = sys.modules.get("aiohttp")
    return isinstance(http_client, DefaultAioHttpClient) or (
        aiohttp is not None and isinstance(http_client, aiohttp.ClientSession)
    )


def import_aiohttp() -> Any:
    """Return the module aiohttp.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import aiohttp  # noqa: PLC0415 - an extra, and 165 ms
    except ImportError:
        message = "aiohttp is not installed; run `pip install lmaas[aiohttp]`."
        raise errors.ConfigurationError(message) from None
    return aiohttp
