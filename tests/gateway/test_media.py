"""Media of callers: data passes within caps, URLs are refused or fetched by us, and never from inside."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lmaas_gateway.call import ROUTES
from lmaas_gateway.envelope import ABSENT
from lmaas_gateway.errors import GatewayError, MediaError, SettingsError
from lmaas_gateway.policy.fetching import MediaFetcher
from lmaas_gateway.policy.media import MediaRules, may_hold_media
from lmaas_gateway.policy.sniffing import sniff
from lmaas_gateway.settings import MediaSettings, load_settings
from lmaas_gateway.testing import FakeReplica
from support.calls import make_call
from support.serving import ASK, CHAT, run_gateway, settings_for
from support.stub import read_request, replying, stub_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from support.stub import Handler

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
DATA = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
PUBLIC = "93.184.216.34"
ROUTE = {route.path: route for route in ROUTES}
FETCH = MediaSettings(fetch=True, allow_http=True, timeout_s=2)


def ok(content: bytes = PNG, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n" % (len(content), lines) + content


def moved(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()


class Names:
    """A resolver of the test's own; every public address is reached on this machine."""

    def __init__(self, port: int, **names: Sequence[Sequence[str]]) -> None:
        self._port = port
        self._names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []
        self.reached: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        del port
        self.asked.append(host)
        answers = self._names.get(host, [[PUBLIC]])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def reach(self, address: str, port: int) -> tuple[str, int]:
        del port
        self.reached.append(address)
        return "127.0.0.1", self._port


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files],
        check=True,
        capture_output=True,
    )
    return certificate, key


@contextlib.asynccontextmanager
async def fetcher_of(
    handler: Handler, *, tls: tuple[ssl.SSLContext | None, ssl.SSLContext | None] = (None, None), **names: Any
) -> AsyncIterator[tuple[MediaFetcher, Names]]:
    async with stub_server(handler, tls=tls[0]) as port:
        resolver = Names(port, **names)
        fetcher = MediaFetcher(resolve=resolver.resolve, reach=resolver.reach, tls=tls[1])
        try:
            yield fetcher, resolver
        finally:
            await fetcher.close()


