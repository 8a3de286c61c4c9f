"""The error tree is what its drawing says."""

from __future__ import annotations

import re

import pytest

from lmaas_gateway import errors
from lmaas_gateway.errors import GatewayError, ReplicaRefusalError

ROW = re.compile(r"^ +(\w+Error) +(\d{3}) +(\w+) +(\S+)$", re.MULTILINE)
DRAWN = {name: (int(status), kind, code) for name, status, kind, code in ROW.findall(errors.__doc__ or "")}


def descendants(cls: type[GatewayError]) -> set[type[GatewayError]]:
    return {cls}.union(*(descendants(child) for child in cls.__subclasses__()))


# A refusal's status is the replica's.
FIXED = descendants(GatewayError) - {GatewayError, ReplicaRefusalError}


@pytest.mark.parametrize("cls", sorted(FIXED, key=str))
def test_each_error_is_drawn_as_it_is(cls: type[GatewayError]) -> None:
    assert DRAWN[cls.__name__] == (cls.status, cls.type, cls.code or "-")


@pytest.mark.parametrize("cls", sorted(FIXED, key=str))
def test_each_error_of_the_moment_says_when_to_retry(cls: type[GatewayError]) -> None:
    assert (cls("m").retry_after_s is not None) == (cls.status in {429, 503})
    assert cls("m", retry_after_s=7).retry_after_s == 7


@pytest.mark.parametrize("cls", sorted(FIXED, key=str))
def test_each_error_knows_whether_a_retry_may_help(cls: type[GatewayError]) -> None:
    may_pass = cls.status >= 500 or cls.status == 429
    assert cls("m").is_retryable == (may_pass if cls.should_retry is None else cls.should_retry)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", "invalid_request"),
        (499, "invalid_request_error", "invalid_request"),
        (502, "api_error", "replica_error"),
        (503, "api_error", "replica_busy"),
    ],
)
def test_refusal_takes_its_words_from_its_status(status: int, kind: str, code: str) -> None:
    error = ReplicaRefusalError(status, "m")
    assert (error.status, error.type, error.code) == (status, kind, code)
    assert str(error) == error.message == "m"
