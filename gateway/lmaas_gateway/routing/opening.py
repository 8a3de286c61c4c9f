"""The beginning of a reply, as far as it must be known before the client is told anything.

Until it is, another replica may be tried. A stream begins with its first event, so a status of 200 is held
back until that has come and is no error. A plain reply is held back until it is whole, if it is not large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway import events
from lmaas_gateway.replicas.faults import ReplicaClosedError
from lmaas_gateway.routing.failures import ReplicaReplyError, ReplicaStreamError

if TYPE_CHECKING:
    from lmaas_gateway.replicas.client import Exchange

# The longest first event, and the longest plain reply that is held back until it is whole.
_MAX_OPENING_BYTES = 256 * 1024
# Up to here the JSON of a plain reply is checked to its last byte, which costs about 1 µs a kB: what is no
# reply is short. Of a longer one the ends are looked at.
_MAX_CHECKED_BYTES = 1024

_JSON_TYPE = b"application/json"
_JSON = msgspec.json.Decoder(msgspec.Raw)


async def read_stream(exchange: Exchange) -> bytes:
    """Read a stream up to the end of its first event, at least.

    Raises:
        ReplicaError: it broke off before, is no stream, or begins with an error or with its end.
    """
    content_type = exchange.headers.get(b"content-type", b"")
    if not content_type.startswith(b"text/event-stream"):
        raise ReplicaReplyError("its reply is no stream")
    data = exchange.take() or await exchange.read()
    while (event := events.first(data)) is None:
        more = await exchange.read()
        if not more:
            raise ReplicaClosedError("the stream ended before its first event")
        data += more
        if len(data) > _MAX_OPENING_BYTES:
            raise ReplicaReplyError("its stream has no first event")
    if events.is_error(event):
        raise ReplicaStreamError("its stream begins with an error")
    if events.is_done(event):
        raise ReplicaStreamError("its stream is empty")
    return data


def take_whole(exchange: Exchange) -> bytes | None:
    """Give a plain reply that has come whole with its head, as almost every one; None if it must be read.

    Raises:
        ReplicaError: it is not what its content type says.
    """
    if exchange.status != 200 or not exchange.is_whole:
        return None
    is_json = _is_json(exchange)
    data = exchange.take()
    if is_json:
        _check_json(data, is_whole=True)
    return data


async def read_plain(exchange: Exchange) -> bytes:
    """Read a reply whole, or the first part of a large one.

    Raises:
        ReplicaError: it broke off, or is not what its content type says.
    """
    is_json = _is_json(exchange)
    data = exchange.take() or await exchange.read()
    while not exchange.is_drained and len(data) < _MAX_OPENING_BYTES:
        data += await exchange.read()
    if is_json:
        _check_json(data, is_whole=exchange.is_drained)
    return data


def _is_json(exchange: Exchange) -> bool:
    content_type = exchange.headers.get(b"content-type", _JSON_TYPE)
    if content_type == _JSON_TYPE:
        return True  # as almost every one
    if content_type.startswith(b"text/"):
        raise ReplicaReplyError("its reply is a text for people")
    return content_type.startswith(_JSON_TYPE)


def _check_json(data: bytes, *, is_whole: bool) -> None:
    """Refuse what cannot be a JSON object; only short ones are looked through."""
    try:
        if is_whole and len(data) <= _MAX_CHECKED_BYTES:
            _JSON.decode(data)
        elif not data.lstrip().startswith(b"{") or (is_whole and not data.rstrip().endswith(b"}")):
            raise ReplicaReplyError("its reply is no JSON object")
    except (msgspec.DecodeError, RecursionError):
        raise ReplicaReplyError("its reply is no JSON") from None
