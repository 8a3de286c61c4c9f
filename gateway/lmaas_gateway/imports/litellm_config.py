"""LiteLLM's `config.yaml`: what is meant by it, as settings of ours."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.imports import litellm_reasons as reasons
from lmaas_gateway.imports.litellm_models import read_models
from lmaas_gateway.imports.report import Report
from lmaas_gateway.settings import Settings, explain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.imports.litellm_models import Model
    from lmaas_gateway.imports.report import Remark

_MIN_KEY_CHARS = 16
_STRATEGIES = {
    "simple-shuffle": "round_robin",
    "least-busy": "least_tokens",
    "usage-based-routing": "least_tokens",
    "usage-based-routing-v2": "least_tokens",
    "latency-based-routing": "power_of_two",
}


@dataclass(frozen=True, slots=True)
class Converted:
    """A configuration of ours.

    Attributes:
        settings: As they stand in a file.
        remarks: What was not carried over, in the order of the file.
        limits: Rates of models, as arguments of `lmaas limits set`.
    """

    settings: dict[str, Any]
    remarks: tuple[Remark, ...]
    limits: tuple[tuple[str, int, str], ...]

    def as_yaml(self) -> str:
        """Write the file."""
        return yaml.safe_dump(self.settings, sort_keys=False, allow_unicode=True)


def convert(text: str, environ: Mapping[str, str] = os.environ) -> Converted:
    """Turn a `config.yaml` into settings that work.

    Args:
        text: The file.
        environ: Where `os.environ/NAME` is looked up.

    Raises:
        SettingsError: it is no such file, or nothing of it can be served here.
    """
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"the file is not YAML: {error}") from None
    if not isinstance(config, dict) or "model_list" not in config:
        raise SettingsError("the file has no `model_list`, so it is no configuration of LiteLLM")
    report = Report(text)
    models = read_models(config["model_list"], report, environ)
    if not models:
        said = "; ".join(map(str, report.remarks[:3]))
        raise SettingsError(f"no entry of `model_list` can be served here: {said}")
    settings = _Conversion(config, models, report, environ).settings()
    try:
        Settings.model_validate(settings)
    except ValueError as error:
        raise SettingsError(f"the result would not work: {_say(error)}") from None
    remarks = sorted(report.remarks, key=lambda remark: remark.line or 0)
    return Converted(settings, tuple(remarks), tuple(_limits(models)))


class _Conversion:
    """One file on its way."""

    def __init__(
        self, config: dict[str, Any], models: dict[str, Model], report: Report, environ: Mapping[str, str]
    ) -> None:
        self._config = config
        self._models = models
        self._report = report
        self._environ = environ
        self._router = self._section("router_settings")
        self._litellm = self._section("litellm_settings")
        self._general = self._section("general_settings")

    def settings(self) -> dict[str, Any]:
        """Put everything together; remark on all that is left."""
        self._take_aliases()
        self._take_fallbacks()
        self._take_routing()
        settings: dict[str, Any] = {"models": [model.settings for model in self._models.values()]}
        settings |= self._groups()
        settings |= self._admin_key()
        self._report.leave(self._config, reasons.SECTIONS)
        self._report.leave(self._router, reasons.ROUTER, "router_settings")
        self._report.leave(self._litellm, reasons.LITELLM, "litellm_settings")
        self._report.leave(self._general, reasons.GENERAL, "general_settings")
        return settings

    def _section(self, name: str) -> dict[str, Any]:
        section = self._config.get(name)
        return section if isinstance(section, dict) else {}

    def _take_aliases(self) -> None:
        aliases = self._router.get("model_group_alias")
        for alias, target in (aliases if isinstance(aliases, dict) else {}).items():
            name = target.get("model") if isinstance(target, dict) else target
            place = ("router_settings", "model_group_alias", alias)
            if name not in self._models:
                self._report.add(place, f"stands for {name!r}, which is not carried over")
            elif alias in self._models:
                self._report.add(place, "is a model's own name too; that one stays")
            else:
                self._models[name].settings.setdefault("aliases", []).append(alias)

    def _take_fallbacks(self) -> None:
        for section in ("router_settings", "litellm_settings"):
            entries = self._section(section).get("fallbacks")
            for index, entry in enumerate(entries if isinstance(entries, list) else []):
                for name, others in (entry if isinstance(entry, dict) else {}).items():
                    self._take_fallback(name, others, (section, "fallbacks", index, name))

    def _take_fallback(self, name: str, others: object, place: tuple[str | int, ...]) -> None:
        if name not in self._models:
            self._report.add(place, f"{name!r} is not carried over")
            return
        names = others if isinstance(others, list) else []
        known = [other for other in names if other in self._models and other != name]
        for other in names:
            if other not in known:
                self._report.add(place, f"{other!r} is not carried over")
        if known:
            self._models[name].settings["fallbacks"] = known

    def _take_routing(self) -> None:
        strategy = self._router.get("routing_strategy")
        if strategy is None:
            return
        if strategy not in _STRATEGIES:
            why = f"{strategy!r} has no counterpart; replicas are chosen by what they have read before"
            self._report.add(("router_settings", "routing_strategy"), why)
            return
        for model in self._models.values():
            model.settings["routing"] = _STRATEGIES[strategy]

    def _groups(self) -> dict[str, Any]:
        groups: dict[str, dict[str, Any]] = {}

        def put(group: str, name: str, value: object, *, most: float) -> None:
            if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                groups.setdefault(group, {})[name] = min(value, most)

        put("timeouts", "total_s", self._first("timeout", "request_timeout"), most=86400)
        put("retries", "max_extra_attempts", self._first("num_retries"), most=8)
        put("ejection", "consecutive_failures", self._first("allowed_fails"), most=1000)
        put("ejection", "base_s", self._first("cooldown_time"), most=300)
        top: dict[str, Any] = {}
        size_mb = self._general.get("max_request_size_mb")
        if isinstance(size_mb, int | float) and size_mb > 0:
            top["max_body_bytes"] = int(size_mb * 2**20)
        interval_s = self._general.get("health_check_interval")
        if isinstance(interval_s, int | float) and interval_s > 0:
            top["probe_interval_s"] = float(interval_s)
        return top | groups | self._cache()

    def _cache(self) -> dict[str, Any]:
        if self._litellm.get("cache") is not True:
            return {}
        params = self._litellm.get("cache_params")
        params = params if isinstance(params, dict) else {}
        place = ("litellm_settings", "cache_params")
        if params.get("type", "local") != "local":
            self._report.add(place, "kept replies are in the gateway's memory, each worker's own")
        self._report.leave(
            params,
            {"type": None, "ttl": None, "host": None, "port": None, "password": None, "namespace": None},
            *place,
        )
        cache: dict[str, Any] = {"enabled": True}
        ttl_s = params.get("ttl")
        if isinstance(ttl_s, int | float) and ttl_s > 0:
            cache["ttl_s"] = float(ttl_s)
        return {"cache": cache}

    def _first(self, *names: str) -> object:
        sections = (self._router, self._litellm)
        return next((one[name] for one in sections for name in names if name in one), None)

    def _admin_key(self) -> dict[str, Any]:
        key = self._general.get("master_key")
        place = ("general_settings", "master_key")
        if not isinstance(key, str):
            return {}
        if key.startswith("os.environ/"):
            name = key.removeprefix("os.environ/")
            self._report.add(place, f"start the gateway with LMAAS_ADMIN_KEY set to the value of {name}")
            return {}
        if len(key) < _MIN_KEY_CHARS:
            self._report.add(place, "is too short for an `admin_key`; make one with: openssl rand -hex 24")
            return {}
        return {"admin_key": key}


def _limits(models: dict[str, Model]) -> list[tuple[str, int, str]]:
    found = []
    for name, model in models.items():
        if model.requests_per_minute:
            found.append(("requests/minute", model.requests_per_minute, name))
        if model.tokens_per_minute:
            found.append(("tokens/minute", model.tokens_per_minute, name))
    return found


def _say(error: ValueError) -> str:
    return explain(error)  # type: ignore[arg-type]  # what pydantic raises is one
