"""Listings that come in pages: iterate one, and the next pages are fetched on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

QUERY_NAMES = ("after", "limit", "order", "purpose")


class PageReply(Protocol[T_co]):
    """A page as it came over the wire."""

    @property
    def data(self) -> list[Any]:
        """The items, each with an `id`."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether there is a next page."""
        ...

    @property
    def request_id(self) -> str | None:
        """The `x-request-id` of the reply."""
        ...


class _Page(Generic[T]):
    def __init__(self, reply: PageReply[T]) -> None:
        self.data: list[T] = reply.data
        self.has_more = reply.has_more
        self.request_id = reply.request_id
        self._place: str | None = getattr(reply, "last_id", None)

    def has_next_page(self) -> bool:
        """Tell whether there is a page after this one."""
        return self.has_more and bool(self.data)

    def _last_id(self) -> str:
        # What its items are called may not be what tells them apart.
        if self._place is not None:
            return self._place
        last: Any = self.data[-1]
        return str(last.id)


class Page(_Page[T]):
    """A page of a listing. Iterating gives its items and those of all pages after it.

    Attributes:
        data: The items of this page alone.
        has_more: Whether the server has more of them.
        request_id: The `x-request-id` of the reply.
    """

    def __init__(self, reply: PageReply[T], fetch: Callable[[str], Page[T]]) -> None:
        super().__init__(reply)
        self._fetch = fetch

    def get_next_page(self) -> Page[T]:
        """Fetch the page after this one.

        Raises:
            LookupError: there is none.
        """
        if not self.has_next_page():
            raise LookupError("this is the last page; ask has_next_page() first.")
        return self._fetch(self._last_id())

    def iter_pages(self) -> Iterator[Page[T]]:
        """Yield this page and all after it."""
        page = self
        yield page
        while page.has_next_page():
            page = page.get_next_page()
            yield page

    def __iter__(self) -> Iterator[T]:
        for page in self.iter_pages():
            yield from page.data


class AsyncPage(_Page[T]):
    """The asynchronous twin of `Page`."""

    def __init__(self, reply: PageReply[T], fetch: Callable[[str], Awaitable[AsyncPage[T]]]) -> None:
        super().__init__(reply)
        self._fetch = fetch

    async def get_next_page(self) -> AsyncPage[T]:
        """Fetch the page after this one; see `Page.get_next_page`."""
        if not self.has_next_page():
            raise LookupError("this is the last page; ask has_next_page() first.")
        return await self._fetch(self._last_id())

    async def iter_pages(self) -> AsyncIterator[AsyncPage[T]]:
        """Yield this page and all after it."""
        page = self
        yield page
        while page.has_next_page():
            page = await page.get_next_page()
            yield page

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.iter_pages():
            for item in page.data:
                yield item


class Listing(Generic[T]):
    """A listing not yet fetched: `await` gives its first page, `async for` all its items."""

    def __init__(self, first: Callable[[], Awaitable[AsyncPage[T]]]) -> None:
        self._first = first

    def __await__(self) -> Generator[Any, None, AsyncPage[T]]:
        return self._first().__await__()

    async def __aiter__(self) -> AsyncIterator[T]:
        async for item in await self._first():
            yield item


def as_query(
    params: Mapping[str, Any], after: str | None = None, names: Collection[str] = QUERY_NAMES
) -> dict[str, Any]:
    """Return `params` with what a route takes in its query moved there; `after` replaces the caller's."""
    query = {name: params[name] for name in names if params.get(name)}
    if after is not None:
        query["after"] = after
    options = {name: value for name, value in params.items() if name not in names}
    return {**options, "extra_query": {**query, **(params.get("extra_query") or {})}}
