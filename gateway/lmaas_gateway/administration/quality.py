"""How good replies were: what was seen of a sample, and beside it what callers said, by day and model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lmaas_gateway.administration import objects
from lmaas_gateway.flaws import FLAWS, FlawCounts
from lmaas_gateway.storage import feedback, quality
from lmaas_gateway.storage.day_part import DayPart
from lmaas_gateway.storage.records import FeedbackTotal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmaas_gateway.administration import requests
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.storage.records import LabelTotal, QualityTotal

_DAY_S = 86_400
_MAX_DAYS = 366
_MAX_LABELS = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Quality:
    """Adds up what was seen and said.

    Args:
        office: Has the store.
    """

    def __init__(self, office: Office) -> None:
        self._office = office

    async def list(self, actor: Actor, wanted: requests.QualityQuery) -> objects.Page[objects.Quality]:
        """Show a line a day and model, of a year at most; an operator who names no organization sees all."""
        actor.require("usage:read")
        part = self._part(actor, wanted)
        async with self._office.reading() as connection:
            seen = {(one.day, one.model): one for one in await quality.totals(connection, part)}
            said = {(one.day, one.model): one for one in await feedback.totals(connection, part)}
            labels = _by_group(await feedback.labels(connection, part))
        groups = sorted(seen.keys() | said.keys())
        return objects.Page(
            data=[_show(group, seen.get(group), said.get(group), labels.get(group, {})) for group in groups]
        )

    def _part(self, actor: Actor, wanted: requests.QualityQuery) -> DayPart:
        if wanted.project is not None:
            actor.require_project(wanted.project)
        sees_all = actor.is_operator and not actor.organization and wanted.project is None
        last_s = int(self._office.clock()) if wanted.end is None else wanted.end - 1
        last_day = last_s // _DAY_S
        return DayPart(
            first_day=max(wanted.start // _DAY_S, last_day - _MAX_DAYS),
            last_day=last_day,
            organization_id=None if sees_all else actor.tenant,
            project_id=wanted.project or actor.bound_to or None,
            model=wanted.model,
        )


def _by_group(labels: Iterable[LabelTotal]) -> dict[tuple[int, str], dict[str, int]]:
    groups: dict[tuple[int, str], dict[str, int]] = {}
    for one in labels:
        group = groups.setdefault((one.day, one.model), {})
        if len(group) < _MAX_LABELS:
            group[one.label] = one.times
    return groups


def _show(
    group: tuple[int, str],
    seen: QualityTotal | None,
    said: FeedbackTotal | None,
    labels: dict[str, int],
) -> objects.Quality:
    day, model = group
    counts: dict[str, Any] = (seen or FlawCounts()).counts()
    said = said or FeedbackTotal(
        day=day, model=model, opinions=0, thumbs_up=0, thumbs_down=0, scores=0, score_sum=0.0
    )
    return objects.Quality(
        day=f"{_EPOCH + timedelta(days=day):%Y-%m-%d}",
        model=model,
        **counts,
        rates={flaw: _share(counts[flaw], counts[base]) for flaw, base in FLAWS.items()},
        opinions=said.opinions,
        thumbs_up=said.thumbs_up,
        thumbs_down=said.thumbs_down,
        thumbs_up_rate=_share(said.thumbs_up, said.thumbs_up + said.thumbs_down),
        scores=said.scores,
        mean_score=_share(said.score_sum, said.scores),
        labels=labels,
    )


def _share(part: float, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
