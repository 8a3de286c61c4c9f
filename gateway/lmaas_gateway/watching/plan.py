"""What is watched and who is told, as the settings say; made anew with each configuration."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.settings import read_secrets
from lmaas_gateway.watching.burn import Objective
from lmaas_gateway.watching.delivery import Endpoint
from lmaas_gateway.watching.sums import LATENCIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmaas_gateway.settings import (
        AlertSettings,
        LatencyObjective,
        Settings,
        ShareObjective,
        WebhookSettings,
    )
    from lmaas_gateway.vault.vault import Vault
    from lmaas_gateway.watching.burn import SloName

Derive = Callable[[str], tuple[bytes, ...]]
"""Makes the secrets of a webhook out of the master secret, by its name."""

_DAY_S = 86400.0
_SLOS: tuple[SloName, ...] = ("ttft", "inter_token", "error_rate", "availability")


@dataclass(frozen=True, slots=True)
class Plan:
    """What one configuration wants."""

    rules: AlertSettings
    objectives: tuple[Objective, ...]
    endpoints: tuple[Endpoint, ...]


def derived_from(vault: Vault) -> Derive:
    """Make the secrets of webhooks out of the master secret: one of each version, the newest first."""

    def derive(name: str) -> tuple[bytes, ...]:
        keys = (vault.keys_of("webhook", version) for version in reversed(vault.versions))
        return tuple(hmac.digest(key, name.encode(), hashlib.sha256) for key in keys)

    return derive


def plan_of(settings: Settings, derive: Derive | None) -> Plan:
    """Read the plan out of the settings.

    Args:
        settings: The configuration.
        derive: None where there is no master secret.

    Raises:
        SettingsError: an objective cannot be counted, or a webhook has no secret.
    """
    return Plan(
        settings.alerts,
        tuple(_objectives(settings)),
        tuple(_endpoint(webhook, settings.alerts, derive) for webhook in settings.alerts.webhooks),
    )


def _objectives(settings: Settings) -> Iterator[Objective]:
    for model in settings.models:
        for slo in _SLOS:
            wanted: LatencyObjective | ShareObjective | None = getattr(model.slo, slo)
            if wanted is None:
                continue
            threshold_s = getattr(wanted, "threshold_s", None)
            if threshold_s is not None:
                _check_threshold(model.name, slo, threshold_s)
            yield Objective(
                model.name,
                slo,
                wanted.objective,
                model.slo.window_days * _DAY_S,
                threshold_s,
                # Availability is counted in seconds, of which there are always enough.
                min_events=1 if slo == "availability" else settings.alerts.min_events,
            )


def _check_threshold(model: str, slo: SloName, threshold_s: float) -> None:
    bounds = LATENCIES[slo].buckets
    if threshold_s not in bounds:
        shown = ", ".join(f"{bound:g}" for bound in bounds)
        raise SettingsError(
            f"model {model!r}: slo.{slo}.threshold_s is {threshold_s:g}, and how many calls took longer is "
            f"counted for these only: {shown}"
        )


def _endpoint(webhook: WebhookSettings, rules: AlertSettings, derive: Derive | None) -> Endpoint:
    secret = webhook.secret or rules.webhook_secret
    if secret is not None:
        secrets = read_secrets(secret.get_secret_value())
    elif derive is not None:
        secrets = derive(webhook.name)
    else:
        raise SettingsError(
            f"webhook {webhook.name!r} has no secret, and without a store there is no master secret to make "
            "one from; set LMAAS_ALERTS__WEBHOOK_SECRET to: whsec_$(openssl rand -base64 32)"
        )
    return Endpoint(
        webhook.name,
        webhook.url,
        secrets,
        frozenset(webhook.severities),
        rules.webhook_timeout_s,
        rules.webhook_retry_s,
    )
