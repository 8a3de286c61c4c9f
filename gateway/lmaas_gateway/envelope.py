"""The few fields of a request body that the gateway acts on: read them, or set them.

The rest of the body is never decoded: vLLM's own parameters pass through as the client wrote them, an
omitted field stays omitted, and a body that needs no change is forwarded byte for byte.
"""

from __future__ import annotations

import hmac
import re

import msgspec

from lmaas_gateway.errors import InvalidBodyError, InvalidHeaderError
from lmaas_gateway.nesting import MAX_CONTAINERS, is_too_deep

# Tool schemas, the deepest that callers send, are rarely nested more than twenty deep.
MAX_DEPTH = 128

_LIST_OF_PROMPTS = re.compile(rb'\[\s*["\[]')
_FIELD = re.compile(r"\$\.([A-Za-z_]+(?:\.[A-Za-z_]+)*)")

_NULL = msgspec.Raw(b"null")
ABSENT = msgspec.Raw(b"null")
# English text has about four bytes a token in most vocabularies.
_BYTES_PER_TOKEN = 4
# Taken for the completion of a call that does not bound it.
_UNBOUNDED_TOKENS = 256

# As vLLM counts: lower is earlier, 0 is its default.
_PRIORITIES = {b"high": -1, b"normal": 0, b"low": 1}

_MAX_SHOWN_NAME = 64
# Further fields are looked through up to here: parameters are short, and to decode megabytes takes long.
_MAX_CHECKED_BYTES = 64 * 1024
# So long a field takes a replica's every place, however many texts it holds: to count millions takes long.
_MAX_COUNTED_BYTES = 256 * 1024

# Source: OpenAI's API reference, `n` of a chat completion.
MAX_N = 128


class StreamOptions(msgspec.Struct, frozen=True):
    """`stream_options` of a request."""

    include_usage: bool | None = None


