"""`client.admin.keys`: who may call, and what for."""

from __future__ import annotations

from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._pages import Listing, Page
from lmaas.resources.admin._noun import AsyncNoun, Noun, route
from lmaas.types import (
    AdminList,
    AdminOptions,
    ApiKey,
    IssuedApiKey,
    KeyChangeParams,
    KeyListParams,
    KeyParams,
    KeyRotationParams,
)

_CREATE = Operation.of("POST", "/keys", KeyParams)
_LIST = Operation.of("GET", "/keys", KeyListParams)


class AdminKeys(Noun):
    """The keys of an organization's projects."""

    def create(self, *, project: str, name: str, **params: Unpack[KeyParams]) -> IssuedApiKey:
        """Issue a key: `POST /admin/v1/keys`. Its `secret` is in this answer and nowhere else.

        Args:
            project: The id of the project that its calls belong to.
            name: What people call it.
            **params: See `KeyParams`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._call(IssuedApiKey, _CREATE, params, project=project, name=name)

    def list(self, **params: Unpack[KeyListParams]) -> Page[ApiKey]:
        """List keys, page by page: `GET /admin/v1/keys`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._list(AdminList[ApiKey], _LIST, params)

    def retrieve(self, key: str, **params: Unpack[AdminOptions]) -> ApiKey:
        """Return a key, without its secret: `GET /admin/v1/keys/{key}`.

        Raises:
            NotFoundError: the organization has no such key.
            APIError: the call failed otherwise.
        """
        return self._call(ApiKey, Operation.of("GET", route("keys", key), AdminOptions), params)

    def update(self, key: str, **params: Unpack[KeyChangeParams]) -> ApiKey:
        """Change what a key may: `PATCH /admin/v1/keys/{key}`. What is left out stays.

        Raises:
            NotFoundError: the organization has no such key.
            APIError: the call failed otherwise.
        """
        return self._call(ApiKey, Operation.of("PATCH", route("keys", key), KeyChangeParams), params)

    def rotate(self, key: str, **params: Unpack[KeyRotationParams]) -> IssuedApiKey:
        """Issue a key in the place of this one: `POST /admin/v1/keys/{key}/rotate`.

        The old secret stays valid for `overlap_s`.

        Raises:
            NotFoundError: the organization has no such key.
            APIError: the call failed otherwise.
            ConflictError: it is not valid any more.
        """
        operation = Operation.of("POST", route("keys", key, "/rotate"), KeyRotationParams)
        return self._call(IssuedApiKey, operation, params)

    def revoke(self, key: str, **params: Unpack[AdminOptions]) -> ApiKey:
        """Revoke a key: `DELETE /admin/v1/keys/{key}`. It stays in listings.

        Raises:
            NotFoundError: the organization has no such key.
            APIError: the call failed otherwise.
        """
        return self._call(ApiKey, Operation.of("DELETE", route("keys", key), AdminOptions), params)


class AsyncAdminKeys(AsyncNoun):
    """The asynchronous twin of `AdminKeys`."""

    async def create(self, *, project: str, name: str, **params: Unpack[KeyParams]) -> IssuedApiKey:
        """Issue a key: `POST /admin/v1/keys`. Its `secret` is in this answer and nowhere else.

        See `AdminKeys.create`.
        """
        return await self._call(IssuedApiKey, _CREATE, params, project=project, name=name)

    def list(self, **params: Unpack[KeyListParams]) -> Listing[ApiKey]:
        """List keys, page by page: `GET /admin/v1/keys`.

        `await` gives the first page, `async for` all items. See `AdminKeys.list`.
        """
        return self._listing(AdminList[ApiKey], _LIST, params)

    async def retrieve(self, key: str, **params: Unpack[AdminOptions]) -> ApiKey:
        """Return a key, without its secret: `GET /admin/v1/keys/{key}`.

        See `AdminKeys.retrieve`.
        """
        return await self._call(ApiKey, Operation.of("GET", route("keys", key), AdminOptions), params)

    async def update(self, key: str, **params: Unpack[KeyChangeParams]) -> ApiKey:
        """Change what a key may: `PATCH /admin/v1/keys/{key}`. What is left out stays.

        See `AdminKeys.update`.
        """
        return await self._call(ApiKey, Operation.of("PATCH", route("keys", key), KeyChangeParams), params)

    async def rotate(self, key: str, **params: Unpack[KeyRotationParams]) -> IssuedApiKey:
        """Issue a key in the place of this one: `POST /admin/v1/keys/{key}/rotate`.

        See `AdminKeys.rotate`.
        """
        operation = Operation.of("POST", route("keys", key, "/rotate"), KeyRotationParams)
        return await self._call(IssuedApiKey, operation, params)

    async def revoke(self, key: str, **params: Unpack[AdminOptions]) -> ApiKey:
        """Revoke a key: `DELETE /admin/v1/keys/{key}`. It stays in listings.

        See `AdminKeys.revoke`.
        """
        return await self._call(ApiKey, Operation.of("DELETE", route("keys", key), AdminOptions), params)
