"""`client.admin`: each method sends what it says, with the admin key, to the root of the admin API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx

from lmaas import APIConnectionError, AsyncLMaaS, ConflictError, LMaaS, NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

BASE = "http://lmaas.test"
KEY: dict[str, Any] = {
    "id": "k1",
    "object": "key",
    "organization": "org_1",
    "project": "proj_1",
    "name": "laptop",
    "last4": "wxyz",
    "state": "active",
    "scopes": {"models": ["chat-*"]},
    "created_at": 1,
}
ISSUED = {**KEY, "secret": "a-secret-that-is-shown-once"}
PROJECT = {"id": "proj_1", "organization": "org_1", "name": "web", "created_at": 1}
MEMBER = {
    "id": "user_1",
    "organization": "org_1",
    "kind": "person",
    "name": "a",
    "role": "viewer",
    "created_at": 1,
}
ORGANIZATION = {"id": "org_1", "name": "acme", "created_at": 1}
LIMIT = {
    "id": "l1",
    "organization": "org_1",
    "subject_kind": "key",
    "subject": "k1",
    "model": "*",
    "metric": "tokens",
    "period": "minute",
    "amount": 1000,
}
TOTAL = {"project": "proj_1", "calls": 2, "prompt_tokens": 3, "completion_tokens": 4, "cost_nanos": 5}
ENTRY = {"id": "7", "at": 1, "actor": "k1", "action": "keys.create", "object_kind": "key", "object_id": "k2"}
CONTENT = {"id": "c1", "project": "proj_1", "at": 1, "request": {"model": "m"}}
CALL = {
    "id": "req_1",
    "at": 0.5,
    "key": "k1",
    "model": "m",
    "replica": "m-0",
    "route": "/v1/chat/completions",
    "is_stream": True,
    "outcome": "ok",
    "status": 200,
    "duration_s": 1.5,
    "queued_s": 0.0,
    "first_byte_s": 0.25,
    "attempts": 1,
    "prompt_tokens": 7,
    "cached_tokens": 0,
    "completion_tokens": 3,
    "reasoning_tokens": 0,
    "is_estimated": False,
    "cost_nanos": 15000,
}
EXPLANATION = {
    **CALL,
    "known_from": "record",
    "summary": "ok after 1.50 s, 80 % of it decode.",
    "steps": [
        {"name": "received", "at_s": 0.0, "source": "gateway", "text": "POST /v1/chat/completions."},
        {"name": "decode", "at_s": 0.25, "duration_s": 1.25, "source": "engine", "text": "3 tokens."},
        {"name": "bill", "source": "gateway", "text": "It cost $0.000015000."},
    ],
}
ERASED = {"id": "org_1", "contents": 1, "data_keys": 1, "ledger_rows": 0, "feedback": 0}
VERDICT = {"is_intact": True, "rows": 9, "checkpoints": 1}
ALERT = {
    "id": "a1",
    "name": "ReplicaDown",
    "state": "firing",
    "severity": "ticket",
    "model": "m",
    "summary": "down",
    "started_at": 1,
}
ME = {"id": "k1", "kind": "key", "role": "admin", "organization": "org_1"}

CALLS: list[tuple[str, tuple[str, ...], dict[str, Any], str, dict[str, Any] | None, dict[str, Any]]] = [
    ("me", (), {}, "GET /me", None, ME),
    (
        "keys.create",
        (),
        {"project": "proj_1", "name": "laptop", "scopes": {"models": ["chat-*"]}, "expires_in_days": 30},
        "POST /keys",
        {"project": "proj_1", "name": "laptop", "scopes": {"models": ["chat-*"]}, "expires_in_days": 30},
        ISSUED,
    ),
    ("keys.retrieve", ("k1",), {"organization": "org_1"}, "GET /keys/k1?organization=org_1", None, KEY),
    ("keys.update", ("k1",), {"weight": 2}, "PATCH /keys/k1", {"weight": 2}, KEY),
    ("keys.rotate", ("k1",), {"overlap_s": 60}, "POST /keys/k1/rotate", {"overlap_s": 60}, ISSUED),
    ("keys.revoke", ("k1",), {}, "DELETE /keys/k1", None, KEY),
    (
        "projects.create",
        (),
        {"name": "web", "organization": "org_1"},
        "POST /projects?organization=org_1",
        {"name": "web"},
        PROJECT,
    ),
    ("projects.retrieve", ("proj_1",), {}, "GET /projects/proj_1", None, PROJECT),
    (
        "projects.update",
        ("proj_1",),
        {"stores_content": False},
        "PATCH /projects/proj_1",
        {"stores_content": False},
        PROJECT,
    ),
    ("projects.archive", ("proj_1",), {}, "DELETE /projects/proj_1", None, PROJECT),
    (
        "members.create",
        (),
        {"name": "a", "role": "viewer"},
        "POST /members",
        {"name": "a", "role": "viewer"},
        MEMBER,
    ),
    ("members.retrieve", ("user_1",), {}, "GET /members/user_1", None, MEMBER),
    ("members.update", ("user_1",), {"project": None}, "PATCH /members/user_1", {"project": None}, MEMBER),
    ("members.disable", ("user_1",), {}, "DELETE /members/user_1", None, MEMBER),
    ("organizations.create", (), {"name": "acme"}, "POST /organizations", {"name": "acme"}, ORGANIZATION),
    ("organizations.retrieve", ("org_1",), {}, "GET /organizations/org_1", None, ORGANIZATION),
    (
        "organizations.update",
        ("org_1",),
        {"name": "b"},
        "PATCH /organizations/org_1",
        {"name": "b"},
        ORGANIZATION,
    ),
    ("organizations.archive", ("org_1",), {}, "DELETE /organizations/org_1", None, ORGANIZATION),
    (
        "organizations.erase",
        ("org_1",),
        {"confirm": "acme"},
        "POST /organizations/org_1/erase",
        {"confirm": "acme"},
        ERASED,
    ),
    (
        "limits.set",
        (),
        {"subject_kind": "key", "subject": "k1", "metric": "tokens", "period": "minute", "amount": 1000},
        "PUT /limits",
        {"subject_kind": "key", "subject": "k1", "metric": "tokens", "period": "minute", "amount": 1000},
        LIMIT,
    ),
    (
        "limits.remove",
        ("l1",),
        {},
        "DELETE /limits/l1",
        None,
        {"id": "l1", "object": "limit", "deleted": True},
    ),
    (
        "usage.list",
        (),
        {"start": 0, "group_by": "day"},
        "GET /usage?start=0&group_by=day",
        None,
        {"data": [TOTAL]},
    ),
    ("usage.prices", (), {}, "GET /prices", None, {"data": [{"id": "m", "input_per_million_nanos": 5}]}),
    ("audit.verify", (), {}, "GET /audit/verify", None, VERDICT),
    ("contents.retrieve", ("c1",), {}, "GET /contents/c1", None, CONTENT),
    ("calls.explain", ("req:1",), {}, "GET /calls/req%3A1", None, EXPLANATION),
    ("live.show", (), {"window_s": 5}, "GET /live?window_s=5", None, {"at": 1, "window_s": 5}),
    ("alerts.list", (), {}, "GET /alerts", None, {"data": [ALERT]}),
    (
        "alerts.silence",
        ("a1",),
        {"duration_s": 60, "comment": "why"},
        "POST /alerts/a1/silence",
        {"duration_s": 60, "comment": "why"},
        ALERT,
    ),
]
LISTINGS = [
    ("keys.list", {"project": "proj_1"}, "/keys", KEY),
    ("projects.list", {}, "/projects", PROJECT),
    ("members.list", {"project": "proj_1"}, "/members", MEMBER),
    ("organizations.list", {}, "/organizations", ORGANIZATION),
    ("limits.list", {"subject": "k1"}, "/limits", LIMIT),
    ("audit.list", {"action": "keys.create"}, "/audit", ENTRY),
    ("contents.list", {"project": "proj_1"}, "/contents", CONTENT),
    ("calls.list", {"model": "m"}, "/calls", CALL),
]


def find(admin: Any, name: str) -> Any:
    for part in name.split("."):
        admin = getattr(admin, part)
    return admin


def mocked(router: respx.MockRouter, wire: str, reply: dict[str, Any]) -> respx.Route:
    method, _, path = wire.partition(" ")
    return router.route(method=method, url=f"{BASE}/admin/v1{path}").mock(httpx.Response(200, json=reply))


def check(route: respx.Route, body: dict[str, Any] | None, reply: dict[str, Any], said: Any) -> None:
    request = route.calls.last.request
    assert request.headers["authorization"] == "Bearer the-admin-key"
    assert (json.loads(request.content) if request.content else None) == body
    assert ("idempotency-key" in request.headers) == (body is not None)
    shown = said.to_dict()
    assert shown.items() >= reply.items()


@pytest.mark.parametrize(
    ("name", "args", "params", "wire", "body", "reply"), CALLS, ids=lambda part: str(part)[:20]
)
async def test_call_sends_what_it_says_and_returns_a_typed_reply(
    name: str,
    args: tuple[str, ...],
    params: dict[str, Any],
    wire: str,
    body: dict[str, Any] | None,
    reply: dict[str, Any],
    respx_mock: respx.MockRouter,
) -> None:
    route = mocked(respx_mock, wire, reply)
    with LMaaS(base_url=BASE, api_key="callers-key", admin_key="the-admin-key", max_retries=0) as client:
        check(route, body, reply, find(client.admin, name)(*args, **params))
    async with AsyncLMaaS(base_url=BASE, admin_key="the-admin-key", max_retries=0) as twin:
        check(route, body, reply, await find(twin.admin, name)(*args, **params))
    assert route.call_count == 2


@pytest.mark.parametrize(("name", "params", "path", "item"), LISTINGS, ids=lambda part: str(part)[:20])
async def test_listing_is_fetched_page_by_page(
    name: str, params: dict[str, Any], path: str, item: dict[str, Any], respx_mock: respx.MockRouter
) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        query = dict(request.url.params)
        assert query.items() >= {**params, "limit": "2"}.items()
        ids = ["3"] if query.get("after") == "2" else ["1", "2"]
        page = {"data": [{**item, "id": one} for one in ids], "has_more": len(ids) == 2, "last_id": ids[-1]}
        return httpx.Response(200, json=page)

    respx_mock.get(url__startswith=f"{BASE}/admin/v1{path}").mock(side_effect=serve)
    with LMaaS(base_url=BASE, max_retries=0) as client:
        assert [one.id for one in find(client.admin, name)(limit=2, **params)] == ["1", "2", "3"]
    async with AsyncLMaaS(base_url=BASE, max_retries=0) as twin:
        assert [one.id async for one in find(twin.admin, name)(limit=2, **params)] == ["1", "2", "3"]
        page = await find(twin.admin, name)(limit=2, **params)
        assert (page.has_more, len(page.data)) == (True, 2)


async def test_export_is_given_as_it_came(respx_mock: respx.MockRouter) -> None:
    url = f"{BASE}/admin/v1/usage/export?start=5&format=csv"
    respx_mock.get(url).mock(httpx.Response(200, content=b"id,at\n", headers={"x-request-id": "r"}))
    with LMaaS(base_url=BASE) as client:
        said = client.admin.usage.export(start=5, format="csv")
        assert (said.content, said.request_id) == (b"id,at\n", "r")
    async with AsyncLMaaS(base_url=BASE) as twin:
        assert (await twin.admin.usage.export(start=5, format="csv")).content == b"id,at\n"


def names_in(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


class Piece(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces, which may break off."""

    def __init__(self, *pieces: bytes, is_broken: bool = False) -> None:
        self._pieces = pieces
        self._is_broken = is_broken

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._is_broken:
            raise httpx.ReadError("the connection broke")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


