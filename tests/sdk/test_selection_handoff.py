"""Tests of lmaas.selection's answer as something that runs: a client, and a gateway's configuration."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import respx

from lmaas import ConfigurationError
from lmaas.evidence import Evidence
from lmaas.measuring import SLO
from lmaas.platforms import Auth, Offer, Platform, Price, Sourced
from lmaas.selection import Candidate, Fleet, Rules, Selection
from lmaas_gateway.settings import Settings, load_settings
from sdk.selection_worlds import TODAY, candidate, choose, figure, preferences

if TYPE_CHECKING:
    from pathlib import Path


def hosted(name: str, model: str = "m", **changes: Any) -> Candidate:
    price = Price(Decimal("0.15"), Decimal("0.6"), "a page", TODAY, cached_per_million=Decimal("0.075"))
    platform = Platform(
        id=name,
        name=name,
        base_url=Sourced(f"https://api.{name}.example/v1", "a page"),
        auth=Sourced(Auth(kind="bearer", env=f"{name.upper()}_API_KEY"), "a page"),
    )
    offer = Offer(platform=name, model=model, price=price)
    return candidate(name, platform=platform, offer=offer, **changes)


def chosen(*candidates: Candidate, slo: SLO | None = None) -> Selection:
    """The first candidate wins, the second comes second."""
    evidence: dict[str, list[Evidence]] = {
        one.name: [
            figure("quality", 0.9 - 0.1 * place, 0.001),
            figure("ttft_p95_s", 0.1, 0.001),
            figure("e2e_p95_s", 1.0, 0.001),
            figure("goodput_per_s", 0.4, 0.001),
        ]
        for place, one in enumerate(candidates)
    }
    return choose(list(candidates), evidence, preferences(quality=1), slo=slo)


def loaded(selection: Selection, folder: Path) -> Settings:
    """What the gateway makes of the configuration."""
    path = folder / "gateway.yaml"
    path.write_text(selection.gateway_config(), "utf-8")
    return load_settings(path, environ={})


def test_gateway_loads_the_route_its_fallback_its_limits_and_prices(tmp_path: Path) -> None:
    selection = chosen(hosted("first", "big"), hosted("second", "small"), slo=SLO(ttft_s=0.5, e2e_s=8))
    settings = loaded(selection, tmp_path)
    big, small = settings.models
    assert (big.name, big.aliases, big.fallbacks, small.name) == ("big", ("chosen",), ("small",), "small")
    assert not isinstance(big.replicas, int)
    assert big.replicas[0].url == "https://api.first.example"
    assert (big.first_byte_s, settings.queue.timeout_s, big.cache_salt) == (8, 0.5, False)
    assert big.price is not None
    assert (big.price.input_per_million, big.price.output_per_million) == (Decimal("0.15"), Decimal("0.6"))


def test_configuration_says_where_keys_go_and_holds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_API_KEY", "secret-of-first")
    text = chosen(hosted("first"), hosted("second")).gateway_config()
    assert "models[0].replicas[0].api_key: the value of FIRST_API_KEY" in text
    assert "secret-of-first" not in text


def test_one_model_on_two_platforms_gets_two_names_if_one_is_launched_under_its_own(tmp_path: Path) -> None:
    launched = candidate(
        "own",
        offer=Offer(platform="own", model="m"),
        fleet=Fleet(usd_per_gpu_hour=3.6, max_replicas=8),
    )
    for pair, names in (
        ((hosted("first"), launched), ["m", "m@own"]),
        ((launched, hosted("first")), ["m@own", "m"]),
    ):
        settings = loaded(chosen(*pair), tmp_path)
        assert [model.name for model in settings.models] == names
        assert settings.models[0].fallbacks == (names[1],)
        assert settings.models[0].aliases == ("chosen",)


def test_a_fallback_that_the_gateway_could_not_ask_for_by_name_is_left_out(tmp_path: Path) -> None:
    selection = chosen(hosted("first"), hosted("second"))
    (model,) = loaded(selection, tmp_path).models
    assert (model.name, model.fallbacks) == ("m", ())
    assert "left out as a fallback: second: both call their model m" in selection.gateway_config()


def test_names_of_others_add_nothing_to_the_configuration(tmp_path: Path) -> None:
    evil = replace(hosted("first"), name="first\nkeys: {}\x85\u2028policy: {}\x07")
    assert loaded(chosen(evil), tmp_path).models[0].name == "m"
    (model,) = loaded(chosen(hosted("first", "chosen")), tmp_path).models
    assert (model.name, model.aliases) == ("chosen", ())


def test_a_price_that_the_gateway_takes_for_a_mistake_is_not_written(tmp_path: Path) -> None:
    odd = Price(Decimal("0.1"), Decimal("0.6"), "a page", TODAY, cached_per_million=Decimal("0.2"))
    offer = Offer(platform="first", model="m", price=odd)
    (model,) = loaded(chosen(replace(hosted("first"), offer=offer)), tmp_path).models
    assert model.price is not None
    assert model.price.cached_input_per_million is None


def test_a_key_goes_in_the_header_that_the_platform_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_API_KEY", "k-first")
    one = hosted("first")
    auth = Auth(kind="header", header="Api-Key", env="FIRST_API_KEY")
    odd = replace(one, platform=replace(one.platform, auth=Sourced(auth, "a page")))
    with respx.mock() as network:
        route = network.get("https://api.first.example/v1/models")
        route.respond(json={"object": "list", "data": []})
        with chosen(odd).client(max_retries=0, default_headers={"X-Team": "blue"}) as client:
            client.models.list()
        sent = route.calls[0].request.headers
    assert (sent["api-key"], sent["x-team"], "authorization" in sent) == ("k-first", "blue", False)
    with pytest.raises(ConfigurationError, match="wants its key as Api-Key"):
        chosen(odd).gateway_config()


def test_machines_of_ones_own_are_launched_or_called_where_they_run(tmp_path: Path) -> None:
    fleet = Fleet(usd_per_gpu_hour=3.6, gpus=2, max_replicas=8, engine_args=("--max-num-seqs", "64"))
    plain = candidate("own", offer=Offer(platform="own", model="smollm2-135m-instruct"))
    launched = replace(plain, fleet=fleet)
    (model,) = loaded(chosen(launched), tmp_path).models
    # 1 call a second at 0.4 a replica.
    assert (model.model, model.replicas, model.engine_args) == (
        "smollm2-135m-instruct",
        3,
        ("--max-num-seqs", "64"),
    )
    assert model.price is not None
    assert (model.price.gpu_second, model.price.gpus) == (Decimal("0.001"), 2)
    (running,) = loaded(chosen(replace(launched, base_url="http://10.0.0.1:8000/v1")), tmp_path).models
    assert not isinstance(running.replicas, int)
    assert running.replicas[0].url == "http://10.0.0.1:8000"
    assert running.cache_salt


def test_a_winner_that_a_gateway_cannot_reach_is_refused_and_such_a_fallback_left_out(tmp_path: Path) -> None:
    deep = replace(hosted("deep"), base_url="https://deep.example/openai/v1")
    with pytest.raises(ConfigurationError, match="deep: the gateway calls replicas below /v1"):
        chosen(deep, hosted("plain")).gateway_config()
    selection = chosen(hosted("plain"), deep)
    (model,) = loaded(selection, tmp_path).models
    assert model.fallbacks == ()
    assert "left out as a fallback: deep" in selection.gateway_config()


_ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "small",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}},
    ],
}


def asked(selection: Selection) -> str | None:
    """What the selection's client answers to the winner's model."""
    with selection.client(max_retries=1) as client:
        reply = client.chat.completions.create(model="big", messages=[{"role": "user", "content": "hi"}])
    return reply.choices[0].message.content


def test_client_calls_the_winner_and_the_runner_up_where_it_fails_each_with_its_own_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIRST_API_KEY", "k-first")
    monkeypatch.setenv("SECOND_API_KEY", "k-second")
    with respx.mock() as network:
        first = network.post("https://api.first.example/v1/chat/completions").respond(503)
        second = network.post("https://api.second.example/v1/chat/completions").respond(json=_ANSWER)
        assert asked(chosen(hosted("first", "big"), hosted("second", "small"))) == "Hello"
    assert first.calls[0].request.headers["authorization"] == "Bearer k-first"
    assert second.calls[0].request.headers["authorization"] == "Bearer k-second"
    assert json.loads(second.calls[0].request.content)["model"] == "small"


def test_runner_up_without_a_key_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_API_KEY", "k-first")
    monkeypatch.delenv("SECOND_API_KEY", raising=False)
    with respx.mock() as network:
        network.post("https://api.first.example/v1/chat/completions").respond(json=_ANSWER)
        assert asked(chosen(hosted("first", "big"), hosted("second", "small"))) == "Hello"


def test_client_without_its_key_says_which_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIRST_API_KEY", raising=False)
    selection = chosen(hosted("first"))
    with pytest.raises(ConfigurationError, match="first: set FIRST_API_KEY"):
        selection.client()


def test_no_client_where_nobody_knows_where_calls_go() -> None:
    with pytest.raises(ConfigurationError, match="give it a base_url"):
        chosen(candidate("bare")).client()
    with pytest.raises(ConfigurationError, match="no candidate passes"):
        choose([candidate("bare")], {}, rules=Rules(regions=("eu",))).client()
