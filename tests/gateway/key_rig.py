"""One process's knowledge of keys, at a time that is given."""

from __future__ import annotations

import pytest

from lmaas_gateway.call import Principal
from lmaas_gateway.errors import GatewayError
from lmaas_gateway.identity.authenticator import Authenticator
from lmaas_gateway.identity.changes import KeyChanges
from lmaas_gateway.identity.keys import NewKey
from lmaas_gateway.identity.running import RunningCalls
from lmaas_gateway.identity.stored import StoredKeys
from lmaas_gateway.identity.warm import Warm
from lmaas_gateway.settings import IdentitySettings
from support.tenants import NOW_US, FakeKeys, FakePeppers

HERE = "192.0.2.1"


class Rig:
    """One process's knowledge of a store that is a fake, at a time that is given."""

    def __init__(self, *, poll_s: float = 1, **rules: object) -> None:
        self.now_s = 1000.0
        self.store = FakeKeys()
        self.warm = Warm(self.clock)
        self.running = RunningCalls()
        settings = IdentitySettings.model_validate(rules)
        self.keys = StoredKeys(
            self.store,
            FakePeppers(),
            settings,
            warm=self.warm,
            clock=self.clock,
            wall_clock=self.wall_clock,
        )
        self.changes = KeyChanges(
            self.store,
            self.keys,
            self.warm,
            running=self.running,
            poll_s=poll_s,
            clock=self.clock,
            wall_clock=self.wall_clock,
        )
        self.warm.trusted_until_s = float("inf")
        self.authenticator = Authenticator({}, keys=self.keys, warm=self.warm, running=self.running)

    def clock(self) -> float:
        return self.now_s

    def wall_clock(self) -> float:
        return NOW_US / 1e6 + self.now_s - 1000

    def at_us(self, in_s: float) -> int:
        return int((self.wall_clock() + in_s) * 1e6)

    async def call(self, key: NewKey | str, address: str = HERE) -> Principal:
        """Come with a key, as the pipeline does."""
        text = key if isinstance(key, str) else key.text
        headers = [(b"authorization", b"Bearer " + text.encode())]
        found = self.authenticator.identify(headers, address)
        return found or await self.authenticator.look_up(headers, address)

    async def refusal(self, key: NewKey | str, address: str = HERE) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.call(key, address)
        return caught.value
