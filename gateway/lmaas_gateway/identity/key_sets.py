"""The public keys of identity providers: fetched off the loop, within bounds, and kept while that fails."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import math
import ssl
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from jwt import PyJWK, PyJWTError

from lmaas_gateway.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lmaas_gateway.settings import IssuerSettings

_LOG = logging.getLogger("lmaas.gateway")
_TIMEOUT_S = 5.0
_MAX_BYTES = 256 * 1024
_MAX_KEYS = 100
_FRESH_S = 300.0
# Who invents key ids must not have us ask the provider for each.
_PAUSE_S = 10.0
# Keys that were withdrawn must not be good for ever because the provider is away.
_STALE_S = 86_400.0
_MIN_RSA_BITS = 2048
_FAMILIES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

Jwk = dict[str, Any]


class Fetch(Protocol):
    """Gets a key set, in a thread."""

    def __call__(self) -> bytes:
        """Give its JSON.

        Raises:
            OSError: it cannot be had.
        """
        ...


class KeySet:
    """The keys of one provider.

    Args:
        fetch: Gets them.
        clock: Monotonic seconds.
    """

    def __init__(self, fetch: Fetch, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: tuple[Jwk, ...] = ()
        self._made: dict[tuple[str, str], PyJWK] = {}
        self._fetched_s = self._tried_s = -math.inf
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        """Find the key that a token names, or the only one that it can mean.

        Args:
            key_id: Only ever compared: no address or path is made of it.
            algorithm: One that is allowed.

        Raises:
            StoreUnavailableError: no keys are here, and none can be had.
        """
        now_s = self._clock()
        if now_s - self._fetched_s >= _FRESH_S:
            await self._refresh()
        found = self._look(key_id, algorithm)
        if found is None and self._clock() - self._tried_s >= _PAUSE_S:
            # The provider may have changed its keys since.
            await self._refresh()
            found = self._look(key_id, algorithm)
        if found is None and self._clock() - self._fetched_s >= _STALE_S:
            raise StoreUnavailableError("The keys of the identity provider cannot be had now; retry.")
        return found

    def _look(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        if self._clock() - self._fetched_s >= _STALE_S:
            return None
        usable = [jwk for jwk in self._keys if _fits(jwk, algorithm)]
        if key_id is not None:
            usable = [jwk for jwk in usable if jwk.get("kid") == key_id]
        return self._make(usable[0], algorithm) if len(usable) == 1 else None

    def _make(self, jwk: Jwk, algorithm: str) -> PyJWK | None:
        name = (json.dumps(jwk, sort_keys=True), algorithm)
        if name not in self._made:
            try:
                made = PyJWK(jwk, algorithm)
            except (PyJWTError, ValueError, TypeError):
                return None
            if jwk["kty"] == "RSA" and made.key.key_size < _MIN_RSA_BITS:
                return None
            self._made[name] = made
        return self._made[name]

    async def _refresh(self) -> None:
        """Fetch the keys; who comes meanwhile waits for the same answer."""
        if self._fetching is None:
            if self._clock() - self._tried_s < _PAUSE_S:
                return
            self._tried_s = self._clock()
            self._fetching = asyncio.create_task(self._fetch_all())
        await asyncio.shield(self._fetching)

    async def _fetch_all(self) -> None:
        try:
            self._keys = _parse(await asyncio.to_thread(self._fetch))
        except (OSError, ValueError, http.client.HTTPException) as error:
            _LOG.warning("the keys of an identity provider cannot be had: %s", error)
        else:
            self._made.clear()
            self._fetched_s = self._clock()
        finally:
            self._fetching = None


def key_set_of(issuer: IssuerSettings) -> KeySet:
    """Make the key set of a provider; nothing is fetched yet."""
    if issuer.jwks_file is not None:
        return KeySet(_FromFile(issuer.jwks_file))
    return KeySet(_FromUrl(issuer.jwks_url or "", issuer.ca_file))


class _FromFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> bytes:
        with self._path.open("rb") as file:
            return file.read(_MAX_BYTES + 1)


class _FromUrl:
    """Fetches over https, from that address alone: a redirect could lead to anybody."""

    def __init__(self, url: str, ca_file: Path | None) -> None:
        self._parts = urlsplit(url)
        self._ca_file = ca_file

    def __call__(self) -> bytes:
        connection = self._connect()
        try:
            target = self._parts.path or "/"
            if self._parts.query:
                target += "?" + self._parts.query
            connection.request("GET", target, headers={"accept": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                message = f"HTTP {response.status}"
                raise OSError(message)
            return response.read(_MAX_BYTES + 1)
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":  # of this machine alone, as the settings have it
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        context = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)


def _parse(text: bytes) -> tuple[Jwk, ...]:
    """Read a key set; raise `ValueError` for what is none."""
    if len(text) > _MAX_BYTES:
        message = f"more than {_MAX_BYTES} bytes"
        raise ValueError(message)
    try:
        body: Mapping[str, Any] = json.loads(text)
        keys: Sequence[Any] = body["keys"]
        return tuple(jwk for jwk in keys[:_MAX_KEYS] if isinstance(jwk, dict))
    except (KeyError, TypeError, RecursionError) as error:
        message = "no set of keys"
        raise ValueError(message) from error


def _fits(jwk: Jwk, algorithm: str) -> bool:
    """Tell whether a key may check signatures of that kind; a shared secret never may."""
    return (
        jwk.get("kty") == _FAMILIES[algorithm[:2]]
        and jwk.get("use", "sig") == "sig"
        and jwk.get("alg", algorithm) == algorithm
    )
