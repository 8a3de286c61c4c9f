"""`client.admin.projects`: what keys belong to, and what is billed together."""

from __future__ import annotations

from typing import Unpack

from lmaas._request import Operation
from lmaas.resources._pages import Listing, Page
from lmaas.resources.admin._noun import AsyncNoun, Noun, route
from lmaas.types import AdminList, AdminListParams, AdminOptions, Project, ProjectChangeParams, ProjectParams

_CREATE = Operation.of("POST", "/projects", ProjectParams)
_LIST = Operation.of("GET", "/projects", AdminListParams)


class AdminProjects(Noun):
    """The projects of an organization."""

    def create(self, *, name: str, **params: Unpack[ProjectParams]) -> Project:
        """Make a project: `POST /admin/v1/projects`.

        Raises:
            ConflictError: the organization has a project of that name.
            APIError: the call failed otherwise.
        """
        return self._call(Project, _CREATE, params, name=name)

    def list(self, **params: Unpack[AdminListParams]) -> Page[Project]:
        """List projects, page by page: `GET /admin/v1/projects`.

        Raises:
            APIError: the call failed; see the tree in `lmaas.errors`.
        """
        return self._list(AdminList[Project], _LIST, params)

    def retrieve(self, project: str, **params: Unpack[AdminOptions]) -> Project:
        """Return a project: `GET /admin/v1/projects/{project}`.

        Raises:
            NotFoundError: the organization has no such project.
            APIError: the call failed otherwise.
        """
        return self._call(Project, Operation.of("GET", route("projects", project), AdminOptions), params)

    def update(self, project: str, **params: Unpack[ProjectChangeParams]) -> Project:
        """Change a project: `PATCH /admin/v1/projects/{project}`. What is left out stays.

        Raises:
            NotFoundError: the organization has no such project.
            APIError: the call failed otherwise.
        """
        return self._call(
            Project, Operation.of("PATCH", route("projects", project), ProjectChangeParams), params
        )

    def archive(self, project: str, **params: Unpack[AdminOptions]) -> Project:
        """Archive a project: `DELETE /admin/v1/projects/{project}`. None of its keys works then.

        Raises:
            NotFoundError: the organization has no such project.
            APIError: the call failed otherwise.
        """
        return self._call(Project, Operation.of("DELETE", route("projects", project), AdminOptions), params)


class AsyncAdminProjects(AsyncNoun):
    """The asynchronous twin of `AdminProjects`."""

    async def create(self, *, name: str, **params: Unpack[ProjectParams]) -> Project:
        """Make a project: `POST /admin/v1/projects`.

        See `AdminProjects.create`.
        """
        return await self._call(Project, _CREATE, params, name=name)

    def list(self, **params: Unpack[AdminListParams]) -> Listing[Project]:
        """List projects, page by page: `GET /admin/v1/projects`.

        `await` gives the first page, `async for` all items. See `AdminProjects.list`.
        """
        return self._listing(AdminList[Project], _LIST, params)

    async def retrieve(self, project: str, **params: Unpack[AdminOptions]) -> Project:
        """Return a project: `GET /admin/v1/projects/{project}`.

        See `AdminProjects.retrieve`.
        """
        return await self._call(
            Project, Operation.of("GET", route("projects", project), AdminOptions), params
        )

    async def update(self, project: str, **params: Unpack[ProjectChangeParams]) -> Project:
        """Change a project: `PATCH /admin/v1/projects/{project}`. What is left out stays.

        See `AdminProjects.update`.
        """
        return await self._call(
            Project, Operation.of("PATCH", route("projects", project), ProjectChangeParams), params
        )

    async def archive(self, project: str, **params: Unpack[AdminOptions]) -> Project:
        """Archive a project: `DELETE /admin/v1/projects/{project}`. None of its keys works then.

        See `AdminProjects.archive`.
        """
        return await self._call(
            Project, Operation.of("DELETE", route("projects", project), AdminOptions), params
        )
