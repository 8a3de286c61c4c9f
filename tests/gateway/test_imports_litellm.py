"""What becomes of a LiteLLM configuration and of its keys, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.imports.litellm_config import Converted, convert
from lmaas_gateway.imports.litellm_keys import read_keys
from lmaas_gateway.settings import Settings, load_settings

DATA = Path(__file__).parent / "data"
CONFIG = (DATA / "litellm_config.yaml").read_text("utf-8")
KEYS = (DATA / "litellm_keys.json").read_text("utf-8")
NOW_S = 1_795_000_000.0


@pytest.fixture(scope="module")
def converted() -> Converted:
    return convert(CONFIG, {"VLLM_KEY": "k-of-the-first-replica"})


def one(**fields: Any) -> str:
    """A configuration of one entry."""
    params = {"model": "hosted_vllm/m", "api_base": "http://10.0.0.1:8000/v1", **fields.pop("params", {})}
    entry = {"model_name": "m", "litellm_params": params, "model_info": {"mode": "chat"}, **fields}
    return yaml.safe_dump({"model_list": [entry]})


def test_result_is_a_configuration_that_loads(converted: Converted, tmp_path: Path) -> None:
    path = tmp_path / "lmaas.yaml"
    path.write_text(converted.as_yaml(), "utf-8")
    settings = load_settings(path, environ={})
    assert [model.name for model in settings.models] == ["llama-3-8b", "minilm", "qwen-chat"]
    assert settings.admin_key is not None
    assert settings.admin_key.get_secret_value() == "sk-master-0123456789abcdef"


def test_entries_with_a_url_become_models_and_replicas(converted: Converted) -> None:
    llama, minilm, qwen = converted.settings["models"]
    assert llama["replicas"] == [
        {
            "url": "http://10.0.0.1:8000",
            "api_key": "k-of-the-first-replica",
            "weight": 2.0,
            "max_in_flight": 64,
        },
        {"url": "http://10.0.0.2:8000"},
    ]
    assert (llama["aliases"], llama["fallbacks"]) == (["gpt-3.5-turbo"], ["qwen-chat"])
    assert llama["price"] == {"input_per_million": 0.15, "output_per_million": 0.6}
    assert (minilm["kind"], minilm["replicas"][0]["name"]) == ("embedding", "minilm-a")
    assert minilm["replicas"][0]["first_byte_s"] == 30
    assert qwen["aliases"] == ["assistant"]
    assert {model["routing"] for model in converted.settings["models"]} == {"least_tokens"}


def test_settings_of_the_whole_are_carried_over(converted: Converted) -> None:
    settings = Settings.model_validate(converted.settings)
    assert settings.timeouts.total_s == 600
    assert settings.retries.max_extra_attempts == 3
    assert (settings.ejection.consecutive_failures, settings.ejection.base_s) == (4, 60)
    assert (settings.cache.enabled, settings.cache.ttl_s) == (True, 120)
    assert settings.max_body_bytes == 10 * 2**20
    assert converted.limits == (
        ("requests/minute", 900, "llama-3-8b"),
        ("tokens/minute", 200_000, "llama-3-8b"),
    )


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("model_list.0.litellm_params.timeout", "deadlines are the model's"),
        ("model_list.3.model_info", "says no `mode`"),
        ("model_list.3.litellm_params.temperature", "callers' own"),
        ("model_list.4.litellm_params", "'azure' has an API of its own"),
        ("model_list.5.litellm_params", "'anthropic' has an API of its own"),
        ("model_list.6.model_name", "stands for many models"),
        ("model_list.7.model_info", "'image_generation' is not served"),
        ("model_list.8.litellm_params", "more than host, port"),
        ("litellm_settings.fallbacks.0.llama-3-8b", "'gpt-4o' is not carried over"),
        ("litellm_settings.fallbacks.1.claude", "'claude' is not carried over"),
        ("litellm_settings.context_window_fallbacks", "is not tried elsewhere"),
        ("litellm_settings.cache_params", "in the gateway's memory"),
        ("litellm_settings.success_callback", "/metrics"),
        ("router_settings.model_group_alias.gpt-4", "'gpt-4o', which is not carried over"),
        ("router_settings.redis_host", "storage.valkey_url"),
        ("general_settings.database_url", "--keys"),
        ("general_settings.some_new_setting", "no counterpart"),
        ("environment_variables", "where the gateway is started"),
    ],
)
def test_what_is_not_carried_over_is_told_with_its_line_and_why(
    converted: Converted, place: str, why: str
) -> None:
    (remark,) = [remark for remark in converted.remarks if remark.place == place]
    assert why in remark.why
    assert remark.line is not None
    last = place.rsplit(".", 1)[1] if "." in place else place
    assert last in CONFIG.splitlines()[remark.line - 1] or remark.place.startswith("model_list")


def test_every_setting_is_either_carried_over_or_told_of(converted: Converted) -> None:
    said = "\n".join(map(str, converted.remarks))
    for section in ("litellm_settings", "router_settings", "general_settings"):
        for name in yaml.safe_load(CONFIG)[section]:
            carried = {"num_retries", "request_timeout", "fallbacks", "cache", "routing_strategy"} | {
                "model_group_alias",
                "allowed_fails",
                "cooldown_time",
                "master_key",
                "max_request_size_mb",
            }
            assert name in carried or f"{section}.{name}" in said, name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1, 2", "not YAML"),
        ("models: []", "no `model_list`"),
        ("model_list: 5", "is no list"),
        ("model_list: [5]", "is no entry"),
        (one(model_name=""), "has no name"),
        (one(params={"api_base": "ftp://x"}), "no URL"),
        (one(params={"api_base": "http://x:99999"}), "no URL"),
        (one(params={"api_base": ""}), "names no `api_base`"),
        (one(params={"api_base": "os.environ/NOWHERE"}), "NOWHERE is not set"),
        (one(params={"custom_llm_provider": "bedrock"}), "'bedrock' has an API"),
        (one(model_info={"mode": "moderation"}), "'moderation' is not served"),
        (one(model_name="n" * 300), "would not work"),
    ],
)
def test_file_of_which_nothing_can_be_served_is_refused(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        convert(text, {})


@pytest.mark.parametrize(
    ("key", "says"),
    [("sk-1234", "too short"), ("os.environ/MASTER", "LMAAS_ADMIN_KEY set to the value of MASTER"), (5, "")],
)
def test_master_key_that_cannot_be_ours_is_told_of(key: object, says: str) -> None:
    config = {**yaml.safe_load(one()), "general_settings": {"master_key": key}}
    converted = convert(yaml.safe_dump(config), {})
    assert "admin_key" not in converted.settings
    assert says in "".join(map(str, converted.remarks))


def test_entries_that_do_not_fit_together_are_told_of() -> None:
    first = yaml.safe_load(one())["model_list"][0]
    other = {**first, "model_info": {"mode": "embedding"}}
    far = {**first, "litellm_params": {**first["litellm_params"], "api_base": "http://[::1]:1/v1"}}
    config = {
        "model_list": [first, first, other, far],
        "router_settings": {
            "routing_strategy": "cost-based-routing",
            "model_group_alias": {"m": "m"},
            "fallbacks": [{"m": ["m"]}],
        },
        "litellm_settings": {"cache": True, "cache_params": {"supported_call_types": ["acompletion"]}},
    }
    converted = convert(yaml.safe_dump(config), {})
    (model,) = converted.settings["models"]
    assert [replica["url"] for replica in model["replicas"]] == ["http://10.0.0.1:8000", "http://[::1]:1"]
    said = "".join(map(str, converted.remarks))
    for why in ("listed once", "says embedding", "no counterpart", "own name too", "supported_call_types"):
        assert why in said
    assert converted.settings["cache"] == {"enabled": True}


def test_keys_are_read_with_what_they_may() -> None:
    (billing, open_), left = read_keys(KEYS, NOW_S)
    assert (billing.name, billing.shown, billing.project) == ("billing-service", "sk-...wXyZ", "billing")
    assert (billing.models, billing.expires_in_days) == (["llama-3-8b", "minilm"], 3650)
    assert billing.limits == [
        ("requests", "minute", 100),
        ("tokens", "minute", 50_000),
        ("calls_in_flight", "none", 8),
        ("money", "month", 25_500_000_000),
    ]
    assert [remark.partition(":")[0] for remark in billing.remarks] == ["user_id", "metadata"]
    assert (open_.name, open_.models, open_.routes) == ("sk-...1111", [], ["/v1/embeddings"])
    assert [remark.partition(":")[0] for remark in open_.remarks] == ["allowed_routes", "max_budget"]
    assert left == [
        "old: has expired, so it is left out",
        "stopped: is blocked, so it is left out",
        "key 5: is a hash alone; ask for the list with return_full_object=true",
    ]


def test_plain_list_of_keys_is_read_too() -> None:
    entries = [{"models": ["no-default-models"], "max_budget": 2, "budget_duration": "1d", "expires": "soon"}]
    (key,), left = read_keys(json.dumps(entries), NOW_S)
    assert (key.name, key.models, left) == ("key 1", ["no-default-models"], [])
    assert key.limits == [("money", "day", 2 * 10**9)]
    assert key.expires_in_days is None


@pytest.mark.parametrize(
    ("text", "says"), [("nonsense", "not JSON"), ('{"keys": 5}', "no list"), ("5", "no list")]
)
def test_what_is_no_list_of_keys_is_refused(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        read_keys(text, NOW_S)


def test_end_of_a_key_is_kept_to_the_day() -> None:
    (key,), _ = read_keys('[{"key_alias": "a", "expires": "2026-12-01T00:00:00"}]', NOW_S)
    assert key.expires_in_days == 13
