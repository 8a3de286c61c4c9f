from __future__ import annotations

import io
from pathlib import Path

import httpx
import pytest

from lmaas._multipart import FileInput, encode_multipart


def file_part(file: FileInput) -> str:
    body, _ = encode_multipart({"file": file}, boundary="edge")
    return body.decode()


def test_form_is_what_httpx_would_have_sent() -> None:
    body, kind = encode_multipart({"purpose": "batch", "file": ("a.jsonl", b"{}\n")}, boundary="edge")
    theirs = httpx.Request(
        "POST",
        "http://h",
        data={"purpose": "batch"},
        files={"file": ("a.jsonl", b"{}\n", "application/octet-stream")},
        headers={"content-type": "multipart/form-data; boundary=edge"},
    )
    assert kind == theirs.headers["content-type"]
    assert body == theirs.read()


def test_boundaries_differ() -> None:
    assert encode_multipart({})[1] != encode_multipart({})[1]


def test_file_comes_as_path_bytes_text_open_file_or_tuple(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("line")
    assert 'filename="in.jsonl"' in file_part(path)
    assert 'filename="upload"' in file_part(b"line")
    assert file_part("line").count("line") == 1
    with path.open("rb") as opened:
        assert 'filename="in.jsonl"' in file_part(opened)
    assert 'filename="upload"' in file_part(io.BytesIO(b"line"))
    named = file_part(("x.txt", io.BytesIO(b"line"), "text/plain"))
    assert 'filename="x.txt"\r\nContent-Type: text/plain\r\n\r\nline\r\n' in named


def test_name_cannot_break_out_of_its_header() -> None:
    assert 'filename="a%22%0D%0Ab"' in file_part(('a"\r\nb', b""))


def test_values_that_are_no_text_are_written_as_json_and_mappings_flat() -> None:
    body, _ = encode_multipart({"expires_after": {"anchor": "created_at", "seconds": 60}}, boundary="e")
    assert b'name="expires_after[anchor]"\r\n\r\ncreated_at' in body
    assert b'name="expires_after[seconds]"\r\n\r\n60' in body


def test_what_is_no_file_is_refused() -> None:
    with pytest.raises(TypeError, match="int is not understood; give bytes"):
        encode_multipart({"file": 3})
