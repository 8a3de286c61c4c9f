"""Media of callers as we fetch it: within caps, and never from inside."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from gateway.media_servers import DATA, FETCH, PNG, PUBLIC, fetcher_of, ok
from lmaas_gateway.errors import MediaError
from lmaas_gateway.policy.fetching import MediaFetcher
from lmaas_gateway.policy.sniffing import sniff
from lmaas_gateway.settings import MediaSettings
from support.stub import read_request, replying, stub_server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def moved(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()


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
                asyncio.ensure_future(fetcher.fetch("http://a.example/slow", "image", FETCH, tenant="a"))
                for _ in range(20)
            ]
            await is_full.wait()
            assert await fetcher.fetch("http://b.example/", "image", FETCH, tenant="b") == DATA
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
                calls = (fetcher.fetch("http://slow.example/", "image", hasty, tenant="a") for _ in range(8))
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
                assert all(isinstance(outcome, MediaError) for outcome in outcomes)
            assert len(asked) == 4
            assert await fetcher.fetch("http://b.example/", "image", FETCH, tenant="b") == DATA
            never.set()
            assert await fetcher.fetch("http://c.example/", "image", FETCH, tenant="a") == DATA
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
            asyncio.ensure_future(fetcher.fetch(f"https://{n}.example/", "image", FETCH, tenant=str(n)))
            for n in range(40)
        ]
        await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
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
