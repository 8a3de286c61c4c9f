"""The stage that looks at what a call asks for, before it costs anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.policy.parameters import ParameterRules

if TYPE_CHECKING:
    from lmaas_gateway.call import Call
    from lmaas_gateway.settings import Settings


class Policy:
    """What callers may ask of an engine that serves others too.

    Args:
        settings: The operator's rules.
    """

    def __init__(self, settings: Settings) -> None:
        self._parameters = ParameterRules(settings)

    def check(self, call: Call) -> None:
        """Pass a call that stays within bounds.

        Raises:
            GatewayError: what it may not ask for.
        """
        self._parameters.check(call)
