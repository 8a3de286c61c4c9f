"""What keeps tenants' prompts apart in an engine's prefix cache, and that no client can choose it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway import envelope
from lmaas_gateway.call import ROUTES, Principal
from lmaas_gateway.errors import InvalidBodyError
from lmaas_gateway.identity.salts import Salts

KEY = b"k" * 32
SALT = b"0123456789abcdef0123456789abcdef"


def principal(key: str = "key", project: str = "proj_a", organization: str = "org_a") -> Principal:
    return Salts(KEY).give(Principal(key, organization=organization, project=project, key=key))


def salted(body: bytes, tenant: bytes = SALT) -> dict[str, Any]:
    """What an engine reads, which takes the last of equal keys."""
    wanted = envelope.read(body)
    result: dict[str, Any] = json.loads(envelope.with_salt(body, envelope.salt_of(wanted, tenant), wanted))
    return result


class TestSaltOfATenant:
    def test_keys_of_one_project_share_it(self) -> None:
        assert principal("one").salt == principal("two").salt

    def test_projects_organizations_and_configured_callers_do_not(self) -> None:
        salts = [
            principal().salt,
            principal(project="proj_b").salt,
            principal(organization="org_b").salt,
            Salts(KEY).give(Principal("proj_a")).salt,
            Salts(KEY).give(Principal("org_a/proj_a")).salt,
            Salts(b"l" * 32).give(principal()).salt,
        ]
        assert len(set(salts)) == len(salts)

    def test_it_tells_nothing_of_its_tenant_and_is_what_vllm_takes(self) -> None:
        salt = principal().salt.decode()
        assert len(salt) == 32
        assert set(salt) <= set("0123456789abcdef")


class TestBody:
    def test_body_without_one_gets_it_and_is_else_the_same_bytes(self) -> None:
        body = b'{"model": "m",  "x": 1e5}'
        wanted = envelope.read(body)
        assert envelope.with_salt(body, SALT, wanted) == body[:-1] + b',"cache_salt":"' + SALT + b'"}'

    @pytest.mark.parametrize("end", [b"\n", b" \t\r\n"])
    def test_blanks_at_the_end_change_nothing(self, end: bytes) -> None:
        assert salted(b' {"model":"m"}' + end) == {"model": "m", "cache_salt": SALT.decode()}

    @pytest.mark.parametrize(
        "own",
        [
            b'"cache_salt":"x"',
            b'"cache\\u005fsalt":"x"',
            b'"\\u0063ache_salt":"x"',
            b'"cache_salt":"y","cache_salt":"x"',
            b'"cache_salt":null,"cache_salt":"x"',
        ],
    )
    def test_clients_own_is_mixed_in(self, own: bytes) -> None:
        body = b'{"model":"m",' + own + b',"k":1}'
        fields = salted(body)
        assert set(fields) == {"model", "cache_salt", "k"}
        assert fields["cache_salt"] not in {"x", SALT.decode()}
        assert fields == salted(body)
        assert fields["cache_salt"] != salted(body, b"f" * 32)["cache_salt"]

    @pytest.mark.parametrize("own", [b"null", b'"x","cache_salt":null', b' null , "cache\\u005fsalt": null'])
    def test_null_is_none(self, own: bytes) -> None:
        assert salted(b'{"cache_salt":' + own + b',"model":"m"}')["cache_salt"] == SALT.decode()

    @pytest.mark.parametrize("own", [b"1", b"[]", b'{"cache_salt":"x"}', b"true"])
    def test_one_that_is_no_text_is_refused(self, own: bytes) -> None:
        with pytest.raises(InvalidBodyError, match="`cache_salt` must be a string"):
            salted(b'{"model":"m","cache_salt":' + own + b"}")

    def test_that_of_another_tenant_gives_nobody_its_cache(self) -> None:
        other = principal(project="proj_b").salt
        fields = salted(b'{"model":"m","cache_salt":"' + other + b'"}', principal().salt)
        assert fields["cache_salt"] != other.decode()

    @given(
        fields=st.dictionaries(st.text(max_size=12), st.integers() | st.text(max_size=8) | st.none()),
        own=st.none() | st.text(max_size=20),
        is_first=st.booleans(),
    )
    def test_no_body_gets_by_without_it(
        self, fields: dict[str, Any], own: str | None, is_first: bool
    ) -> None:
        rest = {key: value for key, value in fields.items() if key not in envelope.Envelope.__struct_fields__}
        given = {"cache_salt": own, **rest} if is_first else {**rest, "cache_salt": own}
        read = salted(json.dumps({"model": "m", **given}).encode())
        assert read.pop("cache_salt") == (
            SALT.decode() if own is None else envelope.salt_of(_wanted(own), SALT).decode()
        )
        assert read == {"model": "m", **rest}

    def test_engine_that_takes_none_is_told_none(self) -> None:
        assert envelope.without_salt(b'{"model":"m","cache_salt":"x"}') == b'{"model":"m"}'


def _wanted(own: str) -> envelope.Envelope:
    return envelope.read(json.dumps({"model": "m", "cache_salt": own}).encode())


class TestPreamble:
    def test_routing_sees_what_the_engine_is_told(self) -> None:
        assert envelope.preamble_of(envelope.read(b'{"model":"m"}'), SALT) == SALT
        own = envelope.read(b'{"model":"m","cache_salt":"x","system":"s"}')
        assert SALT in envelope.preamble_of(own, SALT)
        assert b'"x"' not in envelope.preamble_of(own, SALT)

    def test_where_there_is_none_the_clients_own_counts(self) -> None:
        assert envelope.preamble_of(envelope.read(b'{"model":"m","cache_salt":"x"}')) == b'"x"'
        assert envelope.preamble_of(envelope.read(b'{"model":"m"}')) == b""


def test_every_route_that_an_engine_reads_prompts_on_is_salted() -> None:
    assert {route.path for route in ROUTES if not route.is_salted} == {"/v1/tokenize", "/v1/detokenize"}
