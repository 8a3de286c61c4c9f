"""What a request's head must be before anything acts on it: plain functions of its parts, without any I/O.

The parser (llhttp, strict) refuses two lengths, a length beside chunks, folded lines, bare line feeds and
bytes that no header may hold. Here is what it lets through and a gateway must not.

Source: RFC 9112 §3.2 (Host), §6.1 (Transfer-Encoding); RFC 9110 §7.6.1 (Connection).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lmaas_gateway.errors import BadRequestError, HeadersTooLargeError, UriTooLongError

if TYPE_CHECKING:
    from lmaas_gateway.errors import GatewayError
    from lmaas_gateway.settings import ConnectionSettings

    Headers = list[tuple[bytes, bytes]]

_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_MAX_KNOWN_HOSTS = 1024
# Two of these could be read as one thing here and as another in front of us.
_SINGLE = frozenset(
    {
        b"authorization",
        b"api-key",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"idempotency-key",
        b"transfer-encoding",
        b"upgrade",
        b"x-api-key",
        b"x-request-id",
    }
)
# What a `Connection` header says in almost every request.
_USUAL_CONNECTIONS = frozenset({b"keep-alive", b"Keep-Alive", b"close", b"Close"})
# What it may name without meaning a header.
_OPTIONS = frozenset({b"keep-alive", b"close", b"upgrade", b"te", b"http2-settings", b""})
# Headers that only this hop reads, and that are part of an upgrade which we do not make.
_UPGRADE = frozenset({b"upgrade", b"http2-settings", b"connection"})


class HeadRules:
    """Refuses heads that cannot be served, and takes out what ends at this hop.

    Args:
        settings: The caps.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self._max_headers = settings.max_headers
        self._max_header_bytes = settings.max_header_bytes
        self._max_url_bytes = settings.max_url_bytes
        self._known_hosts: set[bytes | None] = set()

    def check(
        self, version: str, url: bytes, headers: Headers, fields: dict[bytes, bytes]
    ) -> GatewayError | None:
        """Tell why a head is refused; None for almost every one.

        Args:
            version: Of HTTP, as `1.1`.
            url: The request target.
            headers: As they came, names in lower case; hop-by-hop headers are taken out.
            fields: The same by name, the last of equal names; from here they are taken out too.
        """
        if len(url) > self._max_url_bytes:
            return UriTooLongError(f"The URL is longer than {self._max_url_bytes} bytes.")
        if len(headers) > self._max_headers:
            return HeadersTooLargeError(f"There are more than {self._max_headers} headers; send fewer.")
        if len(fields) != len(headers) and (name := _find_repeated(headers)):
            return BadRequestError(f"The header `{name}` may come only once.")
        host = fields.get(b"host")
        coding = fields.get(b"transfer-encoding")
        if (version != "1.1" or coding is not None or host not in self._known_hosts) and (
            problem := self._check_framing(version, host, coding)
        ):
            return BadRequestError(problem)
        connection = fields.get(b"connection")
        if connection is not None and connection not in _USUAL_CONNECTIONS:
            return _drop_named(connection, headers, fields)
        return None

    def check_size(self, headers: Headers, url: bytes) -> GatewayError | None:
        """Tell whether a head that came in one large piece is too long."""
        if sum(len(name) + len(value) for name, value in headers) + len(url) > self._max_header_bytes:
            return self.too_long()
        return None

    def too_long(self) -> GatewayError:
        """Make the refusal of a head that does not end."""
        return HeadersTooLargeError(f"The request's head is longer than {self._max_header_bytes} bytes.")

    def _check_framing(self, version: str, host: bytes | None, coding: bytes | None) -> str | None:
        if version not in {"1.1", "1.0"}:
            return f"HTTP/{version[:4]} is not spoken here; use HTTP/1.1."
        if coding is not None and (version != "1.1" or coding.lower() != b"chunked"):
            return "The only Transfer-Encoding taken here is `chunked`, in HTTP/1.1."
        if host is None:
            return None if version == "1.0" else "An HTTP/1.1 request needs a Host header."
        if len(host) > 260 or not _HOST.fullmatch(host):
            return "The Host header is not a name or address with an optional port."
        if len(self._known_hosts) < _MAX_KNOWN_HOSTS:
            self._known_hosts.add(host)
        return None


def without_upgrade(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """Write a head again without its wish for another protocol.

    Source: RFC 9110 §7.8: a server may ignore `Upgrade`, and then serves the request as it is.
    """
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    lines += [b"%b: %b" % header for header in headers if header[0] not in _UPGRADE]
    options = [
        option
        for name, value in headers
        if name == b"connection"
        for option in _options(value)
        if option not in _UPGRADE
    ]
    if options:
        lines.append(b"connection: " + b", ".join(options))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _options(value: bytes) -> list[bytes]:
    return [option.strip().lower() for option in value.split(b",")]


def _find_repeated(headers: Headers) -> str | None:
    seen = set()
    for name, _ in headers:
        if name in seen and name in _SINGLE:
            return name.decode("latin-1")
        seen.add(name)
    return None


def _drop_named(connection: bytes, headers: Headers, fields: dict[bytes, bytes]) -> GatewayError | None:
    """Take out the headers that `Connection` names; refuse if one of them decides what the request is."""
    named = {option for option in _options(connection) if option not in _OPTIONS}
    if not named:
        return None
    if not named.isdisjoint(_SINGLE):
        worst = min(named & _SINGLE).decode("latin-1")
        return BadRequestError(f"The Connection header names `{worst}`, which is not of this hop alone.")
    headers[:] = [header for header in headers if header[0] not in named]
    for name in named.intersection(fields):
        del fields[name]
    return None
