"""Parameters of `/admin/v1/`, as dictionaries with known keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from lmaas.types.params import CallOptions


class KeyScopesParam(TypedDict, total=False):
    """What a key may be used for; what is left out, or empty, is open."""

    models: Sequence[str]
    routes: Sequence[str]
    addresses: Sequence[str]
    admin: Literal["owner", "admin", "developer", "viewer"] | None


class AdminOptions(CallOptions, total=False):
    """What every call takes; operators, who are in none, name the organization that is meant."""

    organization: str


class LiveParams(CallOptions, total=False):
    """Parameters of `admin.live`: how far back to look, up to 900 seconds; by default 60."""

    window_s: int


class SilenceParams(CallOptions, total=False):
    """Parameters of `admin.alerts.silence`: why nobody is to be told."""

    comment: str


class AdminListParams(AdminOptions, total=False):
    """Parameters of listings: `after` is the `id` of the last item of the page before."""

    after: str
    limit: int


class KeyListParams(AdminListParams, total=False):
    """Parameters of `admin.keys.list`."""

    project: str
    member: str


class MemberListParams(AdminListParams, total=False):
    """Parameters of `admin.members.list`."""

    project: str


class LimitListParams(AdminListParams, total=False):
    """Parameters of `admin.limits.list`."""

    subject: str


class AuditListParams(AdminListParams, total=False):
    """Parameters of `admin.audit.list`; times are Unix seconds."""

    start: int
    end: int
    action: str
    actor: str


class ContentListParams(AdminListParams, total=False):
    """Parameters of `admin.contents.list`."""

    project: str


class QualityParams(AdminOptions, total=False):
    """Parameters of `admin.quality.list`; times are Unix seconds."""

    end: int
    project: str
    model: str


class LogParams(CallOptions, total=False):
    """Parameters of `admin.logs.list` and `.follow`: which lines, and how many of the last ones.

    `level` is the least severity, `since` the earliest time, such as "2026-01-31T12:00:00Z".
    """

    request_id: str
    organization: str
    project: str
    principal: str
    model: str
    replica: str
    outcome: str
    code: str
    level: Literal["debug", "info", "warning", "error", "critical"]
    since: str
    limit: int


class _KeyParams(AdminOptions, total=False):
    scopes: KeyScopesParam
    weight: float
    priority: Literal["high", "normal", "low"]


class KeyParams(_KeyParams, total=False):
    """Parameters of `admin.keys.create` beside `project` and `name`."""

    member: str | None
    expires_in_days: int | None


class KeyChangeParams(_KeyParams, total=False):
    """Parameters of `admin.keys.update`; `expires_at` is in Unix seconds."""

    name: str
    expires_at: int


class KeyRotationParams(AdminOptions, total=False):
    """Parameters of `admin.keys.rotate`: for how many seconds the old secret stays valid, and the new end."""

    overlap_s: int
    expires_in_days: int | None


class ProjectParams(AdminOptions, total=False):
    """Parameters of `admin.projects.create` beside `name`."""

    stores_content: bool


class ProjectChangeParams(ProjectParams, total=False):
    """Parameters of `admin.projects.update`."""

    name: str


class OrganizationChangeParams(CallOptions, total=False):
    """Parameters of `admin.organizations.update`."""

    name: str


class _MemberParams(AdminOptions, total=False):
    role: Literal["owner", "admin", "developer", "viewer"]
    project: str | None


class MemberParams(_MemberParams, total=False):
    """Parameters of `admin.members.create` beside `name`; `subject` is issuer, "|", and `sub` of a token."""

    kind: Literal["person", "service"]
    subject: str | None


class MemberChangeParams(_MemberParams, total=False):
    """Parameters of `admin.members.update`."""

    name: str
    disabled: bool


class LimitParams(AdminOptions, total=False):
    """Parameters of `admin.limits.set` beside the required ones."""

    subject: str | None
    model: str


class UsageParams(AdminOptions, total=False):
    """Parameters of `admin.usage.list` beside `start`.

    `group_by` has commas between its names, and `after` is the `last_id` of the part before.
    """

    after: str
    end: int
    group_by: str
    project: str
    key: str
    model: str


class UsageExportParams(AdminOptions, total=False):
    """Parameters of `admin.usage.export` beside `start`."""

    end: int
    project: str
    format: Literal["csv", "jsonl", "parquet"]
