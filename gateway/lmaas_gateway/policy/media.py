"""Media in a call: what it points to is refused, or fetched by us and handed on as data.

An engine that fetches a caller's URL does so from inside the network. So no URL ever reaches one: not in the
parts that vLLM reads today, nor in those of the same shape that it may read tomorrow.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from lmaas_gateway import envelope
from lmaas_gateway.envelope import ABSENT
from lmaas_gateway.errors import InvalidBodyError, MediaError, ParameterNotAllowedError
from lmaas_gateway.policy.fetching import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmaas_gateway.call import Call
    from lmaas_gateway.policy.fetching import MediaFetcher
    from lmaas_gateway.settings import MediaSettings

# Every key of a media part that vLLM knows holds an underscore, but for Anthropic's `source`. Escaped in JSON
# a key could hide; nobody writes one so, and a body with such an escape is looked at whole.
_KEYS = (b'_url"', b'_audio"', b'_embeds"', b'_pil"')
_ESCAPE = b"\\u00"
_SOURCE = b'"source"'
# Where vLLM looks for parts on each route; on others they stand in fields that the envelope does not read.
_FIELDS = {
    "/v1/chat/completions": ("messages",),
    "/v1/completions": (),
    "/v1/responses": ("input", "prompt"),
    "/v1/messages": ("messages", "system"),
    "/v1/embeddings": ("messages", "input"),
    "/v1/classify": ("messages", "input"),
    "/v1/tokenize": ("messages",),
    "/v1/detokenize": (),
}

# What a part's media is found under, and what it must be.
_URL_KEYS = {"image_url": "image", "audio_url": "audio", "video_url": "video", "file_url": "file"}
_TENSOR_KEYS = frozenset({"image_embeds", "audio_embeds", "video_embeds", "prompt_embeds", "image_pil"})
# What a model said, or tools are, is text to the engine however it looks.
_TEXT_KEYS = frozenset(
    {
        "tools",
        "tool_choice",
        "tool_calls",
        "metadata",
        "response_format",
        "structured_outputs",
        "chat_template_kwargs",
        "input_schema",
        "output_config",
        "arguments",
    }
)
# Their `input` is text too, on Anthropic's route alone: elsewhere a part may call itself anything, and vLLM
# reads one that has a `uuid` by its keys.
_TOOL_TYPES = frozenset({"tool_use", "server_tool_use"})
_TOOL_ROUTE = "/v1/messages"
_MEDIA_ENDINGS = ("_url", "_audio", "_embeds", "_pil", "_image")
# As vLLM reads them; for all others it has no answer but 501.
_BASE64 = ";base64"


@dataclass(frozen=True, slots=True)
class Reference:
    """One media URL in a decoded body.

    Attributes:
        kind: What it must be: `image`, `audio`, `video` or `file`.
        url: As the caller wrote it.
        replace: Puts a data URL in its place.
    """

    kind: str
    url: str
    replace: Callable[[str], object]


def may_hold_media(call: Call) -> bool:
    """Tell whether a call may hold media; certain about text alone, and cheap."""
    path = call.route.path
    names = _FIELDS.get(path)
    if names is None:
        return _may_hold(call.body)
    for name in names:
        field = getattr(call.wanted, name)
        if field is not ABSENT and _may_hold(bytes(field)):
            return True
    return path == "/v1/messages" and _SOURCE in call.body


def _may_hold(text: bytes) -> bool:
    # Single bytes are found several times faster than words, and most prompts have neither. `in` would first
    # make, and drop, an error that says that bytes are no number.
    if text.find(b"_") >= 0 and any(key in text for key in _KEYS):
        return True
    return text.find(b"\\") >= 0 and _ESCAPE in text


class MediaRules:
    """Lets no URL through to an engine.

    Args:
        settings: Whether media is fetched, from where, and how much of it.
        fetcher: Fetches it.
    """

    def __init__(self, settings: MediaSettings, fetcher: MediaFetcher) -> None:
        self._settings = settings
        self._fetcher = fetcher

    async def settle(self, call: Call, allowed_parameters: frozenset[str], tenant: str = "") -> Call:
        """Give the call with every URL fetched; the call itself if it has none.

        Args:
            call: One that may hold media.
            allowed_parameters: What the operator lets its callers set.
            tenant: Who pays with places for what is fetched.

        Raises:
            GatewayError: media that is not taken here, or cannot be had.
        """
        body = _decode(call.body)
        parts = list(_parts(body, has_tools=call.route.path == _TOOL_ROUTE))
        if "uuid" not in allowed_parameters:
            for part in parts:
                _check_uuid(part)
        if "prompt_embeds" not in allowed_parameters:
            for part in parts:
                _check_tensors(part)
        references = [reference for part in parts for reference in _references(part)]
        if len(references) > self._settings.max_items:
            raise MediaError(
                f"A call may hold {self._settings.max_items} media parts, this one has {len(references)}."
            )
        outside = [reference for reference in references if not self._is_data(reference)]
        if not outside:
            return call
        if not self._settings.fetch:
            raise MediaError("Media URLs are not fetched here; send the content as a data: URL.")
        await self._replace(outside, tenant)
        data = msgspec.json.encode(body)
        wanted = envelope.read(data)
        return msgspec.structs.replace(call, body=data, wanted=wanted, prompt=envelope.prompt_of(wanted))

    def _is_data(self, reference: Reference) -> bool:
        if reference.url[:5].lower() != "data:":
            return False
        head, comma, _ = reference.url.partition(",")
        if not comma or not head.endswith(_BASE64):
            raise MediaError("A data: URL must hold base64: data:image/png;base64,...")
        size = (len(reference.url) - reference.url.find(",") - 1) * 3 // 4
        if size > self._settings.max_bytes:
            raise MediaError(f"A media part is longer than {self._settings.max_bytes} bytes.")
        return True

    async def _replace(self, references: list[Reference], tenant: str) -> None:
        settings, budget = self._settings, Budget(self._settings.max_total_bytes)
        tasks = [
            asyncio.ensure_future(
                self._fetcher.fetch(reference.url, reference.kind, settings, budget=budget, tenant=tenant)
            )
            for reference in references
        ]
        try:
            fetched = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        for reference, url in zip(references, fetched, strict=True):
            reference.replace(url)


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise InvalidBodyError(f"The body is not valid JSON: {error}.") from None


def _parts(body: Any, *, has_tools: bool) -> Iterator[dict[str, Any]]:
    """Walk a body and give every object where an engine could look for media.

    Args:
        body: It, decoded.
        has_tools: Whether the `input` of a part that is the use of a tool is text to the engine.
    """
    waiting: list[Any] = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            yield value
            input_key = "input" if has_tools and _is_tool_use(value) else None
            waiting.extend(
                inner for key, inner in value.items() if key not in _TEXT_KEYS and key != input_key
            )


def _is_tool_use(part: dict[str, Any]) -> bool:
    kind = part.get("type")
    return isinstance(kind, str) and kind in _TOOL_TYPES


def _check_uuid(part: dict[str, Any]) -> None:
    if part.get("uuid") is None:
        return
    kind = part.get("type")
    if any(key.endswith(_MEDIA_ENDINGS) for key in (*part, kind if isinstance(kind, str) else "")):
        raise ParameterNotAllowedError(
            "`uuid` of a media part is not allowed here: it names an entry of a cache that all callers "
            "share. Leave it out.",
            param="uuid",
        )


def _check_tensors(part: dict[str, Any]) -> None:
    for key in _TENSOR_KEYS:
        if part.get(key) is not None or part.get("type") == key:
            raise ParameterNotAllowedError(
                f"`{key}` is not allowed here: tensors of the caller's are loaded by the engine.", param=key
            )


def _references(part: dict[str, Any]) -> Iterator[Reference]:
    for key, kind in _URL_KEYS.items():
        inner = part.get(key)
        if isinstance(inner, str):
            yield Reference(kind, inner, partial(part.__setitem__, key))
        elif isinstance(inner, dict) and isinstance(inner.get("url"), str):
            yield Reference(kind, inner["url"], partial(inner.__setitem__, "url"))
    source = part.get("source")
    if isinstance(source, dict) and isinstance(source.get("url"), str):
        kind = "image" if part.get("type", "image") == "image" else "file"
        yield Reference(kind, source["url"], lambda url: part.__setitem__("source", _as_source(url)))
    if isinstance(source, dict) and source.get("type") == "base64" and isinstance(source.get("data"), str):
        yield Reference("file", f"data:{source.get('media_type')};base64,{source['data']}", _keep)
    audio = part.get("input_audio")
    if isinstance(audio, dict) and isinstance(audio.get("data"), str):
        # It holds no URL, but is media to be counted and measured.
        yield Reference("audio", f"data:audio/{audio.get('format')};base64,{audio['data']}", _keep)


def _keep(url: str) -> None:
    """Leave what is data already as it is."""


def _as_source(url: str) -> dict[str, str]:
    """Write a data URL as Anthropic does."""
    head, _, data = url.partition(";base64,")
    return {"type": "base64", "media_type": head.removeprefix("data:"), "data": data}
