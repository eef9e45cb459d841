"""Where the deliveries of the demo run: in its own process, or in a Celery worker."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID

from thornsdk import DeliveryRecord, DeliveryState, Reason, Thorn
from thornsdk.cli.demo_programs import (
    Program,
    redis_program,
    start_redis,
    start_worker,
    wait_until,
)
from thornsdk.cli.demo_view import View
from thornsdk.cli.telling import OBSERVER

PATIENCE = 30.0
"""Seconds after which the demo gives up what is still pending; it takes far less."""


class Backend(Protocol):
    """Where the deliveries of the demo run."""

    @property
    def settings(self) -> Mapping[str, str]:
        """What it adds to the settings of the demo."""
        ...

    def begin(self, thorn: Thorn, view: View, settings: Mapping[str, str]) -> None:
        """Starts what delivers, with the settings of the demo."""
        ...

    def first_attempts(self) -> None:
        """Waits until everything that was sent has been attempted once."""
        ...

    def finish(self) -> None:
        """Waits until nothing is pending."""
        ...


class Embedded:
    """Delivers in this process, with the dispatcher ``default``; an observer tells of each attempt."""

    settings: Mapping[str, str] = {"THORN_OBSERVERS": OBSERVER}

    def begin(self, thorn: Thorn, view: View, settings: Mapping[str, str]) -> None:
        """Takes note of what delivers."""
        self._thorn = thorn

    def first_attempts(self) -> None:
        """Does nothing: ``send`` has waited."""

    def finish(self) -> None:
        """Attempts what is due, until nothing is pending."""
        give_up_at = datetime.now(UTC) + timedelta(seconds=PATIENCE)
        while (due_at := _next_due(self._thorn)) is not None and due_at < give_up_at:
            time.sleep(max(0.0, (due_at - datetime.now(UTC)).total_seconds()))
            self._thorn.run_due()


class CeleryWorker:
    """Delivers in a Celery worker of its own, over a Redis of its own; the store tells of each attempt.

    Args:
        stack: Ends them.
        folder: Where their files go.

    Raises:
        Problem: If something that it needs is missing.
        Failure: If Redis does not start.
    """

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        program = redis_program()
        self._stack = stack
        self._folder = folder
        self._redis = start_redis(stack, folder, program)
        self._seen: set[tuple[UUID, int]] = set()

    @property
    def settings(self) -> Mapping[str, str]:
        """The dispatcher and its broker."""
        return {"THORN_DISPATCHER": "celery", "THORN_BROKER_URL": self._redis.url}

    def begin(self, thorn: Thorn, view: View, settings: Mapping[str, str]) -> None:
        """Starts the worker."""
        self._thorn = thorn
        self._view = view
        self._worker = start_worker(self._stack, self._folder, settings)
        view.backed(self._redis.address, self._worker.process.pid)

    def first_attempts(self) -> None:
        """Watches the store until everything that was sent has been attempted once."""
        self._watch(lambda: all(row.records for row in self._view.rows))

    def finish(self) -> None:
        """Watches the store until nothing is pending."""
        self._watch(lambda: all(row.ended for row in self._view.rows))

    def _watch(self, come: Callable[[], bool]) -> None:
        def looked() -> bool:
            self._tell_new()
            return come()

        programs: list[Program] = [self._redis.program, self._worker]
        wait_until(looked, PATIENCE, programs)

    def _tell_new(self) -> None:
        """Tells the view of the attempts that have ended since it looked last.

        Between two attempts a delivery waits for longer than between two looks.
        """
        for record in sorted(self._thorn.deliveries(), key=_ended_at):
            key = record.id, record.last.number
            # While an attempt goes on, the store holds what would be true if the worker died.
            if key not in self._seen and record.last.outcome.reason is not Reason.WORKER_LOST:
                self._seen.add(key)
                self._view.observe(record)


def _next_due(thorn: Thorn) -> datetime | None:
    pending = thorn.deliveries(DeliveryState.PENDING)
    return min((one.next_attempt_at for one in pending if one.next_attempt_at), default=None)


def _ended_at(record: DeliveryRecord) -> datetime:
    return record.last.started_at + timedelta(seconds=record.last.duration)
