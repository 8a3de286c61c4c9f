"""Reply of `/v1/feedback`, which is our gateway's."""

from __future__ import annotations

from typing import Literal

from lmaas.types._base import ReplyModel


class Feedback(ReplyModel):
    """What the gateway keeps of what you said of a call. `call` is the call's request id."""

    object: str = "feedback"
    call: str
    model: str
    thumbs: Literal["up", "down"] | None = None
    score: float | None = None
    label: str | None = None
