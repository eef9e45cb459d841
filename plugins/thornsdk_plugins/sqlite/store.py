"""The store ``sqlite``."""

import heapq
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Self, cast
from uuid import UUID

from thornsdk import (
    Attempt,
    Audience,
    Breaker,
    Count,
    CountFilter,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    Pruned,
    Subscription,
    Traffic,
    covering,
)
from thornsdk.errors import ConfigurationError, StoreDamaged
from thornsdk_plugins.sqlite import counting, rows, searches
from thornsdk_plugins.sqlite.database import BUSY_SECONDS, Database
from thornsdk_plugins.sqlite.pruning import Pruning, delete
from thornsdk_plugins.sqlite.rows import Row, Value

_PREFIX = "sqlite:///"
_PAGE = 200
"""Rows that are read at once; streams are read page by page, so that no read lock outlives a page."""

_KNOWN_BODIES = 16

_PUT = f"""
    INSERT OR REPLACE INTO subscriptions ({rows.SUBSCRIPTION}, place)
    VALUES ({", ".join("?" for _ in rows.SUBSCRIPTION.split(", "))}, ?)
"""  # noqa: S608 - the columns are ours
_FIND = f"SELECT {rows.SUBSCRIPTION} FROM subscriptions WHERE id = ?"  # noqa: S608 - the columns are ours
_PUT_BODY = "INSERT OR IGNORE INTO bodies VALUES (?, ?, ?)"
_INTO = f"INSERT INTO deliveries ({', '.join(rows.DELIVERY_COLUMNS)})"
_VALUES = ", ".join("?" for _ in rows.DELIVERY_COLUMNS)
_ACCEPT = f"{_INTO} VALUES ({_VALUES}) ON CONFLICT (id) DO NOTHING"
_CHANGES = ", ".join(f"{name} = excluded.{name}" for name in rows.STANDING)
# What was delivered stays delivered; of its attempts of a kind, the one with the highest number counts.
_IF_IT_COUNTS = f"""
    ON CONFLICT (id) DO UPDATE SET {_CHANGES}
    WHERE (excluded.state = 'delivered', excluded.number)
    >= (deliveries.state = 'delivered', deliveries.number)
"""
_RECORD = f"{_INTO} VALUES ({_VALUES}) {_IF_IT_COUNTS}"
# The body may have been pruned since it was kept.
_RECORD_IF_BODY = f"""
    {_INTO} SELECT {_VALUES}
    WHERE EXISTS (SELECT 1 FROM bodies WHERE message_id = ? AND content_type = ?) {_IF_IT_COUNTS}
"""  # noqa: S608 - the columns are ours
_LATE = "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?)"
_STAND = f"UPDATE deliveries SET {', '.join(f'{name} = ?' for name in rows.STANDING)}"  # noqa: S608 - the columns are ours
_TAKE = f"{_STAND} WHERE id = ? AND due_at = ?"
# By its key: a row that was read is found without a look into the index of ids, which are random.
_CLAIM = f"{_STAND} WHERE seq = ?"
_LATER = "UPDATE deliveries SET due_at = ? WHERE seq = ?"
_ATTEMPTS = """
    SELECT number, attempt FROM attempts WHERE delivery_id = :id
    UNION ALL SELECT number, attempt FROM deliveries WHERE id = :id AND number > 0
"""
_WITH_BODIES = """
    CROSS JOIN bodies
    ON bodies.message_id = deliveries.message_id AND bodies.content_type = deliveries.content_type
"""
_FROM_DELIVERIES = f"SELECT {rows.DELIVERY} FROM deliveries {_WITH_BODIES}"  # noqa: S608 - the columns are ours
# Every index is named, so that what is due is found at once however much there is beside it.
_DUE = f"""
    SELECT seq, {rows.DELIVERY} FROM deliveries INDEXED BY deliveries_due {_WITH_BODIES}
    WHERE due_at <= ? ORDER BY due_at, origin, seq LIMIT ?
"""  # noqa: S608 - the columns are ours
_NEW = f"""
    SELECT seq, {rows.DELIVERY} FROM deliveries INDEXED BY deliveries_new {_WITH_BODIES}
    WHERE deliveries.message_id = ? AND number = 0 AND holder IS NOT NULL ORDER BY origin, seq LIMIT ?
"""  # noqa: S608 - the columns are ours
_NEXT_DUE = """
    SELECT due_at FROM deliveries INDEXED BY deliveries_due WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1
"""
_PLACE_IN_LINE = (
    "SELECT subscription_id, order_key, seq FROM deliveries WHERE id = ? AND order_key IS NOT NULL"
)
_NOWHERE = 2**63 - 1
# The index gives the first of each state at once, however long the line is.
_FIRST_IN_LINE = """
    ifnull((
        SELECT seq FROM deliveries INDEXED BY deliveries_in_line
        WHERE subscription_id = :subscription AND order_key = :key AND state = '{state}'
        AND state NOT IN ('delivered', 'cancelled') AND seq {side} :seq ORDER BY seq LIMIT 1
    ), {nowhere})
"""
_BREAKERS = f"SELECT {rows.BREAKER} FROM breakers"  # noqa: S608 - the columns are ours
_PUT_BREAKER = "INSERT OR REPLACE INTO breakers VALUES (?, ?, ?, ?, ?)"
_TRAFFIC = f"SELECT {rows.TRAFFIC} FROM traffic WHERE subscription_id = ?"  # noqa: S608 - the columns are ours
_PUT_TRAFFIC = "INSERT OR REPLACE INTO traffic VALUES (?, ?, ?, ?, ?, ?)"
_UNREADABLE_FOR = timedelta(hours=1)
_OFF, _OFF_OF_ALL = "patterns_off", "patterns_off_of_all"
_ANY_OFF = f"SELECT 1 FROM patterns INDEXED BY {_OFF} WHERE disabled = 1 AND pattern IN ({{}}) LIMIT 1"  # noqa: S608 - the index is ours


