"""The depth of JSON, told without decoding it."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway import nesting
from lmaas_gateway.nesting import MAX_CONTAINERS, is_too_deep

JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\ab,'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\'), inner, max_size=3),
    max_leaves=60,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(JSON, st.integers(0, 12))
def test_depth_is_that_of_the_decoded_value(value: object, most: int) -> None:
    assert is_too_deep(msgspec.json.encode(value), most) == (depth_of(value) > most)


@pytest.mark.parametrize("block_bytes", [1, 2, 7])
def test_strings_that_cross_blocks_are_strings(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nesting, "_BLOCK_BYTES", block_bytes)
    body = b'[{"a[[[":"]}]}","b\\"[[":[[1,"[\\\\"]]}]'
    assert not is_too_deep(body, 4)
    assert is_too_deep(body, 3)


def test_brackets_of_prompts_do_not_count() -> None:
    assert not is_too_deep(msgspec.json.encode({"content": "[{" * 100_000}), 2)


@pytest.mark.parametrize(
    ("body", "is_deep"),
    [
        (b"[" * 200_000 + b"]" * 200_000, True),
        (b"[" * 129 + b"]" * 129, True),
        (b"[" * 128 + b"]" * 128, False),
        (b"[" + b"[]," * MAX_CONTAINERS + b"1]", True),
        (b"[" + b"[]," * 60_000 + b"1]", False),
        (b"[" + (b"[" * 127 + b"]" * 127 + b",") * 500 + b"1]", False),
        (b"[" + (b"[" * 128 + b"]" * 128 + b",") * 500 + b"1]", True),
    ],
    ids=["deep", "129", "128", "many", "many but not too many", "towers", "high towers"],
)
def test_hostile_nesting_costs_little(body: bytes, is_deep: bool) -> None:
    costs = []
    for _ in range(5):
        begun_s = time.process_time()
        assert is_too_deep(body, 128) == is_deep
        costs.append(time.process_time() - begun_s)
    assert min(costs) < 0.03
