"""An endpoint: what cannot work is refused, and its key is not shown."""

from __future__ import annotations

from typing import Any

import pytest

from lmaas import (
    ConfigurationError,
)
from sdk.failover_world import endpoint


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": ""}, "a platform needs a name"),
        ({"lacks": {"taste"}}, "a: unknown feature 'taste'; there are audio, images"),
        ({"context_tokens": 0}, "a: context_tokens is 0"),
        ({"first_byte_s": -1.0}, "a: first_byte_s is -1.0"),
        ({"base_url": "ftp://x"}, "base_url is 'ftp://x'"),
        ({"api_key": "a\nb"}, "a: api_key holds characters"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        endpoint("a", **fields)


def test_a_key_is_not_shown() -> None:
    assert "key-of-a" not in repr(endpoint("a", headers={"x": "key-of-a"}))
