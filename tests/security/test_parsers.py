"""Whatever bytes come, each parser gives a value or one of our errors, and never anything else."""

from __future__ import annotations

import asyncio
import contextlib
import string
from typing import TYPE_CHECKING, Literal, get_args

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lmaas import sse
from lmaas_gateway import envelope, usage
from lmaas_gateway.api.inference import read_request_id
from lmaas_gateway.api.wishes import read_deadline
from lmaas_gateway.call import Dialect, Principal
from lmaas_gateway.errors import GatewayError
from lmaas_gateway.events import EventTap
from lmaas_gateway.identity.authenticator import Authenticator, read_credential
from lmaas_gateway.identity.keys import read_id
from lmaas_gateway.relay import refusal
from lmaas_gateway.replay.keys import read_idempotency
from lmaas_gateway.testing import FakeReplica
from support.serving import run_gateway, settings_for
from support.stub import raw_client

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Bytes of the kind that parsers look for, and any others.
HOSTILE = st.lists(
    st.sampled_from(
        [
            *(bytes([number]) for number in (0, 9, 10, 13, 32, 34, 39, 44, 58, 59, 92, 123, 125, 255)),
            b"Bearer ",
            b"bearer\t",
            b"sk-lmaas-",
            b"eyJ",
            b".",
            b"data: ",
            b"event: error\n",
            b"[DONE]\n\n",
            b'"error":',
            b'"usage":{',
            b'"model":',
            b'"cache_salt"',
            b"\xef\xbb\xbf",
            b"\xed\xa0\x80",
            "\N{LINE SEPARATOR}".encode(),
        ]
    )
    | st.binary(max_size=6),
    max_size=24,
).map(b"".join)


def only_ours(run: Callable[[], object]) -> None:
    """Run something that may give one of our errors."""
    with contextlib.suppress(GatewayError):
        run()


@EXAMPLES
@given(
    values=st.lists(HOSTILE, max_size=3), names=st.permutations((b"authorization", b"x-api-key", b"api-key"))
)
def test_key_headers(values: list[bytes], names: list[bytes]) -> None:
    held = list(zip(names, values, strict=False))
    only_ours(lambda: read_credential(held))
    authenticator = Authenticator({"0123456789abcdef": Principal("key")})
    only_ours(lambda: authenticator.identify(held, "192.0.2.1"))
    assert not authenticator._known


@EXAMPLES
@given(HOSTILE)
def test_keys(text: bytes) -> None:
    assert read_id(text) is None


@EXAMPLES
@given(HOSTILE)
@example(b"9" * 5000)
def test_headers_that_are_acted_on(text: bytes) -> None:
    only_ours(lambda: read_deadline({b"x-request-deadline-ms": text}))
    only_ours(lambda: read_idempotency({b"idempotency-key": text}, b""))
    only_ours(lambda: envelope.priority_of(envelope.Envelope("m"), text))
    made = read_request_id({b"x-request-id": text})
    assert set(made) <= set(string.ascii_letters + string.digits + "._:-")
    assert 0 < len(made) <= 128


@EXAMPLES
@given(HOSTILE | HOSTILE.map(lambda inner: b'{"model":"m",' + inner + b"}"))
def test_bodies(body: bytes) -> None:
    def read() -> None:
        wanted = envelope.read(body)
        envelope.count_choices(wanted)
        salted = envelope.with_salt(body, b"0" * 32, wanted)
        assert envelope.read(salted).model == wanted.model
        envelope.with_usage(salted)

    only_ours(read)


@EXAMPLES
@given(pieces=st.lists(HOSTILE, max_size=6), dialect=st.sampled_from(get_args(Dialect)[:3]))
def test_streams_of_replicas(pieces: list[bytes], dialect: Literal["chat", "responses", "messages"]) -> None:
    tap = EventTap(dialect, choices=1, is_usage_hidden=True)
    for piece in pieces:
        tap.feed(piece)
        if tap.is_broken or tap.is_complete:
            break
    tap.usage()
    usage.find(b"".join(pieces))


@EXAMPLES
@given(body=HOSTILE, status=st.sampled_from((400, 404, 422, 501)))
def test_refusals_of_replicas(body: bytes, status: int) -> None:
    error = refusal(status, body, "m")
    assert error.status == status
    assert error.message


@EXAMPLES
@given(HOSTILE, st.integers(1, 7))
def test_streams_of_services_give_the_same_events_however_they_are_cut(data: bytes, size: int) -> None:
    def events(step: int) -> list[str]:
        parser = sse.SSEParser()
        found: list[sse.ServerSentEvent] = []
        for start in range(0, len(data), step):
            found += parser.feed(data[start : start + step])
        return [repr(event) for event in found]

    assert events(size) == events(max(1, len(data)))


REQUESTS = st.lists(
    st.sampled_from(
        [
            b"POST /v1/chat/completions HTTP/1.1\r\n",
            b"GET /v1/models HTTP/1.1\r\n",
            b"host: x\r\n",
            b"content-length: 2\r\n",
            b"content-length: 99999999999999999999\r\n",
            b"transfer-encoding: chunked\r\n",
            b"connection: authorization\r\n",
            b"\r\n",
            b"{}",
            b"0\r\n\r\n",
            b"ffffffffffffffffff\r\n",
            b"\n",
            b" ",
        ]
    )
    | st.binary(max_size=8),
    max_size=10,
).map(b"".join)


async def test_bytes_on_a_connection() -> None:
    """One gateway for all examples; whatever it is sent, it answers with less than a 500, or not at all."""
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        for data in _drawn(REQUESTS, 80):
            async with raw_client(running.port) as client:
                client.send(data)
                client.writer.write_eof()
                try:
                    async with asyncio.timeout(3):
                        answer = await client.reader.read(4096)
                except ConnectionError:
                    continue
            assert not answer or b"400" <= answer[9:12] < b"500" or answer[9:12] == b"200", (data, answer)
        assert (await running.get("/livez")).status == 200


def _drawn(strategy: st.SearchStrategy[bytes], count: int) -> list[bytes]:
    """The same examples each time."""
    found: list[bytes] = []

    @settings(max_examples=count, derandomize=True, database=None, deadline=None)
    @given(strategy)
    def keep(data: bytes) -> None:
        found.append(data)

    keep()
    return found
