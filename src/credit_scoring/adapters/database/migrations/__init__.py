"""Alembic revisions of the database; run by ``open_database``."""
