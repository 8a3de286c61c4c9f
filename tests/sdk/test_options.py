from __future__ import annotations

import httpx
import pytest

from lmaas import NOT_GIVEN, ConfigurationError, Timeout
from lmaas._options import ClientOptions, from_environment, normal_base_url


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://h:1", "http://h:1/v1"),
        ("http://h:1/", "http://h:1/v1"),
        ("http://h:1/v1", "http://h:1/v1"),
        ("http://h:1/v1/", "http://h:1/v1"),
        (" https://h/api/v1/ ", "https://h/api/v1"),
        ("https://h/openai", "https://h/openai"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_base_url_works_with_and_without_slash_and_version(given: str, used: str) -> None:
    assert normal_base_url(given) == used


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:8000", "give something like"),
        ("ftp://h", "give something like"),
        ("http://", "give something like"),
        ("http://h:99999", "port"),
        ("http://h:0", "port"),
        ("http://[::zz]", "cannot be read"),
        ("http://h/v1?a=1", "default_query"),
        ("http://user:hunter2@h/v1", "api_key"),
    ],
)
def test_base_url_that_cannot_work_is_refused_with_the_remedy(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        normal_base_url(url)
    assert "hunter2" not in str(caught.value)


def test_environment_gives_address_and_key_and_empty_is_unset() -> None:
    assert from_environment({}) == ("http://127.0.0.1:8000/v1", None)
    assert from_environment({"LMAAS_BASE_URL": "", "LMAAS_API_KEY": ""}) == ("http://127.0.0.1:8000/v1", None)
    assert from_environment({"LMAAS_BASE_URL": "http://h", "LMAAS_API_KEY": "k"}) == ("http://h", "k")


def test_timeout_is_read_from_all_that_users_give() -> None:
    assert Timeout.of(5) == Timeout(total=5.0)
    assert Timeout.of(Timeout(connect=1)) == Timeout(connect=1)
    assert Timeout.of(None) == Timeout(total=None, inter_token=None)
    with pytest.raises(ConfigurationError, match="str is not understood"):
        Timeout.of("5")


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_deadline_that_is_no_time_is_refused_by_its_name(value: float) -> None:
    with pytest.raises(ConfigurationError, match="first_token"):
        Timeout(first_token=value)


def test_options_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_retries is -1"):
        ClientOptions(max_retries=-1)
    with pytest.raises(ConfigurationError, match="api_key") as caught:
        ClientOptions(api_key="secret\n")
    assert "secret" not in str(caught.value)


def test_key_and_headers_stay_out_of_repr() -> None:
    assert "hush" not in repr(ClientOptions(api_key="hush", default_headers={"x-key": "hush"}))


def test_not_given_is_false_and_says_its_name() -> None:
    assert not NOT_GIVEN
    assert repr(NOT_GIVEN) == "NOT_GIVEN"


def test_timeout_of_httpx_bounds_whole_replies_and_waits_within_streams() -> None:
    timeout = Timeout.of(httpx.Timeout(20.0, connect=2.0))
    assert timeout == Timeout(total=600, connect=2, first_token=20, inter_token=20, reply=20)
    assert Timeout.of(httpx.Timeout(None)).total is None


@pytest.mark.parametrize(
    ("timeout", "total"),
    [
        (Timeout(), 600),
        (Timeout(reply=20), 20),
        (Timeout(total=5, reply=20), 5),
        (Timeout(total=None, reply=9), 9),
    ],
)
def test_whole_replies_may_have_a_deadline_of_their_own(timeout: Timeout, total: float) -> None:
    assert timeout.for_whole_reply().total == total