async def test_long_export_goes_to_a_file_piece_by_piece(
    respx_mock: respx.MockRouter, tmp_path: Path
) -> None:
    route = respx_mock.get(f"{BASE}/admin/v1/usage/export?start=5&format=csv")
    pieces, heads = (b"id,at\n", b"1,2\n" * 3, b"2,3\n"), {"x-request-id": "r"}
    route.side_effect = lambda _: httpx.Response(200, stream=Piece(*pieces), headers=heads)
    path, written = tmp_path / "usage.csv", list[bytes]()

    class Sink:
        def write(self, data: bytes, /) -> None:
            written.append(data)

    with LMaaS(base_url=BASE) as client:
        assert client.admin.usage.export_to(path, start=5, format="csv") == "r"
        assert client.admin.usage.export_to(Sink(), start=5, format="csv") == "r"
    assert path.read_bytes() == b"".join(pieces) == b"".join(written)
    assert len(written) == 3
    async with AsyncLMaaS(base_url=BASE) as twin:
        assert await twin.admin.usage.export_to(str(path), start=5, format="csv") == "r"
    assert path.read_bytes() == b"".join(pieces)
    assert names_in(tmp_path) == ["usage.csv"]


async def test_export_that_breaks_off_leaves_no_file(respx_mock: respx.MockRouter, tmp_path: Path) -> None:
    route = respx_mock.get(f"{BASE}/admin/v1/usage/export?start=5")
    route.side_effect = lambda _: httpx.Response(200, stream=Piece(b"id,at\n", is_broken=True))
    with LMaaS(base_url=BASE, max_retries=0) as client, pytest.raises(APIConnectionError):
        client.admin.usage.export_to(tmp_path / "usage.csv", start=5)
    async with AsyncLMaaS(base_url=BASE, max_retries=0) as twin:
        with pytest.raises(APIConnectionError):
            await twin.admin.usage.export_to(tmp_path / "usage.csv", start=5)
    assert names_in(tmp_path) == []


