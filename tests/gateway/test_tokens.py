"""People by their tokens: a real key server, and every way in which a token can lie."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from lmaas_gateway.call import Principal
from lmaas_gateway.errors import (
    AuthenticationBusyError,
    AuthenticationError,
    GatewayError,
    KeyExpiredError,
    PermissionDeniedError,
    StoreUnavailableError,
)
from lmaas_gateway.identity.authenticator import Authenticator
from lmaas_gateway.identity.key_sets import KeySet, key_set_of
from lmaas_gateway.identity.tokens import LEEWAY_S, Tokens
from lmaas_gateway.identity.warm import Warm
from lmaas_gateway.settings import IdentitySettings, IssuerSettings
from lmaas_gateway.storage.holders import PersonHolder
from support.certificates import Authority
from support.stub import replying, stub_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ISSUER, AUDIENCE = "https://id.example", "lmaas"
NOW = 1_800_000_000
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ANN = PersonHolder(
    id="user_ann", organization="org_1", project="proj_1", is_bound=False, role="admin", is_closed=False
)


def jwk_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, key_id: str, **fields: Any) -> dict[str, Any]:
    made = (
        jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        if isinstance(key, rsa.RSAPrivateKey)
        else jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    )
    return made | {"kid": key_id, "use": "sig"} | fields


KEYS = [jwk_of(RSA_KEY, "one"), jwk_of(EC_KEY, "two")]


class World:
    """An identity provider, a store, and a gateway that knows both, at a time that is given."""

    def __init__(self, issuer: IssuerSettings, key_set: KeySet, **rules: Any) -> None:
        self.now = float(NOW)
        self.people: dict[str, PersonHolder] = {f"{ISSUER}|ann": ANN}
        self.asked: list[str] = []
        self.is_down = False
        self.warm = Warm(lambda: self.now)
        tokens = Tokens(
            self,
            {ISSUER: (issuer, key_set)},
            IdentitySettings.model_validate(rules),
            warm=self.warm,
            clock=lambda: self.now,
            wall_clock=lambda: self.now,
        )
        self.tokens = tokens
        self.authenticator = Authenticator(
            {"0123456789abcdef": Principal("key")}, tokens=tokens, warm=self.warm
        )

    async def find_person(self, subject: str) -> PersonHolder | None:
        self.asked.append(subject)
        await asyncio.sleep(0)
        if self.is_down:
            raise StoreUnavailableError("The store is down.")
        return self.people.get(subject)

    async def call(self, token: str, address: str = "192.0.2.1") -> Principal:
        headers = [(b"authorization", b"Bearer " + token.encode())]
        found = self.authenticator.identify(headers, address)
        return found or await self.authenticator.look_up(headers, address)

    async def refusal(self, token: str) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.call(token)
        return caught.value


class KeyServer:
    """Serves a key set over HTTP."""

    def __init__(self) -> None:
        self.keys = list(KEYS)
        self.body: bytes | None = None
        self.head = b"HTTP/1.1 200 OK"
        self.requests: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        writer.write(self.head + b"\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    @property
    def issuer(self) -> IssuerSettings:
        return issuer_of(jwks_url=f"http://127.0.0.1:{self.port}/keys?v=1")


def issuer_of(**fields: Any) -> IssuerSettings:
    return IssuerSettings.model_validate({"issuer": ISSUER, "audience": AUDIENCE, **fields})


@contextlib.asynccontextmanager
async def key_server() -> AsyncIterator[KeyServer]:
    server = KeyServer()
    async with stub_server(server.serve) as port:
        server.port = port
        yield server


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server() as running:
        yield running


@pytest.fixture(autouse=True)
def given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give PyJWT the time of these tests."""
    real = jwt.api_jwt.datetime  # type: ignore[attr-defined] # not theirs to give

    class Given(real):  # type: ignore[misc, valid-type]  # a class found at run time
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real.fromtimestamp(NOW, tz)

    monkeypatch.setattr(jwt.api_jwt, "datetime", Given)


@pytest.fixture
def world(server: KeyServer) -> World:
    return World(server.issuer, key_set_of(server.issuer))


def token_of(
    key: Any = RSA_KEY, *, algorithm: str = "RS256", kid: Any = "one", header: Any = None, **claims: Any
) -> str:
    values = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": NOW + 600, "iat": NOW, **claims}
    values = {name: value for name, value in values.items() if value is not None}
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(values, key, algorithm=algorithm, headers={**headers, **(header or {})})