class TestFetcher:
    async def test_url_becomes_a_data_url(self) -> None:
        async with fetcher_of(replying(ok())) as (fetcher, names):
            assert await fetcher.fetch("http://example.org/a.png?b", "image", FETCH) == DATA
            assert (names.asked, names.reached) == (["example.org"], [PUBLIC])

    async def test_server_sees_the_name_and_nothing_of_us(self) -> None:
        seen: list[bytes] = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await read_request(reader))
            writer.write(ok(PNG, b"set-cookie: a=b"))

        async with fetcher_of(handler) as (fetcher, _):
            for _ in range(2):
                await fetcher.fetch("http://example.org/a.png", "image", FETCH)
        assert seen[0].startswith(b"GET /a.png HTTP/1.1\r\n")
        assert b"host: example.org\r\n" in seen[0].lower()
        assert all(b"cookie" not in request.lower() for request in seen)
        assert all(b"authorization" not in request.lower() for request in seen)

    @pytest.mark.parametrize(
        "answers",
        [
            ["127.0.0.1"],
            ["10.0.0.7"],
            ["169.254.169.254"],
            ["::1"],
            ["::ffff:127.0.0.1"],
            ["64:ff9b::7f00:1"],
            [PUBLIC, "127.0.0.1"],
            [],
        ],
    )
    async def test_name_with_an_inner_address_is_not_connected_to(self, answers: list[str]) -> None:
        async with fetcher_of(replying(ok()), evil_example=[answers]) as (fetcher, names):
            with pytest.raises(MediaError, match="public internet"):
                await fetcher.fetch("http://evil.example/", "image", FETCH)
            assert names.reached == []

    async def test_name_that_changes_its_mind_is_asked_once(self) -> None:
        async with fetcher_of(replying(ok()), evil_example=[[PUBLIC], ["127.0.0.1"]]) as (fetcher, names):
            assert await fetcher.fetch("http://evil.example/", "image", FETCH) == DATA
            assert (len(names.asked), names.reached) == (1, [PUBLIC])
            with pytest.raises(MediaError):
                await fetcher.fetch("http://evil.example/", "image", FETCH)

    @pytest.mark.parametrize(
        "location",
        [
            "http://127.0.0.1/",
            "http://localhost/",
            "http://evil.example/",
            "http://[::1]/",
            "http://2130706433/",
            "file:///etc/passwd",
            "http://user@a.example/",
        ],
    )
    async def test_redirect_is_looked_at_like_the_first_url(self, location: str) -> None:
        inner = [["127.0.0.1"]]
        async with fetcher_of(replying(moved(location), ok()), evil_example=inner, localhost=inner) as (
            fetcher,
            names,
        ):
            with pytest.raises(MediaError):
                await fetcher.fetch("http://a.example/", "image", FETCH)
            assert names.reached == [PUBLIC]

    async def test_few_redirects_are_followed_and_no_more(self) -> None:
        hops = 0

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal hops
            await read_request(reader)
            hops += 1
            writer.write(moved(f"/{hops}") if hops != 4 else ok())

        async with fetcher_of(handler) as (fetcher, _):
            assert await fetcher.fetch("http://a.example/", "image", FETCH) == DATA
            with pytest.raises(MediaError, match="redirected"):
                await fetcher.fetch("http://a.example/", "image", FETCH)

    async def test_only_listed_domains(self) -> None:
        settings = FETCH.model_copy(update={"allowed_domains": ("a.example",)})
        async with fetcher_of(replying(moved("http://b.example/"))) as (fetcher, names):
            with pytest.raises(MediaError, match="domain"):
                await fetcher.fetch("http://a.example/", "image", settings)
            assert names.asked == ["a.example"]

    @pytest.mark.parametrize("framing", [b"content-length: 2000\r\n\r\n", b"\r\n"])
    async def test_long_content_is_not_read_to_its_end(self, framing: bytes) -> None:
        settings = FETCH.model_copy(update={"max_bytes": 1000})
        reply = b"HTTP/1.1 200 OK\r\n" + framing + PNG + b"x" * 1986
        async with fetcher_of(replying(reply)) as (fetcher, _):
            with pytest.raises(MediaError, match="more than 1000 bytes"):
                await fetcher.fetch("http://a.example/", "image", settings)

    async def test_slow_server_is_given_up(self) -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.02)

        settings = FETCH.model_copy(update={"timeout_s": 0.2})
        async with fetcher_of(handler) as (fetcher, _):
            with pytest.raises(MediaError, match=r"0\.2 s"):
                await fetcher.fetch("http://a.example/", "image", settings)

    # Of a handshake that is given up httpcore lets go of the socket without closing it; the loop then does.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    async def test_server_that_never_shakes_hands_is_given_up(self) -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        settings = FETCH.model_copy(update={"timeout_s": 0.2})
        async with fetcher_of(handler) as (fetcher, _):
            with pytest.raises(MediaError):
                await fetcher.fetch("https://a.example/", "image", settings)

    @pytest.mark.parametrize(
        ("reply", "says"),
        [
            (ok(b"<html>"), "does not hold image"),
            (ok(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "does not hold image"),
            (ok(b"RIFF0000WAVEfmt "), "does not hold image"),
            (ok(b""), "does not hold image"),
            (ok(PNG, b"content-encoding: gzip"), "compressed"),
            (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "answered 404"),
            (b"garbage\r\n\r\n", "could not be fetched"),
            (b"", "could not be fetched"),
        ],
    )
    async def test_what_is_no_image_is_refused_without_its_text(self, reply: bytes, says: str) -> None:
        async with fetcher_of(replying(reply)) as (fetcher, _):
            with pytest.raises(MediaError, match=says) as caught:
                await fetcher.fetch("http://a.example/", "image", FETCH)
        assert "svg" not in caught.value.message
        assert "127.0.0.1" not in caught.value.message

    async def test_server_must_show_a_certificate_of_its_name(self, tmp_path: Path) -> None:
        certificate, key = make_certificate(tmp_path, "a.example")
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(certificate, key)
        trusting = ssl.create_default_context(cafile=certificate)
        async with fetcher_of(replying(ok()), tls=(serving, trusting)) as (fetcher, names):
            assert await fetcher.fetch("https://a.example/", "image", FETCH) == DATA
            with pytest.raises(MediaError, match="could not be fetched"):
                await fetcher.fetch("https://b.example/", "image", FETCH)
            assert names.reached == [PUBLIC, PUBLIC]

    @pytest.mark.parametrize(
        "location", ["http://[", "//[::1", "http://[2606:4700::1111%25x]/", "http://[2606:4700::1111%x]/"]
    )
    async def test_redirect_that_cannot_be_understood_is_refused(self, location: str) -> None:
        async with fetcher_of(replying(moved(location))) as (fetcher, names):
            with pytest.raises(MediaError):
                await fetcher.fetch("http://a.example/", "image", FETCH)
            assert names.reached == [PUBLIC]

    async def test_only_listed_ports(self) -> None:
        async with fetcher_of(replying(ok())) as (fetcher, names):
            for url in ("http://a.example:22/", "https://a.example:8443/", "http://a.example:0/"):
                with pytest.raises(MediaError, match="port"):
                    await fetcher.fetch(url, "image", FETCH)
            with pytest.raises(MediaError, match="port"):
                await fetcher.fetch("https://a.example:80/", "image", MediaSettings(fetch=True))
            assert names.asked == []
            listed = FETCH.model_copy(update={"ports": (22,)})
            assert await fetcher.fetch("http://a.example:22/", "image", listed) == DATA

    async def test_one_caller_never_has_all_places(self) -> None:
        is_full, asked = asyncio.Event(), 0

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            if b"/slow" in await read_request(reader):
                asked += 1
                if asked == 8:
                    is_full.set()
                await reader.read()
            writer.write(ok())

        async with fetcher_of(handler) as (fetcher, names):
            slow = [
                asyncio.ensure_future(fetcher.fetch("http://a.example/slow", "image", FETCH, caller="a"))
                for _ in range(20)
            ]
            await is_full.wait()
            assert await fetcher.fetch("http://b.example/", "image", FETCH, caller="b") == DATA
            assert len(names.reached) == 9
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)

    async def test_name_that_is_looked_up_for_long_takes_its_callers_place_alone(self) -> None:
        never = asyncio.Event()
        asked: list[str] = []

        async def resolve(host: str, port: int) -> Sequence[str]:
            del port
            asked.append(host)
            if host == "slow.example":
                await never.wait()
            return [PUBLIC]

        async with stub_server(replying(ok())) as port:
            fetcher = MediaFetcher(resolve=resolve, reach=lambda *_: ("127.0.0.1", port))
            hasty = FETCH.model_copy(update={"timeout_s": 0.1})
            for _ in range(3):
                calls = (fetcher.fetch("http://slow.example/", "image", hasty, caller="a") for _ in range(8))
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
                assert all(isinstance(outcome, MediaError) for outcome in outcomes)
            assert len(asked) == 4
            assert await fetcher.fetch("http://b.example/", "image", FETCH, caller="b") == DATA
            never.set()
            assert await fetcher.fetch("http://c.example/", "image", FETCH, caller="a") == DATA
            await fetcher.close()

    async def test_slow_names_leave_the_loops_own_look_ups_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow, names = threading.Event(), socket.getaddrinfo

        def look_up(host: str, *rest: Any, **more: Any) -> Any:
            if host.endswith(".example"):
                slow.wait(10)
                raise OSError(host)
            return names(host, *rest, **more)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        fetcher = MediaFetcher()
        held = [
            asyncio.ensure_future(fetcher.fetch(f"https://{n}.example/", "image", FETCH, caller=str(n)))
            for n in range(40)
        ]
        await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(1):
            assert await loop.run_in_executor(None, names, "127.0.0.1", 80)
        assert sum(thread.name == "media-name" for thread in threading.enumerate()) == 16
        for task in held:
            task.cancel()
        slow.set()
        await asyncio.gather(*held, return_exceptions=True)

    async def test_systems_resolver_is_asked_by_default(self) -> None:
        with pytest.raises(MediaError, match="public internet"):
            await MediaFetcher().fetch("https://localhost/", "image", FETCH)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\0XXXX", None),
        (b"ID3\x04", "audio/mpeg"),
        (b"\0\0\0\x18ftypM4A ", "audio/mp4"),
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"%PDF-1.7", None),
    ],
)
def test_type_is_told_by_the_first_bytes(content: bytes, media_type: str | None) -> None:
    assert sniff(content) == media_type


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
        body = b'{"model":"mock","messages":[{"image_url":"https://a.example"}],"x":1e400}'
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
