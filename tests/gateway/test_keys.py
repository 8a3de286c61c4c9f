"""What a key looks like, and what is kept of it."""

from __future__ import annotations

import re
import string
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.identity.keys import is_key, looks_like_key, mac_of, make_key, read_id

BASE62 = string.ascii_letters + string.digits


class Peppers:
    """Two versions, of which the second is in use."""

    newest = 2

    def keys_of(self, purpose: Literal["pepper"], version: int | None = None) -> bytes:
        assert purpose == "pepper"
        return {1: b"1" * 32, 2: b"2" * 32}[version or self.newest]


KEY = make_key(Peppers())


def test_key_has_the_form_that_scanners_look_for() -> None:
    assert re.fullmatch(r"sk-lmaas-[0-9A-Za-z]{10}-[0-9A-Za-z]{49}", KEY.text)
    assert KEY.text.startswith(f"sk-lmaas-{KEY.id}-")
    assert KEY.text.endswith(KEY.last4)


def test_key_tells_its_id() -> None:
    assert read_id(KEY.text.encode()) == KEY.id


def test_no_two_keys_are_alike() -> None:
    keys = [make_key(Peppers()) for _ in range(200)]
    assert len({key.id for key in keys}) == len({key.text[20:63] for key in keys}) == 200


def test_every_digit_is_drawn() -> None:
    drawn = "".join(make_key(Peppers()).text[20:63] for _ in range(200))
    assert set(drawn) == set(BASE62)


def test_only_the_mac_under_the_newest_pepper_is_kept() -> None:
    assert KEY.pepper_version == 2
    assert is_key(KEY.text.encode(), KEY.mac, b"2" * 32)
    assert not is_key(KEY.text.encode(), KEY.mac, b"1" * 32)
    assert KEY.mac not in KEY.text.encode()


def test_one_secret_under_another_id_is_another_key() -> None:
    other = KEY.text.replace(KEY.id, "0" * 10).encode()
    assert not is_key(other, KEY.mac, b"2" * 32)
    assert mac_of(other, b"2" * 32) != KEY.mac


@given(st.binary(max_size=120))
def test_bytes_that_are_no_key_have_no_id(junk: bytes) -> None:
    assert read_id(junk) is None


@given(st.text(alphabet=BASE62, min_size=59, max_size=59))
def test_invented_keys_have_no_id_without_their_checksum(drawn: str) -> None:
    invented = f"sk-lmaas-{drawn[:10]}-{drawn[10:]}".encode()
    assert looks_like_key(invented)
    # One in four thousand million has the checksum by chance, and is asked for.
    assert read_id(invented) is None


@given(st.integers(0, 68), st.sampled_from(BASE62 + "-_é "))
def test_every_typing_mistake_is_seen_without_asking(place: int, char: str) -> None:
    mistaken = KEY.text[:place] + char + KEY.text[place + 1 :]
    if mistaken != KEY.text:
        assert read_id(mistaken.encode()) is None


@pytest.mark.parametrize("wrong", [KEY.text + "\n", " " + KEY.text, KEY.text[:-1], KEY.text.lower()])
def test_key_has_one_spelling(wrong: str) -> None:
    assert read_id(wrong.encode()) is None
