"""Lists of ids as one parameter of a statement, whatever their length.

An embedded database takes only so many parameters, and the statement would be another for every length.
"""

from collections.abc import Sequence

import orjson
from sqlalchemy import String, bindparam, column, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.expression import TableValuedAlias


def asked_for(dialect: str) -> TableValuedAlias:
    """Return the ids of the parameter ``ids`` as a table of one column, ``value``."""
    if dialect == "sqlite":
        return func.json_each(bindparam("ids", type_=String)).table_valued(column("value", String), name="asked")
    given = func.unnest(bindparam("ids", type_=ARRAY(String)))
    return given.table_valued(column("value", String), name="asked").render_derived()


def list_of(dialect: str, ids: Sequence[str]) -> str | Sequence[str]:
    """Return ids as the value of the parameter ``ids``: JSON text where the database has no lists."""
    return orjson.dumps(ids).decode() if dialect == "sqlite" else ids
