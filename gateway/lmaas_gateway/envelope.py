"""The few fields of a request body that the gateway acts on: read them, or set them.

The rest of the body is never decoded: vLLM's own parameters pass through as the client wrote them, an
omitted field stays omitted, and a body that needs no change is forwarded byte for byte.
"""

from __future__ import annotations

import re

import msgspec

from lmaas_gateway.errors import InvalidBodyError

_LIST_OF_PROMPTS = re.compile(rb'\[\s*["\[]')
_FIELD = re.compile(r"\$\.([A-Za-z_]+(?:\.[A-Za-z_]+)*)")

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
    prompt: msgspec.Raw = msgspec.Raw(b"null")


_ENVELOPES = msgspec.json.Decoder(Envelope)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PROMPTS = msgspec.json.Decoder(list[msgspec.Raw])


def read(body: bytes) -> Envelope:
    """Decode the envelope of `body`.

    Raises:
        InvalidBodyError: not UTF-8, not JSON, nested too deep, not an object, or a field of a wrong type.
    """
    try:
        if not body.isascii():
            body.decode()
        return _ENVELOPES.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidBodyError(f"The body is not UTF-8: byte {error.start} cannot be decoded.") from None
    except RecursionError:
        raise InvalidBodyError("The body is nested too deeply.") from None
    except msgspec.ValidationError as error:
        raise _explain(error) from None
    except msgspec.DecodeError as error:
        raise InvalidBodyError(f"The body is not valid JSON: {error}.") from None


def count_choices(envelope: Envelope) -> int:
    """Tell how many choices the reply will have: `n` for each prompt.

    Raises:
        InvalidBodyError: `n` is more than OpenAI's API allows, which no replica's queue would ever take.
    """
    if envelope.n is not None and envelope.n > MAX_N:
        raise InvalidBodyError(f"`n` must be at most {MAX_N}, got {envelope.n}.", param="n")
    prompts = 1
    # A list of numbers is one prompt of token ids.
    if _LIST_OF_PROMPTS.match(envelope.prompt):
        prompts = len(_PROMPTS.decode(envelope.prompt))
    return max(1, (envelope.n or 1) * prompts)


def with_usage(body: bytes) -> bytes:
    """Ask for the usage event of a stream, keeping the client's other stream options."""
    fields = _FIELDS.decode(body)
    options = fields.get("stream_options")
    kept = {} if options is None or bytes(options) == b"null" else _FIELDS.decode(options)
    kept["include_usage"] = msgspec.Raw(b"true")
    fields["stream_options"] = msgspec.Raw(msgspec.json.encode(kept))
    return msgspec.json.encode(fields)


def with_model(body: bytes, model: str) -> bytes:
    """Name the model as its replica knows it."""
    fields = _FIELDS.decode(body)
    fields["model"] = msgspec.Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)


def _explain(error: msgspec.ValidationError) -> InvalidBodyError:
    text = str(error)
    if "missing required field `model`" in text:
        return InvalidBodyError("The body has no `model`; say which model to call.", param="model")
    field = _FIELD.search(text)
    if field is None:
        return InvalidBodyError(f"The body must be a JSON object: {text}.")
    problem = text.partition(" - at ")[0]
    return InvalidBodyError(f"`{field[1]}` has a wrong type: {problem}.", param=field[1])
