"""The books: the journal on this machine, and the ledger that it is shipped to."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from lmaas_gateway.settings.fields import FROZEN


class BooksSettings(BaseModel):
    """How calls are recorded: first in a journal under `data_dir`, then in the store's ledger."""

    model_config = FROZEN

    policy: Literal["lenient", "strict"] = Field(
        default="lenient",
        description="What becomes of calls once the journal can take no more, because the disk is full or "
        "the store was away for too long, and `memory_bytes` is used up too: `lenient` serves them and "
        "counts what is lost, `strict` refuses them with 503.",
    )
    segment_bytes: int = Field(
        default=8 * 2**20, ge=64 * 2**10, le=2**30, description="Size of each file of the journal."
    )
    max_bytes: int = Field(
        default=2 * 2**30,
        ge=128 * 2**10,
        description="Space that the journal of each worker may take while the store is away; about four "
        "million calls a gigabyte.",
    )
    memory_bytes: int = Field(
        default=64 * 2**20, ge=0, description="Memory that each worker may use for records beyond that."
    )
    max_open_calls: int = Field(
        default=8192,
        ge=16,
        le=2**20,
        description="How many calls in flight of each worker are kept track of, so that they are billed if "
        "it is killed; each takes 1 KiB of disk.",
    )
    sync_interval_s: float = Field(
        default=1.0,
        gt=0,
        description="How often the journal is written through to the disk: what a power failure may cost. "
        "A death of the process costs nothing.",
    )
    ship_interval_s: float = Field(
        default=1.0, gt=0, description="How often what is in the journal is shipped to the store."
    )
    batch_rows: int = Field(
        default=1000, ge=1, le=10_000, description="Calls in one transaction of the store."
    )
    retention_days: int | None = Field(
        default=None,
        ge=1,
        description="Calls older than this are deleted from the ledger; their sums by day stay. "
        "Default: none are.",
    )

    @model_validator(mode="after")
    def _check_room(self) -> Self:
        if self.max_bytes < 2 * self.segment_bytes:
            message = "books.max_bytes must hold two segments at least; lower books.segment_bytes or raise it"
            raise ValueError(message)
        return self
