"""READ FIRST. The order of work on a call: each line is a stage, each stage a module that reads alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.call import Principal
from lmaas_gateway.relay import read_refusal, relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from lmaas_gateway.admission.admission import Admission
    from lmaas_gateway.books.books import Books
    from lmaas_gateway.call import Call, Exits
    from lmaas_gateway.contents.stage import Contents
    from lmaas_gateway.identity.authenticator import Authenticator
    from lmaas_gateway.limits.stage import Limiter
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.policy.stage import Policy
    from lmaas_gateway.quality.watch import QualityWatch
    from lmaas_gateway.replay.stage import Replay, Replays
    from lmaas_gateway.replicas.directory import Directory
    from lmaas_gateway.reply import Reply
    from lmaas_gateway.routing.fallbacks import PlanRouter


_PROBER = Principal("canary")


class Pipeline:
    """From an arrived request to a reply that is ready to be read.

    Args:
        authenticator: Knows the callers.
        policy: Knows what they may ask for.
        directory: Knows the models.
        limiter: Knows what callers may use.
        admission: Lets calls through to a pool, or has them wait.
        router: Knows the replicas, and which model stands in for which.
        replays: Knows the replies that may be given again.
        books: Keep track of what calls cost; None keeps none.
        contents: Keep what is asked and answered, for projects that want it; None keeps none.
        quality: Looks at some replies when their calls have ended; None looks at none.
    """

    def __init__(  # noqa: PLR0913  # a stage each
        self,
        authenticator: Authenticator,
        policy: Policy,
        directory: Directory,
        limiter: Limiter,
        admission: Admission,
        router: PlanRouter,
        replays: Replays,
        *,
        books: Books | None = None,
        contents: Contents | None = None,
        quality: QualityWatch | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._policy = policy
        self._directory = directory
        self._limiter = limiter
        self._admission = admission
        self._router = router
        self._replays = replays
        self._books = books
        self._contents = contents
        self._quality = quality

    async def handle(
        self,
        headers: Sequence[tuple[bytes, bytes]],
        address: str,
        read_call: Callable[[], Awaitable[Call]],
        meter: Meter,
        exits: Exits,
    ) -> Reply:
        """Serve one call.

        Args:
            headers: Of the request, names in lower case.
            address: Where the connection comes from; empty if from no network.
            read_call: Reads and parses the body; nothing is read for a caller who is not let in.
            meter: Takes note of what happens.
            exits: Takes what is to be closed when the call ends, however it ends.

        Raises:
            GatewayError: what the caller is told instead of a reply.
        """
        if not self._admission.pace.may_begin():
            await self._admission.pace.turn()
        principal = self._authenticator.identify(headers, address)
        if principal is None:
            principal = await self._authenticator.look_up(headers, address)
        self._authenticator.admit(principal, meter, exits)
        meter.caller, meter.principal = principal, principal.id
        call = await read_call()
        if self._policy.check(call):
            call = await self._policy.settle(call, principal.tenant, meter)
        plan = self._directory.route(call, principal)
        meter.model, meter.is_stream = plan[0].name, call.is_stream
        if not self._limiter.knows(principal):
            await self._limiter.learn(principal)
        limited = self._limiter.open(principal, call, plan[0], meter=meter, exits=exits)
        if limited is not None:
            call = limited.call if limited.try_take() else await limited.take()
        replay = None
        if self._replays.concerns(call, plan[0]):
            replay = await self._replays.open(call, principal, plan[0], meter=meter, exits=exits)
            if replay.reply is not None:
                return replay.reply
        if self._books is not None:
            self._books.open(call, principal, meter)
        turn = self._admission.turn(principal, meter)
        exits.append(turn.leave)
        forwarded = await self._router.forward(call, plan, meter, turn)
        exits.append(forwarded.close)
        meter.replica, meter.share = forwarded.replica_name, forwarded
        if forwarded.exchange.status >= 300:
            raise await read_refusal(call, forwarded)
        reply = relay(call, forwarded, meter, None if limited is None else limited.allowance)
        reply = self._remember(reply, replay, call, principal, meter=meter, exits=exits)
        exits.append(reply.note_usage)
        return reply

    def _remember(
        self,
        reply: Reply,
        replay: Replay | None,
        call: Call,
        principal: Principal,
        *,
        meter: Meter,
        exits: Exits,
    ) -> Reply:
        """Have who replies remembered, and the reply as it passes: to be given again, kept or looked at."""
        if self._books is not None:
            self._books.note_answer(meter)
        if replay is not None:
            reply = replay.record(reply, exits)
        if principal.stores_content and self._contents is not None:
            reply = self._contents.keep(reply, call, principal, meter=meter, exits=exits)
        if self._quality is not None and self._quality.wants(call):
            reply = self._quality.keep(reply, call, principal, meter=meter, exits=exits)
        return reply

    async def probe(self, call: Call, meter: Meter, exits: Exits) -> Reply:
        """Serve a call of the gateway's own by the model that it names, not by one that stands in for it.

        It goes through the queue and the router, but under no limit; nobody is billed, and nothing is kept.

        Raises:
            GatewayError: there is no reply.
        """
        pool = self._directory.route(call, _PROBER)[0]
        meter.model, meter.is_stream, meter.principal = pool.name, call.is_stream, _PROBER.id
        turn = self._admission.turn(_PROBER, meter)
        exits.append(turn.leave)
        forwarded = await self._router.forward(call, (pool,), meter, turn)
        exits.append(forwarded.close)
        meter.replica, meter.share = forwarded.replica_name, forwarded
        if forwarded.exchange.status >= 300:
            raise await read_refusal(call, forwarded)
        return relay(call, forwarded, meter)
