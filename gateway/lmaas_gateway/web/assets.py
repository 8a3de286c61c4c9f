"""Scripts, styles and pictures of the pages, under addresses that change when any of them does."""

from __future__ import annotations

import gzip
import hashlib
from functools import cached_property, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response

from lmaas_gateway.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

    from starlette.requests import Request

PATH = "/ui/assets/"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FOR_EVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """One file.

    Attributes:
        packed: The same, compressed with gzip.
    """

    data: bytes
    packed: bytes
    media_type: str


class Assets:
    """The files of the package's folder `assets`, read when the first is wanted.

    One hash of all of them stands in their addresses, so that scripts find each other by relative names.
    """

    @cached_property
    def files(self) -> Mapping[str, Asset]:
        """All of them, by name."""
        return _read_all()

    @cached_property
    def version(self) -> str:
        """Tell these files from those of any other version of the gateway."""
        digest = hashlib.sha256()
        for name, asset in sorted(self.files.items()):
            digest.update(b"%b\0%d\0%b" % (name.encode(), len(asset.data), asset.data))
        return digest.hexdigest()[:12]

    def url(self, name: str) -> str:
        """Give the address of a file.

        Raises:
            KeyError: there is none of this name.
        """
        self.files[name]
        return f"{PATH}{self.version}/{name}"

    async def serve(self, request: Request) -> Response:
        """Answer with one file."""
        name, version = request.path_params["name"], request.path_params["version"]
        asset = self.files.get(name)
        if asset is None:
            raise NotFoundError("There is no such file.")
        # A page of an earlier version may have what there is now, but not keep it.
        headers = {
            "cache-control": _FOR_EVER if version == self.version else "no-store",
            "vary": "accept-encoding",
        }
        is_packed = "gzip" in request.headers.get("accept-encoding", "")
        if is_packed:
            headers["content-encoding"] = "gzip"
        return Response(asset.packed if is_packed else asset.data, 200, headers, asset.media_type)


@lru_cache(maxsize=1)
def _read_all() -> Mapping[str, Asset]:
    """Read the folder; it is a part of the program, so that once is enough for every configuration."""
    found = {}
    for name, entry in _walk(resources.files(__package__).joinpath("assets")):
        suffix = name[name.rfind(".") :]
        if suffix in _TYPES:
            data = entry.read_bytes()
            found[name] = Asset(data, gzip.compress(data, 9, mtime=0), _TYPES[suffix])
    return found


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """List the files of a folder and of those in it, by their names below it."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry
