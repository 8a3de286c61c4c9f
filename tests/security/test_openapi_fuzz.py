"""Whatever fits our OpenAPI documents, or does not, is answered with less than a 500, and crashes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from lmaas_gateway.api.openapi import admin_document, public_document
from security.threads import Threaded
from security.worlds import OPERATOR_KEY, Tenant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import Case

pytestmark = pytest.mark.timeout(110)

# The same cases each time: what a run finds, the next one finds too.
CASES = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Threaded]:
    with Threaded(tmp_path_factory.mktemp("fuzzed")).serving() as threaded:
        yield threaded


def operations(document: dict[str, Any]) -> list[Any]:
    found: Any = schemathesis.openapi.from_dict(document).get_all_operations()
    return [operation.ok() for operation in found]


def send(case: Case[Any], world: Threaded, secret: str) -> tuple[int, bytes]:
    headers = {"authorization": f"Bearer {secret}"}
    reply = case.call(base_url=f"http://127.0.0.1:{world.port}", headers=headers, timeout=10)
    return reply.status_code, reply.content


def check(case: Case[Any], world: Threaded, status: int, body: bytes) -> None:
    assert status < 500, (case.method, case.path, case.query, case.body, body)
    if status >= 400:
        assert {"message", "type"} <= set(json.loads(body)["error"])
    assert world.crashes == []


@pytest.mark.parametrize("mode", tuple(GenerationMode), ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("operation", operations(public_document("0")), ids=lambda one: one.label)
def test_inference_routes(operation: Any, mode: GenerationMode, world: Threaded) -> None:
    @CASES
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case[Any]) -> None:
        if isinstance(case.body, dict):
            case.body["model"] = "mock"
            # A fake replica obeys it; a real one would take no notice.
            case.body.pop("fake", None)
        check(case, world, *send(case, world, world.tenant.plain))

    run()


@pytest.mark.parametrize("mode", tuple(GenerationMode), ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("operation", operations(admin_document("0")), ids=lambda one: one.label)
def test_admin_routes(operation: Any, mode: GenerationMode, world: Threaded) -> None:
    @CASES
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case[Any]) -> None:
        _aim(case, world.tenant)
        check(case, world, *send(case, world, OPERATOR_KEY))

    run()


def _aim(case: Case[Any], tenant: Tenant) -> None:
    """Name what there is, half of the time: what never was says nothing of what is."""
    is_aimed = len(json.dumps(case.body, default=str)) % 2 == 0
    noun = case.path.split("/")[3] if case.path.count("/") > 2 else ""
    if is_aimed and "id" in (case.path_parameters or {}) and noun in tenant.ids:
        case.path_parameters["id"] = tenant.ids[noun]
    if is_aimed and isinstance(case.query, dict):
        case.query["organization"] = tenant.organization
    if is_aimed and isinstance(case.body, dict) and "project" in case.body:
        case.body["project"] = tenant.ids["projects"]
