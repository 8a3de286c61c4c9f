"""Fetch media for a caller, and nothing else: no inner address, no other name, no more than was agreed.

A name is resolved once, every address that it has must be public, and the connection goes to the address
that was looked at: whatever the name means a moment later changes nothing. Each redirect is looked at alike.
This is the one module of the gateway that names httpx (docs/decisions/0010-hardening.md), which takes as long
to import as much of the gateway: it is done for the first fetch, on a thread.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import socket
import ssl
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from lmaas_gateway.errors import MediaError
from lmaas_gateway.policy.addresses import is_domain_allowed, is_global, parse_target
from lmaas_gateway.policy.places import Places
from lmaas_gateway.policy.sniffing import sniff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import httpx

    from lmaas_gateway.policy.addresses import Target
    from lmaas_gateway.settings import MediaSettings

    Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
    """Gives the addresses of a name."""
    Reach = Callable[[str, int], tuple[str, int]]
    """Tells where an address and port are reached."""

_MAX_REDIRECTS = 3
_MAX_CONNECTIONS = 16
_MAX_CONNECTIONS_EACH = 8
# A look-up cannot be ended, and some take half a minute.
_MAX_LOOKUPS = 16
_MAX_LOOKUPS_EACH = 4
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver, in a thread of its own.

    The loop's threads are few, and whoever connects to a replica by name needs one too. A daemon, since a
    name that is slow must not hold up the end of the process either.
    """
    answer: Future[Any] = Future()
    answer.set_running_or_notify_cancel()
    threading.Thread(target=_look_up, args=(answer, host, port), name="media-name", daemon=True).start()
    return [str(address[0]) for *_, address in await asyncio.wrap_future(answer)]


def _look_up(answer: Future[Any], host: str, port: int) -> None:
    try:
        answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, ValueError) as error:
        answer.set_exception(error)


def reach(address: str, port: int) -> tuple[str, int]:
    """An address is reached where it says."""
    return address, port


class Budget:
    """How much may still be fetched for one call: its fetches share it.

    Args:
        max_bytes: For all of them.
    """

    __slots__ = ("_left_bytes", "_max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = self._left_bytes = max_bytes

    def take(self, size_bytes: int) -> None:
        """Take note of bytes that came.

        Raises:
            MediaError: they are too many.
        """
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise MediaError(f"The media of a call is longer than {self._max_bytes} bytes.")


class MediaFetcher:
    """Turns URLs into data URLs.

    Args:
        resolve: Gives the addresses of a name.
        reach: Tells where an address is reached; tests have their public addresses on this machine.
        tls: Whom to trust.
    """

    def __init__(
        self, *, resolve: Resolve = resolve, reach: Reach = reach, tls: ssl.SSLContext | None = None
    ) -> None:
        self._resolve = resolve
        self._reach = reach
        self._tls = tls
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._places = Places(_MAX_CONNECTIONS, _MAX_CONNECTIONS_EACH)
        self._lookups = Places(_MAX_LOOKUPS, _MAX_LOOKUPS_EACH)

    async def fetch(
        self, url: str, kind: str, settings: MediaSettings, *, budget: Budget | None = None, tenant: str = ""
    ) -> str:
        """Give what is behind `url` as a data URL.

        Args:
            url: The caller's.
            kind: What it must be: `image`, `audio` or `video`.
            settings: Caps, and which domains may be asked.
            budget: What its call may still fetch; by default all that the settings allow.
            tenant: Who asks: nobody takes all places.

        Raises:
            MediaError: it may not be fetched, or was not what it should be.
        """
        httpx = await asyncio.to_thread(importlib.import_module, "httpx")
        try:
            async with asyncio.timeout(settings.timeout_s):
                give_back = await self._places.take(tenant)
                try:
                    content = await self._follow(
                        url, settings, budget or Budget(settings.max_total_bytes), tenant
                    )
                finally:
                    give_back()
        except TimeoutError:
            raise MediaError(f"A media URL did not answer within {settings.timeout_s:g} s.") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
            # What exactly happened would tell a caller about the network that we are in.
            raise MediaError("A media URL could not be fetched.") from None
        media_type = sniff(content)
        if media_type is None or not media_type.startswith(kind):
            raise MediaError(f"A media URL does not hold {kind} in a format that is taken here.")
        return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"

    async def close(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.aclose()

    async def _follow(self, url: str, settings: MediaSettings, budget: Budget, tenant: str) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            target = parse_target(url, is_http_allowed=settings.allow_http)
            response = await self._ask(target, settings, tenant)
            try:
                if response.status_code in _REDIRECTS and "location" in response.headers:
                    url = urljoin(url, response.headers["location"])
                    continue
                if response.status_code != 200:
                    raise MediaError(f"A media URL answered {response.status_code}.")
                return await _read(response, settings.max_bytes, budget)
            finally:
                await response.aclose()
        raise MediaError(f"A media URL was redirected more than {_MAX_REDIRECTS} times.")

    async def _ask(self, target: Target, settings: MediaSettings, tenant: str) -> httpx.Response:
        if not is_domain_allowed(target.host, settings.allowed_domains):
            raise MediaError("Media of that domain is not fetched here; send it as a data: URL.")
        if target.port not in settings.ports and (target.port != 80 or not settings.allow_http):
            raise MediaError("Media of that port is not fetched here; send it as a data: URL.")
        address, port = self._reach(await self._find_address(target, tenant), target.port)
        import httpx  # noqa: PLC0415 - it is there by now

        # The transport itself: no cookies, no redirects, no proxy of the environment, no decompression.
        request = httpx.Request(
            "GET",
            httpx.URL(scheme=target.scheme, host=address, port=port, raw_path=target.path.encode("ascii")),
            headers={"host": target.authority, "accept-encoding": "identity", "user-agent": "lmaas"},
            extensions={"sni_hostname": target.host},
        )
        return await self._connections().handle_async_request(request)

    async def _find_address(self, target: Target, tenant: str) -> str:
        if ":" in target.host or target.host.replace(".", "").isdigit():
            addresses: Sequence[str] = [target.host]
        else:
            addresses = await self._look_up(target, tenant)
        if not addresses or not all(map(is_global, addresses)):
            raise MediaError("A media URL does not point to the public internet.")
        return addresses[0]

    async def _look_up(self, target: Target, tenant: str) -> Sequence[str]:
        """Look a name up; its place is taken until that has ended, whoever still waits for it."""
        give_back = await self._lookups.take(tenant)
        looking = asyncio.ensure_future(self._resolve(target.host, target.port))

        def end(done: asyncio.Future[Sequence[str]]) -> None:
            give_back()
            # Taken note of: nobody may be left to whom it is told.
            _ = done.cancelled() or done.exception()

        looking.add_done_callback(end)
        return await asyncio.shield(looking)

    def _connections(self) -> httpx.AsyncHTTPTransport:
        if self._transport is None:
            import httpx  # noqa: PLC0415 - it is there by now

            # None is kept: two names may share an address, and each must show its own certificate.
            self._transport = httpx.AsyncHTTPTransport(
                verify=self._tls or ssl.create_default_context(),
                trust_env=False,
                limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=0),
            )
        return self._transport


async def _read(response: httpx.Response, max_bytes: int, budget: Budget) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise MediaError("A media URL answered with compressed bytes.")
    content = bytearray()
    async for piece in response.aiter_raw():
        content += piece
        budget.take(len(piece))
        if len(content) > max_bytes:
            raise MediaError(f"A media URL holds more than {max_bytes} bytes.")
    return bytes(content)
