"""How Alembic runs migrations here: on the connection and in the transaction that it is given."""

from alembic import context

from lmaas_gateway.storage.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # SQLite's tables, too, are made within the transaction, since we begin it ourselves.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
