"""What happened to a call, step by step, in words: its time and its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway import notes
from lmaas_gateway.administration import objects
from lmaas_gateway.administration.objects import CallStep
from lmaas_gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lmaas_gateway.records.record import CallRecord

_US = 1e6
_NANOS = 10**9
_POLICIES = (
    (notes.SALT, "cache_salt: its prompt was kept apart from other tenants' in the engine's prefix cache."),
    (notes.USAGE, "include_usage: the engine was asked for the stream's usage, which the client had not."),
    (notes.MEDIA, "media: what its URLs name was fetched here and put into the body."),
    (notes.BOUND, "max_tokens: it named no bound of its reply, so its limits set one."),
    (notes.PRIORITY, "priority: the engine was told the priority that its key allows."),
    (notes.NO_RETRY, "retries: it was not tried again, since its model had no retries left."),
)
_POLICY_WORDS = {
    "least_tokens": "the least load",
    "power_of_two": "the lesser load of two drawn at random",
    "round_robin": "one after the other",
    "consistent_hash": "the replica of its session",
    "prefix_aware": "the least load, less what having read the prompt is worth",
}
_REASONS = {
    "connect": "no connection could be made",
    "busy": "all connections to it were in use",
    "closed": "it closed the connection",
    "deadline": "it did not answer in time",
    "protocol": "what it sent is not HTTP",
    "reply": "what it sent is no reply to the call",
}
_SOURCES = {
    "hit": "An equal call had been answered before: the reply came from the cache.",
    "coalesced": "An equal call was under way: this one waited for its reply.",
    "replayed": "The Idempotency-Key had been used before: the stored reply was given again.",
    "miss": "The cache of replies was asked, and had none.",
}


def _meanings(kind: type[GatewayError]) -> Iterator[tuple[str, str]]:
    for sub in kind.__subclasses__():
        if sub.code is not None and sub.__doc__ is not None:
            yield sub.code, sub.__doc__.partition("\n")[0]
        yield from _meanings(sub)


_MEANINGS: Mapping[str, str] = dict(_meanings(GatewayError))


def policies_of(record: CallRecord) -> list[str]:
    """Tell what was changed of a call on its way."""
    return [words for bit, words in _POLICIES if record.applied & bit]


def steps_of(
    record: CallRecord,
    candidates: Sequence[objects.Candidate],
    limits: Sequence[objects.LimitLeft],
    engine: objects.EngineTimes | None,
    known_from: objects.KnownFrom,
) -> Iterator[CallStep]:
    """Give the steps of a call in their order.

    Args:
        record: All that is known of it.
        candidates: Who could have taken it.
        limits: What was left of them.
        engine: Where its time in the engine went, as far as that is known.
        known_from: Where the record is from.
    """
    whose = f"of project {record.project}" if record.project else "of the configuration"
    yield CallStep(name="received", at_s=0.0, text=f"POST {record.route}, with key {record.key} {whose}.")
    for text in policies_of(record):
        yield CallStep(name="policy", text=text)
    for left in limits:
        yield CallStep(
            name="limits",
            text=f"Of {left.limit} {left.metric} that its limit allows, {left.remaining} were left.",
        )
    if record.source:
        yield CallStep(name="store", text=_SOURCES.get(record.source, record.source))
    yield from _on_the_way(record)
    if record.replica and not record.source.startswith(("hit", "coalesced", "replayed")):
        yield _route(record, candidates, known_from)
    if engine is not None:
        yield from _in_engine(record, engine)
    elif record.sent_us and record.first_byte_us:
        yield CallStep(
            name="generation",
            at_s=record.sent_us / _US,
            duration_s=(record.first_byte_us - record.sent_us) / _US,
            source="derived",
            text="The replica read the prompt and wrote the reply, which came in one piece" + _tokens(record),
        )
    yield CallStep(name="end", at_s=record.duration_us / _US, text=_end(record))
    yield CallStep(name="bill", text=_bill(record))


def _on_the_way(record: CallRecord) -> Iterator[CallStep]:
    """Tell of what came before the replica that answered."""
    for fallback in record.fallbacks or ():
        text = f"The model {fallback.model} could not serve it ({fallback.code}); the next one was asked."
        yield CallStep(name="fallback", text=text)
    if record.queued_us or record.wait is not None:
        yield CallStep(name="queue", duration_s=record.queued_us / _US, text=_queue(record))
    for failure in record.failures or ():
        reason = _REASONS.get(failure.reason, failure.reason)
        if failure.status:
            reason = f"it answered {failure.status}"
        yield CallStep(
            name="failure",
            duration_s=failure.took_us / _US,
            text=f"The replica {failure.replica} of {failure.model} failed: {reason}.",
        )


def _queue(record: CallRecord) -> str:
    wait = record.wait
    if wait is None:
        return f"It waited {time_text(record.queued_us)} for its turn."
    return (
        f"It waited {time_text(record.queued_us)} as number {wait.position} of the queue of {record.model}: "
        f"{wait.in_flight} calls were in flight, of {wait.capacity} that its replicas take at once."
    )


def _route(
    record: CallRecord, candidates: Sequence[objects.Candidate], known_from: objects.KnownFrom
) -> CallStep:
    if known_from == "ledger":
        return CallStep(name="route", text=f"It went to the replica {record.replica}.")
    text = (
        f"It went to the replica {record.replica}, which had {record.beside} of this process's calls already"
    )
    if not record.policy:
        text += "; there was no other to choose."
    else:
        text += f"; {record.policy} chose it: {_POLICY_WORDS.get(record.policy, record.policy)}"
        weighed = ", ".join(map(_weighed, candidates))
        text += f" ({weighed})." if weighed else "."
    return CallStep(name="route", at_s=record.sent_us / _US, text=text)


def _weighed(candidate: objects.Candidate) -> str:
    if candidate.load is None:
        return candidate.replica
    text = f"{candidate.replica} load {candidate.load:.0f}"
    return f"{text}, worth {candidate.prefix_worth:.0f}" if candidate.prefix_worth is not None else text


def _in_engine(record: CallRecord, engine: objects.EngineTimes) -> Iterator[CallStep]:
    at_s = record.sent_us / _US
    queue_s, prefill_s, decode_s = engine.queue_s or 0.0, engine.prefill_s or 0.0, engine.decode_s or 0.0
    if engine.queue_s is not None:
        text = "It waited in the engine until it was scheduled."
        yield CallStep(name="engine_queue", at_s=at_s, duration_s=queue_s, source="engine", text=text)
    read = record.prompt_tokens - record.cached_tokens
    yield CallStep(
        name="prefill",
        at_s=at_s + queue_s,
        duration_s=prefill_s,
        source=engine.source,
        text=f"{read} of {record.prompt_tokens} prompt tokens were read; "
        f"{record.cached_tokens} were in its prefix cache.",
    )
    yield CallStep(
        name="decode",
        at_s=at_s + queue_s + prefill_s,
        duration_s=decode_s,
        source=engine.source,
        text=f"The reply was written{_tokens(record, decode_s)}",
    )


def _tokens(record: CallRecord, decode_s: float = 0.0) -> str:
    text = f": {record.completion_tokens} tokens"
    if decode_s > 0 and record.completion_tokens > 1:
        text += f", {(record.completion_tokens - 1) / decode_s:.1f} a second"
    return text + (", as far as was counted here." if record.is_estimated else ".")


def _end(record: CallRecord) -> str:
    if record.outcome == "client_gone":
        return "The client left before its reply was whole."
    text = f"It ended {record.outcome} with status {record.status}"
    if not record.code:
        return text + "."
    text += f" and {record.code}" + (f" (`{record.param}`)" if record.param else "")
    return f"{text}: {_MEANINGS[record.code]}" if record.code in _MEANINGS else text + "."


def _bill(record: CallRecord) -> str:
    if not record.price:
        return "Its model has no price."
    return f"It cost ${record.cost_nanos / _NANOS:.9f}."


def time_text(time_us: float) -> str:
    """Write a time for people, as seconds or milliseconds."""
    return f"{time_us / _US:.2f} s" if time_us >= _US else f"{time_us / 1000:.1f} ms"
