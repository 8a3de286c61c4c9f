"""Replies of `/v1/files`."""

from __future__ import annotations

from lmaas.types._base import ReplyModel


class FileObject(ReplyModel):
    """A file that the server keeps. `bytes` is its length, times are Unix seconds."""

    id: str
    object: str = "file"
    bytes: int = 0
    created_at: int = 0
    expires_at: int | None = None
    filename: str = ""
    purpose: str = ""
    status: str | None = None
    status_details: str | None = None


class FileDeleted(ReplyModel):
    """What the server says of a deletion."""

    id: str
    object: str = "file"
    deleted: bool


class FileList(ReplyModel):
    """A page of files, as it comes over the wire."""

    object: str = "list"
    data: list[FileObject]
    has_more: bool = False
    first_id: str | None = None
    last_id: str | None = None
