"""What OpenTelemetry's own environment variables say of traces; engines that are launched read them too.

Source: OpenTelemetry, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter"; lists of
pairs are written as in W3C Baggage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DELAY_MS = 5000.0
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Variables:
    """What they say.

    Attributes:
        headers: For the collector; they may be secret.
        resource: Attributes of what spans come from.
        delay_s: Between two messages.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    resource: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = _DELAY_MS / 1e3


def read_variables(environ: Mapping[str, str]) -> Variables:
    """Read them.

    Raises:
        SettingsError: one is not what it must be.
    """
    traces, all_signals = "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"
    headers = traces if environ.get(traces) else all_signals
    return Variables(
        headers=_pairs(environ, headers, is_valid=lambda value: value.isascii() and value.isprintable()),
        resource=_pairs(environ, "OTEL_RESOURCE_ATTRIBUTES", is_valid=str.isprintable),
        delay_s=_milliseconds(environ, "OTEL_BSP_SCHEDULE_DELAY") / 1e3,
    )


def _pairs(environ: Mapping[str, str], name: str, *, is_valid: Callable[[str], bool]) -> dict[str, str]:
    pairs = {}
    for pair in filter(str.strip, environ.get(name, "").split(",")):
        key, _, text = (part.strip() for part in pair.partition("="))
        value = unquote(text)
        if not (_NAME.fullmatch(key) and value and is_valid(value)):
            # It may be a secret, so it is not repeated.
            raise SettingsError(f"{name} must be pairs as in W3C Baggage, such as `name=value,other=value`")
        pairs[key] = value
    return pairs


def _milliseconds(environ: Mapping[str, str], name: str) -> float:
    text = environ.get(name) or str(_DELAY_MS)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise SettingsError(f"{name} must be a number of milliseconds, not {text!r}")
    return value
