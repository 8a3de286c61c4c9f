"""The static keys: who is let in, and as whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.call import Principal
from lmaas_gateway.errors import AuthenticationError, InvalidHeaderError
from lmaas_gateway.identity.authenticator import Authenticator
from lmaas_gateway.identity.configured import principals_of
from lmaas_gateway.settings import Settings

KEY = "0123456789abcdef"
OTHER = "fedcba9876543210"
HOLDER = Principal(id="api-key")
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
    assert Authenticator({KEY: HOLDER}).identify(headers, "") is HOLDER


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
    ],
)
def test_everybody_else_is_told_what_is_wrong(headers: Headers, says: str) -> None:
    with pytest.raises(AuthenticationError, match=says) as caught:
        Authenticator({KEY: HOLDER}).identify(headers, "")
    assert KEY not in caught.value.message


@pytest.mark.parametrize("second", [b"x-api-key", b"api-key"])
def test_two_keys_that_differ_are_a_bad_request(second: bytes) -> None:
    held = [(b"x-api-key", KEY.encode()), (second, b"other")]
    with pytest.raises(InvalidHeaderError, match="two different") as caught:
        Authenticator({KEY: HOLDER}).identify(held, "")
    assert caught.value.status == 400
    assert KEY not in caught.value.message


@given(st.binary(max_size=40))
def test_no_other_bytes_are_the_key(key: bytes) -> None:
    if key.strip() != KEY.encode():
        with pytest.raises(AuthenticationError):
            Authenticator({KEY: HOLDER}).identify([(b"x-api-key", key)], "")


def test_without_a_key_everybody_is_let_in() -> None:
    principal = Authenticator({}).identify([(b"authorization", b"Bearer anything")], "")
    assert principal == Principal("anonymous", is_shared=True)


def test_key_of_any_characters_is_compared_as_utf8() -> None:
    key = "schlüssel-schlüssel"
    assert Authenticator({key: HOLDER}).identify([(b"api-key", key.encode())], "") is HOLDER


def test_each_key_is_that_of_its_principal() -> None:
    settings = Settings.model_validate(
        {
            "api_key": KEY,
            "keys": [{"name": "batch", "key": OTHER, "weight": 0.5, "priority": "low"}],
        }
    )
    authenticator = Authenticator(principals_of(settings))
    for _ in range(2):
        assert authenticator.identify([(b"x-api-key", KEY.encode())], "") == Principal(
            "api-key", is_shared=True
        )
        assert authenticator.identify([(b"api-key", OTHER.encode())], "") == Principal("batch", 0.5, 1)


def test_key_that_is_known_is_refused_beside_another_one() -> None:
    authenticator = Authenticator({KEY: HOLDER, OTHER: Principal("other")})
    known = (b"x-api-key", KEY.encode())
    assert authenticator.identify([known], "") is HOLDER
    with pytest.raises(InvalidHeaderError, match="two different"):
        authenticator.identify([known, (b"authorization", b"Bearer " + OTHER.encode())], "")


def test_spellings_of_a_key_are_not_kept_without_end() -> None:
    authenticator = Authenticator({KEY: HOLDER})
    for blanks in range(100):
        header = (b"authorization", b"Bearer" + b" " * (blanks + 1) + KEY.encode())
        assert authenticator.identify([header], "") is HOLDER
    assert len(authenticator._known) <= 4
