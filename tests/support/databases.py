"""Databases of an application, each with its orders and an outbox beside them."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

import pytest

from support import given
from thornsdk import Outbox

HOW_TO_RUN = "install psycopg, and set THORN_TEST_POSTGRES_URL to a PostgreSQL where we may make schemas"


class Shop:
    """One connection to the database of an application.

    Args:
        connection: The connection, of any driver.
        paramstyle: How the driver marks parameters.
    """

    def __init__(self, connection: Any, paramstyle: Literal["qmark", "format"] = "qmark") -> None:
        self.connection = connection
        self.outbox = Outbox(connection, paramstyle=paramstyle)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()

    def create(self) -> None:
        self.run("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        self.outbox.create_table()
        self.connection.commit()

    def insert(self, number: int) -> None:
        self.run(f"INSERT INTO orders VALUES ({number})")

    def run(self, sql: str) -> None:
        self.connection.cursor().execute(sql, ())

    @property
    def orders(self) -> list[int]:
        return [int(number) for (number,) in self.find("SELECT id FROM orders ORDER BY id")]

    @property
    def waiting(self) -> int:
        """How many messages are in the outbox."""
        return len(self.find("SELECT id FROM thornsdk_outbox"))

    def find(self, sql: str) -> Sequence[Sequence[Any]]:
        cursor = self.connection.cursor()
        cursor.execute(sql, ())
        found: Sequence[Sequence[Any]] = cursor.fetchall()
        self.connection.commit()
        return found

    def close(self) -> None:
        self.connection.close()


OpenShop = Callable[[], Shop]


class _FormatCursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = ()) -> Self:
        assert "?" not in sql, "this driver marks parameters with %s"
        return super().execute(sql.replace("%s", "?"), parameters)


class _FormatConnection(sqlite3.Connection):
    """A driver for SQLite that marks parameters as most drivers do."""

    def cursor(self, _: Any = None) -> Any:
        return super().cursor(_FormatCursor)


def sqlite_shop(path: Path) -> Shop:
    return Shop(sqlite3.connect(path))


def format_shop(path: Path) -> Shop:
    return Shop(sqlite3.connect(path, factory=_FormatConnection), "format")


@contextmanager
def postgres_shops() -> Iterator[OpenShop]:
    """Gives what opens connections to a schema of ours. Where there is no PostgreSQL, the test is skipped."""
    if given.POSTGRES is None:
        pytest.skip(f"PostgreSQL is not tested: {HOW_TO_RUN}")
    psycopg: Any = pytest.importorskip("psycopg", reason=f"PostgreSQL is not tested: {HOW_TO_RUN}")
    schema = f"thornsdk_test_{uuid4().hex[:8]}"
    with psycopg.connect(given.POSTGRES, autocommit=True) as administrator:
        administrator.execute(f"CREATE SCHEMA {schema}")
        try:
            yield lambda: Shop(psycopg.connect(given.POSTGRES, options=f"-c search_path={schema}"), "format")
        finally:
            administrator.execute(f"DROP SCHEMA {schema} CASCADE")
