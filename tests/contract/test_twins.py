"""What is written twice, on two sides of a seam, says the same: field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lmaas import types
from lmaas.types import ReplyModel
from lmaas.types._base import WireModel
from lmaas_gateway.administration import objects
from lmaas_gateway.books.ledger import _row_of
from lmaas_gateway.entries import Entry
from lmaas_gateway.storage.records import LedgerEntry

if TYPE_CHECKING:
    from pydantic import BaseModel

RENAMED = {
    "at": "at_us",
    "organization_id": "organization",
    "project_id": "project",
    "key_id": "key",
    "member_id": "member",
}
TWINS: dict[type[msgspec.Struct], type[BaseModel]] = {
    objects.Me: types.Actor,
    objects.Organization: types.Organization,
    objects.Project: types.Project,
    objects.Member: types.Member,
    objects.Key: types.ApiKey,
    objects.IssuedKey: types.IssuedApiKey,
    objects.Limit: types.UsageLimit,
    objects.Removed: types.Deleted,
    objects.Price: types.ModelPrice,
    objects.Usage: types.UsageTotal,
    objects.Quality: types.ModelQuality,
    objects.AuditEntry: types.AuditEntry,
    objects.AuditVerdict: types.AuditVerdict,
    objects.Content: types.StoredContent,
    objects.Erased: types.Erasure,
    objects.Call: types.ServedCall,
    objects.CallExplanation: types.CallExplanation,
    objects.CallStep: types.CallStep,
    objects.Candidate: types.CallCandidate,
    objects.FailedAttempt: types.CallFailure,
    objects.FailedModel: types.CallFallback,
    objects.LimitLeft: types.CallLimit,
    objects.EngineTimes: types.CallEngineTimes,
}


def test_ledger_has_every_field_of_an_entry_and_no_other() -> None:
    row = set(LedgerEntry.__struct_fields__) - {"id"}
    assert {RENAMED.get(name, name) for name in row} == set(Entry.__struct_fields__) - {"sequence"}


def test_entry_becomes_its_row_field_by_field() -> None:
    kinds = {field.name: field.type for field in msgspec.structs.fields(Entry)}
    values: dict[str, Any] = {
        name: name if kind is str else kind is bool or number
        for number, (name, kind) in enumerate(kinds.items(), 1)
    }
    row = msgspec.structs.asdict(_row_of(("call_1", Entry(**values))))
    assert row.pop("id") == "call_1"
    assert {RENAMED.get(name, name): value for name, value in row.items()} == {
        name: value for name, value in values.items() if name != "sequence"
    }


def test_every_object_of_administration_has_a_twin_in_the_sdk() -> None:
    shown = {
        kind
        for kind in vars(objects).values()
        if isinstance(kind, type) and issubclass(kind, objects._Shown) and kind.__module__ == objects.__name__
    }
    assert shown - {objects._Shown, objects.Page} == set(TWINS)


@pytest.mark.parametrize(("shown", "twin"), TWINS.items(), ids=lambda kind: kind.__name__)
def test_sdk_has_the_fields_of_what_administrators_are_shown(
    shown: type[msgspec.Struct], twin: type[BaseModel]
) -> None:
    ours = {field.encode_name for field in msgspec.structs.fields(shown)}
    theirs = set(twin.model_fields) - set(ReplyModel.model_fields) | (set(WireModel.model_fields) & ours)
    assert theirs == ours


def test_listings_have_the_same_frame() -> None:
    ours = {field.encode_name for field in msgspec.structs.fields(objects.Page)}
    assert set(types.AdminList.model_fields) - set(ReplyModel.model_fields) == ours
