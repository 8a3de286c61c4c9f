"""`client.files`: files that the server keeps, in the wire shape of the OpenAI API."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Unpack

from lmaas._multipart import FileInput
from lmaas._request import Operation, path_segment
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.resources._pages import AsyncPage, Listing, Page, as_query
from lmaas.types import (
    CallOptions,
    FileDeleted,
    FileList,
    FileListParams,
    FileObject,
    FileParams,
)

_CREATE = Operation.post("/files", FileParams, is_upload=True)
_LIST = Operation("GET", "/files")


@dataclass(frozen=True, slots=True)
class BinaryContent:
    """What is in a file.

    Attributes:
        content: Its bytes.
        request_id: The `x-request-id` of the reply.
    """

    content: bytes = field(repr=False)
    request_id: str | None = None

    @property
    def text(self) -> str:
        """The content as UTF-8."""
        return self.content.decode()

    def read(self) -> bytes:
        """Return the content, as a file does."""
        return self.content

    def write_to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the content to `path`, over what is there."""
        Path(path).write_bytes(self.content)


class Files:
    """Files on the server."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(self, *, file: FileInput, purpose: str, **params: Unpack[FileParams]) -> FileObject:
        """Upload a file: `POST /v1/files`.

        Args:
            file: Its content: bytes, a path, an open binary file, or `(name, content)`. It is read whole.
            purpose: What it is for, such as "batch".
            **params: See `FileParams`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._caller.call(FileObject, _CREATE, params, purpose=purpose, file=file)

    def retrieve(self, file_id: str, **options: Unpack[CallOptions]) -> FileObject:
        """Return what is known of a file: `GET /v1/files/{file_id}`.

        Raises:
            NotFoundError: there is no such file.
            APIError: the call failed otherwise.
        """
        return self._caller.call(FileObject, _file("GET", file_id), options)

    def list(self, **params: Unpack[FileListParams]) -> Page[FileObject]:
        """List files, page by page: `GET /v1/files`. Iterating the first page fetches the others.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `FileListParams`.
        """
        return self._page(params)

    def content(self, file_id: str, **options: Unpack[CallOptions]) -> BinaryContent:
        """Return what is in a file: `GET /v1/files/{file_id}/content`.

        Raises:
            NotFoundError: there is no such file.
            APIError: the call failed otherwise.
        """
        return BinaryContent(*self._caller.read(_file("GET", file_id, "/content"), options))

    def delete(self, file_id: str, **options: Unpack[CallOptions]) -> FileDeleted:
        """Delete a file: `DELETE /v1/files/{file_id}`.

        Raises:
            NotFoundError: there is no such file.
            APIError: the call failed otherwise.
        """
        return self._caller.call(FileDeleted, _file("DELETE", file_id), options)

    def _page(self, params: FileListParams, after: str | None = None) -> Page[FileObject]:
        reply = self._caller.call(FileList, _LIST, as_query(params, after))
        return Page(reply, partial(self._page, params))


class AsyncFiles:
    """The asynchronous twin of `Files`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(self, *, file: FileInput, purpose: str, **params: Unpack[FileParams]) -> FileObject:
        """Upload a file: `POST /v1/files`.

        See `Files.create`.
        """
        return await self._caller.call(FileObject, _CREATE, params, purpose=purpose, file=file)

    async def retrieve(self, file_id: str, **options: Unpack[CallOptions]) -> FileObject:
        """Return what is known of a file: `GET /v1/files/{file_id}`.

        See `Files.retrieve`.
        """
        return await self._caller.call(FileObject, _file("GET", file_id), options)

    def list(self, **params: Unpack[FileListParams]) -> Listing[FileObject]:
        """List files, page by page: `GET /v1/files`.

        `await` gives the first page, `async for` the files of all pages. See `Files.list`.
        """
        return Listing(partial(self._page, params))

    async def content(self, file_id: str, **options: Unpack[CallOptions]) -> BinaryContent:
        """Return what is in a file: `GET /v1/files/{file_id}/content`.

        See `Files.content`.
        """
        return BinaryContent(*await self._caller.read(_file("GET", file_id, "/content"), options))

    async def delete(self, file_id: str, **options: Unpack[CallOptions]) -> FileDeleted:
        """Delete a file: `DELETE /v1/files/{file_id}`.

        See `Files.delete`.
        """
        return await self._caller.call(FileDeleted, _file("DELETE", file_id), options)

    async def _page(self, params: FileListParams, after: str | None = None) -> AsyncPage[FileObject]:
        reply = await self._caller.call(FileList, _LIST, as_query(params, after))
        return AsyncPage(reply, partial(self._page, params))


def _file(method: str, file_id: str, end: str = "") -> Operation:
    return Operation(method, f"/files/{path_segment(file_id)}{end}")
