"""Where the calls for a name go: its pool, before it a canary's share, behind it those that stand in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

from lmaas_gateway.draws import draw
from lmaas_gateway.settings import check_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lmaas_gateway.call import Call, Principal
    from lmaas_gateway.replicas.pool import Pool
    from lmaas_gateway.settings import ModelSettings


@dataclass(frozen=True, slots=True)
class Canary:
    """A share of a model's calls that another model's pool tries first.

    Attributes:
        pools: The canary's, then the model's own, which stand in for it.
        share: From 0 to 1.
        seed: Makes the shares of different models independent of each other.
    """

    pools: tuple[Pool, ...]
    share: float
    seed: int

    def takes(self, call: Call, principal: Principal, uniform: Callable[[], float]) -> bool:
        """Decide by the session, else by the principal, so that both stay on one side; else at random."""
        key = call.session
        if not key and not principal.is_shared:
            key = principal.id.encode()
        return (draw(crc32(key), self.seed) if key else uniform()) < self.share


@dataclass(frozen=True, slots=True)
class Plan:
    """The pools that may serve the calls for one name, in the order in which they are tried."""

    pools: tuple[Pool, ...]
    canary: Canary | None = None


def build_plans(models: Sequence[ModelSettings], pools: Mapping[str, Pool]) -> dict[str, Plan]:
    """Make the plan of every name, aliases included.

    Args:
        models: With kinds that are known by now.
        pools: By the models' names.

    Raises:
        SettingsError: a model would be stood in for by one of another kind.
    """
    check_kinds(models)
    plans: dict[str, Plan] = {}
    for model in models:
        chain = tuple(pools[name] for name in (model.name, *model.fallbacks))
        canary = None
        if model.canary is not None:
            tried = dict.fromkeys((pools[model.canary.model], *chain))
            canary = Canary(tuple(tried), model.canary.percent / 100, crc32(model.name.encode()))
        plan = Plan(chain, canary)
        plans |= dict.fromkeys((model.name, *model.aliases), plan)
    return plans
