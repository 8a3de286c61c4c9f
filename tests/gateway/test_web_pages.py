"""The pages of the dashboard over sockets: what each shows to whom, and what its forms do."""

from __future__ import annotations

import contextlib
import html
import json
import re
import time
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.storage import tables
from security.worlds import OPERATOR_KEY, bearer, world_at
from support.pages import Browser, text_of
from support.serving import ASK, CHAT, STREAM
from support.stub import raw_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from security.worlds import Tenant, World
    from support.stub import RawClient

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}"
PAGES: tuple[str, ...] = (
    "/ui",
    "/ui/calls",
    "/ui/usage",
    "/ui/usage?by=key",
    "/ui/usage?by=model",
    "/ui/quality",
    "/ui/alerts",
    "/ui/models",
    "/ui/keys",
    "/ui/limits",
    "/ui/organizations",
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_at(tmp_path) as world:
        yield world


@pytest.fixture
async def tenant(world: World) -> Tenant:
    return await world.tenant("acme")


async def signed_in(world: World, key: str) -> Browser:
    browser = Browser(world.running)
    assert (await browser.sign_in(key)).status == 303
    return browser


class Inline(HTMLParser):
    """Finds what the policy of content forbids, and what stands in text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        if (tag == "script" and "src" not in names) or tag == "style":
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name in names if name.startswith("on") or name == "style"]


class TestKeys:
    async def test_key_is_made_and_its_secret_shown_once(self, world: World, tenant: Tenant) -> None:
        browser = await signed_in(world, tenant.keys["owner"])
        form = await browser.get("/ui/keys")
        once = re.search(r'name="once" value="([^"]+)"', form.body.decode())
        assert once is not None
        fields = {
            "name": "laptop",
            "project": tenant.ids["projects"],
            "admin": "viewer",
            "models": "m*, other",
        }
        fields |= {"once": once[1], "expires_in_days": "7"}
        made = await browser.post("/ui/keys", fields)
        secret = re.search(r'id="secret">([^<]+)<', made.body.decode())
        assert secret is not None
        assert made.headers["cache-control"] == "no-store"
        called = await world.running.post(CHAT, ASK, bearer(secret[1]))
        assert called.status == 200
        again = await browser.post("/ui/keys", fields)
        assert again.status == 409, "sent twice, it is made once"
        listed = await browser.get("/ui/keys")
        assert "laptop" in text_of(listed)
        assert secret[1].encode() not in listed.body

    async def test_key_is_rotated_and_revoked(self, world: World, tenant: Tenant) -> None:
        browser, key = await signed_in(world, tenant.keys["owner"]), tenant.ids["keys"]
        rotated = await browser.post(f"/ui/keys/{key}/rotate", {"overlap_s": "3600"})
        assert "shown this once" in text_of(rotated)
        assert "rotated" in text_of(await browser.get(f"/ui/keys/{key}"))
        page = await browser.follow(f"/ui/keys/{key}/revoke")
        assert "revoked" in text_of(page)
        assert "Revoke the key" not in text_of(page)
        assert (await world.running.post(CHAT, ASK, bearer(tenant.plain))).status == 401

    async def test_viewer_sees_keys_and_no_way_to_change_them(self, world: World, tenant: Tenant) -> None:
        browser, key = await signed_in(world, tenant.keys["viewer"]), tenant.ids["keys"]
        pages = text_of(await browser.get("/ui/keys")) + text_of(await browser.get(f"/ui/keys/{key}"))
        assert not re.search("Make the key|Rotate|Revoke", pages)
        assert "Set the limit" not in text_of(await browser.get("/ui/limits"))
        fields = {"name": "x", "project": tenant.ids["projects"]}
        assert (await browser.post("/ui/keys", fields)).status == 403
        assert (await browser.post(f"/ui/keys/{key}/revoke")).status == 403
        assert (await browser.post(f"/ui/keys/{key}/rotate")).status == 403
        assert (await browser.post(f"/ui/limits/{tenant.ids['limits']}/remove")).status == 403

    async def test_nobody_gives_a_role_above_the_own(self, world: World, tenant: Tenant) -> None:
        browser = await signed_in(world, tenant.keys["admin"])
        assert 'value="owner"' not in (await browser.get("/ui/keys")).body.decode()
        fields = {"name": "x", "project": tenant.ids["projects"], "admin": "owner"}
        assert (await browser.post("/ui/keys", fields)).status == 403

    @pytest.mark.parametrize(
        "fields",
        [
            {"name": ""},
            {"name": "x" * 65},
            {"expires_in_days": "0"},
            {"admin": "king"},
            {"addresses": "nowhere"},
        ],
    )
    async def test_wrong_form_is_refused_with_what_is_wrong(
        self, fields: dict[str, str], world: World, tenant: Tenant
    ) -> None:
        browser = await signed_in(world, tenant.keys["owner"])
        reply = await browser.post("/ui/keys", {"name": "x", "project": tenant.ids["projects"], **fields})
        assert reply.status == 400
        assert "cannot be used" in text_of(reply)


class TestKeyWithoutARole:
    async def test_sees_the_models_that_it_may_call_and_nothing_of_others(
        self, world: World, tenant: Tenant
    ) -> None:
        browser = await signed_in(world, tenant.plain)
        page = await browser.get("/ui")
        assert "mock" in text_of(page)
        assert 'href="/ui/keys"' not in page.body.decode()
        for path in (
            *PAGES[1:],
            "/ui/live",
            "/ui/live/history",
            "/ui/usage/export",
            "/ui/models/log?model=mock",
        ):
            assert (await browser.get(path)).status == 403, path
        assert (await browser.post("/ui/models/scale", {"model": "mock", "replicas": "0"})).status == 403
        assert (await browser.post("/ui/limits", {"metered": "requests/day", "amount": "1"})).status == 403


class TestTenants:
    async def test_see_nothing_of_each_other(self, world: World, tenant: Tenant) -> None:
        other = await world.tenant("rival")
        called = await world.running.post(CHAT, ASK, bearer(other.plain), "x-request-id: call-of-rival")
        assert called.status == 200
        browser = await signed_in(world, tenant.keys["owner"])
        for path in (*PAGES[:-1], f"/ui/keys?project={other.ids['projects']}"):
            assert "rival" not in text_of(await browser.get(path)), path
        gone = [f"/ui/keys/{other.ids['keys']}", "/ui/calls/call-of-rival"]
        assert [(await browser.get(path)).status for path in gone] == [404, 404]
        assert (await browser.post(f"/ui/keys/{other.ids['keys']}/revoke")).status == 404
        assert (await browser.post(f"/ui/limits/{other.ids['limits']}/remove")).status == 404
        assert (await browser.get("/ui/organizations")).status == 403
        await browser.post("/ui/organization", {"organization": other.organization})
        assert "rival" not in text_of(await browser.get("/ui/keys")), "a choice opens nothing"

    async def test_operator_chooses_one(self, world: World, tenant: Tenant) -> None:
        browser = await signed_in(world, OPERATOR_KEY)
        assert (await browser.get("/ui/keys")).status == 400, "there are two, and none is chosen"
        assert "acme" in text_of(await browser.get("/ui/organizations"))
        fields = {"organization": tenant.organization, "back": "/ui/keys"}
        assert "acme-key" in text_of(await browser.follow("/ui/organization", fields))
        browser.cookies["lmaas-organization"] = "org_gone"
        assert (await browser.get("/ui/organizations")).status == 200


class TestLimits:
    async def test_limit_is_set_in_dollars_and_lifted(self, world: World, tenant: Tenant) -> None:
        browser = await signed_in(world, tenant.keys["owner"])
        fields = {"subject_kind": "project", "subject": tenant.ids["projects"], "metered": "money/month"}
        page = text_of(await browser.follow("/ui/limits", {**fields, "amount": "12.5"}))
        assert "$12.50" in page
        assert "acme-project" in page
        offered = (await browser.get("/ui/limits")).body.decode()
        assert f'<option value="{tenant.ids["keys"]}">key: acme-key …' in offered
        assert '<option value="mock">model: mock</option>' in offered
        page = text_of(await browser.follow(f"/ui/limits/{tenant.ids['limits']}/remove"))
        assert "1,000,000,000" not in page

    @pytest.mark.parametrize("amount", ["", "many", "-1", "NaN", "1e99", "Infinity"])
    async def test_amount_that_is_none_is_refused(self, amount: str, world: World, tenant: Tenant) -> None:
        browser = await signed_in(world, tenant.keys["owner"])
        fields = {"subject_kind": "organization", "metered": "requests/day", "amount": amount}
        assert (await browser.post("/ui/limits", fields)).status == 400


class TestUsage:
    async def test_shows_sums_by_each_group_and_day(self, world: World, tenant: Tenant) -> None:
        await _use(world, tenant, calls=1234, cost_nanos=5 * 10**9)
        browser = await signed_in(world, tenant.keys["viewer"])
        for group, name in (
            ("project", "acme-project"),
            ("key", "acme-key"),
            ("model", "of-the-books"),
            ("day", "20"),
        ):
            page = text_of(await browser.get(f"/ui/usage?by={group}"))
            assert re.search("1,23[45]", page), "with the call that made the tenant known"
            assert "$5.00" in page
            assert name in page
        narrowed = f"/ui/usage?key={tenant.ids['keys']}&model=of-the-books&by=day"
        assert "1,234" in text_of(await browser.get(narrowed))
        assert "1,234" not in text_of(await browser.get("/ui/usage?from=2020-01-01&to=2020-01-31"))
        assert (await browser.get("/ui/usage/export")).status == 403, "a viewer exports nothing"

    async def test_cost_that_is_not_known_is_not_shown_as_nothing(self, world: World, tenant: Tenant) -> None:
        browser = await signed_in(world, tenant.keys["viewer"])
        await _use(world, tenant, calls=3, cost_nanos=0, model="without-a-price")
        page = text_of(await browser.get("/ui/usage?by=model&model=without-a-price"))
        assert "no price" in page
        assert "$0.00" not in page

    async def test_is_sent_as_a_file(self, world: World, tenant: Tenant) -> None:
        browser = await signed_in(world, tenant.keys["owner"])
        reply = await browser.get("/ui/usage/export")
        assert "attachment" in reply.headers["content-disposition"]
        assert reply.body.startswith(b"id,")

    @pytest.mark.parametrize(
        "query", ["from=2026-13-01", "from=2026-02-01&to=2026-01-01", "from=1900-01-01", "by=colour", "to=x"]
    )
    async def test_wrong_question_is_refused(self, query: str, world: World) -> None:
        browser = await signed_in(world, OPERATOR_KEY)
        assert (await browser.get(f"/ui/usage?{query}")).status == 400

    async def test_what_can_be_looked_at_alone_is_chosen_by_name(self, world: World, tenant: Tenant) -> None:
        browser = await signed_in(world, tenant.keys["viewer"])
        page = (await browser.get(f"/ui/usage?key={tenant.ids['keys']}")).body.decode()
        assert re.search(rf'<option value="{tenant.ids["keys"]}" selected>acme-key …', page)
        assert f'<option value="{tenant.ids["projects"]}">acme-project</option>' in page
        assert '<option value="mock"></option>' in page
        other = (await browser.get("/ui/usage?key=of-long-ago")).body.decode()
        assert '<option value="of-long-ago" selected>' in other


class TestQuality:
    async def test_shows_what_was_seen_beside_what_was_said(self, world: World, tenant: Tenant) -> None:
        tenancy = world.running.gateway._tenancy
        assert tenancy is not None
        row = {
            "organization_id": tenant.organization,
            "project_id": tenant.ids["projects"],
            "model": "looked-at",
        }
        counts = {"day": int(time.time()) // 86400, "checked": 40, "truncated": 1, "with_schema": 8}
        async with tenancy.database.writing(deadline_s=10) as connection:
            await connection.execute(tables.quality_days.insert().values(**row, **counts, schema_failed=2))
        judged = await world.running.post(CHAT, ASK, bearer(tenant.plain), "x-request-id: judged")
        assert judged.status == 200
        opinion = {"request_id": "judged", "thumbs": "up", "score": 0.5, "label": "concise"}
        assert (await world.running.post("/v1/feedback", opinion, bearer(tenant.plain))).status == 200
        browser = await signed_in(world, tenant.keys["viewer"])
        page = re.sub(r"\s+", " ", text_of(await browser.get("/ui/quality"))).replace("\N{EN DASH}", "-")
        assert "looked-at 40 2.5 % 1 0 % 0 0 % 0 0 % 0 25 % 2 - 0 -" in page
        assert re.search("mock 0 - - - - - - 1 100 % 1 0.50 concise 1", page)
        narrowed = text_of(await browser.get("/ui/quality?model=mock&from=2026-01-01"))
        assert "looked-at" not in narrowed
        assert "looked-at" not in text_of(await browser.get("/ui/quality?from=2020-01-01&to=2020-01-31"))

    async def test_wrong_question_is_refused(self, world: World, tenant: Tenant) -> None:
        browser = await signed_in(world, tenant.keys["viewer"])
        assert (await browser.get("/ui/quality?from=2026-02-01&to=2026-01-01")).status == 400


class TestCalls:
    async def test_call_is_listed_found_and_explained(self, world: World, tenant: Tenant) -> None:
        await world.running.post(CHAT, STREAM, bearer(tenant.plain), "x-request-id: my-call")
        await world.running.post(CHAT, {"model": "mock"}, bearer(tenant.plain), "x-request-id: my-failure")
        await world.running.logged(2)
        browser = await signed_in(world, tenant.keys["viewer"])
        listed = text_of(await browser.get("/ui/calls"))
        assert "my-call" in listed
        failed = text_of(await browser.get("/ui/calls?which=slow&slow_s=3600"))
        assert "my-call" not in failed
        found = await browser.get("/ui/calls?id=my-call")
        assert found.headers["location"] == "/ui/calls/my-call"
        page = text_of(await browser.get("/ui/calls/my-call"))
        assert "prefill" in page or "generation" in page
        assert "mock" in page
        assert "Neither prompt nor reply was kept" in page

    async def test_call_and_its_reasons_are_chinese_to_who_reads_that(self, world: World) -> None:
        tenant = await world.tenant("acme")
        await world.running.post(
            CHAT, {"model": "mock", "n": 10**6}, bearer(tenant.plain), "x-request-id: mine"
        )
        await world.running.logged(1)
        browser = Browser(world.running, language="zh-CN")
        await browser.sign_in(tenant.keys["viewer"])
        page = text_of(await browser.get("/ui/calls/mine"))
        assert "提问与回答均未保存" in page
        assert "请求体不是该路由所接受的 JSON 对象" in page
        assert not re.search("Neither prompt|It ended|It cost", page)


class TestModels:
    async def test_shows_what_serves_and_refuses_to_stop_what_runs_elsewhere(self, world: World) -> None:
        browser = await signed_in(world, OPERATOR_KEY)
        page = text_of(await browser.get("/ui/models"))
        assert "mock" in page
        assert "Runs elsewhere" in page
        assert (await browser.post("/ui/models/scale", {"model": "mock", "replicas": "0"})).status == 400
        assert (await browser.post("/ui/models/scale", {"model": "mock", "replicas": "x"})).status == 400
        assert (await browser.post("/ui/models/scale", {"model": "none"})).status == 404
        assert (await browser.get("/ui/models/log?model=mock")).status == 404


class TestLive:
    async def test_all_viewers_get_the_same_event_each_second(self, world: World, tenant: Tenant) -> None:
        await world.running.post(CHAT, ASK, bearer(tenant.plain))
        browser = await signed_in(world, tenant.keys["viewer"])
        async with _watching(browser) as one, _watching(browser) as other:
            events = [await _event(one), await _event(one)]
            ours = [await _event(other), await _event(other)]
        first, second = (json.loads(event.removeprefix(b"data: ")) for event in events)
        assert second["last"]["at"] > first["last"]["at"]
        assert set(events) & set(ours)
        assert "mock" in second["html"]
        history = (await browser.get("/ui/live/history")).json
        assert len(history["at"]) == len(history["calls"]) > 0

    async def test_stream_ends_with_the_session(self, world: World, tenant: Tenant) -> None:
        browser = await signed_in(world, tenant.keys["viewer"])
        async with _watching(browser) as stream:
            await _event(stream)
            await browser.post("/ui/sign-out")
            began_s = time.monotonic()
            while await stream.chunk():
                pass
            assert time.monotonic() - began_s < 10


class TestHostileNames:
    async def test_stay_text_on_every_page(self, tmp_path: Path) -> None:
        async with world_at(tmp_path) as world:
            tenant = await world.tenant("acme")
            evil = EVIL[:64]
            project = await world.make("/projects", {"name": evil}, tenant.organization)
            key = await world.make("/keys", {"project": project["id"], "name": evil}, tenant.organization)
            limit = {"subject_kind": "model", "subject": "<img/src=x>", "metric": "requests", "period": "day"}
            await world.make("/limits", {**limit, "amount": 1}, tenant.organization)
            await _use(world, tenant, calls=1, cost_nanos=1, model=EVIL)
            await world.running.post(CHAT, {**ASK, "model": EVIL}, bearer(tenant.plain), "x-request-id: evil")
            browser = await signed_in(world, tenant.keys["owner"])
            paths = [*PAGES[:-1], f"/ui/keys/{key['id']}", "/ui/calls/evil"]
            paths += [f"/ui/usage?project={project['id']}", "/ui/nothing?<script>alert(1)</script>"]
            seen = 0
            for path in paths:
                page = (await browser.get(path)).body.decode()
                assert Inline(page).found == [], path
                assert "<script>alert" not in page
                assert "<img src=x" not in page
                seen += html.escape(evil[:20], quote=False) in html.unescape(page).replace("<", "&lt;") or (
                    "alert(1)" in page
                )
            assert seen >= 4, "the names were there to be looked at"

    async def test_what_was_typed_stays_text(self, world: World) -> None:
        browser = await signed_in(world, OPERATOR_KEY)
        for path in ("/ui/sign-in?next=", "/ui/usage?model=", "/ui/calls?model=", "/ui/keys/", "/ui/calls/"):
            page = (await browser.get(path + "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E")).body.decode()
            assert "<script>alert" not in page
            assert Inline(page).found == []


class TestWithoutScripts:
    async def test_every_field_has_a_label_and_every_table_headers(
        self, world: World, tenant: Tenant
    ) -> None:
        browser = await signed_in(world, tenant.keys["owner"])
        for path in (*PAGES[:-1], f"/ui/keys/{tenant.ids['keys']}"):
            page = (await browser.get(path)).body.decode()
            fields = re.findall(
                r'<(?:input|select|textarea)(?![^>]*type="(?:hidden|checkbox)")[^>]* id="([^"]+)"', page
            )
            labels = set(re.findall(r'<label[^>]* for="([^"]+)"', page))
            assert set(fields) <= labels, path
            assert page.count("<h1") == 1
            assert page.count("<main") == 1
            assert page.count("<thead") == page.count("<table")


async def _use(
    world: World, tenant: Tenant, *, calls: int, cost_nanos: int, model: str = "of-the-books"
) -> None:
    row = {
        "organization_id": tenant.organization,
        "day": int(time.time()) // 86400,
        "project_id": tenant.ids["projects"],
        "key_id": tenant.ids["keys"],
        "model": model,
        "calls": calls,
        "failed_calls": 1,
        "prompt_tokens": 10 * calls,
        "completion_tokens": calls,
        "cost_nanos": cost_nanos,
    }
    tenancy = world.running.gateway._tenancy
    assert tenancy is not None
    async with tenancy.database.writing(deadline_s=10) as connection:
        await connection.execute(tables.usage_days.insert().values(**row))


@contextlib.asynccontextmanager
async def _watching(browser: Browser) -> AsyncIterator[RawClient]:
    async with raw_client(browser._port) as client:
        head = f"GET /ui/live HTTP/1.1\r\nhost: {browser.host}\r\n{browser.cookie()}\r\n\r\n"
        client.send(head.encode())
        status, headers = await client.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        yield client


async def _event(stream: RawClient) -> bytes:
    return await stream.chunk()
