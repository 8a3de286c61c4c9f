"""Sizes of tensors, from the headers of safetensors files alone; no weight is read.

Source: the format as its README defines it (https://github.com/huggingface/safetensors#format): eight bytes
with the header's length, the header as JSON, then the tensors without gaps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lmaas.sizing._errors import SizingError
from lmaas.sizing._json import read_json

INDEX = "model.safetensors.index.json"
_LENGTH_BYTES = 8
_LONGEST_HEADER_BYTES = 100_000_000  # as the format's own reader has it
_MOST_FILES = 4096
_MOST_DIMENSIONS = 64  # as many as PyTorch has; the product of a million sizes would take hours
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file: its name, its dtype as safetensors writes it, its numbers and its bytes."""

    name: str
    dtype: str
    numbers: int
    size_bytes: int


def read_folder(folder: Path) -> list[StoredTensor]:
    """Read the headers of a model's files: those of its index, else all `*.safetensors`.

    Returns:
        All tensors; none where the folder has no safetensors.

    Raises:
        SizingError: a file is missing, unreadable or not what the format says; the message names it.
    """
    index = folder / INDEX
    if index.is_file():
        named = _indexed(index)
        tensors = [tensor for name in sorted(set(named.values())) for tensor in read_file(folder / name)]
        return [tensor for tensor in tensors if tensor.name in named]
    paths = sorted(folder.glob("*.safetensors"))
    if len(paths) > _MOST_FILES:
        raise SizingError(f"{folder.name} has more than {_MOST_FILES} safetensors files")
    return _unique(tensor for path in paths for tensor in read_file(path))


def read_file(path: Path) -> list[StoredTensor]:
    """Read the header of one file.

    Raises:
        SizingError: it cannot be read, or is not what the format says; the message names the file and why.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            header = _header(file, size)
            return _parse(header, size - file.tell())
    except _BrokenHeaderError as error:
        raise SizingError(f"{path.name} is no safetensors file: {error}") from None
    except OSError as error:
        raise SizingError(f"{path.name} cannot be read: {error.strerror}") from None


class _BrokenHeaderError(Exception):
    """What is wrong with a header."""


def _header(file: BinaryIO, size: int) -> Mapping[str, Any]:
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if size < _LENGTH_BYTES + 2 or length > size - _LENGTH_BYTES:
        raise _BrokenHeaderError(f"its header would be {length} bytes long, and the file has {size}")
    if length > _LONGEST_HEADER_BYTES:
        raise _BrokenHeaderError(f"its header of {length} bytes is longer than {_LONGEST_HEADER_BYTES}")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise _BrokenHeaderError("its header is not JSON") from None
    if not isinstance(header, dict):
        raise _BrokenHeaderError("its header is no JSON object")
    return header


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _BrokenHeaderError("its header names a tensor twice")
    return found


def _parse(header: Mapping[str, Any], data_bytes: int) -> list[StoredTensor]:
    """Read the entries, which must fill the data from its first byte to its last."""
    entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
    placed = sorted(((*_offsets(name, entry), name, entry) for name, entry in _objects(entries)), key=_place)
    reached = 0
    for begin, end, name, _ in placed:
        if begin != reached:
            raise _BrokenHeaderError(f"tensor {name!r:.80} begins at {begin} where {reached} is next")
        reached = end
    if reached != data_bytes:
        raise _BrokenHeaderError(f"its tensors take {reached} bytes, and the file has {data_bytes} for them")
    return [_tensor(name, entry, end - begin) for begin, end, name, entry in placed]


def _place(entry: tuple[int, int, str, Mapping[str, Any]]) -> tuple[int, int]:
    return entry[:2]


def _objects(entries: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for name, entry in entries:
        if not isinstance(entry, dict):
            raise _BrokenHeaderError(f"tensor {name!r:.80} is no JSON object")
        yield name, entry


def _offsets(name: str, entry: Mapping[str, Any]) -> tuple[int, int]:
    offsets = entry.get("data_offsets")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(place) for place in offsets):
        raise _BrokenHeaderError(f"tensor {name!r:.80} has no two data_offsets")
    begin, end = offsets
    if end < begin:
        raise _BrokenHeaderError(f"tensor {name!r:.80} ends before it begins")
    return begin, end


def _tensor(name: str, entry: Mapping[str, Any], size_bytes: int) -> StoredTensor:
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype, str) or not isinstance(shape, list) or not all(_is_size(d) for d in shape):
        raise _BrokenHeaderError(f"tensor {name!r:.80} lacks a dtype or a shape")
    if len(shape) > _MOST_DIMENSIONS:
        raise _BrokenHeaderError(f"tensor {name!r:.80} has more than {_MOST_DIMENSIONS} dimensions")
    numbers = math.prod(shape)
    bits = _BITS.get(dtype)
    if bits is not None and numbers * bits != size_bytes * 8:
        raise _BrokenHeaderError(f"tensor {name!r:.80} does not have the bytes of its shape")
    return StoredTensor(name, dtype, numbers, size_bytes)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _unique(tensors: Iterable[StoredTensor]) -> list[StoredTensor]:
    found: dict[str, StoredTensor] = {}
    for tensor in tensors:
        if tensor.name in found:
            raise SizingError(
                f"tensor {tensor.name!r:.80} is in two files, and there is no {INDEX} to say which counts"
            )
        found[tensor.name] = tensor
    return list(found.values())


def _indexed(index: Path) -> dict[str, str]:
    """Read which tensor is in which file; only files beside the index count."""
    content = read_json(index, _LONGEST_HEADER_BYTES)
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict):
        raise SizingError(f"{INDEX} holds no weight_map")
    if len(set(map(str, named.values()))) > _MOST_FILES:
        raise SizingError(f"{INDEX} names more than {_MOST_FILES} files")
    for name in named.values():
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise SizingError(f"{INDEX} names {name!r:.80}, which is no safetensors file beside it")
    return named