def part(fields: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def forged(header: dict[str, Any], signature: str = "", **claims: Any) -> str:
    values = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": NOW + 600, **claims}
    return f"{part(header)}.{part(values)}.{signature}"


async def test_member_is_recognised_by_a_token_of_its_provider(world: World, server: KeyServer) -> None:
    assert await world.call(token_of()) == Principal(
        "user_ann", organization="org_1", project="proj_1", member="user_ann", role="admin"
    )
    assert (await world.call(token_of(EC_KEY, algorithm="ES256", kid="two"))).id == "user_ann"
    assert len(server.requests) == 1
    assert server.requests[0].startswith(b"GET /keys?v=1 HTTP/1.1\r\n")


async def test_token_that_is_known_costs_nothing_for_some_seconds(world: World) -> None:
    token = token_of()
    for _ in range(3):
        await world.call(token)
    assert world.authenticator.identify([(b"x-api-key", token.encode())], "") is not None
    assert len(world.asked) == 1
    world.now += 5
    await world.call(token)
    assert len(world.asked) == 2


async def test_tokens_that_begin_alike_are_told_apart(world: World) -> None:
    world.people[f"{ISSUER}|bob"] = PersonHolder(
        id="user_bob", organization="org_2", project="", is_bound=False, role="viewer", is_closed=False
    )
    ann, bob = token_of(jti="1"), token_of(jti="1", sub="bob")
    assert ann[:60] == bob[:60]
    assert (await world.call(ann)).organization == "org_1"
    assert (await world.call(bob)).organization == "org_2"


async def test_a_hundred_calls_with_one_cold_token_ask_once(world: World, server: KeyServer) -> None:
    token = token_of()
    await asyncio.gather(*(world.call(token) for _ in range(100)))
    assert (len(world.asked), len(server.requests)) == (1, 1)


PUBLIC_PEM = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hs256(secret: bytes) -> str:
    """Sign with a public key as if it were a shared secret, which PyJWT itself refuses to do."""
    import hashlib  # noqa: PLC0415 - one test's
    import hmac  # noqa: PLC0415 - likewise

    signed = forged({"alg": "HS256", "kid": "one", "typ": "JWT"})[:-1]
    mac = hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (forged({"alg": "none"}), "not allowed"),
        (forged({"alg": "None", "kid": "one"}), "not allowed"),
        (forged({"alg": ["RS256"], "kid": "one"}), "not allowed"),
        (forged({"kid": "one"}), "not allowed"),
        (hs256(PUBLIC_PEM), "not allowed"),
        (hs256(json.dumps(KEYS[0]).encode()), "not allowed"),
        (token_of(algorithm="RS512"), "not allowed"),
        (token_of(algorithm="PS256"), "not allowed"),
        (forged({"alg": "RS256", "kid": "one"}, "AAAA"), "signature is wrong"),
        (forged({"alg": "ES256", "kid": "one"}, "AAAA"), "no such key"),
        (forged({"alg": "RS256", "kid": "two"}, "AAAA"), "no such key"),
        (token_of(OTHER_KEY), "signature is wrong"),
        (token_of(kid="three"), "no such key"),
        (token_of(kid="../../../../dev/null"), "no such key"),
        (token_of(kid="http://evil.example/keys"), "no such key"),
        (token_of(kid="one' UNION SELECT 'x"), "no such key"),
        (forged({"alg": "RS256", "kid": {"a": 1}}, "AAAA"), "cannot be read"),
        (token_of(OTHER_KEY, kid="evil", header={"jku": "http://127.0.0.1:1/keys"}), "no such key"),
        (token_of(OTHER_KEY, kid="one", header={"jwk": jwk_of(OTHER_KEY, "one")}), "signature is wrong"),
        (token_of(aud="another"), "another audience"),
        (token_of(aud=None), "lacks a claim"),
        (token_of(iss="https://evil.example"), "another issuer"),
        (token_of(iss=ISSUER + "/"), "another issuer"),
        (token_of(iss=None), "another issuer"),
        (forged({"alg": "RS256"}, "AAAA", iss=[ISSUER]), "another issuer"),
        (token_of(exp=None), "lacks a claim"),
        (token_of(nbf=NOW + 3600), "time has not come"),
        (token_of(sub=None), "lacks a claim"),
        (token_of(sub=""), "subject cannot be used"),
        (token_of(sub=f"x|{ISSUER}|ann"), "subject cannot be used"),
        (token_of(header={"crit": ["exp"], "exp": 1}), "cannot be read"),
        ("eyJ.eyJ.", "cannot be read"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJ.AAAA", "cannot be read"),
        ("eyJ" + "A" * 9000 + ".x.y", "too long"),
    ],
)
async def test_token_that_lies_is_refused(world: World, token: str, says: str) -> None:
    error = await world.refusal(token)
    assert type(error) is AuthenticationError
    assert says in error.message
    assert token not in error.message
    assert world.asked == [], "nobody asks the store for what was not signed"


