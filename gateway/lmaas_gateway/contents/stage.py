"""The stage: let the reply of a call pass, and take along what passes if its project keeps contents."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lmaas_gateway.contents.archive import Exchange, Kept
from lmaas_gateway.kept_reply import KeptReply
from lmaas_gateway.notes import SEALED

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.call import Call, Exits, Principal
    from lmaas_gateway.contents.writer import ContentWriter
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.reply import Reply
    from lmaas_gateway.settings import ContentSettings


class Contents:
    """Keeps what was asked and answered.

    Args:
        writer: Takes it when the call has ended.
        name_of: Gives the id that a call has in the ledger.
        settings: How much of a call is kept.
        clock: Unix seconds.
    """

    def __init__(
        self,
        writer: ContentWriter,
        name_of: Callable[[Meter], str],
        settings: ContentSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._name_of = name_of
        self._max_bytes = settings.max_bytes
        self._clock = clock

    def keep(self, reply: Reply, call: Call, principal: Principal, *, meter: Meter, exits: Exits) -> Reply:
        """Have the reply kept when the call ends, however far it came by then."""
        kept = KeptReply(reply, self._max_bytes)
        meter.applied |= SEALED

        def finish() -> None:
            exchange = exchange_of(kept, call.body, self._max_bytes)
            name, at = self._name_of(meter), int(self._clock() * 1e6)
            self._writer.put(Kept(name, principal.organization, principal.project, at, exchange))

        exits.append(finish)
        return kept


def exchange_of(kept: KeptReply, request: bytes, max_bytes: int) -> Exchange:
    """Give what has passed, with what was asked."""
    return Exchange(
        request=request[:max_bytes],
        reply=kept.data,
        is_stream=kept.is_stream,
        is_cut=kept.is_cut or len(request) > max_bytes,
    )