class Envelope(msgspec.Struct, frozen=True):
    """What the gateway reads of a body."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    messages: msgspec.Raw = ABSENT
    prompt: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT
    documents: msgspec.Raw = ABSENT
    text_2: msgspec.Raw = ABSENT
    tools: msgspec.Raw = ABSENT
    system: msgspec.Raw = ABSENT
    instructions: msgspec.Raw = ABSENT
    cache_salt: msgspec.Raw = ABSENT
    prompt_cache_key: msgspec.Raw = ABSENT
    user: msgspec.Raw = ABSENT
    priority: int | None = None
    # Read for their types and bounds alone: a replica would take infinity, and fail on it later.
    temperature: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    length_penalty: float | None = None
    # Named because many calls have them: a field that is not costs its call a second look.
    seed: int | float | str | None = None
    top_k: int | float | str | None = None
    dimensions: int | float | str | None = None
    encoding_format: str | None = None
    query: msgspec.Raw = ABSENT
    text_1: msgspec.Raw = ABSENT
    # What `policy` looks at, and few calls have. Further fields belong above.
    best_of: int | None = None
    min_tokens: int | None = None
    logprobs: int | bool | None = None
    top_logprobs: int | None = None
    prompt_logprobs: int | None = None
    echo: bool | None = None
    stop: msgspec.Raw = ABSENT
    stop_sequences: msgspec.Raw = ABSENT
    chat_template: msgspec.Raw = ABSENT
    chat_template_kwargs: msgspec.Raw = ABSENT
    media_io_kwargs: msgspec.Raw = ABSENT
    mm_processor_kwargs: msgspec.Raw = ABSENT
    prompt_embeds: msgspec.Raw = ABSENT
    lora_request: msgspec.Raw = ABSENT
    lora_path: msgspec.Raw = ABSENT
    logits_processors: msgspec.Raw = ABSENT
    kv_transfer_params: msgspec.Raw = ABSENT
    ec_transfer_params: msgspec.Raw = ABSENT
    vllm_xargs: msgspec.Raw = ABSENT
    previous_response_id: msgspec.Raw = ABSENT
    background: bool | None = None


class _Known(Envelope, frozen=True, forbid_unknown_fields=True):
    """An envelope of a body that has no further fields."""


_KNOWN = msgspec.json.Decoder(_Known)
_ENVELOPES = msgspec.json.Decoder(Envelope)
_ANYTHING = msgspec.json.Decoder()
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_READ = frozenset(Envelope.__struct_fields__)
_PROMPTS = msgspec.json.Decoder(list[msgspec.Raw])


def read(body: bytes) -> Envelope:
    """Decode the envelope of `body`.

    Raises:
        InvalidBodyError: not UTF-8, not JSON, nested too deep, not an object, or a field of a wrong type, or
            one that is not read here and holds what no number can be.
    """
    has_unread = False
    try:
        if not body.isascii():
            body.decode()
        try:
            envelope: Envelope = _KNOWN.decode(body)
        except msgspec.ValidationError:
            envelope = _ENVELOPES.decode(body)
            has_unread = True
    except UnicodeDecodeError as error:
        raise InvalidBodyError(f"The body is not UTF-8: byte {error.start} cannot be decoded.") from None
    except RecursionError:
        raise _too_deep() from None
    except msgspec.ValidationError as error:
        raise _explain(error) from None
    except msgspec.DecodeError as error:
        raise InvalidBodyError(f"The body is not valid JSON: {error}.") from None
    if is_too_deep(body, MAX_DEPTH):
        raise _too_deep()
    if has_unread:
        _check_unread(body)
    return envelope


def check_value(name: str, value: msgspec.Raw) -> None:
    """Pass a field that is not read here, if Python can hold its numbers: it takes 1e400 as infinity.

    Raises:
        InvalidBodyError: it cannot; the message says where.
    """
    if len(value) > _MAX_CHECKED_BYTES:
        return
    try:
        _ANYTHING.decode(value)
    except msgspec.DecodeError as error:
        shown = name if len(name) <= _MAX_SHOWN_NAME else name[:_MAX_SHOWN_NAME] + "…"
        raise InvalidBodyError(f"`{shown}` cannot be used: {error}.") from None


def _check_unread(body: bytes) -> None:
    left_bytes = _MAX_CHECKED_BYTES
    for name, value in _FIELDS.decode(body).items():
        if name not in _READ:
            left_bytes -= len(value)
            if left_bytes < 0:
                return
            check_value(name, value)


def count_choices(envelope: Envelope) -> int:
    """Tell how many choices the reply will have: `n` for each prompt.

    Raises:
        InvalidBodyError: `n` is more than OpenAI's API allows, which no replica's queue would ever take.
    """
    if envelope.n is not None and envelope.n > MAX_N:
        raise InvalidBodyError(f"`n` must be at most {MAX_N}, got {envelope.n}.", param="n")
    choices = envelope.n or 1
    if envelope.prompt is not ABSENT:
        choices *= _count_texts(envelope.prompt)
    return choices if choices > 0 else 1


def count_inputs(envelope: Envelope) -> int:
    """Tell how many texts are read by a call that generates none: each is a sequence of its own."""
    for field in (envelope.input, envelope.documents, envelope.text_2):
        if field is not ABSENT:
            return _count_texts(field) if len(field) <= _MAX_COUNTED_BYTES else len(field)
    return 1


def _count_texts(field: msgspec.Raw) -> int:
    # A list of numbers is one text in token ids, one of objects a chat.
    return len(_PROMPTS.decode(field)) if _LIST_OF_PROMPTS.match(field) else 1


def prompt_of(envelope: Envelope) -> msgspec.Raw:
    """Give the raw JSON of what the model is asked: `messages`, `prompt` or `input`, whichever is there."""
    for field in (envelope.messages, envelope.prompt, envelope.input):
        if field is not ABSENT:
            return field
    return ABSENT


def preamble_of(envelope: Envelope, salt: bytes = b"") -> bytes:
    """Give the raw JSON of what a replica puts before the prompt, or partitions its prefix cache by.

    Args:
        envelope: Of the call.
        salt: What the replica is told in place of the client's own salt; empty leaves that.
    """
    tools, system, instructions = envelope.tools, envelope.system, envelope.instructions
    # Most calls have none of them.
    if tools is system is instructions:
        return salt or (b"" if envelope.cache_salt is ABSENT else bytes(envelope.cache_salt))
    return b"\0".join((tools, system, instructions, salt or envelope.cache_salt))


def salt_of(envelope: Envelope, tenant: bytes) -> bytes:
    """Give the salt of a call: its tenant's, with the client's own mixed in, so that it cannot be another's.

    Args:
        envelope: Of the call.
        tenant: The tenant's, in characters that JSON takes as they are.

    Raises:
        InvalidBodyError: the client's own is no text.
    """
    own = envelope.cache_salt
    if own is ABSENT or own == _NULL:
        return tenant
    if not bytes(own).startswith(b'"'):
        raise InvalidBodyError("`cache_salt` must be a string.", param="cache_salt")
    return hmac.digest(tenant, own, "sha256").hex()[: len(tenant)].encode()


def session_of(envelope: Envelope, header: bytes | None) -> bytes:
    """Name the session of a call: the client's `x-session-id`, else `prompt_cache_key`, else `user`."""
    if header:
        return header
    named = envelope.prompt_cache_key, envelope.user
    if named[0] is named[1]:
        return b""  # neither is there
    for field in named:
        if field is not ABSENT and (session := bytes(field).strip(b'"')) not in {b"", b"null"}:
            return session
    return b""


