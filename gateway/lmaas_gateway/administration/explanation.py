"""From the record of a call to what happened to it and why, step by step, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from lmaas_gateway.administration import objects
from lmaas_gateway.administration.call_steps import policies_of, steps_of, time_text
from lmaas_gateway.wording import sentences_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.administration.objects import CallStep
    from lmaas_gateway.records.record import CallRecord
    from lmaas_gateway.wording import Language, Words

_US = 1e6
_PRICE = msgspec.json.Decoder(dict[str, int])


def show(record: CallRecord) -> objects.Call:
    """Show a call as lists do."""
    return objects.Call(**_shown(record, is_known=True))


def explain(
    record: CallRecord, known_from: objects.KnownFrom, language: Language = "en"
) -> objects.CallExplanation:
    """Explain a call.

    Args:
        record: All that is known of it.
        known_from: Whether that is a record, or made of the ledger's row, which knows less.
        language: Of its sentences.
    """
    say = sentences_of(language)
    engine = _engine(record, known_from)
    candidates, limits = _candidates(record), _limits(record)
    steps = list(steps_of(record, candidates, limits, engine, known_from, say=say))
    return objects.CallExplanation(
        **_shown(record, is_known=known_from == "record"),
        known_from=known_from,
        summary=_summary(record, steps, say),
        steps=steps,
        policies=policies_of(record, say),
        routing=record.policy or None,
        candidates=candidates,
        failures=[
            objects.FailedAttempt(
                model=failure.model,
                replica=failure.replica,
                reason=failure.reason,
                status=failure.status or None,
                duration_s=failure.took_us / _US,
            )
            for failure in record.failures or ()
        ],
        fallbacks=[objects.FailedModel(model=one.model, code=one.code) for one in record.fallbacks or ()],
        limits=limits,
        engine=engine,
        price=_PRICE.decode(record.price) if record.price else None,
    )


def _shown(record: CallRecord, *, is_known: bool) -> dict[str, Any]:
    return {
        "id": record.request_id,
        "at": record.at_us / _US,
        "organization": record.organization or None,
        "project": record.project or None,
        "key": record.key,
        "member": record.member or None,
        "model": record.model,
        "replica": record.replica or None,
        "route": record.route,
        "is_stream": record.is_stream,
        "outcome": record.outcome,
        "status": record.status,
        "code": record.code or None,
        "param": record.param or None,
        "source": record.source or None,
        "duration_s": record.duration_us / _US,
        "queued_s": record.queued_us / _US,
        "first_byte_s": record.first_byte_us / _US if record.first_byte_us else None,
        "attempts": record.attempts if is_known else None,
        "prompt_tokens": record.prompt_tokens,
        "cached_tokens": record.cached_tokens,
        "completion_tokens": record.completion_tokens,
        "reasoning_tokens": record.reasoning_tokens,
        "is_estimated": record.is_estimated,
        "cost_nanos": record.cost_nanos,
    }


def _candidates(record: CallRecord) -> list[objects.Candidate]:
    loads, worth = record.loads, record.worth
    return [
        objects.Candidate(
            replica=name,
            is_chosen=name == record.replica,
            load=loads[index] if index < len(loads) else None,
            prefix_worth=worth[index] if index < len(worth) else None,
        )
        for index, name in enumerate(record.candidates)
    ]


def _limits(record: CallRecord) -> list[objects.LimitLeft]:
    told = {name.decode("latin-1"): value.decode("latin-1") for name, value in record.headers}
    return [
        objects.LimitLeft(
            metric=metric,
            limit=int(told[f"x-ratelimit-limit-{metric}"]),
            remaining=int(told[f"x-ratelimit-remaining-{metric}"]),
            reset=told.get(f"x-ratelimit-reset-{metric}"),
        )
        for metric in ("requests", "tokens")
        if f"x-ratelimit-remaining-{metric}" in told
    ]


def _engine(record: CallRecord, known_from: objects.KnownFrom) -> objects.EngineTimes | None:
    """Tell how long the engine read and wrote; what it did not tell is derived from when bytes came."""
    if record.engine_us is not None:
        queue_us, prefill_us, decode_us = record.engine_us
        return objects.EngineTimes(
            source="engine", queue_s=queue_us / _US, prefill_s=prefill_us / _US, decode_s=decode_us / _US
        )
    # The ledger does not know when a call was sent, and a reply in one piece begins when all is written.
    if known_from == "ledger" or not (record.is_stream and record.sent_us and record.first_byte_us):
        return None
    return objects.EngineTimes(
        source="derived",
        prefill_s=(record.first_byte_us - record.sent_us) / _US,
        decode_s=(record.duration_us - record.first_byte_us) / _US,
    )


def _summary(record: CallRecord, steps: Sequence[CallStep], say: Words) -> str:
    outcome = say.named(f"calls.outcome.{record.outcome}", record.outcome)
    time = time_text(record.duration_us)
    longest = max(steps, key=lambda step: step.duration_s or 0.0)
    if not longest.duration_s:
        return say("calls.summary.total", outcome=outcome, time=time)
    part = 100 * longest.duration_s * _US / max(1, record.duration_us)
    step = say(f"calls.names.{longest.name}")
    return say("calls.summary.longest", outcome=outcome, time=time, part=f"{min(part, 100):.0f}", step=step)
