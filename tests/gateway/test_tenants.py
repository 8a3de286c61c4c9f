"""The admin API over sockets: who is let in, what is read and refused, documents, its own listener."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.administration.operations import OPERATIONS
from lmaas_gateway.contents.archive import Exchange, Kept, seal_content
from lmaas_gateway.storage import contents, ledger
from lmaas_gateway.storage.database import Database
from lmaas_gateway.storage.records import LedgerEntry
from lmaas_gateway.tenancy import Tenancy
from lmaas_gateway.testing import FakeReplica
from support.administration import MASTER_KEY
from support.serving import ASK, CHAT, run_gateway, settings_for
from support.stub import ask, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.serving import Running
    from support.stub import Response

KEY = "operators-key-of-this-test"
BEARER = f"authorization: Bearer {KEY}"
CALLERS = "an-api-key-of-callers"


class Admin:
    """Calls the admin API of one gateway."""

    def __init__(self, running: Running, tenancy: Tenancy) -> None:
        self.running = running
        self.tenancy = tenancy

    async def __call__(
        self, method: str, path: str, fields: object = b"", *headers: str, key: str = KEY
    ) -> Response:
        bearer = f"authorization: Bearer {key}"
        return await self.running.request(method, "/admin/v1" + path, fields, bearer, *headers)


@contextlib.asynccontextmanager
async def administered(sqlite_url: str, folder: Path, **fields: Any) -> AsyncIterator[Admin]:
    async with FakeReplica() as replica:
        storage = {"url": sqlite_url, "deadline_s": 10, "admin_deadline_s": 20}
        settings = settings_for(
            replica,
            **{
                "admin_key": KEY,
                "api_key": CALLERS,
                "data_dir": folder,
                "master_key": MASTER_KEY,
                "storage": storage,
                **fields,
            },
        )
        tenancy = await Tenancy.open(settings)
        try:
            async with run_gateway(settings, tenancy=tenancy) as running:
                yield Admin(running, tenancy)
        finally:
            await tenancy.close()


async def test_project_and_key_are_made_shown_and_listed(sqlite_url: str, tmp_path: Path) -> None:
    async with administered(sqlite_url, tmp_path) as admin:
        organization = await admin("POST", "/organizations", {"name": "acme"})
        assert organization.status == 201
        assert organization.headers["cache-control"] == "no-store"
        project = await admin("POST", "/projects", {"name": "web"})
        assert project.json["organization"] == organization.json["id"], "the only one is meant"
        wanted = {"project": project.json["id"], "name": "laptop", "scopes": {"models": ["m*"]}}
        issued = await admin("POST", "/keys", wanted)
        assert (issued.status, issued.json["object"]) == (201, "key")
        assert issued.json["secret"].startswith("sk-lmaas-")
        shown = await admin("GET", f"/keys/{issued.json['id']}")
        assert shown.json == {name: value for name, value in issued.json.items() if name != "secret"}
        page = await admin("GET", "/keys?limit=1")
        assert page.json == {
            "object": "list",
            "data": [shown.json],
            "has_more": False,
            "last_id": issued.json["id"],
        }
        me = await admin("GET", "/me")
        assert (me.json["kind"], me.json["organization"]) == ("operator", organization.json["id"])


async def test_each_operation_of_the_table_is_served(sqlite_url: str, tmp_path: Path) -> None:
    async with administered(sqlite_url, tmp_path) as admin:
        await admin("POST", "/organizations", {"name": "acme"})
        for operation in OPERATIONS:
            path = operation.path.replace("{id}", "none")
            start = "?start=0" if operation.name.startswith(("usage", "quality")) else ""
            reply = await admin(operation.method, path + start, {} if operation.body else b"")
            assert reply.status in {200, 400, 404}, operation.name
            assert reply.status == 200 or reply.error["message"], operation.name


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ((), 401, "invalid_api_key"),
        (("authorization: Bearer wrong",), 401, "invalid_api_key"),
        ((f"authorization: Basic {KEY}",), 401, "invalid_api_key"),
        ((BEARER, "x-api-key: another"), 400, "invalid_header"),
        ((f"authorization: Bearer {CALLERS}",), 403, "permission_denied"),
    ],
)
async def test_who_is_no_administrator_is_refused_everywhere(
    sqlite_url: str, tmp_path: Path, headers: tuple[str, ...], status: int, code: str
) -> None:
    async with administered(sqlite_url, tmp_path) as admin:
        for operation in OPERATIONS:
            path = "/admin/v1" + operation.path.replace("{id}", "none")
            if status == 403:
                query = "?start=0" if operation.name.startswith(("usage", "quality")) else ""
            else:
                query = "?nonsense=1"  # nobody who is not known learns what is wrong with it
            reply = await admin.running.request(operation.method, path + query, b"", *headers)
            assert (reply.status, reply.error["code"]) == (status, code), operation.name


@pytest.mark.parametrize(
    ("method", "path", "fields", "status", "says"),
    [
        ("POST", "/projects", {"name": "web", "stores": True}, 400, "unknown field `stores`"),
        ("POST", "/projects", {}, 400, "`name`"),
        ("POST", "/projects", b"nonsense", 400, "JSON"),
        ("POST", "/projects", b"[" * 60_000, 400, "cannot be used"),
        ("POST", "/projects", b"x" * 70_000, 413, "65536"),
        ("GET", "/projects?limit=0", b"", 400, ">= 1"),
        ("GET", "/projects?limit=x", b"", 400, "int"),
        ("GET", "/projects?page=2", b"", 400, "unknown field `page`"),
        ("GET", "/projects?limit=2&limit=3", b"", 400, "twice"),
        ("GET", "/projects?after=none", b"", 400, "names nothing"),
        ("GET", "/projects?organization=org_none", b"", 404, "no organization 'org_none'"),
        ("GET", "/projects/proj_none", b"", 404, "no project 'proj_none'"),
        ("GET", "/projects/%00", b"", 404, "no project"),
        ("GET", "/projects/a%20b", b"", 404, "no project"),
        ("GET", "/usage?start=0&group_by=prompt", b"", 400, "organization, project, key, model, day"),
        ("GET", "/usage", b"", 400, "`start`"),
        ("PUT", "/projects", b"", 405, "GET"),
        ("GET", "/nothing", b"", 404, "No route"),
    ],
)
async def test_what_does_not_fit_is_refused_with_the_reason(
    sqlite_url: str, tmp_path: Path, method: str, path: str, fields: object, status: int, says: str
) -> None:
    async with administered(sqlite_url, tmp_path) as admin:
        await admin("POST", "/organizations", {"name": "acme"})
        reply = await admin(method, path, fields)
        assert reply.status == status
        assert says in reply.error["message"]


async def test_request_sent_again_makes_nothing_twice(sqlite_url: str, tmp_path: Path) -> None:
    async with administered(sqlite_url, tmp_path) as admin:
        await admin("POST", "/organizations", {"name": "acme"})
        once = "idempotency-key: abc"
        first = await admin("POST", "/projects", {"name": "web"}, once)
        again = await admin("POST", "/projects", {"name": "web"}, once)
        assert (again.status, again.json) == (201, first.json)
        other = await admin("POST", "/projects", {"name": "other"}, once)
        assert (other.status, other.error["code"]) == (422, "idempotency_mismatch")
        taken = await admin("POST", "/projects", {"name": "web"}, "idempotency-key: def")
        assert (taken.status, taken.error["code"]) == (409, "conflict")
        bad = await admin("POST", "/projects", {"name": "x"}, "idempotency-key: " + "k" * 300)
        assert (bad.status, bad.error["code"]) == (400, "invalid_idempotency_key")


def entry(number: int, organization: str, **fields: Any) -> LedgerEntry:
    values = {
        "id": f"call_{number}",
        "request_id": f"req_{number}",
        "at": number * 10**6,
        "organization_id": organization,
        "project_id": "proj_1",
        "key_id": "k1",
        "model": "=cmd()",
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "cost_nanos": 50,
    }
    return LedgerEntry(**{**values, **fields})


async def test_books_are_added_up_and_exported_as_each_kind_of_file(sqlite_url: str, tmp_path: Path) -> None:
    async with administered(sqlite_url, tmp_path) as admin:
        organization = (await admin("POST", "/organizations", {"name": "acme"})).json["id"]
        entries = [entry(number, organization) for number in range(1500)]
        entries += [entry(9000, organization, project_id="proj_2"), entry(9001, "org_other")]
        async with admin.tenancy.database.writing(deadline_s=20) as connection:
            await ledger.record(connection, entries)
        sums = (await admin("GET", "/usage?start=0")).json["data"]
        assert [(one["project"], one["calls"], one["cost_nanos"]) for one in sums] == [
            ("proj_1", 1500, 75_000),
            ("proj_2", 1, 50),
        ]
        by_day = (await admin("GET", "/usage?start=0&group_by=day,model&project=proj_2")).json["data"]
        assert [(one["day"], one["model"], one["prompt_tokens"]) for one in by_day] == [
            ("1970-01-01", "=cmd()", 3)
        ]
        file = await admin("GET", "/usage/export?start=0&end=9000")
        assert file.headers["content-disposition"] == 'attachment; filename="usage.csv"'
        header, *lines = csv.reader(io.StringIO(file.body.decode()))
        assert len(lines) == 1500
        shown = dict(zip(header, lines[7], strict=True))
        assert (shown["id"], shown["model"], shown["cost_nanos"]) == ("call_7", "'=cmd()", "50")
        file = await admin("GET", "/usage/export?start=0&format=jsonl&project=proj_2")
        assert [json.loads(line)["id"] for line in file.body.splitlines()] == ["call_9000"]
        file = await admin("GET", "/usage/export?start=0&format=parquet")
        assert len(read_parquet(file.body)) == 1501
        trail = (await admin("GET", "/audit?action=usage.export")).json["data"]
        assert len(trail) == 3


async def test_operator_sees_the_sums_of_all_and_narrows_them_in_one(sqlite_url: str, tmp_path: Path) -> None:
    async with administered(sqlite_url, tmp_path) as admin:
        names = [(await admin("POST", "/organizations", {"name": name})).json["id"] for name in "ab"]
        async with admin.tenancy.database.writing(deadline_s=20) as connection:
            await ledger.record(connection, [entry(number, name) for number, name in enumerate(names)])
        sums = (await admin("GET", "/usage?start=0&group_by=organization")).json["data"]
        assert sorted(one["organization"] for one in sums) == sorted(names)
        assert (await admin("GET", "/usage?start=0&model==cmd()")).error["param"] == "organization"
        narrowed = await admin("GET", f"/usage?start=0&key=k1&organization={names[0]}")
        assert [one["calls"] for one in narrowed.json["data"]] == [1]


def read_parquet(content: bytes) -> list[dict[str, Any]]:
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    rows: list[dict[str, Any]] = parquet.read_table(io.BytesIO(content)).to_pylist()
    assert {row["model"] for row in rows} == {"=cmd()"}
    return rows


async def test_erasure_asks_for_the_name_and_leaves_no_row_of_a_call(sqlite_url: str, tmp_path: Path) -> None:
    async with administered(sqlite_url, tmp_path) as admin:
        organization = (await admin("POST", "/organizations", {"name": "acme"})).json["id"]
        async with admin.tenancy.database.writing() as connection:
            await ledger.record(connection, [entry(1, organization), entry(2, "org_other")])
        path = f"/organizations/{organization}/erase"
        refused = await admin("POST", path, {"confirm": "acne"})
        assert (refused.status, refused.error["param"]) == (400, "confirm")
        erased = await admin("POST", path, {"confirm": "acme"})
        assert (erased.status, erased.json["ledger_rows"]) == (200, 1)
        assert (await admin("GET", "/usage?start=0")).json["data"] == []
        async with admin.tenancy.database.reading() as connection:
            assert await ledger.find(connection, "org_other", "call_2")


async def test_contents_are_listed_without_and_shown_with_what_they_hold_once_audited(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with administered(sqlite_url, tmp_path) as admin:
        organization = (await admin("POST", "/organizations", {"name": "acme"})).json["id"]
        exchange = Exchange(request=b'{"model": "mock"}', reply=b"data: [DONE]\n\n", is_stream=True)
        # Of now: what is older than contents are kept may be dropped at any moment.
        now_us = int(time.time() * 1e6)
        kept = [
            Kept(f"call_{number}", organization, "proj_1", now_us + number, exchange) for number in (1, 2)
        ]
        async with admin.tenancy.database.writing(deadline_s=20) as connection:
            key = await admin.tenancy._data_keys.take(connection, organization, 2)
            for one in kept:
                await contents.add(connection, seal_content(one, key))
        page = (await admin("GET", "/contents?project=proj_1&limit=1")).json
        assert (page["data"][0]["id"], page["has_more"], page["data"][0]["request"]) == ("call_2", True, None)
        shown = (await admin("GET", "/contents/call_1")).json
        assert (shown["request"], shown["reply"]) == ({"model": "mock"}, "data: [DONE]\n\n")
        assert (await admin("GET", "/contents/call_3")).status == 404
        trail = (await admin("GET", "/audit?action=contents.show")).json["data"]
        assert [(entry["actor"], entry["object_id"]) for entry in trail] == [("operator", "call_1")]
        await admin("POST", f"/organizations/{organization}/erase", {"confirm": "acme"})
        assert (await admin("GET", "/contents/call_1")).status == 404


async def test_prices_are_those_of_the_configuration(sqlite_url: str, tmp_path: Path) -> None:
    async with administered(sqlite_url, tmp_path) as admin:
        (price,) = (await admin("GET", "/prices")).json["data"]
        assert (price["id"], price["input_per_million_nanos"], price["gpus"]) == ("mock", 0, 1)


async def test_documents_describe_every_route(sqlite_url: str, tmp_path: Path) -> None:
    async with administered(sqlite_url, tmp_path) as admin:
        document = (await admin("GET", "/openapi.json")).json
        assert document["openapi"] == "3.1.0"
        for operation in OPERATIONS:
            described = document["paths"]["/admin/v1" + operation.path][operation.method.lower()]
            assert described["operationId"] == operation.name
        assert "/admin/v1/replicas/{name}" in document["paths"]
        assert document["components"]["schemas"]["CreateKey"]["additionalProperties"] is False
        assert "secret" not in document["components"]["schemas"]["Key"]["properties"]
        public = (await admin.running.get("/openapi.json")).json
        assert public["paths"][CHAT]["post"]["requestBody"]
        for reference in references(document) | references(public):
            kind = reference.rsplit("/", 1)[1]
            assert kind in document["components"]["schemas"] or kind in public["components"]["schemas"]


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(one) for one in value.values()))
    return set().union(*(references(one) for one in value)) if isinstance(value, list) else set()


async def test_own_listener_has_the_admin_api_and_nothing_else(sqlite_url: str, tmp_path: Path) -> None:
    async with administered(sqlite_url, tmp_path, admin={"port": 0}) as admin:
        running = admin.running
        assert running.admin_port != running.port

        async def there(method: str, path: str, fields: object = b"") -> Response:
            return await ask(running.admin_port, request_bytes(path, fields, BEARER, method=method))

        assert (await there("POST", "/admin/v1/organizations", {"name": "acme"})).status == 201
        assert (await there("GET", "/admin/v1/pools")).status == 200
        assert (await there("GET", "/admin/v1/openapi.json")).status == 200
        assert (await there("GET", "/livez")).status == 200
        assert (await there("POST", CHAT, ASK)).status == 404
        assert (await there("GET", "/v1/models")).status == 404
        for path in ("/me", "/pools", "/organizations", "/openapi.json"):
            refused = await admin("GET", path)
            assert (refused.status, refused.error["code"]) == (404, "not_found")
        assert (await running.post(CHAT, ASK, f"x-api-key: {CALLERS}")).status == 200


async def test_store_that_is_away_is_a_503_that_may_be_tried_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/lmaas.sqlite"
    async with administered(url, tmp_path) as admin:
        reply = await admin("GET", "/projects")
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
        assert reply.headers["retry-after"]
        assert isinstance(admin.tenancy.database, Database)
