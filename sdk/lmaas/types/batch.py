"""Replies of `/v1/batches`."""

from __future__ import annotations

from typing import Any

from lmaas.types._base import ReplyModel, WireModel


class BatchError(WireModel):
    """Something wrong with the input file; `line` counts from 1."""

    code: str | None = None
    message: str | None = None
    param: str | None = None
    line: int | None = None


class BatchErrors(WireModel):
    """Everything wrong with the input file."""

    object: str = "list"
    data: list[BatchError] | None = None


class BatchRequestCounts(WireModel):
    """How far a batch is."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class Batch(ReplyModel):
    """Many calls from one file, made when there is room. Times are Unix seconds.

    `status` is one of validating, failed, in_progress, finalizing, completed, expired, cancelling, cancelled.
    """

    id: str
    object: str = "batch"
    endpoint: str
    completion_window: str
    input_file_id: str
    status: str
    created_at: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: BatchErrors | None = None
    request_counts: BatchRequestCounts | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    expires_at: int | None = None
    expired_at: int | None = None
    failed_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    metadata: dict[str, Any] | None = None


class BatchList(ReplyModel):
    """A page of batches, as it comes over the wire."""

    object: str = "list"
    data: list[Batch]
    has_more: bool = False
    first_id: str | None = None
    last_id: str | None = None