async def test_signature_of_another_token_is_no_signature(world: World) -> None:
    head, _, signature = token_of().split(".")
    error = await world.refusal(f"{head}.{token_of(sub='root').split('.')[1]}.{signature}")
    assert "signature is wrong" in error.message


async def test_clocks_may_differ_by_a_minute(world: World) -> None:
    await world.call(token_of(exp=NOW - LEEWAY_S + 5, nbf=NOW + LEEWAY_S - 5))
    assert type(await world.refusal(token_of(exp=NOW - LEEWAY_S - 5))) is KeyExpiredError


async def test_known_token_ends_when_it_expires(world: World) -> None:
    token = token_of(exp=NOW + 10)
    await world.call(token)
    world.now += 10 + LEEWAY_S - 1
    await world.call(token)
    world.now += 2
    assert type(await world.refusal(token)) is KeyExpiredError
    assert len(world.warm) == 0


async def test_good_token_of_a_stranger_says_how_to_become_a_member(world: World) -> None:
    error = await world.refusal(token_of(sub="eve"))
    assert type(error) is PermissionDeniedError
    assert f"'{ISSUER}|eve'" in error.message


async def test_member_who_is_disabled_is_out_within_seconds(world: World) -> None:
    token = token_of()
    await world.call(token)
    world.people[f"{ISSUER}|ann"] = PersonHolder(
        **{name: getattr(ANN, name) for name in ANN.__struct_fields__} | {"is_closed": True}
    )
    world.now += 5
    assert type(await world.refusal(token)) is PermissionDeniedError
    world.is_down = True
    assert type(await world.refusal(token)) is StoreUnavailableError


async def test_known_member_goes_on_while_the_store_is_down(world: World) -> None:
    token = token_of(exp=NOW + 3600)
    await world.call(token)
    world.is_down = True
    world.now += 300
    await world.call(token)
    world.now += 70
    assert type(await world.refusal(token)) is StoreUnavailableError
    assert type(await world.refusal(token_of(jti="2"))) is StoreUnavailableError


async def test_forger_is_held_up(world: World) -> None:
    for number in range(20):
        await world.refusal(token_of(OTHER_KEY, jti=str(number)))
    assert type(await world.refusal(token_of(OTHER_KEY, jti="more"))) is AuthenticationBusyError


async def test_keys_of_the_configuration_are_still_keys(world: World) -> None:
    assert (await world.call("0123456789abcdef")).id == "key"
    assert "not valid" in (await world.refusal("wrong-key-0123456")).message


