"""Who is known in one configuration, and what administrators of tenants work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas_gateway.api.actors import ActorReader
from lmaas_gateway.api.operators import OperatorKey
from lmaas_gateway.identity.authenticator import Authenticator
from lmaas_gateway.identity.configured import principals_of

if TYPE_CHECKING:
    from lmaas_gateway.administration.services import Services
    from lmaas_gateway.records.records import Records
    from lmaas_gateway.settings import Settings
    from lmaas_gateway.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class Known:
    """Who is known.

    Attributes:
        authenticator: Knows the callers.
        operator_key: Knows the operator.
        services: What administrators of tenants work with; None where there are no tenants.
        actors: Knows what callers of the admin API may.
    """

    authenticator: Authenticator
    operator_key: OperatorKey
    services: Services | None
    actors: ActorReader


def known_in(settings: Settings, tenancy: Tenancy | None, records: Records | None) -> Known:
    """Tell who is known in a configuration: those whom it names, and the tenants."""
    key = OperatorKey(None if settings.admin_key is None else settings.admin_key.get_secret_value())
    if tenancy is None:
        authenticator = Authenticator(principals_of(settings))
        return Known(authenticator, key, None, ActorReader(authenticator, key))
    authenticator = tenancy.identities.authenticator(settings)
    services = tenancy.services(settings, records)
    return Known(authenticator, key, services, ActorReader(authenticator, key, services.actors))
