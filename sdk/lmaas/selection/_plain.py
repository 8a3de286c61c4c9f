"""The result as plain values, for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmaas.selection._selection import Option, Selection


def plain_of(selection: Selection) -> dict[str, Any]:
    """Return everything that reports show, in words and numbers; keys stay the same between releases."""
    answer, preferences = selection.answer, selection.preferences
    return {
        "answer": {**asdict(answer), "kind": answer.kind.value, "names": list(answer.names)},
        "today": selection.today.isoformat(),
        "expires": selection.expires.isoformat(),
        "command": selection.command,
        "seed": selection.seed,
        "draws": selection.robustness.draws,
        "nobody": selection.robustness.nobody,
        "task": asdict(selection.task),
        "limits": [{**asdict(limit), "text": limit.text} for limit in selection.limits],
        "certainty": preferences.certainty,
        "criteria": [
            {
                "metric": criterion.metric,
                "best": criterion.best,
                "worst": criterion.worst,
                "between": [list(point) for point in criterion.between],
                "weight": preferences.weights[criterion.metric],
            }
            for criterion in preferences.criteria
        ],
        "options": [_option(option) for option in selection.options],
        "flips": [{**asdict(flip), "text": flip.text, "change": flip.change} for flip in selection.flips],
        "swings": [asdict(swing) for swing in selection.swings],
    }


def _option(option: Option) -> dict[str, Any]:
    spent = option.spending
    return {
        "name": option.name,
        "platform": option.candidate.platform.id,
        "model": option.candidate.offer.model,
        "place": option.place,
        "score": option.score,
        "score_range": option.score_range and list(option.score_range),
        "first": option.first,
        "scores": {
            explained.score.value: {
                "value": explained.value,
                "weight": explained.weight,
                "parts": [
                    {"metric": part.metric, "share": part.share, "value": part.value}
                    for part in explained.parts
                ],
            }
            for explained in option.scores
        },
        "evidence": [evidence.to_dict() for _, evidence in sorted(option.row.cells.items())],
        "checks": [{**asdict(check), "status": check.status.value} for check in option.checks],
        "dominated": option.dominated and asdict(option.dominated),
        "why_not": option.why_not,
        "bills": [
            {
                "load": bill.load,
                "calls_per_s": bill.calls_per_s,
                "total_usd": bill.total_usd,
                "lines_usd": dict(bill.lines_usd),
            }
            for bill in spent.bills
        ],
        "cost_at_best_usd": spent.at_best_usd,
        "cost_missing": list(spent.missing),
        "cost_assumes": list(spent.assumes),
        "ease": [
            {"about": p.about, "share": p.share, "value": p.value, "source": p.source} for p in option.ease
        ],
    }
