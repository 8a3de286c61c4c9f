"""What happened to a call, step by step, in words: its time and its reason.

The words are those of `words/<language>/calls.toml`; what a record holds are names and numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway import notes
from lmaas_gateway.administration import objects
from lmaas_gateway.administration.objects import CallStep
from lmaas_gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lmaas_gateway.records.record import CallRecord
    from lmaas_gateway.wording import Words

_US = 1e6
_NANOS = 10**9
_POLICIES = (
    (notes.SALT, "policy.salt"),
    (notes.USAGE, "policy.usage"),
    (notes.BOUND, "policy.bound"),
    (notes.PRIORITY, "policy.priority"),
    (notes.NO_RETRY, "policy.no_retry"),
)
_KEPT = (
    (notes.SEALED, "masking.sealed"),
    (notes.STORED, "masking.stored"),
    (notes.TRACED, "masking.traced"),
)
_FROM_STORE = frozenset({"hit", "coalesced", "replayed"})
# Where a refusal names a field by what was in it, not by its form.
_REFUSALS = frozenset({"parameter_not_allowed", "media_not_accepted"})
# Of `ReplicaRefusalError`: the words are the engine's.
_ENGINE_ERRORS = frozenset({"invalid_request", "context_length_exceeded", "replica_error", "replica_busy"})


def _meanings(kind: type[GatewayError]) -> Iterator[tuple[str, str]]:
    for sub in kind.__subclasses__():
        if sub.code is not None and sub.__doc__ is not None:
            yield sub.code, sub.__doc__.partition("\n")[0]
        yield from _meanings(sub)


MEANINGS: Mapping[str, str] = dict(_meanings(GatewayError))
"""What the codes of errors mean, in English; in other languages they stand in `meanings.toml`."""


def policies_of(record: CallRecord, say: Words) -> list[str]:
    """Tell what was changed of a call on its way."""
    told = [say(f"calls.{name}") for bit, name in _POLICIES if record.applied & bit]
    return [*told, say("calls.masking.media")] if record.applied & notes.MEDIA else told


def steps_of(  # all that is known of a call
    record: CallRecord,
    candidates: Sequence[objects.Candidate],
    limits: Sequence[objects.LimitLeft],
    engine: objects.EngineTimes | None,
    known_from: objects.KnownFrom,
    *,
    say: Words,
) -> Iterator[CallStep]:
    """Give the steps of a call in their order.

    Args:
        record: All that is known of it.
        candidates: Who could have taken it.
        limits: What was left of them.
        engine: Where its time in the engine went, as far as that is known.
        known_from: Where the record is from.
        say: The language.
    """
    whose = "project" if record.project else "configuration"
    text = say(f"calls.received_of_{whose}", route=record.route, key=record.key, project=record.project)
    yield CallStep(name="received", at_s=0.0, text=text)
    for bit, name in _POLICIES:
        if record.applied & bit:
            yield CallStep(name="policy", text=say(f"calls.{name}"))
    yield from _masked_before(record, say)
    for left in limits:
        metric = say.named(f"calls.metric.{left.metric}", left.metric)
        text = say("calls.limits", limit=left.limit, metric=metric, remaining=left.remaining)
        yield CallStep(name="limits", text=text)
    if record.source:
        text = say.named(f"calls.store.{record.source}", record.source)
        yield CallStep(name="store", text=text)
    yield from _on_the_way(record, say)
    if record.replica and record.source not in _FROM_STORE:
        yield from _route(record, candidates, known_from, say)
    yield from _at_work(record, engine, say)
    if known_from == "record":
        yield from _masked_after(record, say)
    yield CallStep(name="end", at_s=record.duration_us / _US, text=_end(record, say))
    yield CallStep(name="bill", text=_bill(record, say))


def _masked_before(record: CallRecord, say: Words) -> Iterator[CallStep]:
    """Tell what of a call no engine came to see."""
    if record.applied & notes.MEDIA:
        yield CallStep(name="masking", text=say("calls.masking.media"))
    if record.code in _REFUSALS and record.param:
        yield CallStep(name="masking", text=say("calls.masking.refused", param=record.param))


def _masked_after(record: CallRecord, say: Words) -> Iterator[CallStep]:
    """Tell where what was asked and answered is kept, and what is not."""
    if record.code in _ENGINE_ERRORS:
        yield CallStep(name="masking", text=say("calls.masking.engine_error"))
    applied = record.applied | (notes.STORED if record.source in _FROM_STORE else 0)
    kept = [name for bit, name in _KEPT if applied & bit]
    for name in kept or ["masking.nothing"]:
        yield CallStep(name="masking", text=say(f"calls.{name}"))


def _on_the_way(record: CallRecord, say: Words) -> Iterator[CallStep]:
    """Tell of what came before the replica that answered."""
    for fallback in record.fallbacks or ():
        text = say("calls.fallback", model=fallback.model, code=fallback.code)
        yield CallStep(name="fallback", text=text)
    if record.queued_us or record.wait is not None:
        yield CallStep(name="queue", duration_s=record.queued_us / _US, text=_queue(record, say))
    for failure in record.failures or ():
        reason = say.named(f"calls.reason.{failure.reason}", failure.reason)
        yield CallStep(
            name="failure",
            duration_s=failure.took_us / _US,
            text=say(
                "calls.failure.told" if failure.status else "calls.failure.other",
                replica=failure.replica,
                model=failure.model,
                status=failure.status,
                reason=reason,
            ),
        )


def _queue(record: CallRecord, say: Words) -> str:
    time, wait = time_text(record.queued_us), record.wait
    if wait is None:
        return say("calls.queue.waited", time=time)
    return say("calls.queue.place", time=time, model=record.model, **wait._asdict())


def _route(
    record: CallRecord, candidates: Sequence[objects.Candidate], known_from: objects.KnownFrom, say: Words
) -> Iterator[CallStep]:
    if known_from == "ledger":
        yield CallStep(name="route", text=say("calls.route.plain", replica=record.replica))
        return
    weighed = say("calls.and").join(_weighed(one, say) for one in candidates)
    name = "only" if not record.policy else "weighed" if weighed else "chosen"
    text = say(
        f"calls.route.{name}",
        replica=record.replica,
        beside=record.beside,
        policy=record.policy,
        why=say.named(f"calls.chosen_by.{record.policy}", record.policy),
        candidates=weighed,
    )
    yield CallStep(name="route", at_s=record.sent_us / _US, text=text)
    yield CallStep(name="masking", at_s=record.sent_us / _US, text=say("calls.masking.head"))


def _weighed(candidate: objects.Candidate, say: Words) -> str:
    if candidate.load is None:
        return candidate.replica
    load, worth = f"{candidate.load:.0f}", candidate.prefix_worth
    if worth is None:
        return say("calls.route.load", replica=candidate.replica, load=load)
    return say("calls.route.worth", replica=candidate.replica, load=load, worth=f"{worth:.0f}")


def _at_work(record: CallRecord, engine: objects.EngineTimes | None, say: Words) -> Iterator[CallStep]:
    """Tell what the replica did, as far as its times are known."""
    if engine is not None:
        yield from _in_engine(record, engine, say)
    elif record.sent_us and record.first_byte_us:
        yield CallStep(
            name="generation",
            at_s=record.sent_us / _US,
            duration_s=(record.first_byte_us - record.sent_us) / _US,
            source="derived",
            text=say("calls.generation", tokens=_tokens(record, say)),
        )


def _in_engine(record: CallRecord, engine: objects.EngineTimes, say: Words) -> Iterator[CallStep]:
    at_s = record.sent_us / _US
    queue_s, prefill_s, decode_s = engine.queue_s or 0.0, engine.prefill_s or 0.0, engine.decode_s or 0.0
    if engine.queue_s is not None:
        text = say("calls.engine.queue")
        yield CallStep(name="engine_queue", at_s=at_s, duration_s=queue_s, source="engine", text=text)
    read = record.prompt_tokens - record.cached_tokens
    yield CallStep(
        name="prefill",
        at_s=at_s + queue_s,
        duration_s=prefill_s,
        source=engine.source,
        text=say("calls.engine.prefill", read=read, prompt=record.prompt_tokens, cached=record.cached_tokens),
    )
    yield CallStep(
        name="decode",
        at_s=at_s + queue_s + prefill_s,
        duration_s=decode_s,
        source=engine.source,
        text=say("calls.engine.decode", tokens=_tokens(record, say, decode_s)),
    )


def _tokens(record: CallRecord, say: Words, decode_s: float = 0.0) -> str:
    count = record.completion_tokens
    if decode_s > 0 and count > 1:
        name = "estimated_paced" if record.is_estimated else "paced"
        return say(f"calls.tokens.{name}", count=count, rate=f"{(count - 1) / decode_s:.1f}")
    return say(f"calls.tokens.{'estimated' if record.is_estimated else 'counted'}", count=count)


def _end(record: CallRecord, say: Words) -> str:
    if record.outcome == "client_gone":
        return say("calls.end.client_gone")
    code = f"{record.code} (`{record.param}`)" if record.param else record.code
    meaning = say.named(f"meanings.{record.code}", MEANINGS.get(record.code, ""))
    return say(
        f"calls.end.{'meaning' if meaning else 'code' if code else 'plain'}",
        outcome=say.named(f"calls.outcome.{record.outcome}", record.outcome),
        status=record.status,
        code=code,
        meaning=meaning,
    )


def _bill(record: CallRecord, say: Words) -> str:
    if not record.price:
        return say("calls.bill.free")
    return say("calls.bill.cost", usd=_usd(record.cost_nanos))


def _usd(nanos: int) -> str:
    """Write all digits that count, and cents at least: 0.053, 0.50, 0.000000042."""
    whole, _, part = f"{nanos / _NANOS:.9f}".rstrip("0").partition(".")
    return f"{whole}.{part:0<2}"


def time_text(time_us: float) -> str:
    """Write a time for people, as seconds or milliseconds."""
    return f"{time_us / _US:.2f} s" if time_us >= _US else f"{time_us / 1000:.1f} ms"
