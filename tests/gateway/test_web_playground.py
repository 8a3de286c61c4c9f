"""The playground's pages as they are served; what their scripts do is shown in a browser (tests/browser)."""

from __future__ import annotations

import json
import posixpath
import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.testing import FakeReplica
from lmaas_gateway.web.assets import Assets
from lmaas_gateway.web.words import LANGUAGES, Language, words_of
from security.worlds import OPERATOR_KEY, world_at
from support.pages import Browser
from support.serving import run_gateway, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from security.worlds import World
    from support.stub import Response

PATHS = ("/ui/chat", "/ui/embeddings")
_IMPORT = re.compile(rb'from "([^"]+)"')
_SAID = re.compile(rb'\bsay\("(\w+)"')
_DATA = re.compile(r'data-(\w+)="([^"]*)"')
_SCRIPT = re.compile(r'<script type="module" src="([^"]+)">')
_WORDS = re.compile(r'<script type="application/json" id="playground-words">(.*?)</script>', re.DOTALL)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_at(tmp_path) as world:
        yield world


def settings_of(page: Response) -> dict[str, str]:
    """What a page tells its script."""
    return {name: unescape(value) for name, value in _DATA.findall(page.body.decode())}


@pytest.mark.parametrize("path", PATHS)
async def test_page_tells_its_script_where_to_call_and_whose_browser_it_is(world: World, path: str) -> None:
    browser, tenant = Browser(world.running), await world.tenant("acme")
    await browser.sign_in(tenant.plain)
    page = await browser.get(path)
    assert page.status == 200
    told = settings_of(page)
    assert (told["base"], told["calls"], told["account"]) == ("/ui/v1", "/ui/calls/", tenant.ids["keys"])
    assert told["token"] == browser.token
    models = await browser.get(told["base"] + "/models")
    assert [model["id"] for model in json.loads(models.body)["data"]] == ["mock"]


@pytest.mark.parametrize("path", PATHS)
async def test_operator_is_told_that_its_key_calls_no_models(world: World, path: str) -> None:
    browser = Browser(world.running)
    await browser.sign_in(OPERATOR_KEY)
    page = await browser.get(path)
    assert words_of("en")["playground.operator_hint"] in unescape(page.body.decode())


async def test_without_tenants_no_call_can_be_explained_and_none_is_linked() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        told = settings_of(await Browser(running).get("/ui/chat"))
    assert (told["calls"], told["account"]) == ("", "anonymous")


@pytest.mark.parametrize("path", PATHS)
async def test_scripts_and_words_of_a_page_are_all_there(world: World, path: str) -> None:
    browser, tenant = Browser(world.running), await world.tenant("acme")
    await browser.sign_in(tenant.plain)
    page = await browser.get(path)
    wanted, seen = _SCRIPT.findall(page.body.decode()), set()
    said: set[bytes] = set()
    while wanted:
        address = wanted.pop()
        if address in seen:
            continue
        seen.add(address)
        script = await browser.get(address)
        assert (script.status, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
        said |= set(_SAID.findall(script.body))
        here = posixpath.dirname(address)
        wanted += [posixpath.normpath(f"{here}/{name.decode()}") for name in _IMPORT.findall(script.body)]
    assert len(seen) >= 8
    (words,) = _WORDS.findall(page.body.decode())
    assert {name.decode() for name in said} <= set(json.loads(words))


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_that_scripts_choose_by_what_they_find_are_there(language: Language) -> None:
    words = {name for name in words_of(language) if name.startswith("playground.script.")}
    sources = {name: asset.data for name, asset in Assets().files.items() if name.startswith("playground/")}
    reasons = set(re.findall(rb'"((?:not|out|schema)_\w+)"', sources["playground/request.js"]))
    notes = set(
        re.findall(
            rb'"((?:stopped|broken_off|cut_off|json_valid|json_invalid))"', sources["playground/turns.js"]
        )
    )
    assert len(reasons) >= 6
    assert {f"playground.script.{name.decode()}" for name in reasons | notes} <= words
