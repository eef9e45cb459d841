"""The store ``sqlite``."""

import heapq
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Self
from uuid import UUID

from thornsdk import Audience, DeliveryRecord, DeliveryState, Subscription, covering
from thornsdk.errors import ConfigurationError, StoreDamaged
from thornsdk_plugins.sqlite import rows
from thornsdk_plugins.sqlite.database import BUSY_SECONDS, Database
from thornsdk_plugins.sqlite.rows import Row, Value

_PREFIX = "sqlite:///"
_PAGE = 200
"""Rows that are read at once; streams are read page by page, so that no read lock outlives a page."""

_KNOWN_BODIES = 16

_PUT = f"""
    INSERT OR REPLACE INTO subscriptions ({rows.SUBSCRIPTION}, place)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608 - the columns are ours
_FIND = f"SELECT {rows.SUBSCRIPTION} FROM subscriptions WHERE id = ?"  # noqa: S608 - the columns are ours
_RECORD = """
    INSERT OR REPLACE INTO deliveries (
        id, message_id, event, sender, subscription_id, origin, content_type,
        state, attempted_at, due_at, attempt
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FROM_DELIVERIES = f"""
    SELECT {rows.DELIVERY} FROM deliveries
    JOIN bodies ON bodies.message_id = deliveries.message_id AND bodies.content_type = deliveries.content_type
"""  # noqa: S608 - the columns are ours


def _readable(found: list[Row]) -> list[DeliveryRecord]:
    """Gives what can be read of what was claimed: one bad row must not hold up the others for ever."""
    records: list[DeliveryRecord] = []
    problem: StoreDamaged | None = None
    for row in found:
        try:
            records.append(rows.delivery(row))
        except StoreDamaged as exc:
            problem = exc
    if problem is not None and not records:
        raise problem
    return records


def _put(connection: sqlite3.Connection, one: Subscription) -> None:
    row = rows.subscription_row(one)
    connection.execute("DELETE FROM patterns WHERE subscription_id = ?", row[:1])
    connection.execute(_PUT, row)
    connection.executemany(
        "INSERT OR IGNORE INTO patterns VALUES (?, ?, ?, ?)",
        [(pattern.text, one.owner or "", row[-1], row[0]) for pattern in one.patterns],
    )


def _delivery_row(delivery: DeliveryRecord) -> Row:
    return (
        str(delivery.id),
        str(delivery.message_id),
        delivery.event,
        delivery.sender,
        str(delivery.subscription_id),
        delivery.origin,
        delivery.content_type,
        delivery.state.value,
        rows.moment(delivery.last.started_at),
        _due(delivery),
        rows.attempt_text(delivery.last),
    )


def _due(delivery: DeliveryRecord) -> str | None:
    due_at = delivery.next_attempt_at
    return None if due_at is None else rows.moment(due_at)


class SqliteStore:
    """Keeps subscriptions and deliveries in a SQLite file, for several threads and processes at once.

    Args:
        path: The file. It holds the secrets of subscribers, so it is made readable by its owner alone.
        busy_seconds: How long to wait for the lock of another process.

    Raises:
        StoreError: If the file cannot be opened or is not ours.
    """

    def __init__(self, path: str | Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._database = Database(Path(path), busy_seconds)
        # The bodies that were kept last, by message and content type: they need not be written again.
        self._bodies: deque[tuple[str, str]] = deque(maxlen=_KNOWN_BODIES)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Opens the store of a URL: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``.

        Raises:
            ConfigurationError: If the URL names no file.
            StoreError: If the file cannot be opened or is not ours.
        """
        path = url.removeprefix(_PREFIX)
        if path == url or not path or path == ":memory:":
            raise ConfigurationError(
                f"{url!r} names no file; give sqlite:///relative.db or sqlite:////absolute.db, or the store "
                f"'memory' for one that lives in the process"
            )
        return cls(path)

    @property
    def identity(self) -> str:
        """A random name that the file has had since it was made."""
        ((identity,),) = self._database.rows("SELECT id FROM identity")
        return str(identity)

    def put(self, subscriptions: Iterable[Subscription]) -> None:
        """Adds or replaces subscriptions: all of them or, on an error, none."""
        with self._database.transaction() as connection:
            for one in subscriptions:
                _put(connection, one)

    def find(self, subscription_id: UUID) -> Subscription | None:
        """Gives a subscription, or None."""
        found = self._database.rows(_FIND, [str(subscription_id)])
        return rows.subscription(found[0]) if found else None

    def change(
        self,
        subscription_id: UUID,
        change: Callable[[Subscription], Subscription],
        default: Subscription | None = None,
    ) -> Subscription | None:
        """Changes a subscription in one transaction."""
        with self._database.transaction() as connection:
            row = connection.execute(_FIND, [str(subscription_id)]).fetchone()
            known = default if row is None else rows.subscription(row)
            if known is None:
                return None
            changed = change(known)
            if changed != known:
                _put(connection, changed)
            return changed

    def remove(self, subscription_id: UUID) -> bool:
        """Removes a subscription; tells whether there was one."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM patterns WHERE subscription_id = ?", [str(subscription_id)])
            gone = connection.execute("DELETE FROM subscriptions WHERE id = ?", [str(subscription_id)])
            return gone.rowcount > 0

    def subscriptions(self) -> Iterator[Subscription]:
        """Gives all subscriptions as a stream sorted by origin."""
        sql = f"""
            SELECT place, id, {rows.SUBSCRIPTION} FROM subscriptions
            WHERE (place, id) > (?, ?) ORDER BY place, id LIMIT {_PAGE}
        """  # noqa: S608 - the columns are ours
        return (rows.subscription(row[2:]) for row in self._pages(sql, ()))

    def matching(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that the audience admits, each once, as a stream sorted by origin.

        For each pattern that matches the event, an index gives the subscriptions in order; the streams are
        merged. So it costs what matches, not what there is.
        """
        owners = [None] if audience.broadcast else sorted({"", audience.sender or ""})
        streams = [self._wanting(pattern, owner) for pattern in covering(audience.event) for owner in owners]
        merged = heapq.merge(*streams, key=itemgetter(0, 1))
        for _, same in groupby(merged, key=itemgetter(0, 1)):
            yield rows.subscription(next(same)[2:])

    def record(self, delivery: DeliveryRecord) -> None:
        """Keeps what became of a delivery; replaces what was known of it."""
        body = (str(delivery.message_id), delivery.content_type)
        if body in self._bodies:
            # One statement is a transaction of its own, and far cheaper than one that is spelt out.
            self._database.rows(_RECORD, _delivery_row(delivery))
            return
        with self._database.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO bodies VALUES (?, ?, ?)", (*body, delivery.body))
            connection.execute(_RECORD, _delivery_row(delivery))
        self._bodies.append(body)

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        """Replaces a pending delivery that is due at exactly this moment; tells whether it was."""
        sql = "UPDATE deliveries SET attempted_at = ?, due_at = ?, attempt = ? WHERE id = ? AND due_at = ?"
        started_at = rows.moment(taken.last.started_at)
        attempt = rows.attempt_text(taken.last)
        values = (started_at, _due(taken), attempt, str(delivery_id), rows.moment(due_at))
        with self._database.transaction() as connection:
            return connection.execute(sql, values).rowcount > 0

    def delivery(self, delivery_id: UUID) -> DeliveryRecord | None:
        """Gives what is known of a delivery, or None."""
        found = self._database.rows(f"{_FROM_DELIVERIES} WHERE deliveries.id = ?", [str(delivery_id)])
        return rows.delivery(found[0]) if found else None

    def deliveries(self, state: DeliveryState | None = None) -> Iterator[DeliveryRecord]:
        """Gives the deliveries in a state, or all, as a stream, the latest attempt first."""
        condition = "" if state is None else "state = ? AND"
        columns = _FROM_DELIVERIES.replace("SELECT", "SELECT attempted_at, deliveries.id,", 1)
        sql = f"""
            {columns} WHERE {condition} (attempted_at, deliveries.id) < (?, ?)
            ORDER BY attempted_at DESC, deliveries.id DESC LIMIT {_PAGE}
        """
        values = () if state is None else (state.value,)
        return (rows.delivery(row[2:]) for row in self._pages(sql, values, ("~", "")))

    def claim_due(self, now: datetime, until: datetime, limit: int) -> list[DeliveryRecord]:
        """Takes pending deliveries that are due, the longest due first, and makes them due again later."""
        sql = f"{_FROM_DELIVERIES} WHERE due_at <= ? ORDER BY due_at LIMIT ?"
        with self._database.transaction() as connection:
            found = connection.execute(sql, (rows.moment(now), limit)).fetchall()
            connection.executemany(
                "UPDATE deliveries SET due_at = ? WHERE id = ?",
                [(rows.moment(until), row[0]) for row in found],
            )
        return _readable(found)

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def _wanting(self, pattern: str, owner: str | None) -> Iterator[Row]:
        condition, values = ("", (pattern,)) if owner is None else ("AND p.owner = ?", (pattern, owner))
        columns = ", ".join(f"s.{name}" for name in rows.SUBSCRIPTION.split(", "))
        sql = f"""
            SELECT p.place, p.subscription_id, {columns}
            FROM patterns p CROSS JOIN subscriptions s ON s.id = p.subscription_id
            WHERE p.pattern = ? {condition} AND (p.place, p.subscription_id) > (?, ?) AND s.disabled IS NULL
            ORDER BY p.place, p.subscription_id LIMIT {_PAGE}
        """  # noqa: S608 - the columns and the condition are ours
        return self._pages(sql, values)

    def _pages(
        self, sql: str, values: Sequence[Value], after: tuple[Value, Value] = ("", "")
    ) -> Iterator[Row]:
        """Gives the rows of a query page by page.

        The first two columns of a row are its key; the last two values of the query, the key to go on from.
        """
        page: Sequence[Row] = (after,)
        while page:
            page = self._database.rows(sql, (*values, *page[-1][:2]))
            yield from page
