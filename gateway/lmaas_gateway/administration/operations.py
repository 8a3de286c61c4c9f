"""Every operation of the admin API on tenants, as one table: the routes and their document are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from lmaas_gateway.administration import objects, requests
from lmaas_gateway.administration.objects import Page

if TYPE_CHECKING:
    from lmaas_gateway.identity.roles import Permission


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path.

    Attributes:
        name: The service and its method, such as `keys.create`.
        needs: Who may: those with a permission, operators alone, those who may change the fleet
            (`Actors.require_fleet`), or, where it is None, all with a role.
        answer: What it answers with; None for a file.
        text: What it does, in a line.
        query: What it takes in its query.
        body: What it takes as its body.
        status: Of an answer without an error.
    """

    method: str
    path: str
    name: str
    needs: Permission | Literal["operator", "fleet"] | None
    answer: Any
    text: str
    query: type[msgspec.Struct] = requests.InOrganization
    body: Any = None
    status: int = 200

    @property
    def has_query(self) -> bool:
        """Whether its query says more than the organization."""
        return self.query is not requests.InOrganization

    @property
    def has_id(self) -> bool:
        """Whether its path names one object."""
        return "{id}" in self.path


_KEYS, _PROJECTS, _MEMBERS = "/keys", "/projects", "/members"
_ORGANIZATIONS, _LIMITS, _CONTENTS, _CALLS = "/organizations", "/limits", "/contents", "/calls"

CALLS = (
    Operation(
        "GET",
        _CALLS,
        "calls.list",
        "calls:read",
        Page[objects.Call],
        "List the last calls, those of the configuration's keys included where an operator asks.",
        requests.ListCalls,
    ),
    Operation(
        "GET",
        _CALLS + "/{id}",
        "calls.show",
        "calls:read",
        objects.CallExplanation,
        "Explain a call by its request id: each step with its time and reason.",
        requests.ShowCall,
    ),
)
"""Those that need no store: they are there without tenants too, for the operator."""

