"""The table of the admin API's operations, and its schemas."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lmaas_gateway.administration import requests
from lmaas_gateway.administration.operations import OPERATIONS, Operation

KEY = {"project": "proj_1", "name": "laptop"}


def test_no_two_operations_have_the_same_name_or_route() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    assert len({(operation.method, operation.path) for operation in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_schemas_are_closed(operation: Operation) -> None:
    for kind in (operation.query, operation.body):
        if kind is not None:
            assert kind.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        (requests.CreateKey, {**KEY, "secret": "x"}, "unknown field `secret`"),
        (requests.CreateKey, {**KEY, "name": ""}, "length >= 1"),
        (requests.CreateKey, {**KEY, "name": "a\x1b[2Jb"}, "regex"),
        (requests.CreateKey, {**KEY, "name": "laptop\n"}, "regex"),
        (requests.CreateKey, {**KEY, "project": "proj_1\n"}, "regex"),
        (requests.CreateKey, {**KEY, "name": "a" * 65}, "length <= 64"),
        (requests.CreateKey, {**KEY, "project": "../x"}, "regex"),
        (requests.CreateKey, {**KEY, "weight": 0}, ">= 0.01"),
        (requests.CreateKey, {**KEY, "expires_in_days": 0}, ">= 1"),
        (requests.CreateKey, {**KEY, "scopes": {"addresses": ["nowhere"]}}, "regex"),
        (requests.CreateKey, {**KEY, "scopes": {"models": ["a"] * 65}}, "length <= 64"),
        (requests.CreateKey, {**KEY, "scopes": {"admin": "root"}}, "root"),
        (
            requests.SetLimit,
            {"subject_kind": "key", "metric": "tokens", "period": "week", "amount": 1},
            "week",
        ),
        (
            requests.SetLimit,
            {"subject_kind": "key", "metric": "tokens", "period": "day", "amount": -1},
            ">= 0",
        ),
        (requests.RotateKey, {"overlap_s": 31 * 86400}, "<= 2592000"),
        (requests.CreateMember, {"name": "a", "subject": "no bar"}, "regex"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(kind: type[Any], fields: dict[str, Any], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.json.decode(msgspec.json.encode(fields), type=kind)


def test_field_left_out_of_a_change_is_told_from_one_that_is_null() -> None:
    assert msgspec.json.decode(b"{}", type=requests.ChangeMember).project is msgspec.UNSET
    assert msgspec.json.decode(b'{"project": null}', type=requests.ChangeMember).project is None


def test_usage_is_grouped_by_names_with_commas_each_once() -> None:
    query = msgspec.convert({"start": "0", "group_by": "model,day,model"}, requests.UsageQuery, strict=False)
    assert query.groups() == ("model", "day")
    bad = msgspec.convert({"start": "0", "group_by": "prompt"}, requests.UsageQuery, strict=False)
    with pytest.raises(msgspec.ValidationError, match="prompt"):
        bad.groups()
