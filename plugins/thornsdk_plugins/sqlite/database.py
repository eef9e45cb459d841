"""One open SQLite file: made, checked, shared between threads, and never between processes."""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from thornsdk.errors import ClosedError, StoreBusy, StoreDamaged, StoreError, StoreFull
from thornsdk_plugins.sqlite.rows import Row, Value
from thornsdk_plugins.sqlite.schema import APPLICATION_ID, TABLES, VERSION

BUSY_SECONDS = 10.0
"""How long we wait for another process to let go of its lock."""

Values: TypeAlias = Sequence[Value] | Mapping[str, Value]
"""What is put into a statement: in the order of its question marks, or by name."""

_CACHE_KIB = 8 * 1024
_PRIMARY = 0xFF
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# SQLite says so where there is no room for the side file that processes share, when the first opens a store.
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})


class Database:
    """An open SQLite file in WAL mode.

    One connection serves all threads in turn; each holds it for one statement or one short transaction. A
    process that was forked opens its own.

    Args:
        path: The file; it is made where there is none, readable by its owner alone, for it holds secrets.
        busy_seconds: How long to wait for the lock of another process.

    Raises:
        StoreError: If it cannot be opened or is not ours.
    """

    def __init__(self, path: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        # A process that was forked opens the file again, and may have changed its folder by then.
        self._path = path.absolute()
        self._busy_seconds = busy_seconds
        self._lock = threading.RLock()
        self._closed = False
        self._of_parents: list[sqlite3.Connection] = []
        self._connection: sqlite3.Connection | None = self._open()
        _databases.add(self)

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Runs a statement and gives all its rows.

        Raises:
            StoreError: If it fails.
        """
        with self._connected() as connection:
            return connection.execute(sql, values).fetchall()

    def change(self, sql: str, values: Values) -> int:
        """Runs a statement and gives how many rows it changed.

        Raises:
            StoreError: If it fails.
        """
        with self._connected() as connection:
            return connection.execute(sql, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Runs what is inside as one transaction: all of it or, on an error, nothing.

        Raises:
            StoreError: If it fails.
        """
        with self._connected() as connection, _transaction(connection, "BEGIN IMMEDIATE"):
            yield connection

    def close(self) -> None:
        """Closes the file. Closing twice does no harm."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._closed = True

    def forget(self) -> None:
        """Lets go of the file in a child process; it is opened again when it is needed."""
        # Closing the parent's connection here would drop the locks that the parent holds: it is kept and
        # never used. (sqlite.org, "How to corrupt": carrying an open database across a fork.)
        if self._connection is not None:
            self._of_parents.append(self._connection)
            self._connection = None
        # The old lock may be held by a thread that this process does not have.
        self._lock = threading.RLock()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise ClosedError(f"the store {self._path} was closed")
            if self._connection is None:
                self._connection = self._open()
            try:
                yield self._connection
            except sqlite3.Error as exc:
                raise self._translated(exc) from exc

    def _open(self) -> sqlite3.Connection:
        self._make()
        try:
            with ExitStack() as stack:
                connection = sqlite3.connect(
                    self._path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False
                )
                stack.callback(connection.close)
                self._prepare(connection)
                stack.pop_all()
                return connection
        except sqlite3.Error as exc:
            raise self._translated(exc) from exc

    def _make(self) -> None:
        """Makes the file where there is none. SQLite gives its side files the same rights."""
        # Never open one that is there: closing it again would drop the locks that another store of this
        # process holds on it. (sqlite.org, "How to corrupt": POSIX advisory locks.)
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return
        except OSError as exc:
            raise StoreError(f"the store {self._path} cannot be made: {exc.strerror}") from exc

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # What is not ours must not be changed, not even to WAL. Looked at as a whole: another process may be
        # making the tables.
        with _transaction(connection, "BEGIN"):
            found = self._check_ours(connection)
        self._switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        # Ids are random: a message to many touches pages everywhere, and they are not to be read each time.
        connection.execute(f"PRAGMA cache_size = {-_CACHE_KIB}")
        if found:
            return  # Who only reads waits for nobody's lock.
        with _transaction(connection, "BEGIN IMMEDIATE"):
            # Another process may have made the tables while we waited for the lock.
            if self._check_ours(connection) == 0:
                for statement in TABLES:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {VERSION}")

    def _check_ours(self, connection: sqlite3.Connection) -> int:
        """Gives the version of the layout; 0 for a file that is empty."""
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and application_id != APPLICATION_ID:
            raise StoreDamaged(
                f"{self._path} is the database of another program; give the store its own file"
            )
        if found not in {0, VERSION}:
            advice = "upgrade thornsdk" if found > VERSION else "give the store a new file"
            raise StoreDamaged(
                f"{self._path} was made by another release (layout {found}, this one knows {VERSION}); "
                f"{advice}"
            )
        return int(found)

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        # SQLite does not wait for the lock here as it does elsewhere, so we do.
        give_up_at = time.monotonic() + self._busy_seconds
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode & _PRIMARY not in _BUSY or time.monotonic() > give_up_at:
                    raise
                time.sleep(0.01)
            else:
                return

    def _translated(self, error: sqlite3.Error) -> StoreError:
        extended = getattr(error, "sqlite_errorcode", 0)
        code = extended & _PRIMARY
        if code in _BUSY:
            return StoreBusy(
                f"the store {self._path} was locked by another process for {self._busy_seconds:g} s; nothing "
                f"was written. Find who holds it open in a transaction"
            )
        if not _FULL.isdisjoint({code, extended}):
            return StoreFull(f"the disk of the store {self._path} is full; nothing was written. Make room")
        if code in _DAMAGED:
            return StoreDamaged(
                f"{self._path} is not a sound SQLite database ({error}). Restore a copy, or move it away"
            )
        return StoreError(f"the store {self._path} failed: {error}")


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back by itself, as it does where the disk is full.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


_databases: weakref.WeakSet[Database] = weakref.WeakSet()


def _forget_all() -> None:
    for database in list(_databases):
        database.forget()


os.register_at_fork(after_in_child=_forget_all)
