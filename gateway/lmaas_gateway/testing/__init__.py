"""Test doubles for gateways: a scripted vLLM that fails on command."""

from lmaas_gateway.testing.fake_replica import FakeReplica, Listen
from lmaas_gateway.testing.model import FakeModel
from lmaas_gateway.testing.script import Ending, Fault, Framing, Point, Script
from lmaas_gateway.testing.seen import Outcome, Seen

__all__ = [
    "Ending",
    "FakeModel",
    "FakeReplica",
    "Fault",
    "Framing",
    "Listen",
    "Outcome",
    "Point",
    "Script",
    "Seen",
]
