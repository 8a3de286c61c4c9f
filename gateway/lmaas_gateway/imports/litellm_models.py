"""LiteLLM's `model_list`: entries that name a server become models and replicas, the others are told of."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lmaas_gateway.imports import litellm_reasons as reasons

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lmaas_gateway.imports.report import Report

# Those whose servers speak the OpenAI API at a URL of one's own.
_PROVIDERS = frozenset(
    {
        "",
        "custom_openai",
        "hosted_vllm",
        "litellm_proxy",
        "llamafile",
        "lm_studio",
        "openai",
        "openai_like",
        "text-completion-openai",
        "vllm",
        "xinference",
    }
)
# Those whose APIs are others, or which LiteLLM reaches at an address of their own.
_HOSTED = frozenset(
    {
        "ai21",
        "anthropic",
        "anyscale",
        "azure",
        "azure_ai",
        "azure_text",
        "bedrock",
        "cerebras",
        "cloudflare",
        "codestral",
        "cohere",
        "cohere_chat",
        "dashscope",
        "databricks",
        "deepgram",
        "deepinfra",
        "deepseek",
        "fireworks_ai",
        "friendliai",
        "gemini",
        "github",
        "groq",
        "huggingface",
        "jina_ai",
        "mistral",
        "moonshot",
        "nvidia_nim",
        "ollama",
        "ollama_chat",
        "openrouter",
        "oobabooga",
        "palm",
        "perplexity",
        "petals",
        "predibase",
        "replicate",
        "sagemaker",
        "sagemaker_chat",
        "sambanova",
        "snowflake",
        "together_ai",
        "triton",
        "vertex_ai",
        "vertex_ai_beta",
        "volcengine",
        "voyage",
        "watsonx",
        "xai",
    }
)
_KINDS = {
    "chat": "chat",
    "completion": "completion",
    "responses": "chat",
    "embedding": "embedding",
    "rerank": "rerank",
}
_SECRET_IN_ENVIRONMENT = "os.environ/"  # noqa: S105 - a prefix


@dataclass(slots=True)
class Model:
    """One of our models, as far as it has been put together.

    Attributes:
        requests_per_minute: What its replicas take together; 0 if nothing was said.
        tokens_per_minute: The same.
    """

    settings: dict[str, Any]
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    urls: set[str] = field(default_factory=set)


def read_models(entries: object, report: Report, environ: Mapping[str, str] = os.environ) -> dict[str, Model]:
    """Turn `model_list` into models by their names, in the order of the list.

    Args:
        entries: The list, as YAML has it.
        report: Takes what cannot be carried over.
        environ: Where `os.environ/NAME` is looked up.
    """
    models: dict[str, Model] = {}
    if not isinstance(entries, list):
        report.add(("model_list",), "is no list, so there are no models")
        return models
    for index, entry in enumerate(entries):
        if isinstance(entry, dict):
            _Entry(entry, index, report, environ).add_to(models)
        else:
            report.add(("model_list", index), "is no entry with `model_name` and `litellm_params`")
    return models


class _Entry:
    """One deployment of the list."""

    def __init__(self, entry: dict[str, Any], index: int, report: Report, environ: Mapping[str, str]) -> None:
        self._place = ("model_list", index)
        self._entry = entry
        self._params = _mapping(entry.get("litellm_params"))
        self._info = _mapping(entry.get("model_info"))
        self._report = report
        self._environ = environ

    def add_to(self, models: dict[str, Model]) -> None:
        """Put it where it belongs, if there is a place for it."""
        name = self._entry.get("model_name")
        if not isinstance(name, str) or not name:
            self._say("model_name", "is missing, so the entry has no name")
            return
        if "*" in name:
            self._say("model_name", "stands for many models; name each, with the URL that serves it")
            return
        if (url := self._url()) is None or (kind := self._kind()) is None:
            return
        settings: dict[str, Any] = {"name": name, "kind": kind, "replicas": []}
        model = models.setdefault(name, Model(settings))
        if model.settings["kind"] != kind:
            self._say("model_info", f"says {kind}, but another entry of {name!r} {model.settings['kind']}")
            return
        if url in model.urls:
            self._say("litellm_params", f"{url} is a replica of {name!r} already; it is listed once")
            return
        model.urls.add(url)
        model.settings["replicas"].append(self._replica(url))
        self._take_limits(model)
        self._take_price(model)
        self._report.leave(self._params, reasons.PARAMS, *self._place, "litellm_params")
        self._report.leave(self._info, reasons.INFO, *self._place, "model_info")
        known = {"model_name": None, "litellm_params": None, "model_info": None}
        self._report.leave(self._entry, known, *self._place)

    def _kind(self) -> str | None:
        mode = self._info.get("mode", "completion" if self._provider() == "text-completion-openai" else None)
        if mode is None:
            self._say("model_info", "says no `mode`; the model is taken for one that chats")
            return "chat"
        if mode not in _KINDS:
            self._say("model_info", f"the mode {mode!r} is not served here")
            return None
        return _KINDS[mode]

    def _provider(self) -> str:
        """Name the provider; empty for what is none, as the first part of a hub id."""
        prefix, slash, _ = str(self._params.get("model", "")).partition("/")
        given = str(self._params.get("custom_llm_provider") or (prefix if slash else ""))
        return given if given in _PROVIDERS | _HOSTED else ""

    def _url(self) -> str | None:
        base = self._params.get("api_base") or self._params.get("base_url")
        if (provider := self._provider()) in _HOSTED:
            why = f"{provider!r} has an API of its own; models here are served by vLLM at a URL"
            self._say("litellm_params", why)
            return None
        if not base:
            self._say("litellm_params", "names no `api_base`; models here are served by vLLM at a URL")
            return None
        return self._server_of(self._resolve(str(base)) or "")

    def _server_of(self, base: str) -> str | None:
        """Give scheme, host and port of an `api_base`, which ends with a version that we add ourselves."""
        try:
            parts = urlsplit(base)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            self._say("litellm_params", "`api_base` is no URL that can be read here")
            return None
        if parts.path.rstrip("/") not in {"", "/v1"} or parts.query or parts.username:
            self._say("litellm_params", "`api_base` has more than host, port and /v1, which replicas do not")
            return None
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{parts.scheme}://{host}" + ("" if port is None else f":{port}")

    def _replica(self, url: str) -> dict[str, Any]:
        replica: dict[str, Any] = {"url": url}
        if key := self._params.get("api_key"):
            resolved = self._resolve(str(key))
            # What servers without a key are sent, since LiteLLM wants one.
            if resolved is not None and resolved.lower() not in {
                "none",
                "null",
                "empty",
                "fake-key",
                "dummy",
            }:
                replica["api_key"] = resolved
        if (weight := _number(self._params.get("weight"))) is not None and 0 < weight <= 1000:
            replica["weight"] = float(weight)
        if (most := _number(self._params.get("max_parallel_requests"))) is not None and most >= 1:
            replica["max_in_flight"] = int(most)
        if (first := _number(self._params.get("stream_timeout"))) is not None and first > 0:
            replica["first_byte_s"] = float(first)
        if isinstance(name := self._info.get("id"), str) and name:
            replica["name"] = name
        return replica

    def _take_limits(self, model: Model) -> None:
        model.requests_per_minute += int(_number(self._params.get("rpm")) or 0)
        model.tokens_per_minute += int(_number(self._params.get("tpm")) or 0)

    def _take_price(self, model: Model) -> None:
        names = {
            "input_cost_per_token": "input_per_million",
            "output_cost_per_token": "output_per_million",
            "cache_read_input_token_cost": "cached_input_per_million",
        }
        found: Iterator[tuple[str, Any]] = (
            (ours, self._params.get(theirs, self._info.get(theirs))) for theirs, ours in names.items()
        )
        price = {
            ours: _plain(number * 10**6)
            for ours, cost in found
            if (number := _number(cost)) is not None and number >= 0
        }
        if price:
            model.settings.setdefault("price", price)

    def _resolve(self, value: str) -> str | None:
        if not value.startswith(_SECRET_IN_ENVIRONMENT):
            return value
        name = value.removeprefix(_SECRET_IN_ENVIRONMENT)
        found = self._environ.get(name)
        if found is None:
            self._say("litellm_params", f"{name} is not set in the environment; write its value in by hand")
        return found or None

    def _say(self, part: str, why: str) -> None:
        self._report.add((*self._place, part), why)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _plain(number: Decimal) -> float:
    return float(round(number, 9))
