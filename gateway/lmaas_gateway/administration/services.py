"""All services of administrators together, as the table of operations names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lmaas_gateway.administration.actors import Actors
from lmaas_gateway.administration.audit import Audit
from lmaas_gateway.administration.calls import Calls
from lmaas_gateway.administration.contents import Contents
from lmaas_gateway.administration.keys import Keys
from lmaas_gateway.administration.ledger_calls import LedgerCalls
from lmaas_gateway.administration.limits import Limits
from lmaas_gateway.administration.me import Me
from lmaas_gateway.administration.members import Members
from lmaas_gateway.administration.open_services import Served
from lmaas_gateway.administration.organizations import Organizations
from lmaas_gateway.administration.prices import Prices
from lmaas_gateway.administration.projects import Projects
from lmaas_gateway.administration.quality import Quality
from lmaas_gateway.administration.usage import Usage

if TYPE_CHECKING:
    from lmaas_gateway.administration.contents import Archive
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.audit.notary import Notary
    from lmaas_gateway.identity.keys import Peppers
    from lmaas_gateway.records.records import Records
    from lmaas_gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Services(Served):
    """One service a noun."""

    actors: Actors
    me: Me
    organizations: Organizations
    projects: Projects
    members: Members
    keys: Keys
    limits: Limits
    prices: Prices
    usage: Usage
    quality: Quality
    audit: Audit
    contents: Contents
    calls: Calls

    @classmethod
    def open(
        cls,
        office: Office,
        *,
        peppers: Peppers,
        notary: Notary,
        settings: Settings,
        archive: Archive | None = None,
        records: Records | None = None,
    ) -> Self:
        """Make all of them.

        Args:
            office: Has the store and the audit trail.
            peppers: Seal new keys.
            notary: Checks the audit trail.
            settings: The configuration that serves.
            archive: Opens contents; None where none are ever stored.
            records: The last calls; None where none are kept.
        """
        return cls(
            actors=Actors(office),
            me=Me(),
            organizations=Organizations(office),
            projects=Projects(office),
            members=Members(office),
            keys=Keys(office, peppers, lifetime_days=settings.identity.key_lifetime_days),
            limits=Limits(office),
            prices=Prices(settings),
            usage=Usage(office, settings),
            quality=Quality(office),
            audit=Audit(office, notary),
            contents=Contents(office, archive),
            calls=Calls(records, LedgerCalls(office)),
        )
