"""Bodies with a file in them: `multipart/form-data`.

Source: RFC 7578.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias
from uuid import uuid4

FileContent: TypeAlias = bytes | str | IO[bytes]
FileInput: TypeAlias = FileContent | os.PathLike[str] | tuple[str, FileContent] | tuple[str, FileContent, str]
"""A file: its bytes, a path, an open binary file, or name, content and perhaps content type as a tuple."""


def encode_multipart(fields: Mapping[str, Any], *, boundary: str | None = None) -> tuple[bytes, str]:
    """Return the body and its content type. The field `file` is a `FileInput`, which is read whole.

    Raises:
        TypeError: `file` is not a `FileInput`.
        OSError: it cannot be read.
    """
    edge = (boundary or uuid4().hex).encode()
    parts: list[bytes] = []
    for name, value in fields.items():
        if name == "file":
            filename, content, kind = _read(value)
            head = f'Content-Disposition: form-data; name="file"; filename="{_quoted(filename)}"\r\n'
            parts.append(head.encode() + f"Content-Type: {kind}\r\n\r\n".encode() + content)
        else:
            for field, text in _flat(name, value):
                head = f'Content-Disposition: form-data; name="{_quoted(field)}"\r\n\r\n'
                parts.append(head.encode() + text.encode())
    body = b"".join(b"--" + edge + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + edge + b"--\r\n"
    return body, f"multipart/form-data; boundary={edge.decode()}"


def _read(file: Any) -> tuple[str, bytes, str]:
    if isinstance(file, tuple):
        name, content, *kind = file
        return name, _bytes(content), kind[0] if kind else "application/octet-stream"
    if isinstance(file, os.PathLike):
        path = Path(file)
        return path.name, path.read_bytes(), "application/octet-stream"
    name = getattr(file, "name", None)
    return Path(name).name if isinstance(name, str) else "upload", _bytes(file), "application/octet-stream"


def _bytes(content: Any) -> bytes:
    if hasattr(content, "read"):
        content = content.read()
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, bytes | bytearray):
        return bytes(content)
    kind = type(content).__name__
    message = f"a file of type {kind} is not understood; give bytes, a path or an open file."
    raise TypeError(message)


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [(f"{name}[{key}]", _text(inner)) for key, inner in value.items()]
    return [(name, _text(value))]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
