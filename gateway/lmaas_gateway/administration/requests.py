"""What administrators send: closed schemas with bounds. What a change leaves out stays as it is."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from lmaas_gateway.administration.fields import (
    ActionName,
    Addresses,
    Amount,
    Glob,
    Grouping,
    Id,
    Kind,
    Lifetime,
    Metric,
    Name,
    Overlap,
    Patterns,
    Period,
    Priority,
    Role,
    RoutePatterns,
    Subject,
    SubjectId,
    SubjectKind,
    Time,
    Weight,
)


class _Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A field that the schema does not have is refused."""


class Scopes(_Closed, frozen=True, kw_only=True):
    """What a key may be used for; an empty list leaves that open.

    Attributes:
        admin: The role that its calls to `/admin/v1` have; none opens none of it.
    """

    models: Patterns = ()
    routes: RoutePatterns = ()
    addresses: Addresses = ()
    admin: Role | None = None


class Nothing(_Closed, frozen=True, kw_only=True):
    """The query of what concerns the whole gateway."""


class InOrganization(_Closed, frozen=True, kw_only=True):
    """Where to act. Operators name the organization; all others are in their own."""

    organization: Id | None = None


class Paging(InOrganization, frozen=True, kw_only=True):
    """Which part of a listing."""

    after: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class CreateOrganization(_Closed, frozen=True, kw_only=True):
    """A new organization."""

    name: Name


class ChangeOrganization(_Closed, frozen=True, kw_only=True):
    """What changes of an organization."""

    name: Name | UnsetType = UNSET


class CreateProject(_Closed, frozen=True, kw_only=True):
    """A new project.

    Attributes:
        stores_content: Whether prompts and answers of its calls are kept, encrypted.
    """

    name: Name
    stores_content: bool = False


class ChangeProject(_Closed, frozen=True, kw_only=True):
    """What changes of a project."""

    name: Name | UnsetType = UNSET
    stores_content: bool | UnsetType = UNSET


class CreateMember(_Closed, frozen=True, kw_only=True):
    """A new person or service account.

    Attributes:
        subject: By which a person's token is recognised.
        project: The only one that the role holds for; none for all.
    """

    name: Name
    kind: Kind = "person"
    role: Role = "developer"
    subject: Subject | None = None
    project: Id | None = None


class ChangeMember(_Closed, frozen=True, kw_only=True):
    """What changes of a member."""

    name: Name | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    project: Id | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET


class ListMembers(Paging, frozen=True, kw_only=True):
    """Which members."""

    project: Id | None = None


class CreateKey(_Closed, frozen=True, kw_only=True):
    """A new key.

    Attributes:
        member: Whose it is; none for the project's own.
        expires_in_days: When it ends; default: as the settings say.
    """

    project: Id
    name: Name
    member: Id | None = None
    scopes: Scopes = Scopes()
    weight: Weight = 1.0
    priority: Priority = "normal"
    expires_in_days: Lifetime | None = None


class ChangeKey(_Closed, frozen=True, kw_only=True):
    """What changes of a key. Its secret never does: rotate it."""

    name: Name | UnsetType = UNSET
    scopes: Scopes | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    expires_at: Time | UnsetType = UNSET


class RotateKey(_Closed, frozen=True, kw_only=True):
    """How a key is replaced by a new one with the same rights."""

    overlap_s: Overlap = 86400
    expires_in_days: Lifetime | None = None


class ListKeys(Paging, frozen=True, kw_only=True):
    """Which keys."""

    project: Id | None = None
    member: Id | None = None


class SetLimit(_Closed, frozen=True, kw_only=True):
    """How much a subject may use; the limit of the same subject, model, metric and period is replaced.

    Attributes:
        subject: The id of what is limited; of a model, its name or pattern. None for the organization.
        model: The models that count; `*` for all.
    """

    subject_kind: SubjectKind
    subject: SubjectId | None = None
    model: Glob = "*"
    metric: Metric
    period: Period
    amount: Amount


class ListLimits(Paging, frozen=True, kw_only=True):
    """Which limits."""

    subject: SubjectId | None = None


class UsageQuery(InOrganization, frozen=True, kw_only=True):
    """Which part of the books, added up by what.

    Attributes:
        start: The first day.
        end: The day after the last one; default: the end of today.
        group_by: With commas between them.
        after: The `last_id` of the part before.
    """

    start: Time
    end: Time | None = None
    group_by: Annotated[str, Meta(max_length=64)] = "project"
    after: Annotated[str, Meta(max_length=2048)] | None = None
    project: Id | None = None
    key: Id | None = None
    model: Glob | None = None

    def groups(self) -> tuple[Grouping, ...]:
        """Read `group_by`.

        Raises:
            msgspec.ValidationError: it names what cannot be grouped by.
        """
        names = [name for name in self.group_by.split(",") if name]
        return msgspec.convert(tuple(dict.fromkeys(names)), tuple[Grouping, ...])


class QualityQuery(InOrganization, frozen=True, kw_only=True):
    """Which days and models.

    Attributes:
        start: The first day.
        end: The day after the last one; default: the end of today.
    """

    start: Time
    end: Time | None = None
    project: Id | None = None
    model: Glob | None = None


class ExportQuery(InOrganization, frozen=True, kw_only=True):
    """Which part of the ledger, and as what kind of file."""

    start: Time
    end: Time | None = None
    project: Id | None = None
    format: Literal["csv", "jsonl", "parquet"] = "csv"


class AuditQuery(Paging, frozen=True, kw_only=True):
    """Which part of the audit trail, oldest first."""

    start: Time | None = None
    end: Time | None = None
    action: ActionName | None = None
    actor: Id | None = None


class ListContents(Paging, frozen=True, kw_only=True):
    """Which stored contents."""

    project: Id | None = None


class ListCalls(InOrganization, frozen=True, kw_only=True):
    """Which calls, the newest first. Operators who name no organization see all of them.

    Attributes:
        after: The `last_id` of the part before.
        failed: Only those that the service failed on, or refused.
        slow_over_s: Only those that took longer, in seconds.
        since: Only those that ended then or later, in Unix seconds.
    """

    after: Annotated[str, Meta(max_length=64, pattern=r"^[0-9a-f]+-[0-9a-z]+-[0-9a-f]+$(?!\n)")] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    failed: bool = False
    slow_over_s: Annotated[float, Meta(ge=0)] | None = None
    model: Glob | None = None
    project: Id | None = None
    since: Time | None = None


class ShowCall(InOrganization, frozen=True, kw_only=True):
    """Whose call. Operators who name no organization mean anybody's."""


class Erase(_Closed, frozen=True, kw_only=True):
    """Destroy what was stored of an organization, for ever.

    Attributes:
        confirm: The organization's name, so that nobody erases the wrong one.
    """

    confirm: Name
