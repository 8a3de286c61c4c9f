"""Spans as OTLP's message for traces, in the wire format of protocol buffers.

Only the fields that the gateway's spans have are written. `docs/decisions/0031-own-otlp.md` says why by hand.

Sources: opentelemetry-proto 1.x, `trace/v1/trace.proto`, `common/v1/common.proto`,
`resource/v1/resource.proto` and `collector/trace/v1/trace_service.proto`, for the numbers of fields;
protobuf.dev, "Encoding", for the rest.
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lmaas_gateway.tracing.spans import SpanFacts, Value

_KINDS: Mapping[str, int] = MappingProxyType({"internal": 1, "server": 2, "client": 3})
_ERROR = 2
# Of a span's flags: it is sampled, it is known whether its parent is another process's, and it is.
_SAMPLED, _KNOWS_REMOTE, _IS_REMOTE = 0x1, 0x100, 0x200
_DOUBLE = struct.Struct("<d").pack
_FIXED64 = struct.Struct("<Q").pack
_FIXED32 = struct.Struct("<I").pack


def write_span(span: SpanFacts) -> bytes:
    """Write a span, as `write_request` takes it."""
    flags = _SAMPLED | _KNOWS_REMOTE | (_IS_REMOTE if span.is_remote else 0)
    fields = [
        _text(1, span.trace_id.to_bytes(16, "big")),
        _text(2, span.span_id.to_bytes(8, "big")),
        _text(4, b"" if span.parent_id is None else span.parent_id.to_bytes(8, "big")),
        _text(5, span.name.encode()),
        _integer(6, _KINDS[span.kind]),
        _time(7, span.start_s),
        _time(8, span.end_s),
        *_attributes(9, span.attributes),
    ]
    for name, at_s, told in span.events:
        event = [_time(1, at_s), _text(2, name.encode()), *_attributes(3, told)]
        fields.append(_text(11, b"".join(event)))
    if span.error:
        fields.append(_text(15, _text(2, span.error.encode()) + _integer(3, _ERROR)))
    fields.append(_tag(16, 5) + _FIXED32(flags))
    return _text(2, b"".join(fields))


def write_request(resource: Mapping[str, Value], scope: tuple[str, str], spans: Iterable[bytes]) -> bytes:
    """Write the message that brings spans to a collector.

    Args:
        resource: Attributes of what they come from.
        scope: Name and version of what made them.
        spans: As `write_span` gives them.
    """
    name, version = scope
    scope_spans = _text(1, _text(1, name.encode()) + _text(2, version.encode())) + b"".join(spans)
    return _text(1, _text(1, b"".join(_attributes(1, resource))) + _text(2, scope_spans))


def _attributes(number: int, attributes: Mapping[str, Value]) -> Iterator[bytes]:
    for name, value in attributes.items():
        yield _text(number, _text(1, name.encode()) + _text(2, _value(value)))


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return _text(1, value.encode())
    if isinstance(value, bool):
        return _integer(2, value)
    if isinstance(value, int):
        return _integer(3, value)
    return _tag(4, 1) + _DOUBLE(value)


def _text(number: int, data: bytes) -> bytes:
    """Write a field that has a length: a text, bytes, or a message."""
    size = len(data)
    if size < 0x80:
        # As most are: two bytes before it, without further calls.
        return b"%c%c%b" % (number << 3 | 2, size, data)
    return _tag(number, 2) + _varint(size) + data


def _integer(number: int, value: int) -> bytes:
    return _tag(number, 0) + _varint(value)


def _time(number: int, at_s: float) -> bytes:
    return _tag(number, 1) + _FIXED64(int(at_s * 1e9))


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _varint(value: int) -> bytes:
    """Write an integer in groups of seven bits, the lowest first; a negative one as 64 bits."""
    if 0 <= value < 0x80:
        return value.to_bytes(1, "little")
    value &= 2**64 - 1
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