class TestKeySets:
    async def test_new_key_of_the_provider_is_found_and_an_invented_one_asked_for_seldom(
        self, server: KeyServer
    ) -> None:
        now = [0.0]
        keys = KeySet(key_set_of(server.issuer)._fetch, clock=lambda: now[0])
        assert await keys.find("one", "RS256") is not None
        for number in range(50):
            assert await keys.find(f"invented-{number}", "RS256") is None
        assert len(server.requests) == 1
        server.keys.append(jwk_of(OTHER_KEY, "three"))
        now[0] += 11
        assert await keys.find("three", "RS256") is not None
        assert len(server.requests) == 2

    async def test_withdrawn_key_is_gone_after_five_minutes(self, server: KeyServer) -> None:
        now = [0.0]
        keys = KeySet(key_set_of(server.issuer)._fetch, clock=lambda: now[0])
        assert await keys.find("one", "RS256") is not None
        server.keys.pop(0)
        now[0] += 301
        assert await keys.find("one", "RS256") is None

    async def test_keys_are_kept_for_a_day_while_the_provider_is_away(self, server: KeyServer) -> None:
        now = [0.0]
        keys = KeySet(key_set_of(server.issuer)._fetch, clock=lambda: now[0])
        assert await keys.find("one", "RS256") is not None
        server.head = b"HTTP/1.1 503 Busy"
        now[0] += 80_000
        assert await keys.find("one", "RS256") is not None
        now[0] += 7_000
        with pytest.raises(StoreUnavailableError):
            await keys.find("one", "RS256")

    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b'{"keys": 1}', b"<html>", b'{"keys": ' + b"[" * 9999, b" " * 300_000, b"\xff\xfe"],
    )
    async def test_what_is_no_key_set_is_none(self, server: KeyServer, body: bytes) -> None:
        server.body = body
        with pytest.raises(StoreUnavailableError):
            await key_set_of(server.issuer).find("one", "RS256")

    async def test_redirect_is_not_followed(self, server: KeyServer) -> None:
        async with key_server() as other:
            server.head = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:%d/" % other.port
            with pytest.raises(StoreUnavailableError):
                await key_set_of(server.issuer).find("one", "RS256")
            assert other.requests == []

    @pytest.mark.parametrize(
        "jwk",
        [
            {"kty": "oct", "k": "AAAA", "kid": "one"},
            {"kty": "oct", "k": "AAAA", "kid": "one", "alg": "RS256"},
            {"kty": "RSA", "kid": "one", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "one"},
            {**KEYS[0], "use": "enc"},
            {**KEYS[0], "alg": "RS512"},
            jwk_of(rsa.generate_private_key(public_exponent=65537, key_size=1024), "one"),
            "one",
        ],
    )
    async def test_unfit_key_checks_nothing(self, server: KeyServer, jwk: Any) -> None:
        server.keys = [jwk]
        assert await key_set_of(server.issuer).find("one", "RS256") is None

    async def test_token_without_a_key_id_means_the_only_key_that_fits(self, server: KeyServer) -> None:
        assert await key_set_of(server.issuer).find(None, "RS256") is not None
        server.keys.append(jwk_of(OTHER_KEY, "three"))
        assert await key_set_of(server.issuer).find(None, "RS256") is None

    async def test_keys_may_stand_in_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        issuer = issuer_of(jwks_file=str(path))
        with pytest.raises(StoreUnavailableError):
            await key_set_of(issuer).find("one", "RS256")
        path.write_text(json.dumps({"keys": KEYS}))
        assert await key_set_of(issuer).find("one", "RS256") is not None

    async def test_provider_that_is_not_there_has_no_keys(self) -> None:
        async with stub_server(replying(b"")) as port:
            pass
        with pytest.raises(StoreUnavailableError):
            await key_set_of(issuer_of(jwks_url=f"http://127.0.0.1:{port}/")).find("one", "RS256")

    async def test_provider_over_https_must_show_a_certificate_that_is_trusted(self, tmp_path: Path) -> None:
        authority, server = Authority(tmp_path), KeyServer()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority.issue("server.pem"))
        async with stub_server(server.serve, tls=context) as port:
            url = f"https://localhost:{port}/"
            issuer = issuer_of(jwks_url=url, ca_file=str(authority.path))
            assert await key_set_of(issuer).find("one", "RS256") is not None
            with pytest.raises(StoreUnavailableError):
                await key_set_of(issuer_of(jwks_url=url)).find("one", "RS256")


class TestSettings:
    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"jwks_url": "http://id.example/keys"}, "must be an https address"),
            ({"jwks_url": "file:///etc/passwd"}, "must be an https address"),
            ({"jwks_url": "https:///keys"}, "must be an https address"),
            ({}, "needs `jwks_url` or `jwks_file`"),
            ({"jwks_url": "https://a/", "jwks_file": "b"}, "not both"),
            ({"jwks_file": "b", "algorithms": ["HS256"]}, "Input should be"),
            ({"jwks_file": "b", "algorithms": ["none"]}, "Input should be"),
            ({"jwks_file": "b", "algorithms": []}, "at least 1"),
            ({"jwks_file": "b", "issuer": "a|b"}, "holds a `|`"),
        ],
    )
    def test_provider_that_cannot_be_trusted_is_refused_at_start(
        self, fields: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(ValidationError, match=says.replace("|", r"\|")):
            issuer_of(**fields)

    def test_providers_may_be_given_as_json(self) -> None:
        issuers = json.dumps([{"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": "keys.json"}])
        assert IdentitySettings.model_validate({"issuers": issuers}).issuers[0].issuer == ISSUER
        with pytest.raises(ValidationError, match="same `issuer`"):
            IdentitySettings.model_validate({"issuers": json.loads(issuers) * 2})
