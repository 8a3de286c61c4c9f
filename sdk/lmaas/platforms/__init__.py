"""Platforms and the models they offer: `Catalogue.load()`. Nothing is fetched, and nothing guessed."""

from __future__ import annotations

from lmaas._cost import Price, PriceTier
from lmaas.platforms._catalogue import Catalogue
from lmaas.platforms._offer import Conflict, Offer
from lmaas.platforms._platform import Auth, Platform, RateLimits, Retention
from lmaas.platforms._sourced import STALE_AFTER_DAYS, Sourced

__all__ = [
    "STALE_AFTER_DAYS",
    "Auth",
    "Catalogue",
    "Conflict",
    "Offer",
    "Platform",
    "Price",
    "PriceTier",
    "RateLimits",
    "Retention",
    "Sourced",
]
