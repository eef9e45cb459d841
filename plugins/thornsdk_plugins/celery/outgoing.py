"""The tasks that a worker publishes: where they go, and when they may begin."""

from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from thornsdk.typing import Clock
from thornsdk_plugins.celery.apps import lane_queue
from thornsdk_plugins.celery.batches import lane_of
from thornsdk_plugins.celery.codec import Document, write_batch, write_resume, write_retry
from thornsdk_plugins.celery.documents import Batch, Resume, Retry, due_at
from thornsdk_plugins.celery.names import DELIVER, RESUME, RETRY
from thornsdk_plugins.celery.publisher import Publisher

HOP: Final = 300.0
"""How many seconds a task waits in a worker at most; a longer wait is made of several.

RabbitMQ takes a task for lost that is not acknowledged within 30 minutes, and Redis, as Celery sets it up,
within an hour. Another worker would get it too.
"""
HOLD: Final = 60.0
"""After how many seconds a task that a worker cannot do is tried again."""


@frozen(kw_only=True)
class Limits:
    """How a worker cuts and waits.

    Attributes:
        chunk_size: How many deliveries a batch holds at most.
        lanes: Into how many queues batches are sorted by origin.
        hop: How many seconds a task waits in a worker at most.
    """

    chunk_size: int = 100
    lanes: int = 1
    hop: float = HOP


class Outgoing:
    """Publishes what a worker leaves to others, or to itself later.

    Every method raises `~thornsdk.errors.DispatchError` where the broker has not taken the task.

    Args:
        publisher: Hands tasks to the broker.
        limits: How long tasks wait, and into how many queues they go.
        clock: Tells the time.
    """

    def __init__(self, publisher: Publisher, limits: Limits, clock: Clock) -> None:
        self._publisher = publisher
        self._limits = limits
        self._clock = clock

    def lane(self, origin: str) -> str:
        """Gives the queue of an origin."""
        return lane_queue(lane_of(origin, self._limits.lanes), self._limits.lanes)

    def batch(self, batch: Batch, queue: str, *, delay: float = 0.0) -> None:
        """Publishes a batch.

        Args:
            batch: The batch.
            queue: Where it goes.
            delay: How many seconds it waits.
        """
        count = len(batch.subscriptions)
        about = f"{batch.envelope.needs.event}, {count} {'delivery' if count == 1 else 'deliveries'}"
        self._publish(DELIVER, write_batch(batch), queue, about, delay)

    def resume(self, resume: Resume, queue: str) -> None:
        """Publishes which deliveries of the store are attempted again."""
        count = len(resume.deliveries)
        about = f"{resume.needs.event}, {resume.deliveries[0][0]}" if count == 1 else f"{count} deliveries"
        self._publish(RESUME, write_resume(resume), queue, about, self._until(resume.at))

    def retry(self, retry: Retry) -> None:
        """Publishes a delivery that is attempted again."""
        about = f"{retry.needs.event}, {retry.record.id}"
        wait = self._until(due_at(retry.record))
        self._publish(RETRY, write_retry(retry), self.lane(retry.record.origin), about, wait)

    def hold(self, task: str, document: Document, queue: str) -> None:
        """Publishes a task as it is, to be tried again in a while."""
        self._publish(task, document, queue, "held", HOLD)

    def _until(self, moment: datetime) -> float:
        return (moment - self._clock()).total_seconds()

    def _publish(self, task: str, document: Document, queue: str, about: str, delay: float) -> None:
        wait = min(delay, self._limits.hop)
        eta = self._clock() + timedelta(seconds=wait) if wait > 0 else None
        self._publisher.publish(task, document, queue=queue, about=about, eta=eta)
