"""Logging: one line a call to the logger "lmaas", with nothing in it that a call was about.

INFO has method, path, status, time, tries and request id; DEBUG adds a line at the start. No header, no
query, no body and no text of an error is ever logged.
"""

from __future__ import annotations

import logging
from typing import Final

from lmaas._watch import CallRecord, End

LOGGER: Final = logging.getLogger("lmaas")


def set_up(level: str | None) -> None:
    """Show what is logged from `level` on, as LMAAS_LOG asks; without one, leave that to the program."""
    if level is None:
        return
    LOGGER.setLevel(level)
    if not LOGGER.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        LOGGER.addHandler(handler)


class CallLog:
    """Writes calls to the log."""

    def begin(self, record: CallRecord) -> End:
        """Write that a call begins, and return what writes how it ended."""
        if not LOGGER.isEnabledFor(logging.INFO):
            return _nothing
        LOGGER.debug("%s begins", record.request.label)
        return lambda: LOGGER.info("%s %s", record.request.label, _outcome(record))


def _outcome(record: CallRecord) -> str:
    facts = [
        str(record.status_code or "no reply"),
        f"in {record.duration_s:.3f} s",
        f"tries={record.tries}",
        f"request_id={record.request_id}",
    ]
    if record.error is not None:
        facts.append(f"error={type(record.error).__name__}")
    elif not record.is_whole:
        facts.append("closed before its end")
    return " ".join(facts)


def _nothing() -> None:
    pass
