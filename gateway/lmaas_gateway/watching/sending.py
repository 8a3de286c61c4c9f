"""One attempt to tell a webhook: the second module of the gateway that names httpx.

The addresses are the operator's, from the configuration alone, so an inner one is not refused: most receivers
of alerts are inside. What a receiver answers can still do nothing: no redirect is followed, no proxy or
credentials of the environment are used, no cookie is kept, and of the answer only the head is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_MAX_RETRY_AFTER_S = 3600.0
_MAX_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt.

    Attributes:
        status: Of HTTP; 0 if there was no answer.
        retry_after_s: When to try again, if it says.
        problem: What went wrong, for people; empty if it was taken.
    """

    status: int
    retry_after_s: float = 0.0
    problem: str = ""


Send = Callable[[str, Mapping[str, str], bytes, float], Awaitable[Answer]]
"""Posts a body to a URL with headers, within so many seconds; whatever happens is an answer."""


class Sender:
    """Makes attempts by HTTP."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Answer:
        """Post `body` to `url`; whatever happens is an answer."""
        # It takes long to import, and certificates to load: not on the loop, and only once there is an alert.
        httpx = await asyncio.to_thread(importlib.import_module, "httpx")
        try:
            async with asyncio.timeout(timeout_s):
                client = await self._connections()
                request = client.build_request("POST", url, headers=dict(headers), content=body)
                response = await client.send(request, stream=True)
                await response.aclose()
        except TimeoutError:
            return Answer(0, problem=f"it did not answer within {timeout_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Answer(0, problem=f"it could not be reached ({type(error).__name__})")
        status = response.status_code
        if 200 <= status < 300:
            return Answer(status)
        retry_after_s = _seconds(response.headers.get("retry-after", ""))
        return Answer(status, retry_after_s, f"it answered {status}")

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _connections(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = await asyncio.to_thread(_make_client)
        return self._client


def _make_client() -> httpx.AsyncClient:
    import httpx  # noqa: PLC0415 - see above

    limits = httpx.Limits(max_connections=16, max_keepalive_connections=0)
    # Longer than any attempt may take, which has one deadline over all that it consists of.
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=_MAX_TIMEOUT_S, limits=limits)


def _seconds(text: str) -> float:
    """Read `Retry-After` in seconds; a date is not waited for."""
    with contextlib.suppress(ValueError):
        return min(max(float(text), 0.0), _MAX_RETRY_AFTER_S)
    return 0.0
