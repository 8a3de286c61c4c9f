"""`client.feedback`: say what a reply was worth."""

from __future__ import annotations

from typing import Literal, Unpack

from lmaas._options import NOT_GIVEN, NotGiven
from lmaas._request import Operation
from lmaas.resources._caller import AsyncCaller, Caller
from lmaas.types import CallOptions, Feedback

_CREATE = Operation.post("/feedback", CallOptions)


class FeedbackBox:
    """What callers think of replies."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(
        self,
        *,
        request_id: str,
        thumbs: Literal["up", "down"] | NotGiven = NOT_GIVEN,
        score: float | NotGiven = NOT_GIVEN,
        label: str | NotGiven = NOT_GIVEN,
        **params: Unpack[CallOptions],
    ) -> Feedback:
        """Say what a reply of your project was worth: `POST /v1/feedback`.

        Give one of `thumbs`, `score` and `label`, or several. Said again of the same call, by the same person
        or key, it replaces what was said before.

        Args:
            request_id: The `request_id` of the reply.
            thumbs: Whether it was good.
            score: From 0, the worst, to 1.
            label: A word of your own for what was wrong or right, such as "too-long": up to 32 small letters,
                digits, `-`, `_` and `.`. There is no free text.
            **params: See `CallOptions`.

        Raises:
            NotFoundError: your project has no such call, or the gateway stores nothing.
            APIError: the call failed otherwise; see the tree in `lmaas.errors`.
            TypeError: a parameter is not one of `CallOptions`.
        """
        return self._caller.call(
            Feedback, _CREATE, params, request_id=request_id, thumbs=thumbs, score=score, label=label
        )


class AsyncFeedbackBox:
    """The asynchronous twin of `FeedbackBox`."""

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def create(
        self,
        *,
        request_id: str,
        thumbs: Literal["up", "down"] | NotGiven = NOT_GIVEN,
        score: float | NotGiven = NOT_GIVEN,
        label: str | NotGiven = NOT_GIVEN,
        **params: Unpack[CallOptions],
    ) -> Feedback:
        """Say what a reply of your project was worth: `POST /v1/feedback`.

        See `FeedbackBox.create`.
        """
        return await self._caller.call(
            Feedback, _CREATE, params, request_id=request_id, thumbs=thumbs, score=score, label=label
        )
