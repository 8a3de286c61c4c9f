"""The ledger as files: row by row, however long they are."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from lmaas_gateway.errors import BadRequestError
from lmaas_gateway.storage.records import LedgerEntry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    Parts = AsyncIterator[Sequence[LedgerEntry]]

COLUMNS = LedgerEntry.__struct_fields__

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class File:
    """A file that is sent as it is made.

    Attributes:
        pieces: Its bytes.
    """

    name: str
    media_type: str
    pieces: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file."""

    media_type: str
    write: Callable[[Parts], AsyncIterator[bytes]]


async def write_csv(parts: Parts) -> AsyncIterator[bytes]:
    """Write a header and a line a row; what a spreadsheet would take for a formula gets a quote in front."""
    yield (",".join(COLUMNS) + "\r\n").encode()
    async for part in parts:
        text = io.StringIO()
        csv.writer(text).writerows([_cell(getattr(row, name)) for name in COLUMNS] for row in part)
        yield text.getvalue().encode()


async def write_jsonl(parts: Parts) -> AsyncIterator[bytes]:
    """Write an object a line."""
    encoder = msgspec.json.Encoder()
    async for part in parts:
        yield encoder.encode_lines(part)


async def write_parquet(parts: Parts) -> AsyncIterator[bytes]:
    """Write one file of columns, compressed; a row group a part.

    Raises:
        BadRequestError: the extra that this needs is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415 - likewise
    except ModuleNotFoundError:
        raise BadRequestError(
            "This gateway writes no Parquet until its operator runs: pip install 'lmaas[parquet]'. "
            "Take csv or jsonl.",
            param="format",
        ) from None
    schema = pa.schema(
        [(field.name, _ARROW[field.type](pa)) for field in msgspec.structs.fields(LedgerEntry)]
    )
    sink = _Sink()
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        async for part in parts:
            columns = {name: [getattr(row, name) for row in part] for name in COLUMNS}
            writer.write_table(pa.table(columns, schema=schema))
            yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """A file that is handed on as it grows: its position is kept, its bytes are not."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        """Tell the writer that it may."""
        return True

    def tell(self) -> int:
        """Give the position, which the file's index holds."""
        return self._position

    def write(self, data: Any) -> int:
        """Take what comes next."""
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def take(self) -> bytes:
        """Hand on what has come since."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


_ARROW: Mapping[Any, Callable[[Any], Any]] = MappingProxyType(
    {
        str: lambda pa: pa.string(),
        int: lambda pa: pa.int64(),
        bool: lambda pa: pa.bool_(),
    }
)

FORMATS: Mapping[Literal["csv", "jsonl", "parquet"], Format] = MappingProxyType(
    {
        "csv": Format("text/csv; charset=utf-8", write_csv),
        "jsonl": Format("application/jsonl", write_jsonl),
        "parquet": Format("application/vnd.apache.parquet", write_parquet),
    }
)
