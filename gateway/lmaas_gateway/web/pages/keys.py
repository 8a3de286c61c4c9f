"""Keys of an organization: listed, made and shown once, rotated, revoked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmaas_gateway.administration import requests
from lmaas_gateway.identity.roles import PERMISSIONS, outranks
from lmaas_gateway.web.forms import convert, lines
from lmaas_gateway.web.site import Section, new_once, see_other

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration import objects
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.services import Services
    from lmaas_gateway.call import Role
    from lmaas_gateway.web.site import Site
    from lmaas_gateway.web.visitors import Visitor

_PATH = "/ui/keys"
_PAGE_SIZE = 50


class KeyPages:
    """Shows and changes keys; what may be done is up to the service.

    Args:
        site: Makes pages.
        services: Do what is asked for.
    """

    def __init__(self, site: Site, services: Services) -> None:
        self._site = site
        self._services = services
        site.section(Section("keys", _PATH, "manage", "keys:read"), self.list)
        site.page(_PATH + "/{id}", self.show, "keys:read")
        site.action(_PATH, self.create)
        site.action(_PATH + "/{id}/rotate", self.rotate)
        site.action(_PATH + "/{id}/revoke", self.revoke)

    async def list(self, visitor: Visitor, request: Request) -> Response:
        """List keys, the newest first, with a form for another one to those who may make one."""
        actor = visitor.acting()
        query = {name: request.query_params.get(name, "") for name in ("project", "after")}
        page = await self._services.keys.list(
            actor, convert({**query, "limit": _PAGE_SIZE}, requests.ListKeys)
        )
        projects = await list_projects(self._services, actor)
        return self._site.render(
            visitor,
            request,
            "keys.html",
            page=page,
            projects=projects,
            project=query["project"],
            roles=_roles_below(actor.role),
            once=new_once(),
        )

    async def show(self, visitor: Visitor, request: Request) -> Response:
        """Show one key, and what can be done with it."""
        actor = visitor.acting()
        key = await self._services.keys.show(actor, request.path_params["id"])
        may_change = actor.has("keys:write") or (
            key.member is not None and key.member == actor.principal.member and actor.has("keys:write-own")
        )
        return self._site.render(
            visitor,
            request,
            "key.html",
            key=key,
            projects=await list_projects(self._services, actor),
            may_change=may_change,
            is_own=key.id == actor.principal.key,
            once=new_once(),
        )

    async def create(self, visitor: Visitor, request: Request, fields: Mapping[str, str]) -> Response:
        """Issue a key, and show its secret: this once."""
        scopes = {
            "models": lines(fields.get("models", "")),
            "routes": lines(fields.get("routes", "")),
            "addresses": lines(fields.get("addresses", "")),
        }
        wanted: dict[str, Any] = {
            name: fields.get(name, "") for name in ("project", "name", "expires_in_days", "priority")
        }
        wanted["scopes"] = scopes | ({"admin": fields["admin"]} if fields.get("admin") else {})
        issued = await self._services.keys.create(
            _acting_once(visitor, fields), convert(wanted, requests.CreateKey)
        )
        return self._show_once(visitor, request, issued)

    async def rotate(self, visitor: Visitor, request: Request, fields: Mapping[str, str]) -> Response:
        """Issue a key in the place of another, and show its secret: this once."""
        wanted = convert({"overlap_s": fields.get("overlap_s", "")}, requests.RotateKey)
        issued = await self._services.keys.rotate(
            _acting_once(visitor, fields), request.path_params["id"], wanted
        )
        return self._show_once(visitor, request, issued)

    async def revoke(self, visitor: Visitor, request: Request, fields: Mapping[str, str]) -> Response:
        """Revoke a key; whoever is signed in with it, is no more."""
        del fields
        key = await self._services.keys.revoke(visitor.acting(), request.path_params["id"])
        return see_other(f"{_PATH}/{key.id}")

    def _show_once(self, visitor: Visitor, request: Request, issued: objects.IssuedKey) -> Response:
        return self._site.render(visitor, request, "key_issued.html", key=issued)


async def list_projects(services: Services, actor: Actor) -> Mapping[str, str]:
    """Give the names of an organization's projects by their ids, the newest first; the first hundred."""
    page = await services.projects.list(actor, requests.Paging(limit=100))
    return {project.id: project.name for project in page.data}


async def list_keys(services: Services, actor: Actor) -> Mapping[str, str]:
    """Give what people know an organization's keys by, by their ids, the newest first; the first hundred."""
    page = await services.keys.list(actor, requests.ListKeys(limit=100))
    return {key.id: f"{key.name} …{key.last4}" for key in page.data}


def _roles_below(role: Role | None) -> list[Role]:
    """List the roles that somebody may give, the least first."""
    return [one for one in PERMISSIONS if role is not None and not outranks(one, role)]


def _acting_once(visitor: Visitor, fields: Mapping[str, str]) -> Actor:
    """Give the actor of a form that does what it does once, however often it is sent."""
    return replace(visitor.acting(), idempotency_key=fields.get("once", "")[:64])