OPERATIONS = (
    Operation("GET", "/me", "me.show", None, objects.Me, "Tell who asks, and as what."),
    Operation(
        "GET",
        _ORGANIZATIONS,
        "organizations.list",
        "organization:read",
        Page[objects.Organization],
        "List organizations: all for operators, else the own one.",
        requests.Paging,
    ),
    Operation(
        "POST",
        _ORGANIZATIONS,
        "organizations.create",
        "operator",
        objects.Organization,
        "Make an organization. For operators.",
        body=requests.CreateOrganization,
        status=201,
    ),
    Operation(
        "GET",
        _ORGANIZATIONS + "/{id}",
        "organizations.show",
        "organization:read",
        objects.Organization,
        "Show an organization.",
    ),
    Operation(
        "PATCH",
        _ORGANIZATIONS + "/{id}",
        "organizations.change",
        "organization:write",
        objects.Organization,
        "Rename an organization.",
        body=requests.ChangeOrganization,
    ),
    Operation(
        "DELETE",
        _ORGANIZATIONS + "/{id}",
        "organizations.archive",
        "operator",
        objects.Organization,
        "Archive an organization: none of its keys works any more. For operators.",
    ),
    Operation(
        "POST",
        _ORGANIZATIONS + "/{id}/erase",
        "organizations.erase",
        "organization:erase",
        objects.Erased,
        "Destroy the stored contents of an organization with their keys, and its part of the ledger.",
        body=requests.Erase,
    ),
    Operation(
        "GET",
        _PROJECTS,
        "projects.list",
        "projects:read",
        Page[objects.Project],
        "List projects.",
        requests.Paging,
    ),
    Operation(
        "POST",
        _PROJECTS,
        "projects.create",
        "projects:write",
        objects.Project,
        "Make a project.",
        body=requests.CreateProject,
        status=201,
    ),
    Operation(
        "GET", _PROJECTS + "/{id}", "projects.show", "projects:read", objects.Project, "Show a project."
    ),
    Operation(
        "PATCH",
        _PROJECTS + "/{id}",
        "projects.change",
        "projects:write",
        objects.Project,
        "Rename a project, or say whether its contents are stored.",
        body=requests.ChangeProject,
    ),
    Operation(
        "DELETE",
        _PROJECTS + "/{id}",
        "projects.archive",
        "projects:write",
        objects.Project,
        "Archive a project: none of its keys works any more; its books stay.",
    ),
    Operation(
        "GET",
        _MEMBERS,
        "members.list",
        "members:read",
        Page[objects.Member],
        "List people and service accounts.",
        requests.ListMembers,
    ),
    Operation(
        "POST",
        _MEMBERS,
        "members.create",
        "members:write",
        objects.Member,
        "Add a person or a service account.",
        body=requests.CreateMember,
        status=201,
    ),
    Operation("GET", _MEMBERS + "/{id}", "members.show", "members:read", objects.Member, "Show a member."),
    Operation(
        "PATCH",
        _MEMBERS + "/{id}",
        "members.change",
        "members:write",
        objects.Member,
        "Change a member's name, role or project, or disable it.",
        body=requests.ChangeMember,
    ),
    Operation(
        "DELETE",
        _MEMBERS + "/{id}",
        "members.disable",
        "members:write",
        objects.Member,
        "Disable a member: neither its tokens nor its keys work any more.",
    ),
    Operation("GET", _KEYS, "keys.list", "keys:read", Page[objects.Key], "List keys.", requests.ListKeys),
    Operation(
        "POST",
        _KEYS,
        "keys.create",
        "keys:write-own",
        objects.IssuedKey,
        "Issue a key. Its secret is in this answer and nowhere else.",
        body=requests.CreateKey,
        status=201,
    ),
    Operation("GET", _KEYS + "/{id}", "keys.show", "keys:read", objects.Key, "Show a key."),
    Operation(
        "PATCH",
        _KEYS + "/{id}",
        "keys.change",
        "keys:write-own",
        objects.Key,
        "Change a key's name, scopes, weight, priority or end.",
        body=requests.ChangeKey,
    ),
    Operation(
        "POST",
        _KEYS + "/{id}/rotate",
        "keys.rotate",
        "keys:write-own",
        objects.IssuedKey,
        "Issue a key in the place of this one, which stays valid for the overlap.",
        body=requests.RotateKey,
        status=201,
    ),
    Operation(
        "DELETE",
        _KEYS + "/{id}",
        "keys.revoke",
        "keys:write-own",
        objects.Key,
        "Revoke a key: within 5 seconds it is valid nowhere.",
    ),
    Operation(
        "GET", _LIMITS, "limits.list", "limits:read", Page[objects.Limit], "List limits.", requests.ListLimits
    ),
    Operation(
        "PUT",
        _LIMITS,
        "limits.set",
        "limits:write",
        objects.Limit,
        "Set a limit.",
        body=requests.SetLimit,
    ),
    Operation("DELETE", _LIMITS + "/{id}", "limits.remove", "limits:write", objects.Removed, "Lift a limit."),
    Operation(
        "GET",
        "/prices",
        "prices.list",
        "prices:read",
        Page[objects.Price],
        "List what models cost; prices are set in the configuration.",
    ),
    Operation(
        "GET",
        "/usage",
        "usage.list",
        "usage:read",
        Page[objects.Usage],
        "Add up the books, by project, key, model or day.",
        requests.UsageQuery,
    ),
    Operation(
        "GET",
        "/usage/export",
        "usage.export",
        "usage:export",
        None,
        "Send the ledger's rows as a file.",
        requests.ExportQuery,
    ),
    Operation(
        "GET",
        "/quality",
        "quality.list",
        "usage:read",
        Page[objects.Quality],
        "Show what was seen and said of replies, by day and model.",
        requests.QualityQuery,
    ),
    Operation(
        "GET",
        "/audit",
        "audit.list",
        "audit:read",
        Page[objects.AuditEntry],
        "Read the audit trail, oldest first.",
        requests.AuditQuery,
    ),
    Operation(
        "GET",
        "/audit/verify",
        "audit.verify",
        "audit:read",
        objects.AuditVerdict,
        "Check the chain of the whole audit trail and its checkpoints.",
    ),
    Operation(
        "GET",
        _CONTENTS,
        "contents.list",
        "contents:read",
        Page[objects.Content],
        "List which calls have stored contents, without them.",
        requests.ListContents,
    ),
    Operation(
        "GET",
        _CONTENTS + "/{id}",
        "contents.show",
        "contents:read",
        objects.Content,
        "Read what was asked and answered in one call. The reading is audited.",
    ),
    *CALLS,
)
