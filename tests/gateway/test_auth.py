"""The static key: who is let in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.auth import Authenticator
from lmaas_gateway.errors import AuthenticationError

KEY = "0123456789abcdef"
Headers = list[tuple[bytes, bytes]]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer 0123456789abcdef")],
        [(b"authorization", b"BEARER  0123456789abcdef ")],
        [(b"x-api-key", b"0123456789abcdef")],
        [(b"api-key", b" 0123456789abcdef")],
        [(b"x-api-key", KEY.encode()), (b"authorization", b"Bearer " + KEY.encode())],
    ],
)
def test_key_holder_is_let_in(headers: Headers) -> None:
    assert Authenticator(KEY).identify(headers).id == "api-key"


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([], "No API key"),
        ([(b"cookie", KEY.encode())], "No API key"),
        ([(b"authorization", b"")], "not valid"),
        ([(b"authorization", b"Bearer")], "not valid"),
        ([(b"authorization", KEY.encode())], "not valid"),
        ([(b"authorization", b"Bearer 0123456789abcdeg")], "not valid"),
        ([(b"x-api-key", b"0123456789abcde")], "not valid"),
        ([(b"x-api-key", KEY.encode()), (b"api-key", b"other")], "two different"),
        ([(b"x-api-key", KEY.encode()), (b"x-api-key", b"other")], "two different"),
    ],
)
def test_everybody_else_is_told_what_is_wrong(headers: Headers, says: str) -> None:
    with pytest.raises(AuthenticationError, match=says) as caught:
        Authenticator(KEY).identify(headers)
    assert KEY not in caught.value.message


@given(st.binary(max_size=40))
def test_no_other_bytes_are_the_key(key: bytes) -> None:
    if key.strip() != KEY.encode():
        with pytest.raises(AuthenticationError):
            Authenticator(KEY).identify([(b"x-api-key", key)])


def test_without_a_key_everybody_is_let_in() -> None:
    assert Authenticator(None).identify([(b"authorization", b"Bearer anything")]).id == "anonymous"


def test_key_of_any_characters_is_compared_as_utf8() -> None:
    key = "schlüssel-schlüssel"
    assert Authenticator(key).identify([(b"api-key", key.encode())]).id == "api-key"
