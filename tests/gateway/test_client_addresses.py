"""Where a call comes from, as far as proxies that are trusted tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.identity.addresses import UNKNOWN, Proxies
from lmaas_gateway.identity.throttle import place_of

PROXIES = Proxies(("10.0.0.0/8", "2001:db8::/32"))


def client(address: str, *said: str, proxies: Proxies = PROXIES) -> str:
    return proxies.client_of([(b"x-forwarded-for", value.encode()) for value in said], address)


@pytest.mark.parametrize(
    ("address", "said", "expected"),
    [
        ("192.0.2.1", ("198.51.100.1",), "192.0.2.1"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("203.0.113.9, 198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("203.0.113.9", "198.51.100.1"), "198.51.100.1"),
        ("10.0.0.1", ("198.51.100.1, 10.0.0.2",), "198.51.100.1"),
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("::ffff:10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("2001:db8::1", ("[2001:db9::7]:443",), "2001:db9::7"),
        ("10.0.0.1", ("198.51.100.1:8080",), "198.51.100.1"),
        ("10.0.0.1", ("198.51.100.1, nobody",), UNKNOWN),
        ("10.0.0.1", ("",), UNKNOWN),
        ("", ("198.51.100.1",), ""),
    ],
)
def test_nearest_hop_that_is_no_proxy_is_the_client(
    address: str, said: tuple[str, ...], expected: str
) -> None:
    assert client(address, *said) == expected


def test_nobody_is_believed_where_no_proxy_is_trusted() -> None:
    assert client("10.0.0.1", "198.51.100.1", proxies=Proxies()) == "10.0.0.1"


@given(st.binary(max_size=60))
def test_whatever_is_said_is_an_address_or_unknown(said: bytes) -> None:
    found = PROXIES.client_of([(b"x-forwarded-for", said)], "10.0.0.1")
    assert found == UNKNOWN or place_of(found)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3:4", "2001:db8::"),
        ("2001:db8::9:8:7:6", "2001:db8::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        (UNKNOWN, ""),
    ],
)
def test_place_is_what_a_caller_cannot_easily_change(address: str, place: str) -> None:
    assert place_of(address) == place
