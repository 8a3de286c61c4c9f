"""Media in a call: data passes within caps, URLs are refused, or replaced by what we fetched."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.media_servers import DATA, FETCH, PNG, fetcher_of, ok
from lmaas_gateway.call import ROUTES
from lmaas_gateway.envelope import ABSENT
from lmaas_gateway.errors import GatewayError, MediaError, SettingsError
from lmaas_gateway.policy.fetching import MediaFetcher
from lmaas_gateway.policy.media import MediaRules, may_hold_media
from lmaas_gateway.settings import MediaSettings, load_settings
from lmaas_gateway.testing import FakeReplica
from support.calls import make_call
from support.serving import ASK, CHAT, run_gateway, settings_for
from support.stub import read_request, replying

if TYPE_CHECKING:
    pass
ROUTE = {route.path: route for route in ROUTES}


URL = "https://example.org/a.png"
IMAGE = {"type": "image_url", "image_url": {"url": URL}}


def user(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": list(parts)}]


WITH_URL: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": user(IMAGE)}),
    "short form": ("/v1/chat/completions", {"messages": user({"image_url": URL})}),
    "second message": ("/v1/chat/completions", {"messages": [*user("a"), *user({"type": "text"}, IMAGE)]}),
    "audio": ("/v1/chat/completions", {"messages": user({"type": "audio_url", "audio_url": {"url": URL}})}),
    "video": ("/v1/chat/completions", {"messages": user({"type": "video_url", "video_url": {"url": URL}})}),
    "file": ("/v1/chat/completions", {"messages": user({"type": "file", "file": {"file_url": URL}})}),
    "http": ("/v1/chat/completions", {"messages": user({"image_url": "http://a.example/"})}),
    "file scheme": ("/v1/chat/completions", {"messages": user({"image_url": "file:///etc/passwd"})}),
    "no scheme": ("/v1/chat/completions", {"messages": user({"image_url": "//a.example/"})}),
    "capitals": ("/v1/chat/completions", {"messages": user({"image_url": "HTTPS://a.example/"})}),
    "responses": ("/v1/responses", {"input": user({"type": "input_image", "image_url": URL})}),
    "tool output": (
        "/v1/responses",
        {"input": [{"type": "function_call_output", "output": [{"image_url": URL}]}]},
    ),
    "decoy": ("/v1/responses", {"messages": "x", "input": user({"type": "input_image", "image_url": URL})}),
    "messages": (
        "/v1/messages",
        {"messages": user({"type": "image", "source": {"type": "url", "url": URL}})},
    ),
    "document": (
        "/v1/messages",
        {"messages": user({"type": "document", "source": {"type": "url", "url": URL}})},
    ),
    "tool result": (
        "/v1/messages",
        {
            "messages": user(
                {"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": URL}}]}
            )
        },
    ),
    "embedding": ("/v1/embeddings", {"messages": user(IMAGE)}),
    "embedding of messages": ("/v1/embeddings", {"input": user(IMAGE)}),
    "rerank": ("/v1/rerank", {"query": "a", "documents": {"content": [IMAGE]}}),
    "score": ("/v1/score", {"text_1": "a", "text_2": {"content": [IMAGE]}}),
    "classify": ("/v1/classify", {"messages": user(IMAGE)}),
    "tokenize": ("/v1/tokenize", {"messages": user(IMAGE)}),
}


def call_of(path: str, body: bytes) -> Any:
    return make_call(body, route=ROUTE[path])


class NeverFetcher(MediaFetcher):
    async def fetch(self, url: str, kind: str, settings: MediaSettings, **_: Any) -> str:
        raise AssertionError(url, kind, settings)


class Fetched(MediaFetcher):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str]] = []

    async def fetch(self, url: str, kind: str, settings: MediaSettings, **_: Any) -> str:
        del settings
        self.seen.append((url, kind))
        return DATA


async def settle(path: str, body: bytes, *, allowed: frozenset[str] = frozenset(), **settings: Any) -> Any:
    call = call_of(path, body)
    if not may_hold_media(call):
        return call
    return await MediaRules(MediaSettings(**settings), NeverFetcher()).settle(call, allowed)


class TestRules:
    @pytest.mark.parametrize("case", WITH_URL)
    async def test_url_is_refused_where_nothing_is_fetched(self, case: str) -> None:
        path, fields = WITH_URL[case]
        with pytest.raises(MediaError, match="data: URL"):
            await settle(path, msgspec.json.encode({"model": "mock", **fields}))

    @pytest.mark.parametrize("case", WITH_URL)
    async def test_url_is_replaced_where_media_is_fetched(self, case: str) -> None:
        path, fields = WITH_URL[case]
        fetcher = Fetched()
        call = call_of(path, msgspec.json.encode({"model": "mock", "seed": 7, **fields}))
        assert may_hold_media(call)
        settled = await MediaRules(MediaSettings(fetch=True), fetcher).settle(call, frozenset())
        assert len(fetcher.seen) == 1
        assert fetcher.seen[0][0].encode() not in settled.body
        assert DATA.partition(",")[2].encode() in settled.body
        assert json.loads(settled.body)["seed"] == 7
        assert settled.prompt is ABSENT or bytes(settled.prompt) in settled.body

    async def test_anthropics_source_becomes_base64(self) -> None:
        path, fields = WITH_URL["messages"]
        call = call_of(path, msgspec.json.encode({"model": "mock", **fields}))
        settled = await MediaRules(MediaSettings(fetch=True), Fetched()).settle(call, frozenset())
        source = json.loads(settled.body)["messages"][0]["content"][0]["source"]
        assert source == {"type": "base64", "media_type": "image/png", "data": DATA.partition(",")[2]}

    async def test_key_that_hides_in_escapes_is_found(self) -> None:
        body = msgspec.json.encode({"model": "mock", "messages": user({"image_url": URL})})
        for hidden in (b"image\\u005furl", b"\\u0069mage_url", b"image_\\u0075rl"):
            with pytest.raises(MediaError):
                await settle(CHAT, body.replace(b"image_url", hidden))
        path, fields = WITH_URL["messages"]
        body = msgspec.json.encode({"model": "mock", **fields}).replace(b'"source"', b'"\\u0073ource"')
        with pytest.raises(MediaError):
            await settle(path, body)

    @pytest.mark.parametrize(
        "fields",
        [
            {"messages": user({"type": "text", "text": 'look at "image_url": https://a.example'})},
            {"messages": user({"image_url": DATA})},
            {"messages": user({"image_url": {"url": DATA.replace("data:", "DATA:")}})},
            {"messages": user({"image_url": None, "uuid": None})},
            {"messages": [{"role": "user", "content": "see image_url", "uuid": "x"}]},
            {"messages": user({"type": ["tool_use"], "image_url": {"url": None}})},
            {"messages": user({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}})},
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"arguments": {"image_url": URL}}}]}
                ]
            },
            {
                "messages": user("é" * 3),
                "tools": [{"parameters": {"properties": {"image_url": {"url": URL}}}}],
            },
            {"messages": user("a"), "metadata": {"image_url": URL}},
        ],
    )
    async def test_what_no_engine_would_fetch_passes_byte_for_byte(self, fields: dict[str, Any]) -> None:
        body = json.dumps({"model": "mock", **fields}).encode()
        assert (await settle(CHAT, body)).body == body

    async def test_input_of_anthropics_tools_is_text(self) -> None:
        for kind in ("tool_use", "server_tool_use"):
            part = {"type": kind, "id": "1", "name": "n", "input": {"image_url": URL}}
            body = msgspec.json.encode({"model": "mock", "messages": user(part)})
            assert (await settle("/v1/messages", body)).body == body

    @pytest.mark.parametrize("path", [CHAT, "/v1/tokenize", "/v1/embeddings", "/v1/messages", "/v1/score"])
    @pytest.mark.parametrize("kind", ["tool_use", "server_tool_use"])
    @pytest.mark.parametrize("field", [{"image_url": URL}, {"video_url": {"url": URL}}])
    async def test_no_part_hides_a_url_by_calling_itself_a_tool(
        self, path: str, kind: str, field: dict[str, Any]
    ) -> None:
        fields = {"data_2" if path == "/v1/score" else "messages": user({"type": kind, "uuid": "a", **field})}
        body = msgspec.json.encode({"model": "mock", **fields})
        with pytest.raises(MediaError, match="data: URL"):
            await settle(path, body, allowed=frozenset({"uuid"}))

    async def test_input_is_text_on_anthropics_route_alone(self) -> None:
        body = msgspec.json.encode({"model": "m", "messages": user({"type": "tool_use", "input": [IMAGE]})})
        with pytest.raises(MediaError, match="data: URL"):
            await settle(CHAT, body)

    @pytest.mark.parametrize(
        "part",
        [
            {"image_url": None, "uuid": "x"},
            {"type": "image_url", "image_url": {"url": DATA}, "uuid": "x"},
            {"type": "text", "video_url": DATA, "uuid": 7},
            {"type": "input_audio", "uuid": ""},
        ],
    )
    async def test_name_in_the_cache_of_all_needs_the_operators_word(self, part: dict[str, Any]) -> None:
        body = msgspec.json.encode({"model": "mock", "messages": user(part)})
        with pytest.raises(GatewayError, match="`uuid` of a media part is not allowed here") as caught:
            await settle(CHAT, body)
        assert (caught.value.status, caught.value.param) == (400, "uuid")
        assert (await settle(CHAT, body, allowed=frozenset({"uuid"}))).body == body

    @pytest.mark.parametrize(
        ("path", "part"),
        [
            (CHAT, {"image_url": "data:image/png,pixels"}),
            (CHAT, {"image_url": "data:image/png;base64"}),
            (CHAT, {"image_url": "data:image/png;BASE64,QUJD"}),
            (CHAT, {"image_url": "data:"}),
            (CHAT, {"input_audio": {"data": "QUJD", "format": "wav,x"}}),
            ("/v1/messages", {"source": {"type": "base64", "media_type": "image/png,x", "data": "QUJD"}}),
        ],
    )
    async def test_data_that_is_not_base64_is_refused(self, path: str, part: dict[str, Any]) -> None:
        body = msgspec.json.encode({"model": "mock", "messages": user(part)})
        with pytest.raises(MediaError, match="must hold base64") as caught:
            await settle(path, body)
        assert caught.value.status == 400

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "prompt_embeds", "data": "QUJD"},
            {"type": "image_embeds", "image_embeds": "QUJD"},
            {"type": "audio_embeds", "audio_embeds": {"a": "QUJD"}},
            {"image_pil": "x"},
        ],
    )
    async def test_tensors_in_parts_need_the_operators_word(self, part: dict[str, Any]) -> None:
        body = msgspec.json.encode({"model": "mock", "messages": user(part)})
        with pytest.raises(GatewayError, match="not allowed here"):
            await settle(CHAT, body)
        assert (await settle(CHAT, body, allowed=frozenset({"prompt_embeds"}))).body == body

    async def test_caps_of_count_and_size(self) -> None:
        many = msgspec.json.encode({"model": "mock", "messages": user(*[{"image_url": DATA}] * 3)})
        assert (await settle(CHAT, many, max_items=3)).body == many
        with pytest.raises(MediaError, match="2 media parts"):
            await settle(CHAT, many, max_items=2)
        with pytest.raises(MediaError, match="longer than 10 bytes"):
            await settle(CHAT, many, max_bytes=10)
        audio = {"type": "input_audio", "input_audio": {"data": "A" * 400, "format": "wav"}}
        with pytest.raises(MediaError, match="longer than 10 bytes"):
            await settle(CHAT, msgspec.json.encode({"model": "m", "messages": user(audio)}), max_bytes=10)

    async def test_all_that_is_fetched_for_a_call_has_a_cap(self) -> None:
        image = {"image_url": "http://a.example/"}
        call = call_of(CHAT, msgspec.json.encode({"model": "mock", "messages": user(image, image)}))
        settings = FETCH.model_copy(update={"max_total_bytes": 2 * len(PNG) - 1})
        async with fetcher_of(replying(ok())) as (fetcher, _):
            with pytest.raises(MediaError, match="27 bytes"):
                await MediaRules(settings, fetcher).settle(call, frozenset())
            settings = FETCH.model_copy(update={"max_total_bytes": 2 * len(PNG)})
            assert (await MediaRules(settings, fetcher).settle(call, frozenset())).body.count(b"data:") == 2

    async def test_fetching_ends_when_a_call_has_all_that_it_may_have(self) -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + PNG)
            await reader.read()

        images = [{"image_url": f"http://a{number}.example/"} for number in range(3)]
        call = call_of(CHAT, msgspec.json.encode({"model": "mock", "messages": user(*images)}))
        settings = FETCH.model_copy(update={"max_total_bytes": 2 * len(PNG)})
        async with fetcher_of(handler) as (fetcher, _):
            with pytest.raises(MediaError, match="The media of a call is longer than 28 bytes"):
                await MediaRules(settings, fetcher).settle(call, frozenset())

    async def test_number_that_cannot_be_kept_is_refused(self) -> None:
        body = b'{"model":"mock","messages":[{"image_url":"https://a.example","x":1e400}]}'
        with pytest.raises(GatewayError, match="not valid JSON"):
            await settle(CHAT, body)


async def test_url_is_refused_over_the_wire_by_default() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        reply = await running.post(CHAT, {**ASK, "messages": user(IMAGE)})
        assert (reply.status, reply.error["code"]) == (400, "media_not_accepted")
        assert replica.requests == 0


async def test_engine_is_given_data_in_place_of_the_url() -> None:
    async with fetcher_of(replying(ok())) as (fetcher, _), FakeReplica() as replica:
        settings = settings_for(replica, media={"fetch": True, "allow_http": True})
        async with run_gateway(settings, fetcher=fetcher) as running:
            part = {"type": "image_url", "image_url": {"url": "http://example.org/a.png", "detail": "low"}}
            ask = {**ASK, "messages": user({"type": "text", "text": "what?"}, part), "stream": True}
            assert (await running.post(CHAT, ask)).status == 200
        sent = json.loads(replica.calls[0].request.body)
        assert sent["messages"][0]["content"][1]["image_url"] == {"url": DATA, "detail": "low"}
        assert sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    "domain", ["https://a.example", "*.a.example", "a.example:443", "A.example", "é.example"]
)
def test_domain_that_is_none_is_an_error_at_the_start(domain: str) -> None:
    with pytest.raises(SettingsError, match="is no domain"):
        load_settings(flags={"media": {"allowed_domains": (domain,)}})
    environ = {"LMAAS_MEDIA__ALLOWED_DOMAINS": "a.example, .b.example"}
    assert load_settings(environ=environ).media.allowed_domains == ("a.example", ".b.example")
