"""`complete`: a text, continued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lmaas.tasks._errors import TaskOutputError
from lmaas.tasks._job import Job
from lmaas.tasks._plan import Call, Plan, completions
from lmaas.tasks._result import Result

ANSWER_TOKENS: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation(Result):
    """What follows a text.

    Attributes:
        text: The continuation, without the text itself, as the model wrote it.
        finish_reason: "stop" if the model ended it, "length" if `max_tokens` did.
    """

    text: str
    finish_reason: str | None


def plan(job: Job, text: str) -> Plan[Continuation]:
    """Plan the continuation of a text; see `Tasks.complete`."""
    body = {"model": job.model, "prompt": text, "max_tokens": job.max_tokens or ANSWER_TOKENS, **job.sampling}
    (reply,) = yield from completions([Call("completions", body, job.options)])
    if not reply.choices:
        raise TaskOutputError("The reply has no choices; does the model generate text?")
    choice = reply.choices[0]
    return Continuation(text=choice.text, finish_reason=choice.finish_reason)
