"""What a key may be used for."""

from __future__ import annotations

import pytest

from lmaas_gateway.call import Scopes


def test_what_is_not_named_is_open() -> None:
    scopes = Scopes()
    assert scopes.permits_model("anything")
    assert scopes.permits_route("/v1/chat/completions")
    assert scopes.permits_address("")


@pytest.mark.parametrize(
    ("globs", "name", "is_permitted"),
    [
        (("chat",), "chat", True),
        (("chat",), "chat-large", False),
        (("chat*",), "chat-large", True),
        (("team/*",), "team/chat", True),
        (("team/*",), "other/chat", False),
        (("a", "b?"), "b1", True),
        (("chat",), "CHAT", False),
        (("*",), "", True),
        (("chat",), "chat\n", False),
    ],
)
def test_models_are_permitted_by_glob(globs: tuple[str, ...], name: str, is_permitted: bool) -> None:
    assert Scopes(models=globs).permits_model(name) is is_permitted


def test_routes_are_permitted_by_glob() -> None:
    scopes = Scopes(routes=("/v1/chat/*", "/v1/embeddings"))
    assert scopes.permits_route("/v1/chat/completions")
    assert scopes.permits_route("/v1/embeddings")
    assert not scopes.permits_route("/v1/responses")


@pytest.mark.parametrize(
    ("networks", "address", "is_permitted"),
    [
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("10.0.0.0/8", "192.0.2.7"), "192.0.2.7", True),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), "10.0.0.1", False),
        # A listener on :: sees callers over IPv4 like this.
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("0.0.0.0/0",), "", False),
        (("0.0.0.0/0",), "10.0.0.1, 10.0.0.2", False),
        (("0.0.0.0/0",), "unknown", False),
    ],
)
def test_addresses_are_permitted_by_network(
    networks: tuple[str, ...], address: str, is_permitted: bool
) -> None:
    assert Scopes(addresses=networks).permits_address(address) is is_permitted
