"""A Celery worker in this process: a test has it do one task after the other."""

from collections.abc import Callable
from uuid import UUID

from support.brokers import Queued, take_all
from thornsdk import DeliveryRecord, Thorn
from thornsdk_plugins.celery.apps import own_app
from thornsdk_plugins.celery.outgoing import Limits, Outgoing
from thornsdk_plugins.celery.publisher import Publisher
from thornsdk_plugins.celery.work import Arrival, Work

EVENT = "order.created"


class Worker:
    """Does the tasks of a worker in this process; what it publishes is in a real broker."""

    def __init__(self, thorn: Thorn, broker_url: str) -> None:
        settings = thorn.settings
        limits = Limits(chunk_size=settings.chunksize, lanes=settings.lanes)
        self.thorn = thorn
        self.url = broker_url
        self.publisher = Publisher(lambda: own_app(broker_url))
        outgoing = Outgoing(self.publisher, limits, thorn.deliverer.clock)
        self.work = Work(thorn.deliverer, outgoing, limits, lambda: 0.5)

    def do(self, queued: Queued, *, redelivered: bool = False) -> list[Queued]:
        """Does a task, and gives what it published."""
        act: Callable[..., None] = getattr(self.work, queued.task.removeprefix("thornsdk."))
        act(queued.document, Arrival(queue=queued.queue, redelivered=redelivered))
        return self.published()

    def published(self) -> list[Queued]:
        return take_all(self.url)

    def fanned_out(self, payload: object = 42) -> list[Queued]:
        """Sends a message, finds its subscribers, and gives the batches."""
        self.thorn.event(EVENT).send(payload)
        (queued,) = self.published()
        return self.do(queued)

    def records(self) -> dict[UUID, DeliveryRecord]:
        """What the store knows, by subscription."""
        return {one.subscription_id: one for one in self.thorn.deliveries()}

    def sweep(self) -> list[Queued]:
        self.work.sweep()
        return self.published()
