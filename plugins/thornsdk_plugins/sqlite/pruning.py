"""Removes what has ended, a little at a time."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias, cast

from thornsdk import DeliveryState, Pruned, WhenFailed
from thornsdk_plugins.sqlite import counting
from thornsdk_plugins.sqlite.database import Database
from thornsdk_plugins.sqlite.rows import Row, moment

PAGE = 500
"""How many deliveries are looked at, and removed, in one transaction at most."""

_Place: TypeAlias = tuple[str, int]
"""Where a delivery stands in the order of latest attempts."""
_NONE: _Place = ("", 0)

_GROUP = slice(3, 7)
"""Where in a row of the oldest stands what they are counted by."""
_PLACE = slice(7, 9)
_GOES = 9
_ENDED = tuple(state for state in DeliveryState if state.has_ended)
_OLDEST = """
    SELECT id, message_id, content_type, subscription_id, substr(attempted_at, 1, 10), event, state,
    attempted_at, seq, {goes}
    FROM deliveries INDEXED BY deliveries_by_state
    WHERE state = ? AND (attempted_at, seq) > (?, ?) AND (attempted_at, seq) <= (?, ?)
    ORDER BY attempted_at, seq LIMIT ?
"""
# What would stop others of its line no more, if it were gone. Where they skip it, it stops none.
_NOBODY_BEHIND = f"""
    (order_key IS NULL OR EXISTS (
        SELECT 1 FROM subscriptions WHERE id = deliveries.subscription_id
        AND when_failed = '{WhenFailed.SKIP.value}'
    ) OR NOT EXISTS (
        SELECT 1 FROM deliveries AS behind INDEXED BY deliveries_in_line
        WHERE behind.subscription_id = deliveries.subscription_id AND behind.order_key = deliveries.order_key
        AND behind.state IN ('pending', 'leased') AND behind.state NOT IN ('delivered', 'cancelled')
        AND behind.seq > deliveries.seq
    ))
"""  # noqa: S608 - the word is ours
_IN_THE_WAY = frozenset({DeliveryState.FAILED, DeliveryState.BLOCKED})
_FIRST_BEYOND = """
    SELECT attempted_at, seq FROM deliveries INDEXED BY {index} WHERE state IN ({states})
    ORDER BY attempted_at DESC, seq DESC LIMIT 1 OFFSET ?
"""
_UNNEEDED_BODY = """
    DELETE FROM bodies WHERE message_id = :message AND content_type = :type AND NOT EXISTS (
        SELECT 1 FROM deliveries INDEXED BY deliveries_by_body
        WHERE message_id = :message AND content_type = :type
    )
"""


class Pruning:
    """Removes deliveries of one database that have ended.

    Args:
        database: The database.
        sleep: Waits for so many seconds.
        timer: Counts seconds.
    """

    def __init__(
        self,
        database: Database,
        *,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._sleep = sleep
        self._timer = timer

    def prune(
        self, before: datetime | None, keep: int | None, states: frozenset[DeliveryState] | None = None
    ) -> Pruned:
        """Removes those that are too old, and those that are too many, of those in these states."""
        ended = [one for one in _ENDED if states is None or one in states]
        last = max(self._last_before(before), self._last_beyond(keep, ended))
        return Pruned.of({state: self._remove(state, last) for state in ended})

    def _last_before(self, before: datetime | None) -> _Place:
        # No row is numbered 0: nothing of that very moment is taken.
        return _NONE if before is None else (moment(before), 0)

    def _last_beyond(self, keep: int | None, states: Sequence[DeliveryState]) -> _Place:
        if keep is None or not states:
            return _NONE
        index = "deliveries_by_state" if len(states) == 1 else "deliveries_by_time"
        sql = _FIRST_BEYOND.format(index=index, states=", ".join("?" for _ in states))
        found = self._database.rows(sql, (*states, keep))
        return (str(found[0][0]), cast("int", found[0][1])) if found else _NONE

    def _remove(self, state: DeliveryState, last: _Place) -> int:
        """Removes those in a state up to the last one, in the order of their latest attempts."""
        oldest = _OLDEST.format(goes=_NOBODY_BEHIND if state in _IN_THE_WAY else "1")
        total, after = 0, _NONE
        while True:
            begun = self._timer()
            with self._database.transaction() as connection:
                page = connection.execute(oldest, (state, *after, *last, PAGE)).fetchall()
                gone = [row for row in page if row[_GOES]]
                delete(connection, gone)
                counting.add(connection, [tuple(row[_GROUP]) for row in gone])
            total += len(gone)
            if len(page) < PAGE:
                return total
            # What stays is not looked at again, however much that is.
            after = page[-1][_PLACE]
            # Who waits for the lock asks for it now and then, and would rarely meet it free.
            self._sleep(self._timer() - begun)


def delete(connection: sqlite3.Connection, page: Sequence[Row]) -> None:
    """Removes deliveries with their attempts, and bodies that no delivery needs any more.

    Args:
        connection: A transaction.
        page: Their ids, the ids of their messages, and their content types; what follows does not matter.
    """
    ids = [row[:1] for row in page]
    connection.executemany("DELETE FROM attempts WHERE delivery_id = ?", ids)
    connection.executemany("DELETE FROM deliveries WHERE id = ?", ids)
    bodies = sorted({(str(row[1]), str(row[2])) for row in page})
    connection.executemany(_UNNEEDED_BODY, [{"message": one[0], "type": one[1]} for one in bodies])
