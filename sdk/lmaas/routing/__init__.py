"""One client over several platforms: `LMaaS(platforms=[Endpoint(…), Endpoint(…)], strategy="fastest")`.

`_journey.py` is one call on its way, `_choice.py` the choice, `_failover.py` the loop that sends.
"""

from __future__ import annotations

from lmaas.routing._endpoint import Endpoint, Feature
from lmaas.routing._strategy import Restart, Route, Strategy, Try

__all__ = ["Endpoint", "Feature", "Restart", "Route", "Strategy", "Try"]
