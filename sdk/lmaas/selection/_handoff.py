"""The answer as something that runs: a client of the winner, and a gateway's configuration."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from lmaas import LMaaS
from lmaas.errors import ConfigurationError
from lmaas.routing import Endpoint
from lmaas.selection._candidate import Candidate
from lmaas.sizing import replicas_needed

if TYPE_CHECKING:
    from lmaas.selection._selection import Option, Selection

_ALIAS: Final = "chosen"
_NANO: Final = Decimal("1e-9")


def client_of(selection: Selection, options: Mapping[str, Any]) -> LMaaS:
    """Return a client of the winner, with the runner-up in its place where it fails before the first byte.

    A runner-up without an address or a key is left out. `options` are further arguments of `LMaaS`.
    """
    winner = _winner(selection).candidate
    endpoints = [_endpoint(winner, winner)]
    if selection.runner_up is not None:
        with contextlib.suppress(ConfigurationError):
            endpoints.append(_endpoint(selection.runner_up.candidate, winner))
    return LMaaS(**{"platforms": endpoints, "strategy": "order", **options})


def _endpoint(candidate: Candidate, winner: Candidate) -> Endpoint:
    """Return where a candidate is called, by the name that the winner's model has."""
    if candidate.url is None or "{" in candidate.url:
        raise ConfigurationError(f"{candidate.name}: nobody knows where its calls go; give it a base_url")
    offer, key, header = candidate.offer, _key(candidate), _key_header(candidate)
    return Endpoint(
        name=candidate.name,
        base_url=candidate.url,
        api_key=key if header is None else None,
        headers={header: key} if header is not None and key is not None else {},
        models={winner.offer.model: offer.model},
        price=offer.price,
        context_tokens=offer.context_tokens.value if offer.context_tokens else None,
    )


def _key_header(candidate: Candidate) -> str | None:
    """Return in which header the key goes; None for a bearer, or where there is none."""
    auth = candidate.platform.auth
    return auth.value.header if auth is not None and auth.value.kind == "header" else None


def _key(candidate: Candidate) -> str | None:
    variable = candidate.key_variable
    if variable is None:
        return None
    key = os.environ.get(variable)
    if key is None and not candidate.is_self_hosted:
        raise ConfigurationError(f"{candidate.name}: set {variable} to its key, or give client(api_key=…)")
    return key


def _winner(selection: Selection) -> Option:
    if selection.winner is None:
        raise ConfigurationError("no candidate passes the rules, so there is none to call")
    return selection.winner


def gateway_config_of(selection: Selection) -> str:
    """Return YAML: the winner as a model with the alias `chosen`, the runner-up as its fallback.

    Deadlines are those beyond which a limit is broken anyway. Comments say where keys go.
    """
    import yaml  # noqa: PLC0415 - an extra

    options = [option for option in (_winner(selection), selection.runner_up) if option is not None]
    problems = {option.name: problem for option in options if (problem := _unreachable(option.candidate))}
    if options[0].name in problems:
        raise ConfigurationError(f"{options[0].name}: {problems[options[0].name]}")
    if problem := _same_name(options):
        problems.setdefault(options[1].name, problem)
    usable = [option for option in options if option.name not in problems]
    models = [_model(option, selection) for option in usable]
    if models[0]["name"] != _ALIAS:
        models[0]["aliases"] = [_ALIAS]
    if len(models) > 1:
        if models[1]["name"] == models[0]["name"]:
            renamed = 1 if _is_launched(usable[1].candidate) else 0
            models[renamed]["name"] += f"@{usable[renamed].candidate.platform.id}"
        models[0]["fallbacks"] = [models[1]["name"]]
    settings: dict[str, Any] = {"models": models}
    waits = _bounds(selection, "ttft")
    if waits:
        settings["queue"] = {"timeout_s": min(waits)}
    head = "".join(f"# {_line(remark)}\n" for remark in _remarks(selection, usable, problems))
    return head + str(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))


