"""Removes what has ended, a little at a time."""

import sqlite3
import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias, cast

from thornsdk import DeliveryState, Pruned
from thornsdk_plugins.sqlite.database import Database
from thornsdk_plugins.sqlite.rows import Row, moment

PAGE = 500
"""How many deliveries are removed in one transaction."""

_Place: TypeAlias = tuple[str, int]
"""Where a delivery stands in the order of latest attempts."""
_NONE: _Place = ("", 0)

_ENDED = tuple(state for state in DeliveryState if state.has_ended)
_OLDEST = """
    SELECT id, message_id, content_type FROM deliveries INDEXED BY deliveries_by_state
    WHERE state = ? AND (attempted_at, seq) <= (?, ?) ORDER BY attempted_at, seq LIMIT ?
"""
_FIRST_BEYOND = f"""
    SELECT attempted_at, seq FROM deliveries INDEXED BY deliveries_by_time
    WHERE state IN ({", ".join("?" for _ in _ENDED)})
    ORDER BY attempted_at DESC, seq DESC LIMIT 1 OFFSET ?
"""  # noqa: S608 - question marks alone
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

    def prune(self, before: datetime | None, keep: int | None) -> Pruned:
        """Removes those that are too old, and those that are too many."""
        last = max(self._last_before(before), self._last_beyond(keep))
        return Pruned.of({state: self._remove(state, last) for state in _ENDED})

    def _last_before(self, before: datetime | None) -> _Place:
        # No row is numbered 0: nothing of that very moment is taken.
        return _NONE if before is None else (moment(before), 0)

    def _last_beyond(self, keep: int | None) -> _Place:
        if keep is None:
            return _NONE
        found = self._database.rows(_FIRST_BEYOND, (*_ENDED, keep))
        return (str(found[0][0]), cast("int", found[0][1])) if found else _NONE

    def _remove(self, state: DeliveryState, last: _Place) -> int:
        """Removes those in a state up to the last one, in the order of their latest attempts."""
        total = 0
        while True:
            begun = self._timer()
            with self._database.transaction() as connection:
                page = connection.execute(_OLDEST, (state, *last, PAGE)).fetchall()
                _delete(connection, page)
            total += len(page)
            if len(page) < PAGE:
                return total
            # Who waits for the lock asks for it now and then, and would rarely meet it free.
            self._sleep(self._timer() - begun)


def _delete(connection: sqlite3.Connection, page: list[Row]) -> None:
    ids = [row[:1] for row in page]
    connection.executemany("DELETE FROM attempts WHERE delivery_id = ?", ids)
    connection.executemany("DELETE FROM deliveries WHERE id = ?", ids)
    bodies = sorted({(str(row[1]), str(row[2])) for row in page})
    connection.executemany(_UNNEEDED_BODY, [{"message": one[0], "type": one[1]} for one in bodies])
