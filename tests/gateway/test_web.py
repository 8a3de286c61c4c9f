"""The frame of the pages over sockets: signing in, sessions, forged requests, headers, assets, words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.testing import FakeReplica
from lmaas_gateway.web.words import LANGUAGES, choose_language, words_of
from security.worlds import OPERATOR_KEY, world_at
from support.pages import Browser, text_of
from support.serving import run_gateway, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from security.worlds import World
    from support.stub import Response

CHAT = "/ui/v1/chat/completions"
JSON = "content-type: application/json"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_at(tmp_path) as world:
        yield world


class TestSigningIn:
    async def test_stranger_is_asked_for_a_key_and_comes_back_to_where_it_wanted(self, world: World) -> None:
        browser = Browser(world.running)
        asked = await browser.get("/ui?project=x")
        assert (asked.status, asked.headers["location"]) == (
            303,
            "/ui/sign-in?next=%2Fui%3Fproject%3Dx",
        )
        await browser.get(asked.headers["location"])
        reply = await browser.post("/ui/sign-in", {"key": OPERATOR_KEY, "next": "/ui?project=x"})
        assert (reply.status, reply.headers["location"]) == (303, "/ui?project=x")

    @pytest.mark.parametrize(
        "wanted", ["https://evil.example", "//evil.example", "/\\evil", "/v1", "/ui\r\nx: y"]
    )
    async def test_nobody_is_led_to_another_place(self, wanted: str, world: World) -> None:
        browser = Browser(world.running)
        await browser.get("/ui/sign-in")
        reply = await browser.post("/ui/sign-in", {"key": OPERATOR_KEY, "next": wanted})
        assert reply.headers["location"] == "/ui"

    @pytest.mark.parametrize("key", ["", "wrong", "sk-lmaas-not-one", "é", "a\r\nx-api-key: b", "x" * 9000])
    async def test_wrong_key_opens_nothing_and_is_not_shown(self, key: str, world: World) -> None:
        browser = Browser(world.running)
        reply = await browser.sign_in(key)
        assert reply.status == 401
        assert "not valid here" in text_of(reply) or "mistyped" in text_of(reply)
        assert (await browser.get("/ui")).status == 303

    async def test_cookie_is_kept_from_scripts_other_sites_and_other_paths(self, world: World) -> None:
        reply = await Browser(world.running).sign_in(OPERATOR_KEY)
        flags = {part.strip().lower() for part in reply.headers["set-cookie"].split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/ui", "max-age=43200"} <= flags

    async def test_behind_https_the_cookie_is_of_this_host_alone(self, tmp_path: Path) -> None:
        dashboard = {"public_url": "https://llm.example.org"}
        async with world_at(tmp_path, dashboard=dashboard) as world:
            browser = Browser(world.running)
            reply = await browser.get("/ui/sign-in")
            assert reply.headers["set-cookie"].startswith("__Host-lmaas-session=")
            assert {"Secure", "Path=/"} <= {part.strip() for part in reply.headers["set-cookie"].split(";")}
            assert "strict-transport-security" in reply.headers
            own = ("origin: https://llm.example.org", "sec-fetch-site: same-origin")
            assert (await browser.post("/ui/sign-in", {"key": OPERATOR_KEY}, *own)).status == 303

    async def test_nothing_of_a_key_is_in_its_cookie_or_in_a_page(self, world: World) -> None:
        browser = Browser(world.running)
        await browser.sign_in(OPERATOR_KEY)
        page = await browser.get("/ui")
        secret = OPERATOR_KEY
        assert secret not in browser.cookies["lmaas-session"]
        assert secret.encode() not in page.body

    async def test_signing_in_takes_another_cookie_than_the_one_before(self, world: World) -> None:
        browser = Browser(world.running)
        await browser.get("/ui/sign-in")
        fixed = browser.cookies["lmaas-session"]
        await browser.sign_in(OPERATOR_KEY)
        other = Browser(world.running)
        other.cookies["lmaas-session"] = fixed
        assert (await other.get("/ui")).status == 303

    async def test_signing_out_ends_the_session_of_a_cookie_that_was_copied(self, world: World) -> None:
        browser = Browser(world.running)
        await browser.sign_in(OPERATOR_KEY)
        copy = Browser(world.running)
        copy.cookies = dict(browser.cookies)
        assert (await copy.get("/ui")).status == 200
        assert (await browser.post("/ui/sign-out")).headers["location"] == "/ui/sign-in"
        assert (await copy.get("/ui")).status == 303

    async def test_revoked_key_ends_its_sessions_and_says_so(self, world: World) -> None:
        browser, tenant = Browser(world.running), await world.tenant("acme")
        await browser.sign_in(tenant.plain)
        assert (await browser.get("/ui")).status == 200
        key_id = tenant.ids["keys"]
        assert (await world.ask("DELETE", f"/keys/{key_id}?organization={tenant.organization}")).status == 200
        assert (await browser.get("/ui")).status == 303
        assert "was revoked" in text_of(await browser.get("/ui/sign-in"))
        call = await _call(browser, browser.token)
        assert call.error["code"] == "key_revoked"

    @pytest.mark.parametrize(
        "cookie", ["1.", "1.AAAA", "x", "999999." + "A" * 64, "1." + "A" * 64, "1.é", "9" * 5000]
    )
    async def test_invented_cookie_is_nobody(self, cookie: str, world: World) -> None:
        browser = Browser(world.running)
        browser.cookies["lmaas-session"] = cookie
        assert (await browser.get("/ui")).status == 303


class TestForgedRequests:
    @pytest.mark.parametrize(
        "headers",
        [
            ("origin: https://evil.example",),
            ("origin: null",),
            ("sec-fetch-site: cross-site",),
            ("sec-fetch-site: none",),
            ("x-nothing: said",),
        ],
    )
    async def test_form_of_another_site_is_refused(self, headers: tuple[str, ...], world: World) -> None:
        browser = Browser(world.running)
        await browser.sign_in(OPERATOR_KEY)
        reply = await browser.post("/ui/sign-out", None, *headers)
        assert reply.status == 403
        assert (await browser.get("/ui")).status == 200, "still signed in"

    @pytest.mark.parametrize("token", ["", "wrong", "é"])
    async def test_form_without_the_token_of_its_browser_is_refused(self, token: str, world: World) -> None:
        browser = Browser(world.running)
        await browser.sign_in(OPERATOR_KEY)
        assert (await browser.post("/ui/sign-out", token=token)).status == 403

    async def test_token_of_another_browser_is_refused(self, world: World) -> None:
        browser, other = Browser(world.running), Browser(world.running)
        await browser.sign_in(OPERATOR_KEY)
        await other.sign_in(OPERATOR_KEY)
        assert (await browser.post("/ui/sign-out", token=other.token)).status == 403

    async def test_nobody_is_signed_in_by_another_site(self, world: World) -> None:
        browser = Browser(world.running)
        await browser.get("/ui/sign-in")
        reply = await browser.post("/ui/sign-in", {"key": OPERATOR_KEY}, "origin: https://evil.example")
        assert reply.status == 403

    async def test_what_is_no_form_is_refused(self, world: World) -> None:
        browser = Browser(world.running)
        await browser.get("/ui/sign-in")
        reply = await browser._send("POST", "/ui/sign-in", b"{}", (JSON, *browser.own_page()))
        assert reply.status == 400


class TestCallsOfPages:
    async def test_session_calls_a_model_as_its_key_would(self, world: World) -> None:
        browser, tenant = Browser(world.running), await world.tenant("acme")
        await browser.sign_in(tenant.plain)
        reply = await _call(browser, browser.token)
        assert reply.status == 200
        assert reply.json["choices"]
        logged = await world.running.logged()
        assert logged["principal"] == tenant.ids["keys"]

    async def test_cookie_alone_calls_nothing(self, world: World) -> None:
        browser, tenant = Browser(world.running), await world.tenant("acme")
        await browser.sign_in(tenant.plain)
        assert (await _call(browser, "wrong")).status == 403
        assert (await _call(browser, browser.token, "origin: https://evil.example")).status == 403
        direct = await browser._send("POST", "/v1/chat/completions", _body(), (JSON, *browser.own_page()))
        assert direct.status == 401, "a cookie is no key"
        assert world.replica.requests == 0

    async def test_nobody_calls_without_being_signed_in(self, world: World) -> None:
        browser = Browser(world.running)
        await browser.get("/ui/sign-in")
        reply = await _call(browser, browser.token)
        assert (reply.status, reply.error["type"]) == (401, "authentication_error")
        assert (await browser.get("/ui/v1/models")).status == 401

    async def test_models_are_those_of_the_session(self, world: World) -> None:
        browser, tenant = Browser(world.running), await world.tenant("acme")
        await browser.sign_in(tenant.plain)
        assert [model["id"] for model in (await browser.get("/ui/v1/models")).json["data"]] == ["mock"]

    async def test_key_of_the_request_does_not_replace_that_of_the_session(self, world: World) -> None:
        browser, one, other = Browser(world.running), await world.tenant("one"), await world.tenant("other")
        await browser.sign_in(one.plain)
        extra = (f"authorization: Bearer {other.plain}", *browser.own_page())
        assert (await _call(browser, browser.token, *extra)).status == 200
        assert (await world.running.logged())["principal"] == one.ids["keys"]


class TestEveryAnswer:
    @pytest.mark.parametrize("path", ["/ui", "/ui/sign-in", "/ui/nothing", "/ui/assets/x/nothing.js"])
    async def test_says_what_a_page_may_load_and_who_may_frame_it(self, path: str, world: World) -> None:
        headers = (await Browser(world.running).get(path)).headers
        policy = dict(
            part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"

    async def test_other_methods_and_unknown_pages_are_refused_on_a_page(self, world: World) -> None:
        browser = Browser(world.running)
        assert (await browser._send("DELETE", "/ui", b"", ())).status == 405
        reply = await browser.get("/ui/nothing")
        assert (reply.status, "no such page" in text_of(reply)) == (404, True)

    async def test_error_page_signs_nobody_out(self, world: World) -> None:
        browser = Browser(world.running)
        await browser.sign_in(OPERATOR_KEY)
        assert (await browser.get("/ui/nothing")).status == 404
        assert (await browser.get("/ui")).status == 200


class TestAssets:
    async def test_are_kept_for_ever_under_an_address_of_their_content(self, world: World) -> None:
        browser = Browser(world.running)
        page = (await browser.get("/ui/sign-in")).body.decode()
        path = re.findall(r'href="(/ui/assets/[0-9a-f]{12}/app\.css)"', page)[0]
        plain = await browser.get(path)
        packed = await browser.get(path, "accept-encoding: gzip, br")
        assert "immutable" in plain.headers["cache-control"]
        assert packed.headers["content-encoding"] == "gzip"
        assert len(packed.body) < len(plain.body)
        assert plain.headers["content-type"].startswith("text/css")

    async def test_address_of_another_version_is_not_kept(self, world: World) -> None:
        reply = await Browser(world.running).get("/ui/assets/000000000000/app.css")
        assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")


class TestWords:
    def test_every_language_has_the_same_words_with_the_same_places(self) -> None:
        names = {language: set(words_of(language)) for language in LANGUAGES}
        assert names["en"] == names["zh"]
        for name, text in words_of("en").items():
            places = set(re.findall(r"\{(\w+)", text))
            assert set(re.findall(r"\{(\w+)", words_of("zh")[name])) == places, name

    @pytest.mark.parametrize(
        ("chosen", "accepted", "expected"),
        [
            ("", "", "en"),
            ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
            ("", "de, en;q=0.3, zh;q=0.7", "zh"),
            ("", "zh;q=0, en", "en"),
            ("", "de;q=x, fr", "en"),
            ("en", "zh", "en"),
            ("xx", "zh-TW", "zh"),
        ],
    )
    def test_language_is_the_chosen_one_or_one_that_is_accepted(
        self, chosen: str, accepted: str, expected: str
    ) -> None:
        assert choose_language(chosen, accepted) == expected

    async def test_choice_is_remembered(self, world: World) -> None:
        browser = Browser(world.running, language="zh-CN")
        assert 'lang="zh-Hans"' in (await browser.get("/ui/sign-in")).body.decode()
        reply = await browser.follow("/ui/language", {"language": "en", "back": "/ui/sign-in"})
        assert '<html lang="en">' in reply.body.decode()


class TestOtherGateways:
    async def test_open_one_needs_no_sign_in_but_is_found_at_localhost_only(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica, open=True)) as running:
            browser = Browser(running)
            assert (await browser.get("/ui")).status == 200
            assert (await _call(browser, browser.token)).status == 200
            assert (await _call(browser, "wrong")).status == 403
            browser.host = f"rebound.example:{running.port}"
            assert (await browser.get("/ui")).status == 403

    async def test_one_without_a_store_keeps_its_sessions_itself(self) -> None:
        settings = {"open": True, "api_key": "a-key-of-the-configuration"}
        async with FakeReplica() as replica, run_gateway(settings_for(replica, **settings)) as running:
            browser = Browser(running)
            assert (await browser.get("/ui")).status == 303
            assert (await browser.sign_in("a-key-of-the-configuration")).status == 303
            assert (await _call(browser, browser.token)).status == 200
            await browser.post("/ui/sign-out")
            assert (await browser.get("/ui")).status == 303

    async def test_pages_can_be_left_out(self) -> None:
        settings = {"open": True, "dashboard": {"enabled": False}}
        async with FakeReplica() as replica, run_gateway(settings_for(replica, **settings)) as running:
            assert (await running.get("/ui")).status == 404

    async def test_pages_are_where_administrators_are(self, tmp_path: Path) -> None:
        async with world_at(tmp_path, admin={"port": 0}) as world:
            assert (await Browser(world.running).get("/ui")).status == 404
            browser = Browser(world.running, port=world.running.admin_port)
            assert (await browser.get("/ui")).status == 303
            assert (await browser.sign_in(OPERATOR_KEY)).status == 303


def _body() -> bytes:
    return b'{"model": "mock", "messages": [{"role": "user", "content": "one"}]}'


async def _call(browser: Browser, token: str, *headers: str) -> Response:
    extra = headers or browser.own_page()
    return await browser._send("POST", CHAT, _body(), (JSON, f"x-csrf-token: {token}", *extra))