def test_key_is_the_given_one_else_the_environments_else_the_callers(
    respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = mocked(respx_mock, "GET /me", ME)

    def sent(**options: Any) -> str:
        with LMaaS(base_url=BASE, **options) as client:
            client.admin.me()
        return str(route.calls.last.request.headers.get("authorization", ""))

    monkeypatch.delenv("LMAAS_API_KEY", raising=False)
    assert sent() == ""
    assert sent(api_key="mine") == "Bearer mine"
    monkeypatch.setenv("LMAAS_ADMIN_KEY", "environments")
    assert sent(api_key="mine") == "Bearer environments"
    assert sent(api_key="mine", admin_key="given") == "Bearer given"


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        ("http://a.test", "http://a.test/admin/v1"),
        ("http://a.test/v1/", "http://a.test/admin/v1"),
        ("https://a.test/llm/v1", "https://a.test/llm/admin/v1"),
        ("https://a.test/llm", "https://a.test/llm/admin/v1"),
    ],
)
def test_admin_api_is_beside_the_version_of_the_base_url(
    base_url: str, root: str, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(f"{root}/me").mock(httpx.Response(200, json=ME))
    with LMaaS(base_url=base_url) as client:
        assert client.admin.me().role == "admin"


def test_refusals_are_typed_errors_with_the_servers_words(respx_mock: respx.MockRouter) -> None:
    def refusal(status: int, code: str) -> httpx.Response:
        return httpx.Response(status, json={"error": {"message": f"{code}!", "code": code}})

    respx_mock.get(f"{BASE}/admin/v1/keys/nobody").mock(refusal(404, "object_not_found"))
    respx_mock.post(f"{BASE}/admin/v1/projects").mock(refusal(409, "conflict"))
    with LMaaS(base_url=BASE) as client:
        with pytest.raises(NotFoundError, match="object_not_found!"):
            client.admin.keys.retrieve("nobody")
        with pytest.raises(ConflictError, match="conflict!"):
            client.admin.projects.create(name="web")
        with pytest.raises(TypeError, match="did you mean 'member'"):
            client.admin.keys.list(membr="x")  # type: ignore[call-arg]  # the mistake that is meant
        with pytest.raises(ValueError, match="cannot be part of a URL"):
            client.admin.keys.retrieve("../projects/x")


def test_secret_of_a_new_key_is_not_in_its_repr(respx_mock: respx.MockRouter) -> None:
    mocked(respx_mock, "POST /keys", ISSUED)
    with LMaaS(base_url=BASE, admin_key="the-admin-key") as client:
        issued = client.admin.keys.create(project="proj_1", name="laptop")
        assert issued.secret == ISSUED["secret"]
        assert issued.secret not in repr(issued)
        assert "the-admin-key" not in repr(client)
