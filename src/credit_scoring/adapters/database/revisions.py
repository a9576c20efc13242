"""Revisions of applicants' facts: what tells that a feature was computed from facts that are no longer all."""

from collections.abc import Iterable

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from credit_scoring.adapters.database.schema import facts_revisions
from credit_scoring.core.owners import Owner

_CONTENT_LETTERS = 16


def raise_revisions(connection: Connection, owner: Owner, applicant_ids: Iterable[str]) -> None:
    """Raise the revision of each applicant once, in the transaction that changes their facts.

    In the order of their ids: two writers then never wait for each other.
    """
    ids = sorted(set(applicant_ids))
    if not ids:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    keys = list(facts_revisions.primary_key)
    insert = dialect.insert(facts_revisions)
    raised = insert.on_conflict_do_update(index_elements=keys, set_={"revision": facts_revisions.c.revision + 1})
    connection.execute(raised, [{**owner._asdict(), "applicant_id": one, "revision": 1} for one in ids])


def revision_text(content: str | None, number: int | None, *, pushed: bool) -> str:
    """Return a revision as text: what was loaded, how often was pushed, and whether the pushed fields hold.

    The last is told because the same content may be loaded again later, and then brings the fields of files back.
    """
    return f"{(content or '')[:_CONTENT_LETTERS]}.{number or 0}{'p' if pushed else ''}"
