"""Run a fake replica as a process: `python -m lmaas_gateway.testing --port 9001 --fast`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import get_args

import msgspec
import uvloop

from lmaas_gateway.settings import ModelKind
from lmaas_gateway.testing.fake_replica import FakeReplica, Listen
from lmaas_gateway.testing.fast import FastReplica, FastReplies
from lmaas_gateway.testing.journal import Journal
from lmaas_gateway.testing.model import FakeModel
from lmaas_gateway.testing.pacing import Timing
from lmaas_gateway.testing.script import Script


def main() -> None:
    """Serve until interrupted; the first line printed is the address."""
    parser = argparse.ArgumentParser(prog="python -m lmaas_gateway.testing", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes a free one")
    parser.add_argument("--uds", type=Path, help="listen on this unix socket instead")
    parser.add_argument("--model", default="mock", help="served model name")
    parser.add_argument("--kind", default="chat", choices=get_args(ModelKind), help="which routes exist")
    parser.add_argument("--ttft-ms", type=float, default=0.0, help="milliseconds before the first token")
    parser.add_argument("--itl-ms", type=float, default=0.0, help="milliseconds between two tokens")
    parser.add_argument("--keep-alive-s", type=float, help="close connections idle for this long")
    parser.add_argument("--script", default="{}", help="what happens to every call, as a JSON object")
    parser.add_argument("--journal", type=Path, help="write down in this file what is seen (journal.py)")
    parser.add_argument("--fast", action="store_true", help="chat and embeddings from precomputed bytes")
    fast = parser.add_argument_group("with --fast")
    fast.add_argument("--groups", type=int, default=0, help="streams go on in so many groups, not one by one")
    fast.add_argument("--stamps", action="store_true", help="each paced token's text is the time it was sent")
    fast.add_argument("--slots", type=int, default=0, help="plain calls served at once; 0 serves all")
    fast.add_argument("--queue", type=int, default=0, help="plain calls that may wait; more get 503")
    try:
        uvloop.run(_run(parser.parse_args()))
    except KeyboardInterrupt:
        sys.exit(130)


async def _run(options: argparse.Namespace) -> None:
    model = FakeModel(options.model, options.kind)
    listen = Listen(options.port, options.uds, keep_alive_s=options.keep_alive_s, host=options.host)
    first_token_s, token_gap_s = options.ttft_ms / 1e3, options.itl_ms / 1e3
    if options.fast:
        timing = Timing(first_token_s, token_gap_s, options.groups, is_stamped=options.stamps)
        replica = FastReplica(FastReplies.of(model), timing, slots=options.slots, queue=options.queue)
        await _serve_fast(replica, listen)
    else:
        pauses = {"first_token_delay_s": first_token_s, "token_gap_s": token_gap_s}
        script = Script.from_mapping(pauses | msgspec.json.decode(options.script))
        await _serve(model, listen, script, options.journal)


async def _serve(model: FakeModel, listen: Listen, script: Script, journal: Path | None) -> None:
    notes = None if journal is None else Journal(journal)
    async with FakeReplica(model, listen=listen, script=script, journal=notes) as replica:
        _announce(replica.url)
        await asyncio.get_running_loop().create_future()


async def _serve_fast(replica: FastReplica, listen: Listen) -> None:
    loop, connect = asyncio.get_running_loop(), replica.connect
    if listen.uds is not None:
        server = await loop.create_unix_server(connect, str(listen.uds), backlog=4096)
        _announce(f"unix:{listen.uds}")
    else:
        server = await loop.create_server(connect, listen.host, listen.port, backlog=4096)
        _announce(f"http://{listen.host}:{server.sockets[0].getsockname()[1]}")
    async with server:
        await server.serve_forever()


def _announce(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
