"""Who asks for something, and where it acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lmaas_gateway.call import Principal
from lmaas_gateway.errors import BadRequestError, ObjectNotFoundError, PermissionDeniedError
from lmaas_gateway.identity import roles

if TYPE_CHECKING:
    from lmaas_gateway.call import Role
    from lmaas_gateway.identity.roles import Permission

OPERATOR = Principal("operator", role="owner")
"""Who holds `admin_key` of the configuration: above organizations, and an owner in each."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, by which request.

    Attributes:
        principal: As it was recognised.
        kind: What it is.
        role: What it may; none may nothing.
        organization: In which it acts; empty for an operator who has named none.
        bound_to: The only project that its role holds for; empty for all.
        idempotency_key: Of its request; empty if there is none.
        is_alone: Whether the organization is the only one of the gateway.
    """

    principal: Principal
    kind: Literal["operator", "person", "service", "key"]
    role: Role | None
    organization: str = ""
    bound_to: str = ""
    idempotency_key: str = ""
    is_alone: bool = False

    @property
    def id(self) -> str:
        """What stands for it in the audit trail: the member if it is one, else the key."""
        return self.principal.member or self.principal.key or self.principal.id

    @property
    def is_operator(self) -> bool:
        """Whether it stands above organizations."""
        return self.kind == "operator"

    @property
    def tenant(self) -> str:
        """The organization that it acts in.

        Raises:
            BadRequestError: an operator has not said which.
        """
        if not self.organization:
            raise BadRequestError(
                "There are several organizations: say which one is meant, as in `?organization=org_…`.",
                param="organization",
            )
        return self.organization

    def require(self, permission: Permission) -> None:
        """Let it go on if its role has a permission.

        Raises:
            PermissionDeniedError: it has not.
        """
        roles.require(self._as_principal(), permission)

    def require_any(self, needs: Permission | Literal["operator", "fleet"] | None) -> None:
        """Let it go on if it may what an operation needs.

        Raises:
            PermissionDeniedError: it may not.
        """
        if needs == "operator":
            self.require_operator()
        elif needs == "fleet":
            self.require_fleet()
        elif needs is not None:
            self.require(needs)

    def has(self, permission: Permission) -> bool:
        """Tell whether its role has a permission."""
        return roles.permits(self.role, permission)

    def require_operator(self) -> None:
        """Let it go on if it stands above organizations.

        Raises:
            PermissionDeniedError: it is in one.
        """
        if not self.is_operator:
            raise PermissionDeniedError("This is for the operator of the gateway, who holds its `admin_key`.")

    def require_fleet(self) -> None:
        """Let it go on if it may start and stop models: an operator, or an owner of the only organization.

        Raises:
            PermissionDeniedError: it may not.
        """
        if self.is_operator:
            return
        if not self.is_alone:
            raise PermissionDeniedError(
                "Other organizations use these models too, so this is for the operator of the gateway, who "
                "holds its `admin_key`."
            )
        self.require_unbound()
        self.require("organization:write")

    def require_unbound(self) -> None:
        """Let it go on if its role holds for the whole organization.

        Raises:
            PermissionDeniedError: it holds for one project.
        """
        if self.bound_to:
            raise PermissionDeniedError(
                "Your role holds for one project only, and this concerns the whole organization."
            )

    def require_project(self, project: str) -> None:
        """Let it go on if its role holds for a project.

        Raises:
            ObjectNotFoundError: it does not, so that there is no such project to be seen.
        """
        if self.bound_to not in {"", project}:
            raise no_such("project", project)

    def require_rank(self, role: Role | None) -> None:
        """Let it go on if it may give, or take, this role.

        Raises:
            PermissionDeniedError: the role is above its own.
        """
        if role is None:
            return
        if self.role is None or roles.outranks(role, self.role):
            raise PermissionDeniedError(f"Your role is {self.role!r}; {role!r} is above it.")
        if role == "owner":
            self.require("owners:write")

    def _as_principal(self) -> Principal:
        return Principal(self.principal.id, role=self.role)


def no_such(kind: str, id_: str) -> ObjectNotFoundError:
    """Say that the organization has no such object, whether or not another has."""
    return ObjectNotFoundError(f"There is no {kind} {id_!r} here.")
