"""Plans: which pools may serve a call, and in which order."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmaas_gateway.call import ROUTES, Principal
from lmaas_gateway.errors import ModelNotFoundError, SettingsError, UnsupportedRouteError
from lmaas_gateway.replicas.directory import Directory, build_directory
from lmaas_gateway.replicas.plans import Canary
from lmaas_gateway.replicas.pool import Pool
from lmaas_gateway.settings import Settings
from support.calls import make_call

SOMEBODY = Principal("somebody")
EVERYBODY = Principal("everybody", is_shared=True)


def directory_of(*models: dict[str, Any]) -> Directory:
    entries = [{"replicas": [{"url": f"http://h:{port}"}], **model} for port, model in enumerate(models, 1)]
    return build_directory(Settings.model_validate({"models": entries}))


def names(directory: Directory, model: str, **fields: Any) -> list[str]:
    call = make_call(model=model, **fields)
    return [pool.name for pool in directory.route(call, SOMEBODY)]


def test_plan_is_the_model_then_its_fallbacks_and_not_theirs() -> None:
    directory = directory_of(
        {"name": "a", "fallbacks": ["b"]}, {"name": "b", "fallbacks": ["c"]}, {"name": "c"}
    )
    assert names(directory, "a") == ["a", "b"]
    assert names(directory, "b") == ["b", "c"]
    assert names(directory, "c") == ["c"]


def test_alias_has_the_plan_of_its_model() -> None:
    directory = directory_of({"name": "a", "aliases": ["x", "y"], "fallbacks": ["b"]}, {"name": "b"})
    assert names(directory, "x") == names(directory, "y") == ["a", "b"]
    assert {alias: pool.name for alias, pool in directory.aliases.items()} == {"x": "a", "y": "a"}
    assert directory.find("x").name == "a"


def test_unknown_names_and_other_kinds_are_refused() -> None:
    directory = directory_of({"name": "chatty", "aliases": ["gpt-4o"]}, {"name": "e", "kind": "embedding"})
    with pytest.raises(ModelNotFoundError, match="Did you mean 'gpt-4o'"):
        names(directory, "gpt-4")
    with pytest.raises(UnsupportedRouteError):
        names(directory, "e", route=ROUTES[0])


def test_model_of_another_kind_as_fallback_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="cannot stand in"):
        directory_of({"name": "a", "fallbacks": ["e"]}, {"name": "e", "kind": "embedding"})


def test_canary_is_tried_first_for_its_share_and_the_model_stands_in_for_it() -> None:
    canary = {"model": "new", "percent": 100}
    directory = directory_of(
        {"name": "a", "canary": canary, "fallbacks": ["b", "new"]}, {"name": "b"}, {"name": "new"}
    )
    assert names(directory, "a") == ["new", "a", "b"]
    none = directory_of({"name": "a", "canary": {"model": "new", "percent": 0}}, {"name": "new"})
    assert names(none, "a") == ["a"]


class TestShare:
    canary = Canary((Pool("new", "chat", (), 0),), 0.05, 1)

    def takes(self, session: bytes, principal: Principal = SOMEBODY, uniform: float = 0.5) -> bool:
        return self.canary.takes(make_call(session=session), principal, lambda: uniform)

    def test_five_percent_of_ten_thousand_sessions(self) -> None:
        taken = sum(self.takes(b"session-%d" % number) for number in range(10_000))
        assert 430 < taken < 570

    def test_session_stays_on_its_side_whoever_calls(self) -> None:
        for number in range(200):
            session = b"%d" % number
            assert len({self.takes(session, principal) for principal in (SOMEBODY, EVERYBODY)}) == 1

    def test_principal_stays_on_its_side_where_there_is_no_session(self) -> None:
        sides = [self.takes(b"", Principal(str(number)), uniform=0) for number in range(1000)]
        assert sides == [self.takes(b"", Principal(str(number)), uniform=1) for number in range(1000)]
        assert 20 < sum(sides) < 80

    def test_principal_that_many_share_is_split_at_random(self) -> None:
        source = random.Random(3)
        taken = sum(self.canary.takes(make_call(), EVERYBODY, source.random) for _ in range(10_000))
        assert 430 < taken < 570

    def test_shares_of_two_models_are_independent(self) -> None:
        other = Canary(self.canary.pools, 0.05, 2)
        calls = [make_call(session=b"%d" % number) for number in range(4000)]
        both = sum(
            self.canary.takes(call, SOMEBODY, lambda: 1) and other.takes(call, SOMEBODY, lambda: 1)
            for call in calls
        )
        assert both < 30


def test_example_of_the_documents_is_a_plan() -> None:
    text = (Path(__file__).parents[2] / "docs" / "routing.md").read_text("utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    directory = build_directory(Settings.model_validate(yaml.safe_load(example)))
    assert names(directory, "chat-small") == ["chat-small"]
    assert names(directory, "gpt-4o", session=b"s")[-2:] == ["chat-large", "chat-small"]
    assert [replica.weight for replica in directory.pools["chat-large"].replicas] == [2, 1]
