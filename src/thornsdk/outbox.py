"""The outbox: messages in the application's own database, written in its own transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import ClassVar, Literal, LiteralString, TypeAlias
from uuid import uuid4

from attrs import evolve, field, frozen

from thornsdk.errors import ConfigurationError, OutboxError
from thornsdk.typing import Clock, Connection

ParamStyle: TypeAlias = Literal["qmark", "format"]
"""How a driver marks parameters in SQL: with ``?`` or with ``%s``."""

FREE = datetime(1970, 1, 1, tzinfo=UTC)
"""Until when a row is taken that nobody has taken."""

_SCHEMA: LiteralString = (
    "CREATE TABLE IF NOT EXISTS thornsdk_outbox ("
    "id VARCHAR(56) PRIMARY KEY, taken_until BIGINT NOT NULL, document TEXT NOT NULL)"
)
_ADD: LiteralString = "INSERT INTO thornsdk_outbox (id, taken_until, document) VALUES (?, ?, ?)"
_LAST: LiteralString = "SELECT MAX(id) FROM thornsdk_outbox"
_FREE: LiteralString = (
    "SELECT id, taken_until, document FROM thornsdk_outbox "
    "WHERE id > ? AND id <= ? AND taken_until <= ? ORDER BY id LIMIT ?"
)
_TAKE: LiteralString = "UPDATE thornsdk_outbox SET taken_until = ? WHERE id = ? AND taken_until = ?"
_REMOVE: LiteralString = "DELETE FROM thornsdk_outbox WHERE id = ?"

_MARKS: dict[str, LiteralString] = {"qmark": "?", "format": "%s"}

# As SQLite, PostgreSQL and MySQL say that there is no such table.
_MISSING = ("no such table", "does not exist", "doesn't exist")

# INTRANS and INERROR, as libpq numbers them.
_IN_TRANSACTION = (2, 3)

# What sqlite3 tells by the name of an error alone; other drivers have classes of their own for it.
_TROUBLES = {
    "SQLITE_BUSY": "its database was locked by another connection for longer than this one waits",
    "SQLITE_LOCKED": "its table was locked by another connection of this process",
    "SQLITE_FULL": "the disk of its database is full",
    "SQLITE_READONLY": "its database can only be read",
}


@frozen(kw_only=True)
class Row:
    """A row of the outbox.

    Attributes:
        id: Tells it from others. Those that were added later have an id that sorts later.
        taken_until: Until when a relay has it to itself.
        document: What it says of its message.
    """

    id: str
    taken_until: datetime
    document: str = field(repr=False)


class Outbox:
    """Messages that wait in a table of the application's own database, ``thornsdk_outbox``.

    Given to `Event.send` as ``transaction``, it writes the message through the application's connection, in
    the transaction that is open there: both are committed, or neither. It never commits by itself, and never
    rolls back. `Thorn.relay` then hands over what is committed.

    Make it where the connection is, as often as you like: it holds nothing but the connection.

    Args:
        connection: Of any driver that keeps to DB-API 2.0 (PEP 249).
        paramstyle: How its driver marks parameters in SQL: ``qmark`` for sqlite3, ``format`` for psycopg and
            mysqlclient, and for Django's connections.

    Raises:
        ConfigurationError: If there is no such paramstyle.

    Example:
        >>> import sqlite3
        >>> from thornsdk import Outbox, Thorn
        >>> connection = sqlite3.connect("orders.db")
        >>> outbox = Outbox(connection)
        >>> outbox.create_table()
        >>> with Thorn(store="sqlite:///thorn.db") as thorn:
        ...     created = thorn.event("order.created", payload_type=dict[str, int])
        ...     with connection:
        ...         receipt = created.send({"id": 42}, transaction=outbox)
        ...     thorn.relay(outbox)
        1
        >>> connection.close()
    """

    schema: ClassVar[str] = _SCHEMA
    """The SQL that makes the table, for migrations. In MySQL, say ``LONGTEXT`` in place of ``TEXT`` where the
    bodies of a message may be longer than 45 KB together."""

    def __init__(self, connection: Connection, *, paramstyle: ParamStyle = "qmark") -> None:
        if paramstyle not in _MARKS:
            raise ConfigurationError(
                f"paramstyle is {paramstyle!r}; it takes 'qmark' for drivers that write ?, such as sqlite3, "
                f"and 'format' for those that write %s, such as psycopg and mysqlclient"
            )
        self._connection = connection
        self._paramstyle = paramstyle
        self._numbers = count()

    def create_table(self) -> None:
        """Makes the table where there is none. Commit it, where the database does not do so by itself.

        Raises:
            OutboxError: If the database refused.
        """
        with self._translated("made"):
            self._execute(_SCHEMA)

    def add(self, document: str, at: datetime) -> None:
        """Adds a row, in the transaction that is open; `Event.send` does so.

        Args:
            document: What it says of its message.
            at: When the message was sent, by which rows are sorted.

        Raises:
            OutboxError: If the database refused. What it then asks of the transaction is the application's
                to do: PostgreSQL takes nothing more before a rollback.
        """
        with self._translated("written"):
            self._execute(_ADD, self._new_id(at), _number(FREE), document)

    def check_idle(self) -> None:
        """Checks that no transaction of the application is open, as far as the connection tells.

        Raises:
            OutboxError: If one is open.
        """
        with self._translated("read"):
            is_open = _has_transaction(self._connection)
        if is_open:
            raise OutboxError(
                "a transaction is open on the connection of the outbox, and a relay commits: commit or roll "
                "back first, or give the relay a connection of its own"
            )

    def pages(self, clock: Clock, lease: timedelta, limit: int) -> Iterator[list[Row]]:
        """Takes what is committed now, in the order in which it was added, and gives it in pages.

        What another relay has taken is left out: a page may have fewer rows, or none.

        Args:
            clock: Tells the time.
            lease: For how long the rows of a page are taken.
            limit: How many rows a page has at most.

        Raises:
            OutboxError: If the database refused.
        """
        # Others may add rows faster than we take them: this ends at what was there when it began.
        last, after = self._last_id(), ""
        while found := self._free(after, last, clock(), limit):
            after = found[-1].id
            yield self.take(found, clock() + lease)

    def take(self, rows: Iterable[Row], until: datetime) -> list[Row]:
        """Takes rows until a moment, or gives them back until then, and commits.

        Returns:
            Those that nobody else has taken since they were read, as they are now.

        Raises:
            OutboxError: If the database refused.
        """
        with self._committed("written"):
            return [evolve(one, taken_until=until) for one in rows if self._takes(one, until)]

    def remove(self, row: Row) -> None:
        """Removes a row whose message was handed over, whoever has taken it since, and commits.

        Raises:
            OutboxError: If the database refused.
        """
        with self._committed("written"):
            self._execute(_REMOVE, row.id)

    def _new_id(self, at: datetime) -> str:
        # Its digits have places of their own: whatever a database sorts texts by, they sort as numbers do.
        return f"{_number(at):016x}{next(self._numbers):08x}{uuid4().hex}"

    def _last_id(self) -> str:
        with self._committed("read"):
            ((last,),) = self._fetch(_LAST)
            return "" if last is None else str(last)

    def _free(self, after: str, last: str, now: datetime, limit: int) -> list[Row]:
        with self._committed("read"):
            found = self._fetch(_FREE, after, last, _number(now), limit)
            return [
                Row(id=str(key), taken_until=_moment(int(str(until))), document=str(document))
                for key, until, document in found
            ]

    def _takes(self, row: Row, until: datetime) -> bool:
        return self._execute(_TAKE, _number(until), row.id, _number(row.taken_until)) == 1

    def _execute(self, sql: LiteralString, *parameters: str | int) -> int:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(self._marked(sql), parameters)
            return cursor.rowcount

    def _fetch(self, sql: LiteralString, *parameters: str | int) -> list[Sequence[object]]:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(self._marked(sql), parameters)
            # Applications may have their rows made as dicts.
            return [
                tuple(one.values()) if isinstance(one, Mapping) else tuple(one) for one in cursor.fetchall()
            ]

    def _marked(self, sql: LiteralString) -> LiteralString:
        return sql.replace("?", _MARKS[self._paramstyle])

    @contextmanager
    def _committed(self, done: str) -> Iterator[None]:
        """Commits what is done inside, so that no lock is held while messages are handed over."""
        try:
            with self._translated(done):
                yield
                self._connection.commit()
        except OutboxError:
            with suppress(Exception):  # The first error counts.
                self._connection.rollback()
            raise

    @contextmanager
    def _translated(self, done: str) -> Iterator[None]:
        try:
            yield
        except Exception as exc:
            # Each driver has errors of its own. Their texts may quote a body.
            raise OutboxError(self._problem(done, exc)) from exc

    def _problem(self, done: str, error: Exception) -> str:
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        if any(one in str(error) for one in _MISSING):
            return (
                f"the outbox could not be {done} ({kind}): its database has no table thornsdk_outbox. Make "
                f"it with Outbox.create_table(), or in a migration with the SQL in Outbox.schema"
            )
        name = str(getattr(error, "sqlite_errorname", ""))
        for known, trouble in _TROUBLES.items():
            if name.startswith(known):
                return f"the outbox could not be {done} ({kind}, {name}): {trouble}"
        return (
            f"the outbox could not be {done}: the database raised {kind}, whose text may quote a body and is "
            f"in the cause of this error. The paramstyle is {self._paramstyle!r}: see that it is the driver's"
        )


def _has_transaction(connection: Connection) -> bool:
    """Tells whether a transaction is open, as sqlite3, psycopg and psycopg2 tell it; others do not."""
    if getattr(connection, "in_transaction", False) is True:
        # With autocommit=False, the connections of sqlite3 always have one open.
        return getattr(connection, "autocommit", None) is not False
    return getattr(getattr(connection, "info", None), "transaction_status", None) in _IN_TRANSACTION


def _number(moment: datetime) -> int:
    """Gives a moment in microseconds since 1970."""
    return (moment - FREE) // timedelta(microseconds=1)


def _moment(number: int) -> datetime:
    return FREE + timedelta(microseconds=number)
