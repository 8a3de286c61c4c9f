"""Keep what was seen of replies, by day."""

import sqlalchemy as sa
from alembic import op

revision = "r0004"
down_revision = "r0003"
branch_labels = None
depends_on = None

_COUNTS = (
    "checked",
    "truncated",
    "refused",
    "empty",
    "repeating",
    "with_schema",
    "schema_failed",
    "with_language",
    "language_drift",
)


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "quality_days",
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("organization_id", "day", "project_id", "model", name="pk_quality_days"),
    )
