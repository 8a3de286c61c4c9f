"""Contents, and what keeps and reads them, at a time that is given."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from lmaas_gateway.audit.trail import Trail
from lmaas_gateway.contents.archive import Archive, Exchange, Kept
from lmaas_gateway.contents.data_keys import DataKeys
from lmaas_gateway.contents.writer import ContentWriter
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.settings import ContentSettings
from lmaas_gateway.storage.database import Database
from lmaas_gateway.vault.vault import Vault

VAULT = Vault({1: b"Zk3pQ9xT7mB1vR5nW8yL2cH6dJ0fG4sAuEoI"})


CANARY = b"the-canary-sings-in-the-coal-mine"


DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


def kept(name: str = "call_1", organization: str = "org_a", size: int = 0) -> Kept:
    exchange = Exchange(request=b'{"messages":"%b"}' % CANARY, reply=CANARY + bytes(size))
    return Kept(name, organization, "proj_1", 1_700_000_000_000_000, exchange)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(clock: Clock) -> DataKeys:
    return DataKeys(VAULT, max_age_days=90, clock=clock)


@pytest.fixture
def writer(database: Database, keys: DataKeys, clock: Clock) -> ContentWriter:
    return ContentWriter(database, keys, ContentSettings(), Metrics(), clock=clock)


async def write(writer: ContentWriter, *items: Kept) -> None:
    for item in items:
        writer.put(item)
    await writer.flush()


async def read(database: Database, name: str = "call_1", organization: str = "org_a") -> Kept | None:
    archive = Archive(DataKeys(VAULT, max_age_days=90), Trail(VAULT))
    async with database.writing() as connection:
        return await archive.read(connection, organization, name, actor="user_1")


async def key_ids(database: Database) -> list[str]:
    async with database.reading() as connection:
        found = await connection.execute(text("SELECT id FROM data_keys ORDER BY created_at, id"))
        return [row.id for row in found]


async def change(database: Database, statement: str) -> None:
    async with database.writing() as connection:
        await connection.execute(text(statement))