def _in_line(side: str, states: Iterable[DeliveryState]) -> str:
    """Gives the query of the first of these states on one side of a place in a line."""
    firsts = [_FIRST_IN_LINE.format(state=one.value, side=side, nowhere=_NOWHERE) for one in states]
    return f"{_FROM_DELIVERIES} WHERE seq = min({', '.join(firsts)})"


_OPEN = (DeliveryState.PENDING, DeliveryState.LEASED)
_AHEAD = {
    False: _in_line("<", _OPEN),
    True: _in_line("<", (*_OPEN, DeliveryState.FAILED, DeliveryState.BLOCKED)),
}
_NEXT_IN_LINE = _in_line(">", _OPEN)


def _put(connection: sqlite3.Connection, one: Subscription) -> None:
    row = rows.subscription_row(one)
    connection.execute("DELETE FROM patterns WHERE subscription_id = ?", row[:1])
    connection.execute(_PUT, row)
    connection.executemany(
        "INSERT OR IGNORE INTO patterns VALUES (?, ?, ?, ?, ?, ?)",
        [
            (pattern.text, one.owner or "", row[-1], row[0], not one.active, one.ordered_by is not None)
            for pattern in one.patterns
        ],
    )


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
            for table in ("patterns", "failing", "traffic"):
                sql = f"DELETE FROM {table} WHERE subscription_id = ?"  # noqa: S608 - the tables are ours
                connection.execute(sql, [str(subscription_id)])
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
        return self._reached(audience)

    def disabled(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the subscriptions that the audience misses, each once, as a stream sorted by origin.

        They have indexes of their own, so that it costs nothing where there are none.
        """
        if self._misses_any(audience):
            index = _OFF_OF_ALL if audience.broadcast else _OFF
            yield from self._reached(audience, f"INDEXED BY {index}", "p.disabled = 1")

    def ordered(self, audience: Audience) -> Iterator[Subscription]:
        """Gives the ordered subscriptions that the audience admits, by an index of their own."""
        return self._reached(audience, "INDEXED BY patterns_of_ordered", "p.ordered AND s.disabled IS NULL")

    def accept(self, deliveries: Iterable[DeliveryRecord]) -> None:
        """Keeps new deliveries: all of them or, on an error, none; those that are known stay as they are."""
        written: deque[tuple[str, str]] = deque(maxlen=_KNOWN_BODIES)
        with self._database.transaction() as connection:
            for one in deliveries:
                body = _body_key(one)
                if body not in written:
                    connection.execute(_PUT_BODY, (*body, one.body))
                    written.append(body)
                connection.execute(_ACCEPT, rows.delivery_row(one))
        self._bodies.extend(written)

    def withdraw(self, delivery_ids: Iterable[UUID]) -> None:
        """Removes deliveries that were accepted and not attempted, with their bodies."""
        sql = "SELECT id, message_id, content_type FROM deliveries WHERE id = ? AND number = 0"
        with self._database.transaction() as connection:
            for one in delivery_ids:
                delete(connection, connection.execute(sql, [str(one)]).fetchall())

    def record(self, delivery: DeliveryRecord) -> None:
        """Keeps what became of a delivery, and its attempt in the history."""
        body = _body_key(delivery)
        row = rows.delivery_row(delivery)
        # One statement is a transaction of its own, and far cheaper than one that is spelt out.
        # Its values are a list: of tuples of twenty, Python 3.11 sets many aside and uses none of them again.
        changed = self._database.change(_RECORD_IF_BODY, [*row, *body]) if body in self._bodies else 0
        if not changed:
            with self._database.transaction() as connection:
                connection.execute(_PUT_BODY, (*body, delivery.body))
                changed = connection.execute(_RECORD, row).rowcount
            self._bodies.append(body)
        if not changed:
            late = (str(delivery.id), delivery.last.number, rows.attempt_text(delivery.last))
            self._database.change(_LATE, late)

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        """Replaces a delivery that is due at exactly this moment; tells whether it was."""
        values = (*rows.standing(taken), str(delivery_id), rows.moment(due_at))
        return self._database.change(_TAKE, values) > 0

    def delivery(self, delivery_id: UUID) -> DeliveryRecord | None:
        """Gives what is known of a delivery, or None."""
        found = self._database.rows(f"{_FROM_DELIVERIES} WHERE deliveries.id = ?", [str(delivery_id)])
        return rows.delivery(found[0]) if found else None

    def attempts(self, delivery_id: UUID) -> list[Attempt]:
        """Gives the attempts of a delivery, the first one first."""
        found = self._database.rows(_ATTEMPTS, {"id": str(delivery_id)})
        # Of two with one number, the delivery's own counts: it comes later.
        history = {cast("int", number): str(text) for number, text in found}
        return [rows.attempt(delivery_id, history[number]) for number in sorted(history)]

    def deliveries(self, wanted: DeliveryFilter | None = None) -> Iterator[DeliveryRecord]:
        """Gives those deliveries, or all, as a stream, the latest attempt first."""
        search = searches.search(wanted or DeliveryFilter())
        sql = f"""
            SELECT attempted_at, seq, {rows.DELIVERY}
            FROM deliveries INDEXED BY {search.index} {_WITH_BODIES}
            WHERE {search.condition} AND (attempted_at, seq) < (?, ?)
            ORDER BY attempted_at DESC, seq DESC LIMIT {_PAGE}
        """  # noqa: S608 - the columns, the index and the condition are ours
        return (rows.delivery(row[2:]) for row in self._pages(sql, search.values, (search.before, 0)))

    def claim_due(
        self,
        now: datetime,
        limit: int,
        claim: Callable[[DeliveryRecord], DeliveryRecord],
    ) -> list[DeliveryRecord]:
        """Takes deliveries that are due, the longest due first; what cannot be read holds up no other.

        Raises:
            StoreDamaged: If nothing that is due can be read. It is not due again for an hour.
        """
        return self._claim(_DUE, (rows.moment(now), limit), claim, now + _UNREADABLE_FOR)

    def claim_new(
        self,
        message_id: UUID,
        limit: int,
        claim: Callable[[DeliveryRecord], DeliveryRecord],
    ) -> list[DeliveryRecord]:
        """Takes deliveries of a message that are leased since they were accepted, by their origins.

        Raises:
            StoreDamaged: If there are none but such as cannot be read.
        """
        return self._claim(_NEW, (str(message_id), limit), claim)

    def ahead_of(self, delivery_id: UUID, *, stop: bool) -> DeliveryRecord | None:
        """Gives the first delivery of its line that a delivery has to wait for, or None."""
        return self._beside(_AHEAD[stop], delivery_id)

    def next_in_line(self, delivery_id: UUID) -> DeliveryRecord | None:
        """Gives the first delivery after this one in its line that has not ended, or None."""
        return self._beside(_NEXT_IN_LINE, delivery_id)

    def next_due(self) -> datetime | None:
        """Gives when the next delivery is due; None where nothing is."""
        found = self._database.rows(_NEXT_DUE)
        return datetime.fromisoformat(str(found[0][0])) if found else None

    def prune(
        self,
        before: datetime | None = None,
        keep: int | None = None,
        states: frozenset[DeliveryState] | None = None,
    ) -> Pruned:
        """Removes deliveries that have ended, with their attempts and bodies, 500 in a transaction.

        The file does not shrink: what is written later takes the room.
        """
        return Pruning(self._database).prune(before, keep, states)

    def counts(self, wanted: CountFilter | None = None) -> Iterator[Count]:
        """Gives how many deliveries there are and were, those that were pruned too."""
        return counting.counts(self._database, wanted or CountFilter())

    def failing_since(self, subscription_id: UUID) -> datetime | None:
        """Gives since when every attempt to a subscription has failed, or None."""
        sql = "SELECT since FROM failing WHERE subscription_id = ?"
        found = self._database.rows(sql, [str(subscription_id)])
        return datetime.fromisoformat(str(found[0][0])) if found else None

    def tell_failing(self, subscription_id: UUID) -> bool:
        """Notes that it is told that a subscription fails; tells whether nobody has before."""
        sql = "UPDATE failing SET told = 1 WHERE subscription_id = ? AND told = 0"
        return self._database.change(sql, [str(subscription_id)]) > 0

    def breakers(self) -> Mapping[str, Breaker]:
        """Gives the circuit breakers of which something bad is known."""
        found = self._database.rows(_BREAKERS)
        return {str(row[0]): rows.breaker(row) for row in found}

    def change_breaker(self, origin: str, change: Callable[[Breaker], Breaker]) -> Breaker:
        """Changes the circuit breaker of an origin in one transaction."""
        with self._database.transaction() as connection:
            found = connection.execute(f"{_BREAKERS} WHERE origin = ?", [origin]).fetchone()
            known = Breaker() if found is None else rows.breaker(found)
            changed = change(known)
            if changed == Breaker():
                connection.execute("DELETE FROM breakers WHERE origin = ?", [origin])
            elif changed != known:
                connection.execute(_PUT_BREAKER, rows.breaker_row(origin, changed))
        return changed

    def change_traffic(self, subscription_id: UUID, change: Callable[[Traffic], Traffic]) -> Traffic:
        """Changes what is known of the attempts to a subscription in one transaction."""
        key = str(subscription_id)
        with self._database.transaction() as connection:
            found = connection.execute(_TRAFFIC, [key]).fetchone()
            known = Traffic() if found is None else rows.traffic(found)
            changed = change(known)
            if changed == Traffic():
                connection.execute("DELETE FROM traffic WHERE subscription_id = ?", [key])
            elif changed != known:
                connection.execute(_PUT_TRAFFIC, rows.traffic_row(subscription_id, changed))
        return changed

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def _beside(self, sql: str, delivery_id: UUID) -> DeliveryRecord | None:
        """Gives the delivery of a line that a query finds beside this one."""
        place = self._database.rows(_PLACE_IN_LINE, [str(delivery_id)])
        named = [{"subscription": one, "key": key, "seq": seq} for one, key, seq in place]
        found = [row for values in named for row in self._database.rows(sql, values)]
        return rows.delivery(found[0]) if found else None

    def _claim(
        self,
        sql: str,
        values: Sequence[Value],
        claim: Callable[[DeliveryRecord], DeliveryRecord],
        unreadable_until: datetime | None = None,
    ) -> list[DeliveryRecord]:
        with self._database.transaction() as connection:
            keyed = connection.execute(sql, values).fetchall()
            found = rows.sharing_bodies(row[1:] for row in keyed)
            records, problem = _readable(zip((row[0] for row in keyed), found, strict=True))
            if records:
                taken = ((*rows.standing(claim(one)), seq) for seq, one in records)
                connection.executemany(_CLAIM, taken)
            elif unreadable_until is not None:
                later = rows.moment(unreadable_until)
                connection.executemany(_LATER, ((later, row[0]) for row in keyed))
        if problem is not None and not records:
            raise problem
        return [one for _, one in records]

    def _reached(
        self, audience: Audience, index: str = "", condition: str = "s.disabled IS NULL"
    ) -> Iterator[Subscription]:
        owners = [None] if audience.broadcast else sorted({"", audience.sender or ""})
        streams = [
            self._wanting(pattern, owner, index, condition)
            for pattern in covering(audience.event)
            for owner in owners
        ]
        merged = heapq.merge(*streams, key=itemgetter(0, 1))
        for _, same in groupby(merged, key=itemgetter(0, 1)):
            yield rows.subscription(next(same)[2:])

    def _misses_any(self, audience: Audience) -> bool:
        """Tells in one statement what is so for most messages: whether there is anything to read."""
        patterns = sorted(covering(audience.event))
        return bool(self._database.rows(_ANY_OFF.format(", ".join("?" for _ in patterns)), patterns))

    def _wanting(self, pattern: str, owner: str | None, index: str, condition: str) -> Iterator[Row]:
        of_owner, values = ("", (pattern,)) if owner is None else ("AND p.owner = ?", (pattern, owner))
        columns = ", ".join(f"s.{name}" for name in rows.SUBSCRIPTION.split(", "))
        sql = f"""
            SELECT p.place, p.subscription_id, {columns}
            FROM patterns p {index} CROSS JOIN subscriptions s ON s.id = p.subscription_id
            WHERE p.pattern = ? {of_owner} AND (p.place, p.subscription_id) > (?, ?) AND {condition}
            ORDER BY p.place, p.subscription_id LIMIT {_PAGE}
        """  # noqa: S608 - the columns, the index and the conditions are ours
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


def _body_key(delivery: DeliveryRecord) -> tuple[str, str]:
    return str(delivery.message_id), delivery.content_type


def _readable(
    found: Iterable[tuple[Value, Row]],
) -> tuple[list[tuple[Value, DeliveryRecord]], StoreDamaged | None]:
    """Gives what can be read, each with its key, and what is wrong with the last one of the others."""
    records: list[tuple[Value, DeliveryRecord]] = []
    problem: StoreDamaged | None = None
    for seq, row in found:
        try:
            records.append((seq, rows.delivery(row)))
        except StoreDamaged as exc:
            problem = exc
    return records, problem
