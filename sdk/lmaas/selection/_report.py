"""The report as sections of plain words and tables, for text, Markdown, HTML and terminals to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lmaas.evidence import Evidence
from lmaas.selection._metrics import METRICS
from lmaas.selection._rules import Status
from lmaas.selection._spending import LINES
from lmaas.selection._uncertainty import interval_of

if TYPE_CHECKING:
    from lmaas.selection._selection import Option, Selection

_SHOWN_CHANGES: Final = 6
_NOT_KNOWN: Final = "not known"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with sentences, a table, or both.

    Attributes:
        title: The heading.
        sentences: What is said before the table.
        header: The table's columns; () without a table.
        rows: Its rows, each as long as the header.
    """

    title: str
    sentences: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def sections_of(selection: Selection) -> tuple[Section, ...]:
    """Return the report without its headline; sections that would be empty are left out."""
    made = (
        _options(selection),
        _why_not(selection),
        _to_verify(selection),
        _scores(selection),
        _costs(selection),
        _changes(selection),
        _swings(selection),
        _not_measured(selection),
        _assumptions(selection),
    )
    return tuple(section for section in made if section.sentences or section.rows)


def opening_of(selection: Selection) -> tuple[str, ...]:
    """Return the first lines: the answer, on what it rests, how long it is good, what does it again."""
    return (
        selection.answer.headline,
        selection.answer.rests_on,
        f"Answer of {selection.today}, good until {selection.expires}; again: {selection.command}",
    )


def _options(selection: Selection) -> Section:
    header = ("place", "option", "score", "wins", "performance", "scalability", "ease", "cost", "a month")
    return Section("Options", header=header, rows=tuple(_option_row(o) for o in selection.options))


def _option_row(option: Option) -> tuple[str, ...]:
    return (
        str(option.place) if option.place else _state(option),
        option.name,
        _score(option),
        f"{option.first:.0%}" if option.passes or option.first else "-",
        *(f"{score.value:.2f}" for score in option.scores),
        month_of(option),
    )


def month_of(option: Option) -> str:
    """Return what a month costs: from what to what, where that hangs on what nobody knows."""
    bill, write = option.spending.bill("expected"), METRICS["usd_per_month"].format
    if bill is None:
        return _NOT_KNOWN
    at_best = option.spending.at_best_usd
    return write(bill.total_usd) if at_best is None else f"{write(at_best)} to {write(bill.total_usd)}"


def _state(option: Option) -> str:
    return "fails" if option.checks_of(Status.FAIL) else "verify"


def _score(option: Option) -> str:
    if option.score_range is None:
        return f"{option.score:.2f}"
    low, high = option.score_range
    return f"{option.score:.2f} ({low:.2f} to {high:.2f})"


def _why_not(selection: Selection) -> Section:
    rows = tuple((option.name, option.why_not) for option in selection.options if option.why_not)
    return Section("Why not the others", header=("option", "why not"), rows=rows)


def _to_verify(selection: Selection) -> Section:
    rows = tuple(
        (option.name, check.rule, check.reason)
        for option in selection.options
        for check in option.checks_of(Status.UNKNOWN)
    )
    return Section("Ask or verify", header=("option", "rule", "what is known"), rows=rows)


def _scores(selection: Selection) -> Section:
    header = ("option", "score", "part", "figure", "95 % interval", "grade", "worth", "weight", "source")
    rows = [
        (
            option.name,
            f"{explained.score.value} {explained.value:.2f}",
            METRICS[part.metric].label,
            *_figure(part.evidence),
            f"{part.value:.2f}",
            f"{part.share * explained.weight:.0%}",
            _source(part.evidence),
        )
        for option in selection.options
        for explained in option.scores
        for part in explained.parts
    ]
    return Section("What the scores are made of", header=header, rows=tuple(rows))


def _figure(evidence: Evidence | None) -> tuple[str, str, str]:
    if evidence is None:
        return _NOT_KNOWN, "-", "-"
    metric, interval = METRICS[evidence.metric], interval_of(evidence)
    between = f"{metric.format(interval.low)} to {metric.format(interval.high)}"
    exact = interval.low == interval.high
    return metric.format(evidence.value), "-" if exact else between, evidence.grade.value


def _source(evidence: Evidence | None) -> str:
    if evidence is None:
        return "-"
    return evidence.source if evidence.as_of is None else f"{evidence.source}, {evidence.as_of}"


def _costs(selection: Selection) -> Section:
    rows = [
        (option.name, bill.load, f"{bill.calls_per_s:.3g}", _usd(bill.total_usd), *lines)
        for option in selection.options
        for bill in option.spending.bills
        for lines in [[_usd(bill.lines_usd[line]) for line in LINES]]
    ]
    return Section(
        "Cost a month, in US dollars",
        header=("option", "load", "calls/s", "total", *LINES),
        rows=tuple(rows),
    )


def _usd(amount: float) -> str:
    return "0" if amount == 0 else f"{amount:,.2f}" if amount < 1000 else f"{amount:,.0f}"


def _changes(selection: Selection) -> Section:
    rows = tuple((flip.text, f"{flip.change:.0%}") for flip in selection.flips[:_SHOWN_CHANGES])
    if not rows and sum(option.passes for option in selection.options) > 1:
        return Section("What would change the answer", ("No single weight or figure does.",))
    return Section("What would change the answer", header=("change", "by"), rows=rows)


def _swings(selection: Selection) -> Section:
    rows = tuple(
        (swing.label, f"{swing.low:+.3f}", f"{swing.high:+.3f}")
        for swing in selection.swings[:_SHOWN_CHANGES]
    )
    return Section(
        "What moves the lead",
        ("Lead of the first over the second, in points of the score, from end to end of each interval.",)
        if rows
        else (),
        ("uncertain", "from", "to"),
        rows,
    )


def _not_measured(selection: Selection) -> Section:
    rows = []
    for option in selection.options:
        weights = selection.preferences.weights
        lacking = [METRICS[m].label for m, w in weights.items() if w > 0 and m not in option.row.cells]
        lacking += [f"{what} (for the cost)" for what in option.spending.missing]
        if lacking:
            rows.append((option.name, ", ".join(lacking)))
    return Section(
        "What is not known",
        ("It counts as worth nothing, never as average.",) if rows else (),
        ("option", "not known"),
        tuple(rows),
    )


def _assumptions(selection: Selection) -> Section:
    sentences = [
        f"{criterion.metric}: {_anchor(criterion.metric, criterion.best)} is worth 1, "
        f"{_anchor(criterion.metric, criterion.worst)} is worth 0"
        for criterion in selection.preferences.criteria
        if selection.preferences.weights[criterion.metric] > 0
    ]
    costs = [
        f"{option.name}: {assumed}" for option in selection.options for assumed in option.spending.assumes
    ]
    how = (
        f"{selection.robustness.draws:,} draws, seed {selection.seed}; "
        f"weights {selection.preferences.certainty}"
    )
    return Section("What was assumed", tuple(_sentences(sentences, costs, [how])))


def _anchor(metric: str, figure: float) -> str:
    return METRICS[metric].format(figure)


def _sentences(*groups: Sequence[str]) -> Iterator[str]:
    for group in groups:
        yield from (f"{sentence}." for sentence in group)