def priority_of(envelope: Envelope, header: bytes | None) -> int | None:
    """Tell what priority is asked for by vLLM's `priority` or by `x-lmaas-priority`: the lower class of both.

    Raises:
        InvalidHeaderError: the header is none of high, normal and low.
    """
    if header is None:
        return envelope.priority
    named = _PRIORITIES.get(header.strip().lower())
    if named is None:
        raise InvalidHeaderError("`x-lmaas-priority` must be one of: high, normal, low.")
    return named if envelope.priority is None else max(named, envelope.priority)


def max_tokens_of(envelope: Envelope) -> int:
    """Tell how many tokens each choice may have; 0 if the call does not bound them."""
    bound = envelope.max_tokens or envelope.max_completion_tokens or envelope.max_output_tokens
    return bound if bound is not None and bound > 0 else 0


def estimate_tokens(envelope: Envelope, body: bytes, choices: int, max_tokens: int) -> int:
    """Estimate what the call may cost a replica, in tokens of prompt and completion; at least 1.

    Cheap on purpose: it steers load and fairness, nothing is billed by it.

    Args:
        envelope: Of the call.
        body: All of it.
        choices: As `count_choices` tells.
        max_tokens: As `max_tokens_of` tells.
    """
    completion = max_tokens
    if not completion and envelope.input is ABSENT:
        completion = _UNBOUNDED_TOKENS
    return len(body) // _BYTES_PER_TOKEN + choices * completion or 1


def with_usage(body: bytes) -> bytes:
    """Ask for the usage event of a stream, keeping the client's other stream options."""
    fields = _FIELDS.decode(body)
    options = fields.get("stream_options")
    kept = {} if options is None or bytes(options) == b"null" else _FIELDS.decode(options)
    kept["include_usage"] = msgspec.Raw(b"true")
    fields["stream_options"] = msgspec.Raw(msgspec.json.encode(kept))
    return msgspec.json.encode(fields)


def with_salt(body: bytes, salt: bytes, envelope: Envelope) -> bytes:
    """Say vLLM's `cache_salt`; a body that has none yet is not read for that.

    Args:
        body: A JSON object that has at least one field.
        salt: In characters that JSON takes as they are.
        envelope: What was read of the body.
    """
    field = b',"cache_salt":"' + salt + b'"}'
    if envelope.cache_salt is ABSENT:
        return (body if body.endswith(b"}") else body.rstrip())[:-1] + field
    fields = _FIELDS.decode(body)
    # Of several, in whatever spelling, one is left.
    del fields["cache_salt"]
    return msgspec.json.encode(fields)[:-1] + field


def without_salt(body: bytes) -> bytes:
    """Leave out `cache_salt`, for engines that do not know it."""
    fields = _FIELDS.decode(body)
    fields.pop("cache_salt", None)
    return msgspec.json.encode(fields)


def with_priority(body: bytes, priority: int) -> bytes:
    """Say vLLM's `priority`; 0, which is its default, by leaving it out."""
    fields = _FIELDS.decode(body)
    fields.pop("priority", None)
    if priority:
        fields["priority"] = msgspec.Raw(b"%d" % priority)
    return msgspec.json.encode(fields)


def with_max_tokens(body: bytes, field: str, tokens: int) -> bytes:
    """Bound the completion by the route's field for it."""
    fields = _FIELDS.decode(body)
    fields[field] = msgspec.Raw(b"%d" % tokens)
    return msgspec.json.encode(fields)


def with_model(body: bytes, model: str) -> bytes:
    """Name the model as its replica knows it."""
    fields = _FIELDS.decode(body)
    fields["model"] = msgspec.Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)


def _too_deep() -> InvalidBodyError:
    return InvalidBodyError(
        f"The body is nested too deeply (at most {MAX_DEPTH} levels), or has more than {MAX_CONTAINERS} "
        "lists and objects."
    )


def _explain(error: msgspec.ValidationError) -> InvalidBodyError:
    text = str(error)
    if "missing required field `model`" in text:
        return InvalidBodyError("The body has no `model`; say which model to call.", param="model")
    field = _FIELD.search(text)
    if field is None:
        return InvalidBodyError(f"The body must be a JSON object: {text}.")
    problem = text.partition(" - at ")[0]
    return InvalidBodyError(f"`{field[1]}` has a wrong type: {problem}.", param=field[1])
