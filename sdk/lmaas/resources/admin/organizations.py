"""`client.admin.organizations`: whose data is kept apart from all others'."""

from __future__ import annotations

from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._pages import Listing, Page
from lmaas.resources.admin._noun import AsyncNoun, Noun, route
from lmaas.types import (
    AdminList,
    AdminListParams,
    CallOptions,
    Erasure,
    Organization,
    OrganizationChangeParams,
)

_CREATE = Operation.post("/organizations", CallOptions)
_LIST = Operation.of("GET", "/organizations", AdminListParams)


class AdminOrganizations(Noun):
    """Organizations: all of them for operators, the own one for others."""

    def create(self, *, name: str, **params: Unpack[CallOptions]) -> Organization:
        """Make an organization: `POST /admin/v1/organizations`. For operators.

        Raises:
            ConflictError: there is one of that name.
            APIError: the call failed otherwise.
        """
        return self._call(Organization, _CREATE, params, name=name)

    def list(self, **params: Unpack[AdminListParams]) -> Page[Organization]:
        """List organizations, page by page: `GET /admin/v1/organizations`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._list(AdminList[Organization], _LIST, params)

    def retrieve(self, organization: str, **params: Unpack[CallOptions]) -> Organization:
        """Return an organization: `GET /admin/v1/organizations/{organization}`.

        Raises:
            NotFoundError: there is no such organization.
            APIError: the call failed otherwise.
        """
        return self._call(
            Organization, Operation.of("GET", route("organizations", organization), CallOptions), params
        )

    def update(self, organization: str, **params: Unpack[OrganizationChangeParams]) -> Organization:
        """Rename an organization: `PATCH /admin/v1/organizations/{organization}`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        operation = Operation.of("PATCH", route("organizations", organization), OrganizationChangeParams)
        return self._call(Organization, operation, params)

    def archive(self, organization: str, **params: Unpack[CallOptions]) -> Organization:
        """Archive an organization: `DELETE /admin/v1/organizations/{organization}`. For operators.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._call(
            Organization, Operation.of("DELETE", route("organizations", organization), CallOptions), params
        )

    def erase(self, organization: str, *, confirm: str, **params: Unpack[CallOptions]) -> Erasure:
        """Destroy what was stored: `POST /admin/v1/organizations/{organization}/erase`.

        Args:
            organization: Its id.
            confirm: Its name, so that nobody erases the wrong one.
            **params: See `CallOptions`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        operation = Operation.post(route("organizations", organization, "/erase"), CallOptions)
        return self._call(Erasure, operation, params, confirm=confirm)


class AsyncAdminOrganizations(AsyncNoun):
    """The asynchronous twin of `AdminOrganizations`."""

    async def create(self, *, name: str, **params: Unpack[CallOptions]) -> Organization:
        """Make an organization: `POST /admin/v1/organizations`. For operators.

        See `AdminOrganizations.create`.
        """
        return await self._call(Organization, _CREATE, params, name=name)

    def list(self, **params: Unpack[AdminListParams]) -> Listing[Organization]:
        """List organizations, page by page: `GET /admin/v1/organizations`.

        `await` gives the first page, `async for` all items. See `AdminOrganizations.list`.
        """
        return self._listing(AdminList[Organization], _LIST, params)

    async def retrieve(self, organization: str, **params: Unpack[CallOptions]) -> Organization:
        """Return an organization: `GET /admin/v1/organizations/{organization}`.

        See `AdminOrganizations.retrieve`.
        """
        return await self._call(
            Organization, Operation.of("GET", route("organizations", organization), CallOptions), params
        )

    async def update(self, organization: str, **params: Unpack[OrganizationChangeParams]) -> Organization:
        """Rename an organization: `PATCH /admin/v1/organizations/{organization}`.

        See `AdminOrganizations.update`.
        """
        operation = Operation.of("PATCH", route("organizations", organization), OrganizationChangeParams)
        return await self._call(Organization, operation, params)

    async def archive(self, organization: str, **params: Unpack[CallOptions]) -> Organization:
        """Archive an organization: `DELETE /admin/v1/organizations/{organization}`. For operators.

        See `AdminOrganizations.archive`.
        """
        return await self._call(
            Organization, Operation.of("DELETE", route("organizations", organization), CallOptions), params
        )

    async def erase(self, organization: str, *, confirm: str, **params: Unpack[CallOptions]) -> Erasure:
        """Destroy what was stored: `POST /admin/v1/organizations/{organization}/erase`.

        See `AdminOrganizations.erase`.
        """
        operation = Operation.post(route("organizations", organization, "/erase"), CallOptions)
        return await self._call(Erasure, operation, params, confirm=confirm)