def _remarks(selection: Selection, usable: list[Option], problems: Mapping[str, str]) -> Iterator[str]:
    yield selection.answer.headline
    yield f"Of {selection.today}, good until {selection.expires}; again: {selection.command}"
    for number, option in enumerate(usable):
        variable = option.candidate.key_variable
        if variable is not None and not _is_launched(option.candidate):
            yield f"models[{number}].replicas[0].api_key: the value of {variable}, if it asks for a key"
    for name, problem in problems.items():
        yield f"left out as a fallback: {name}: {problem}"


def _line(remark: str) -> str:
    """Names are others' text: none may end the comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in remark).split())


def _unreachable(candidate: Candidate) -> str | None:
    if _is_launched(candidate):
        return None
    if candidate.url is None or "{" in candidate.url:
        return "nobody knows where its calls go; give it a base_url"
    if urlsplit(candidate.url).path.strip("/") not in {"", "v1"}:
        return f"the gateway calls replicas below /v1, and its calls go to {candidate.url}"
    if header := _key_header(candidate):
        return f"the gateway sends keys as a bearer, and it wants its key as {header}"
    return None


def _same_name(options: list[Option]) -> str | None:
    """Return why the second cannot stand in for the first: a gateway asks for a model by its public name.

    Replicas that the gateway launches itself are told under which name they serve.
    """
    candidates = [option.candidate for option in options]
    if len({one.offer.model for one in candidates}) == len(candidates) or any(map(_is_launched, candidates)):
        return None
    return f"both call their model {candidates[1].offer.model}, and one gateway cannot tell them apart"


def _is_launched(candidate: Candidate) -> bool:
    return candidate.fleet is not None and candidate.base_url is None


def _model(option: Option, selection: Selection) -> dict[str, Any]:
    candidate = option.candidate
    model: dict[str, Any] = {"name": candidate.offer.model}
    if _is_launched(candidate) and candidate.fleet is not None:
        model |= {"model": candidate.offer.model, "replicas": _replicas(option, selection)}
        if candidate.fleet.engine_args:
            model["engine_args"] = list(candidate.fleet.engine_args)
    else:
        parts = urlsplit(candidate.url or "")
        model["replicas"] = [{"url": f"{parts.scheme}://{parts.netloc}"}]
    if not candidate.is_self_hosted:
        model["cache_salt"] = False
    ends = _bounds(selection, "e2e")
    if ends:
        model["first_byte_s"] = min(ends)
    price = _price(candidate)
    if price:
        model["price"] = price
    return model


def _replicas(option: Option, selection: Selection) -> int:
    fleet, peak = option.candidate.fleet, selection.workload.peak_calls_per_s
    goodput = option.row.cells.get("goodput_per_s")
    if fleet is None or peak is None or goodput is None or goodput.value <= 0:
        return 1
    return min(replicas_needed(peak, goodput.value, fleet.spares), fleet.max_replicas, 64)


def _bounds(selection: Selection, latency: str) -> list[float]:
    """Return the limits of a latency, whatever their percentile."""
    return [limit.bound for limit in selection.limits if limit.metric.startswith(f"{latency}_")]


def _price(candidate: Candidate) -> dict[str, float | int]:
    """Return what the gateway's books count with, to the nano-dollar as they do."""
    if candidate.fleet is not None:
        second = Decimal(repr(candidate.fleet.usd_per_gpu_hour)) / 3600
        return {"gpu_second": float(second.quantize(_NANO)), "gpus": ceil(candidate.fleet.gpus)}
    price = candidate.offer.price
    if price is None or price.currency != "USD":
        return {}
    rates = {
        "input_per_million": price.input_per_million,
        "cached_input_per_million": price.cached_per_million,
        "output_per_million": price.output_per_million,
    }
    if price.cached_per_million is not None and price.cached_per_million > price.input_per_million:
        del rates["cached_input_per_million"]  # the gateway takes it for a mistake
    return {name: float(rate.quantize(_NANO)) for name, rate in rates.items() if rate is not None}
