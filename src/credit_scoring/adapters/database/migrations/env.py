"""Runs the revisions inside the transaction that ``open_database`` holds."""

from alembic import context

from credit_scoring.adapters.database.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
