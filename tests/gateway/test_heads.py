"""Heads as plain values: what passes, what is taken out, what is refused."""

from __future__ import annotations

import pytest

from lmaas_gateway.api.heads import HeadRules, without_upgrade
from lmaas_gateway.settings import ConnectionSettings

HOST = (b"host", b"gateway:8000")


def check(
    *headers: tuple[bytes, bytes], url: bytes = b"/", version: str = "1.1"
) -> tuple[int, list[tuple[bytes, bytes]]]:
    """The status of the refusal, or 0, and the headers that are left."""
    left = [HOST, *headers]
    fields = dict(left)
    refusal = HeadRules(ConnectionSettings()).check(version, url, left, fields)
    assert fields == dict(left)
    return (0 if refusal is None else refusal.status), left[1:]


@pytest.mark.parametrize("host", [b"a", b"a.b-c_d:80", b"127.0.0.1", b"[::1]:8000", b"", b"a:"])
def test_host_that_is_one_passes_again_and_again(host: bytes) -> None:
    rules = HeadRules(ConnectionSettings())
    for _ in range(2):
        assert rules.check("1.1", b"/", [(b"host", host)], {b"host": host}) is None


def test_hosts_are_not_remembered_without_end() -> None:
    rules = HeadRules(ConnectionSettings())
    for number in range(3000):
        host = b"h%d" % number
        assert rules.check("1.1", b"/", [(b"host", host)], {b"host": host}) is None
    assert len(rules._known_hosts) == 1024


def test_only_what_connection_names_is_taken_out() -> None:
    kept = [(b"connection", b"close, X-Hop , te"), (b"accept", b"a"), (b"accept", b"b")]
    status, left = check(*kept, (b"x-hop", b"1"))
    assert (status, left) == (0, kept)


def test_other_headers_may_come_twice() -> None:
    assert check((b"x", b"1"), (b"x", b"2"), (b"accept", b"a"), (b"accept", b"b"))[0] == 0


@pytest.mark.parametrize(
    "name", [b"authorization", b"x-api-key", b"idempotency-key", b"content-encoding", b"x-request-id"]
)
def test_headers_that_are_acted_on_come_once(name: bytes) -> None:
    assert check((name, b"1"), (name, b"1"))[0] == 400


def test_http_1_0_needs_no_host() -> None:
    assert HeadRules(ConnectionSettings()).check("1.0", b"/", [], {}) is None


def test_head_is_written_again_without_its_upgrade() -> None:
    headers = [HOST, (b"connection", b"Upgrade, keep-alive"), (b"upgrade", b"h2c"), (b"content-length", b"3")]
    assert without_upgrade(b"POST", b"/x?y", "1.1", headers) == (
        b"POST /x?y HTTP/1.1\r\nhost: gateway:8000\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\n"
    )
