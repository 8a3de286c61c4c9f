"""Why LiteLLM's settings are not carried over, and what does their work here.

None marks those that are: whoever reads them remarks on what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Reasons: TypeAlias = Mapping[str, str | None]

SECTIONS: Reasons = {
    "model_list": None,
    "litellm_settings": None,
    "router_settings": None,
    "general_settings": None,
    "environment_variables": "set them where the gateway is started",
    "guardrails": "answers are not checked by other services here",
    "mcp_servers": "tools are the callers' own",
    "vector_store_registry": "there are no vector stores",
    "files_settings": "there are no files of hosted APIs",
    "finetune_settings": "there is no fine-tuning of hosted APIs",
    "credential_list": "write each replica's `api_key` with it",
    "search_tools": "tools are the callers' own",
    "include": "put the included files into this one before it is imported",
}
"""Of the file."""

ROUTER: Reasons = {
    "routing_strategy": None,
    "model_group_alias": None,
    "fallbacks": None,
    "num_retries": None,
    "allowed_fails": None,
    "cooldown_time": None,
    "timeout": None,
    "redis_host": "for limits across hosts set `storage.valkey_url`",
    "redis_port": "for limits across hosts set `storage.valkey_url`",
    "redis_password": "for limits across hosts set `storage.valkey_url`",
    "redis_url": "for limits across hosts set `storage.valkey_url`",
    "enable_pre_call_checks": "vLLM itself refuses what does not fit its context",
    "context_window_fallbacks": "a request that a model refuses is not tried elsewhere",
    "content_policy_fallbacks": "a request that a model refuses is not tried elsewhere",
    "default_fallbacks": "name the fallbacks of each model",
    "retry_policy": "what is tried again is fixed: failures before the first byte",
    "allowed_fails_policy": "`ejection` counts failures of every kind alike",
    "tag_filtering": "calls are not routed by tags",
    "enable_tag_filtering": "calls are not routed by tags",
}
"""`router_settings`."""

LITELLM: Reasons = {
    "fallbacks": None,
    "num_retries": None,
    "request_timeout": None,
    "allowed_fails": None,
    "cooldown_time": None,
    "cache": None,
    "cache_params": None,
    "drop_params": "parameters pass to the replica as they are",
    "modify_params": "parameters pass to the replica as they are",
    "set_verbose": "set `log_level: debug`",
    "json_logs": "logs are JSON lines always",
    "success_callback": "metrics are at /metrics, each call is a line of the log and a row of the ledger",
    "failure_callback": "metrics are at /metrics, each call is a line of the log and a row of the ledger",
    "callbacks": "metrics are at /metrics, each call is a line of the log and a row of the ledger",
    "service_callback": "metrics are at /metrics",
    "turn_off_message_logging": "prompts are never logged",
    "redact_user_api_key_info": "keys are never logged",
    "context_window_fallbacks": "a request that a model refuses is not tried elsewhere",
    "content_policy_fallbacks": "a request that a model refuses is not tried elsewhere",
    "default_fallbacks": "name the fallbacks of each model",
    "max_budget": "set it with: lmaas limits set money/month AMOUNT",
    "budget_duration": "set it with: lmaas limits set money/month AMOUNT",
    "default_internal_user_params": "members get their roles one by one: lmaas members create",
    "default_team_settings": "projects are made one by one: lmaas projects create",
    "ssl_verify": "give replicas with a certificate of their own a `ca_file`",
    "telemetry": "nothing is sent anywhere",
}
"""`litellm_settings`."""

GENERAL: Reasons = {
    "master_key": None,
    "database_url": "tables differ: the keys are imported with --keys, and `storage.url` says where ours are",
    "store_model_in_db": "models are in the configuration file",
    "alerting": "alert on /metrics",
    "alerting_threshold": "alert on /metrics",
    "custom_auth": "callers have keys of the gateway, or tokens of your sign-on (`identity`)",
    "enable_jwt_auth": "set `identity.issuers`",
    "litellm_jwtauth": "set `identity.issuers`",
    "max_parallel_requests": "set it with: lmaas limits set calls_in_flight N",
    "global_max_parallel_requests": "set it with: lmaas limits set calls_in_flight N",
    "max_request_size_mb": None,
    "background_health_checks": "replicas are asked for their health always",
    "health_check_interval": None,
    "proxy_batch_write_at": "the books are shipped as `books` says",
    "disable_spend_logs": "the books are always kept",
    "allow_requests_on_db_unavailable": "`identity.stale_s` says how long known keys work without it",
    "allowed_routes": "give keys the scope `routes`",
    "ui_access_mode": "there is no such page",
    "pass_through_endpoints": "only vLLM's routes are served",
    "store_prompts_in_spend_logs": "projects may: lmaas projects create NAME --stores-content",
}
"""`general_settings`."""

PARAMS: Reasons = {
    "model": None,
    "api_base": None,
    "base_url": None,
    "api_key": None,
    "weight": None,
    "rpm": None,
    "tpm": None,
    "max_parallel_requests": None,
    "input_cost_per_token": None,
    "output_cost_per_token": None,
    "cache_read_input_token_cost": None,
    "custom_llm_provider": None,
    "stream_timeout": None,
    "timeout": "deadlines are the model's `first_byte_s` and `timeouts`, not a replica's",
    "request_timeout": "deadlines are the model's `first_byte_s` and `timeouts`, not a replica's",
    "max_retries": "`retries` holds for the whole gateway",
    "num_retries": "`retries` holds for the whole gateway",
    "temperature": "parameters of calls are the callers' own; replicas have defaults of the model",
    "top_p": "parameters of calls are the callers' own; replicas have defaults of the model",
    "max_tokens": "parameters of calls are the callers' own; limit tokens with `lmaas limits set`",
    "drop_params": "parameters pass to the replica as they are",
    "extra_headers": "headers for replicas are fixed; put what they need into the replica's `api_key`",
    "organization": "only OpenAI knows it",
    "tags": "calls are not routed by tags",
    "max_budget": "limit money with `lmaas limits set money/month … --of-model NAME`",
    "budget_duration": "limit money with `lmaas limits set money/month … --of-model NAME`",
}
"""`litellm_params` of an entry."""

INFO: Reasons = {
    "mode": None,
    "id": None,
    "input_cost_per_token": None,
    "output_cost_per_token": None,
    "cache_read_input_token_cost": None,
    "base_model": "prices are set with `price`",
    "max_tokens": "vLLM says how long a context may be",
    "max_input_tokens": "vLLM says how long a context may be",
    "max_output_tokens": "limit `max_tokens` where calls are made, or tokens with `lmaas limits set`",
    "access_groups": "give keys the scope `models` with a pattern instead",
    "health_check_model": "replicas are asked for their health as vLLM answers it",
    "supports_vision": "replicas say what they can",
    "supports_function_calling": "replicas say what they can",
    "description": "models have no description",
    "team_id": "models belong to no project; give keys the scope `models`",
}
"""`model_info` of an entry."""

KEY: Reasons = {
    "aliases": "models have aliases for everybody, in the configuration",
    "config": "keys change no setting",
    "guardrails": "answers are not checked by other services here",
    "metadata": "keys have no notes",
    "model_max_budget": "set it with: lmaas limits set money/month AMOUNT --key ID --model NAME",
    "permissions": "what a key may is in its scopes",
    "soft_budget": "limits refuse; alert on /metrics before",
    "spend": "what was spent there stays there; the books begin anew",
    "tags": "calls are not booked by tags",
    "user_id": "the key is its project's own; give it a member with: lmaas members create",
}
"""A key's own."""
