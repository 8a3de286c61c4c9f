"""What a measurement cannot go on from."""

from __future__ import annotations

from lmaas.errors import LMaaSError


class MeasurementError(LMaaSError):
    """A platform cannot be measured; the message says which, why and what to do."""
