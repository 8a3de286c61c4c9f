"""Models by name: the right pool, or a sentence that helps to find it."""

from __future__ import annotations

import pytest

from lmaas_gateway.call import ROUTES
from lmaas_gateway.errors import ModelNotFoundError, UnsupportedRouteError
from lmaas_gateway.replicas.directory import Directory, build_directory, paths_of
from lmaas_gateway.replicas.pool import Pool
from lmaas_gateway.settings import ModelKind, Settings

ROUTE = {route.path: route for route in ROUTES}


def directory_of(*names: str, kind: ModelKind = "chat") -> Directory:
    return Directory({name: Pool(name, kind, (), 0) for name in names})


def test_model_is_found_with_a_route_it_has() -> None:
    directory = directory_of("chat", "other")
    assert directory.find("chat", ROUTE["/v1/messages"]).name == "chat"
    assert directory.find("other").name == "other"


@pytest.mark.parametrize(
    ("names", "asked", "says"),
    [
        (("llama-3-8b", "qwen-2-7b"), "llama3-8b", "Did you mean 'llama-3-8b'?"),
        (("chat-a", "chat-b"), "chat-c", "Did you mean 'chat-b' or 'chat-a'?"),
        (("alpha", "beta"), "zzz", "Served: 'alpha', 'beta'."),
        (tuple("abcdefg"), "zzz", "'e', …."),
        ((), "zzz", "Served: none."),
    ],
)
def test_missing_model_is_answered_with_those_that_exist(
    names: tuple[str, ...], asked: str, says: str
) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        directory_of(*names).find(asked)
    assert says in caught.value.message
    assert caught.value.param == "model"


def test_long_name_is_not_repeated_whole() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        directory_of("a").find("x" * 10_000)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("embedding", "/v1/chat/completions"),
        ("chat", "/v1/embeddings"),
        ("completion", "/v1/messages"),
        ("rerank", "/v1/classify"),
        ("classify", "/v1/score"),
    ],
)
def test_wrong_kind_lists_its_own_routes(kind: ModelKind, path: str) -> None:
    with pytest.raises(UnsupportedRouteError) as caught:
        directory_of("m", kind=kind).find("m", ROUTE[path])
    assert path in caught.value.message
    for own in paths_of(kind):
        assert own in caught.value.message


@pytest.mark.parametrize("kind", ["chat", "completion", "embedding", "rerank", "classify"])
def test_every_kind_can_count_its_tokens(kind: ModelKind) -> None:
    assert {"/v1/tokenize", "/v1/detokenize"} < set(paths_of(kind))


async def test_pools_are_built_out_of_settings() -> None:
    settings = Settings.model_validate(
        {
            "models": [
                {
                    "name": "a",
                    "replicas": [{"url": "http://h:1", "api_key": "secret"}, {"url": "http://h:2"}],
                },
                {"name": "b", "kind": "embedding", "replicas": [{"url": "unix:/x"}]},
            ]
        }
    )
    asked: list[str] = []

    def launches(name: str) -> tuple[()]:
        asked.append(name)
        return ()

    directory = build_directory(settings, launches)
    assert [(pool.name, pool.kind) for pool in directory] == [("a", "chat"), ("b", "embedding")]
    assert [replica.name for replica in directory.pools["a"].replicas] == ["a-0", "a-1"]
    assert directory.pools["a"].state == "starting"
    assert directory.pools["a"].max_model_len is None
    assert asked == ["a"]
    assert "secret" not in repr(directory.pools)
    directory.close()


@pytest.mark.parametrize(("workers", "tokens"), [(1, 10), (4, 3)])
async def test_workers_have_the_retries_of_a_pool_together(workers: int, tokens: int) -> None:
    model = {"name": "a", "kind": "chat", "replicas": [{"url": "http://h:1"}]}
    settings = Settings.model_validate({"models": [model], "retries": {"burst": 10}, "workers": workers})
    directory = build_directory(settings)
    assert directory.pools["a"].retries.tokens == tokens
    directory.succeed(directory, settings)
    assert directory.pools["a"].retries.tokens == tokens


async def test_calls_before_and_after_a_reload_share_their_retries() -> None:
    model = {"name": "a", "kind": "chat", "replicas": [{"url": "http://h:1"}]}
    before = Settings.model_validate({"models": [model], "retries": {"burst": 3}})
    after = Settings.model_validate({"models": [model], "retries": {"burst": 2}})
    old = build_directory(before)
    new = build_directory(after, previous=old)
    assert old.pools["a"].retries.tokens == 3
    new.succeed(old, after)
    assert old.pools["a"].retries.take()
    assert new.pools["a"].retries.take()
    assert not old.pools["a"].retries.take()
    new.close()
