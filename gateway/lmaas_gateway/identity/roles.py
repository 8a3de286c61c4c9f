"""What each role may do, as one table. What does not stand here, nobody may."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from lmaas_gateway.errors import PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.call import Principal, Role

Permission = Literal[
    "organization:read",
    "organization:write",
    "organization:erase",
    "projects:read",
    "projects:write",
    "members:read",
    "members:write",
    "owners:write",
    "keys:read",
    "keys:write",
    "keys:write-own",
    "limits:read",
    "limits:write",
    "usage:read",
    "usage:export",
    "audit:read",
    "calls:read",
    "contents:read",
    "prices:read",
    "metrics:read",
]
"""What can be permitted: an object, and what is done with it."""

_VIEWER: frozenset[Permission] = frozenset(
    {
        "organization:read",
        "projects:read",
        "members:read",
        "keys:read",
        "limits:read",
        "usage:read",
        "calls:read",
        "prices:read",
        "metrics:read",
    }
)
_DEVELOPER: frozenset[Permission] = _VIEWER | {"keys:write-own"}
_ADMIN: frozenset[Permission] = _DEVELOPER | {
    "projects:write",
    "members:write",
    "keys:write",
    "limits:write",
    "usage:export",
    "audit:read",
    "contents:read",
}
_OWNER: frozenset[Permission] = _ADMIN | {"organization:write", "organization:erase", "owners:write"}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {"viewer": _VIEWER, "developer": _DEVELOPER, "admin": _ADMIN, "owner": _OWNER}
)
"""What each role may do, inside its organization and, where it is bound to one, its project."""

_RANKS: Mapping[Role, int] = MappingProxyType({role: rank for rank, role in enumerate(PERMISSIONS)})


def permits(role: Role | None, permission: Permission) -> bool:
    """Tell whether a role may do that; no role may do nothing."""
    return role is not None and permission in PERMISSIONS[role]


def require(principal: Principal, permission: Permission) -> None:
    """Let a caller go on who may do that.

    Raises:
        PermissionDeniedError: it may not.
    """
    if not permits(principal.role, permission):
        raise PermissionDeniedError(
            f"This needs the permission {permission!r}, which {_describe(principal.role)}; ask an owner or "
            "administrator of the organization."
        )


def lesser(one: Role | None, other: Role | None) -> Role | None:
    """Give the role of who acts by two that bound each other; none if either is none."""
    if one is None or other is None:
        return None
    return min(one, other, key=_RANKS.__getitem__)


def outranks(one: Role, other: Role) -> bool:
    """Tell whether a role may do more than another."""
    return _RANKS[one] > _RANKS[other]


def _describe(role: Role | None) -> str:
    return "your key does not have" if role is None else f"the role {role!r} does not have"
