"""What may be fetched: every known way to write an inner address is seen through."""

from __future__ import annotations

import pytest

from lmaas_gateway.errors import MediaError
from lmaas_gateway.policy.addresses import is_domain_allowed, is_global, parse_target


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.1",
        "192.0.0.9",
        "3fff::1",
        "2606:4700::1111%1",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "100::1",
        "not an address",
        "",
    ],
)
def test_address_that_is_not_public_is_seen(address: str) -> None:
    assert not is_global(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_address_passes(address: str) -> None:
    assert is_global(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.png",
        "ftp://example.org/a.png",
        "file:///etc/passwd",
        "//example.org/a",
        "a.png",
        "",
        "https://",
        "https:///a",
        "https:example.org",
        "gopher://example.org/",
        "javascript:alert(1)",
        "https://user@example.org/",
        "https://user:secret@example.org/",
        "https://example.org@127.0.0.1/",
        "https://example.org\\@127.0.0.1/",
        "https://127.0.0.1\\.example.org/",
        "https:\\\\127.0.0.1/",
        "https://example.org/\r\nhost: x",
        "https://exa mple.org/",
        "https://example.org/a b",
        "\thttps://a.org/",
        "https://127.1/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.0.0.1./",
        "https://1.2.3/",
        "https://a.0/",
        "https://[::1/",
        "https://[127.0.0.1]/",
        "https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
        "https://127。0。0。1/",
        "https://a..b/",
        "https://-a.org/",
        "https://" + "a" * 64 + ".org/",
        "https://" + "a." * 130 + "org/",
        "https://example.org:99999/",
        "https://example.org:-1/",
        "https://example.org/é",
        "https://example.org/" + "a" * 5000,
        "https://exam\u2100ple.org/",
        "https://a%2eorg/",
        "https://ex*mple.org/",
    ],
)
def test_url_that_two_readers_could_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(MediaError):
        parse_target(url, is_http_allowed=False)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://example.org", "example.org", "/"),
        ("HTTPS://Example.ORG./a?b=c#d", "example.org", "/a?b=c"),
        ("https://example.org:443/", "example.org", "/"),
        ("https://example.org:8443/%20", "example.org:8443", "/%20"),
        ("https://bücher.example/", "xn--bcher-kva.example", "/"),
        ("https://8.8.8.8/", "8.8.8.8", "/"),
        ("https://[2606:4700::1111]/", "[2606:4700::1111]", "/"),
    ],
)
def test_plain_url_is_taken_apart(url: str, authority: str, path: str) -> None:
    target = parse_target(url, is_http_allowed=False)
    assert (target.authority, target.path) == (authority, path)


def test_http_is_taken_where_it_is_allowed() -> None:
    assert parse_target("http://example.org/", is_http_allowed=True).port == 80


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("example.org", True),
        ("a.example.org", False),
        ("a.cdn.example", True),
        ("cdn.example", False),
        ("evilcdn.example", False),
        ("other.example", False),
    ],
)
def test_only_listed_domains_are_asked(host: str, is_allowed: bool) -> None:
    assert is_domain_allowed(host, ("example.org", ".cdn.example")) == is_allowed


def test_no_list_allows_every_domain() -> None:
    assert is_domain_allowed("example.org", ())
