"""What a caller may say of a reply that it got, and what it is told then.

There is no free text: it would be private data to be kept, shown and erased with care, and what is counted
are thumbs, scores and labels (docs/quality.md).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class Opinion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is said of a call: its thumbs, score or label, or several of them.

    Attributes:
        request_id: The `x-request-id` of the reply.
        score: From 0, the worst, to 1.
        label: A word for what was wrong or right, such as `too-long`.
    """

    request_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}$(?!\n)")]
    thumbs: Literal["up", "down"] | None = None
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    label: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,31}$(?!\n)")] | None = None


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept now.

    Attributes:
        call: The request id of the call.
        model: The one that answered.
    """

    object: Literal["feedback"] = "feedback"
    call: str
    model: str
    thumbs: Literal["up", "down"] | None
    score: float | None
    label: str | None
