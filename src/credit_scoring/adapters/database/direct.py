"""Statements that every decision runs, put to the driver itself: SQLAlchemy takes longer over one than the database.

SQLAlchemy still writes their SQL, once for each engine, and makes the connections, with all that ``engine`` sets on
them. What is left out is what it does per statement: the pool, its events, and rows with names.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ClauseElement, Dialect, Engine, Table
from sqlalchemy.exc import DBAPIError

from credit_scoring.adapters.database.schema import UtcMoment

T = TypeVar("T")
Row = tuple[Any, ...]

MOST_IDLE = 4
"""Connections that are kept for the next statement; as many run at once as threads ask."""

TRUSTED_S = 1.0
"""How long an idle connection is used without asking whether its server still answers, which costs a round trip."""


class Step(NamedTuple):
    """A statement in the driver's own words, with its parameters in the driver's own form."""

    sql: str
    parameters: Any


class Prepared:
    """A statement whose SQL is written once; moments are bound as ``Direct.moment`` gives them."""

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._places: Sequence[str] | None = compiled.positiontup
        self._constant: Mapping[str, Any] = compiled.params

    def step(self, values: Mapping[str, Any]) -> Step:
        """Return the statement with ``values`` by the names of its parameters."""
        bound = {**self._constant, **values}
        return Step(self._sql, bound if self._places is None else tuple([bound[name] for name in self._places]))


class PreparedInsert:
    """Inserts any number of rows by one statement, which is a transaction by itself."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        quote = dialect.identifier_preparer.quote
        mark = "?" if dialect.paramstyle == "qmark" else "%s"
        columns = ", ".join(quote(column.name) for column in table.columns)
        self._head = f"INSERT INTO {quote(table.name)} ({columns}) VALUES "  # noqa: S608 - names of the schema
        self._row = f"({', '.join([mark] * len(table.columns))})"

    def step(self, rows: Sequence[Row]) -> Step:
        """Return the statement for ``rows``, each with a value for every column, in the table's order."""
        return Step(self._head + ", ".join([self._row] * len(rows)), [value for row in rows for value in row])


class Direct:
    """Connections of an engine apart from its pool; safe to share between threads.

    A connection stays open from statement to statement and is given up after any failure. Failures are SQLAlchemy's:
    ``IntegrityError``, ``OperationalError`` and so on. ``check`` is called before every use, and may refuse it.
    """

    def __init__(self, engine: Engine, check: Callable[[], None]) -> None:
        self.dialect = engine.dialect
        self._engine = engine
        self._check = check
        self._idle: list[tuple[Any, float]] = []
        self._begin = Step("BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "BEGIN", ())
        self._moment = UtcMoment().dialect_impl(engine.dialect).bind_processor(engine.dialect)

    def moment(self, at: Any) -> Any:
        """Return a moment as the driver takes it."""
        return at if self._moment is None else self._moment(at)

    def rows(self, question: Step) -> list[Row]:
        """Return all rows that a question finds."""

        def work(cursor: Any) -> list[Row]:
            cursor.execute(*question)
            found: list[Row] = cursor.fetchall()
            return found

        return self._with_cursor(work)

    def write(self, steps: Sequence[Step]) -> None:
        """Take all ``steps`` in one transaction, durable on return, or none of them."""
        whole = steps if len(steps) == 1 else [self._begin, *steps, Step("COMMIT", ())]

        def work(cursor: Any) -> None:
            for step in whole:
                cursor.execute(*step)

        self._with_cursor(work)

    def close(self) -> None:
        """Close the connections that nobody uses now."""
        idle, self._idle = self._idle, []
        for connection, _ in idle:
            self._give_up(connection)

    def _with_cursor(self, work: Callable[[Any], T]) -> T:
        self._check()
        error = self.dialect.loaded_dbapi.Error
        try:
            return self._worked(work)
        except error as exc:
            raise _translated(exc, error) from exc

    def _worked(self, work: Callable[[Any], T]) -> T:
        connection = self._taken()
        try:
            done = work(connection.cursor())
        except self.dialect.loaded_dbapi.IntegrityError:
            self._undo(connection)
            raise
        except BaseException:
            self._give_up(connection)
            raise
        self._keep(connection)
        return done

    def _taken(self) -> Any:
        """Return the connection that was used last, if it still answers, or a new one."""
        while self._idle:
            try:
                connection, since_s = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if monotonic() - since_s < TRUSTED_S or self._answers(connection):
                return connection
            self._give_up(connection)
        return self._connected()

    def _connected(self) -> Any:
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        try:
            self.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        except BaseException:
            self._give_up(connection)
            raise
        return connection

    def _undo(self, connection: Any) -> None:
        try:
            connection.rollback()
        except self.dialect.loaded_dbapi.Error:
            self._give_up(connection)
        else:
            self._keep(connection)

    def _answers(self, connection: Any) -> bool:
        try:
            return self.dialect.do_ping(connection)
        except self.dialect.loaded_dbapi.Error:
            return False

    def _keep(self, connection: Any) -> None:
        if len(self._idle) < MOST_IDLE:
            self._idle.append((connection, monotonic()))
        else:
            self._give_up(connection)

    def _give_up(self, connection: Any) -> None:
        with suppress(self.dialect.loaded_dbapi.Error):
            connection.close()


def _translated(exc: Exception, base: type[Exception]) -> BaseException:
    """Return a driver's error as SQLAlchemy's of the same name; without the statement, which may hold values."""
    return DBAPIError.instance(None, None, exc, base)
