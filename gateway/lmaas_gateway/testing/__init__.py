"""Test doubles for gateways: a scripted vLLM that fails on command, and a network that does."""

from lmaas_gateway.testing.fake_replica import FakeReplica, Listen
from lmaas_gateway.testing.fault_proxy import FaultProxy
from lmaas_gateway.testing.journal import Attempt, Journal, read_journal
from lmaas_gateway.testing.model import FakeModel
from lmaas_gateway.testing.script import Ending, Fault, Framing, Point, Script
from lmaas_gateway.testing.seen import Outcome, Seen
from lmaas_gateway.testing.wire import AttemptName

__all__ = [
    "Attempt",
    "AttemptName",
    "Ending",
    "FakeModel",
    "FakeReplica",
    "Fault",
    "FaultProxy",
    "Framing",
    "Journal",
    "Listen",
    "Outcome",
    "Point",
    "Script",
    "Seen",
    "read_journal",
]
