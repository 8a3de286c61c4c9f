"""All tables. Migrations make them; a test compares the two on both databases.

Ids are text, times are microseconds since 1970 in UTC, money is in nano-US-dollars, and JSON is text, so that
both databases hold the same values. A row of a tenant names its organization, whatever else it names.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id(name: str = "id", *, is_key: bool = True) -> Column[str]:
    return Column(name, String(64), primary_key=is_key, nullable=False)


def _text(name: str, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _number(name: str, *, is_nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=is_nullable)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


organizations = Table(
    "organizations",
    METADATA,
    _id(),
    Column("name", String(128), nullable=False, unique=True),
    _number("created_at"),
    _number("archived_at", is_nullable=True),
    Index(None, "created_at", "id"),
)

projects = Table(
    "projects",
    METADATA,
    _id(),
    Column("organization_id", String(64), ForeignKey("organizations.id"), nullable=False),
    Column("name", String(128), nullable=False),
    _flag("stores_content"),
    _number("created_at"),
    _number("archived_at", is_nullable=True),
    UniqueConstraint("organization_id", "name"),
    # What keys and members refer to, so that the database itself keeps projects to their organization.
    UniqueConstraint("organization_id", "id"),
    Index(None, "organization_id", "created_at", "id"),
)

members = Table(
    "members",
    METADATA,
    _id(),
    Column("organization_id", String(64), ForeignKey("organizations.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", String(128), nullable=False),
    Column("subject", String(512), nullable=True, unique=True),
    Column("role", String(16), nullable=False),
    Column("project_id", String(64), nullable=True),
    _number("created_at"),
    _number("disabled_at", is_nullable=True),
    UniqueConstraint("organization_id", "id"),
    ForeignKeyConstraint(["organization_id", "project_id"], ["projects.organization_id", "projects.id"]),
    Index(None, "organization_id", "created_at", "id"),
)

keys = Table(
    "keys",
    METADATA,
    _id(),
    Column("project_id", String(64), nullable=False),
    Column("organization_id", String(64), ForeignKey("organizations.id"), nullable=False),
    Column("member_id", String(64), nullable=True),
    Column("name", String(128), nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("pepper_version", Integer, nullable=False),
    Column("last4", String(4), nullable=False),
    _text("scopes", "{}"),
    Column("weight", Float, nullable=False, server_default="1"),
    Column("priority", String(16), nullable=False, server_default="normal"),
    _number("created_at"),
    _number("expires_at", is_nullable=True),
    _number("revoked_at", is_nullable=True),
    Column("rotated_to", String(64), nullable=True),
    _number("last_used_at", is_nullable=True),
    # When it, its member, project or organization last became another, but for `last_used_at`.
    _count("changed_at"),
    Column("created_by", String(64), nullable=False, server_default=""),
    ForeignKeyConstraint(["organization_id", "project_id"], ["projects.organization_id", "projects.id"]),
    ForeignKeyConstraint(["organization_id", "member_id"], ["members.organization_id", "members.id"]),
    Index(None, "organization_id", "created_at", "id"),
    Index(None, "organization_id", "project_id", "created_at", "id"),
    # Which keys have changed lately is asked every second, by every process.
    Index(None, "changed_at", "id"),
)

limits = Table(
    "limits",
    METADATA,
    _id(),
    Column("organization_id", String(64), ForeignKey("organizations.id"), nullable=False),
    Column("subject_kind", String(16), nullable=False),
    Column("subject_id", String(64), nullable=False),
    Column("model_glob", String(256), nullable=False, server_default="*"),
    Column("metric", String(24), nullable=False),
    Column("period", String(8), nullable=False),
    _number("amount"),
    UniqueConstraint(
        *("organization_id", "subject_kind", "subject_id", "model_glob", "metric", "period"),
        name="uq_limits_subject",
    ),
)

ledger = Table(
    "ledger",
    METADATA,
    _id(),
    Column("request_id", String(128), nullable=False),
    _number("at"),
    _id("organization_id", is_key=False),
    _id("project_id", is_key=False),
    _id("key_id", is_key=False),
    _id("member_id", is_key=False),
    _text("model"),
    _text("replica"),
    _text("route"),
    _flag("is_stream"),
    _count("prompt_tokens"),
    _count("cached_tokens"),
    _count("completion_tokens"),
    _count("reasoning_tokens"),
    _flag("is_estimated"),
    _count("first_byte_us"),
    _count("duration_us"),
    _count("queued_us"),
    _count("busy_ns"),
    Column("outcome", String(32), nullable=False),
    Column("status", Integer, nullable=False),
    _text("code", ""),
    Column("source", String(32), nullable=False),
    _count("cost_nanos"),
    _text("price", "{}"),
    Index(None, "organization_id", "at", "id"),
    # Callers know their calls by the name that they gave them.
    Index(None, "organization_id", "request_id"),
    # Retention goes by age alone.
    Index(None, "at"),
)

usage_days = Table(
    "usage_days",
    METADATA,
    # A day is its number since 1970, in UTC.
    Column("organization_id", String(64), primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("project_id", String(64), primary_key=True),
    Column("key_id", String(64), primary_key=True),
    Column("model", Text, primary_key=True),
    _count("calls"),
    _count("failed_calls"),
    _count("prompt_tokens"),
    _count("cached_tokens"),
    _count("completion_tokens"),
    _count("reasoning_tokens"),
    _count("duration_us"),
    _count("busy_ns"),
    _count("cost_nanos"),
)

feedback = Table(
    "feedback",
    METADATA,
    # Made of who says it and of which call, so that who says it again replaces what was said.
    _id(),
    _id("organization_id", is_key=False),
    _id("project_id", is_key=False),
    _id("author", is_key=False),
    Column("request_id", String(128), nullable=False),
    _text("model"),
    # Of the call, as in `usage_days`.
    Column("day", Integer, nullable=False),
    # 1 is up, -1 is down, 0 is neither.
    Column("thumbs", Integer, nullable=False),
    Column("score", Float(53), nullable=True),
    Column("label", String(32), nullable=False),
    _number("at"),
    Index(None, "organization_id", "day"),
    # Operators see all organizations, and retention goes by age alone.
    Index(None, "day"),
)

quality_days = Table(
    "quality_days",
    METADATA,
    Column("organization_id", String(64), primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("project_id", String(64), primary_key=True),
    Column("model", Text, primary_key=True),
    _count("checked"),
    _count("truncated"),
    _count("refused"),
    _count("empty"),
    _count("repeating"),
    _count("with_schema"),
    _count("schema_failed"),
    _count("with_language"),
    _count("language_drift"),
)

audit = Table(
    "audit",
    METADATA,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _number("at"),
    Column("organization_id", String(64), nullable=True),
    _text("actor"),
    Column("action", String(64), nullable=False),
    Column("object_kind", String(32), nullable=False),
    Column("object_id", String(64), nullable=False),
    _text("detail", "{}"),
    Column("previous_mac", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Index(None, "organization_id", "seq"),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    METADATA,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _number("at"),
    _number("size"),
    Column("head", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

data_keys = Table(
    "data_keys",
    METADATA,
    _id(),
    _id("organization_id", is_key=False),
    Column("master_version", Integer, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    _count("messages"),
    _number("created_at"),
    _number("destroyed_at", is_nullable=True),
    Index(None, "organization_id", "created_at"),
)

master_versions = Table(
    "master_versions",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("fingerprint", String(64), nullable=False),
    _number("created_at"),
)

contents = Table(
    "contents",
    METADATA,
    _id("ledger_id"),
    _id("organization_id", is_key=False),
    _id("project_id", is_key=False),
    _id("data_key_id", is_key=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    _number("at"),
    Index(None, "organization_id", "at", "ledger_id"),
    Index(None, "at"),
)

sessions = Table(
    "sessions",
    METADATA,
    _id(),
    Column("nonce", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    _number("created_at"),
    _number("expires_at"),
    Index(None, "expires_at"),
)
