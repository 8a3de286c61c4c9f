"""`client.admin.members`: people and service accounts."""

from __future__ import annotations

from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._pages import Listing, Page
from lmaas.resources.admin._noun import AsyncNoun, Noun, route
from lmaas.types import AdminList, AdminOptions, Member, MemberChangeParams, MemberListParams, MemberParams

_CREATE = Operation.of("POST", "/members", MemberParams)
_LIST = Operation.of("GET", "/members", MemberListParams)


class AdminMembers(Noun):
    """The people and service accounts of an organization."""

    def create(self, *, name: str, **params: Unpack[MemberParams]) -> Member:
        """Add a person or a service account: `POST /admin/v1/members`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._call(Member, _CREATE, params, name=name)

    def list(self, **params: Unpack[MemberListParams]) -> Page[Member]:
        """List members, page by page: `GET /admin/v1/members`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._list(AdminList[Member], _LIST, params)

    def retrieve(self, member: str, **params: Unpack[AdminOptions]) -> Member:
        """Return a member: `GET /admin/v1/members/{member}`.

        Raises:
            NotFoundError: the organization has no such member.
            APIError: the call failed otherwise.
        """
        return self._call(Member, Operation.of("GET", route("members", member), AdminOptions), params)

    def update(self, member: str, **params: Unpack[MemberChangeParams]) -> Member:
        """Change a member: `PATCH /admin/v1/members/{member}`. What is left out stays.

        Raises:
            NotFoundError: the organization has no such member.
            APIError: the call failed otherwise.
        """
        return self._call(Member, Operation.of("PATCH", route("members", member), MemberChangeParams), params)

    def disable(self, member: str, **params: Unpack[AdminOptions]) -> Member:
        """Disable a member, with its tokens and keys: `DELETE /admin/v1/members/{member}`.

        Raises:
            NotFoundError: the organization has no such member.
            APIError: the call failed otherwise.
        """
        return self._call(Member, Operation.of("DELETE", route("members", member), AdminOptions), params)


class AsyncAdminMembers(AsyncNoun):
    """The asynchronous twin of `AdminMembers`."""

    async def create(self, *, name: str, **params: Unpack[MemberParams]) -> Member:
        """Add a person or a service account: `POST /admin/v1/members`.

        See `AdminMembers.create`.
        """
        return await self._call(Member, _CREATE, params, name=name)

    def list(self, **params: Unpack[MemberListParams]) -> Listing[Member]:
        """List members, page by page: `GET /admin/v1/members`.

        `await` gives the first page, `async for` all items. See `AdminMembers.list`.
        """
        return self._listing(AdminList[Member], _LIST, params)

    async def retrieve(self, member: str, **params: Unpack[AdminOptions]) -> Member:
        """Return a member: `GET /admin/v1/members/{member}`.

        See `AdminMembers.retrieve`.
        """
        return await self._call(Member, Operation.of("GET", route("members", member), AdminOptions), params)

    async def update(self, member: str, **params: Unpack[MemberChangeParams]) -> Member:
        """Change a member: `PATCH /admin/v1/members/{member}`. What is left out stays.

        See `AdminMembers.update`.
        """
        return await self._call(
            Member, Operation.of("PATCH", route("members", member), MemberChangeParams), params
        )

    async def disable(self, member: str, **params: Unpack[AdminOptions]) -> Member:
        """Disable a member, with its tokens and keys: `DELETE /admin/v1/members/{member}`.

        See `AdminMembers.disable`.
        """
        return await self._call(
            Member, Operation.of("DELETE", route("members", member), AdminOptions), params
        )
