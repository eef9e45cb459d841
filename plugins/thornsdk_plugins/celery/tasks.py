"""The tasks of a Celery app: what makes its workers deliver."""

import logging
import random
import time
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from celery import Celery, Task, bootsteps
from celery.exceptions import Reject

from thornsdk import Thorn
from thornsdk.errors import ConfigurationError, DispatchError, ThornError, crash
from thornsdk_plugins.celery.apps import QUEUE, all_queues
from thornsdk_plugins.celery.codec import Document
from thornsdk_plugins.celery.names import DELIVER, FAN_OUT, RESUME, RETRY, SWEEP
from thornsdk_plugins.celery.outgoing import HOP, Limits, Outgoing
from thornsdk_plugins.celery.publisher import Publisher, declared
from thornsdk_plugins.celery.work import Arrival, Work

SWEEP_EVERY: Final = 30.0
"""After how many seconds each worker looks for deliveries in the store whose task was lost."""

_PAUSE: Final = 1.0
"""How many seconds pass before a task is given back that could not be done, so that it does not spin."""


AnyTask: TypeAlias = "Task[..., None]"


def register_tasks(app: Celery, thorn: Thorn) -> None:
    """Makes the workers of a Celery app deliver webhooks.

    They take the queue ``thornsdk`` besides their own, or alone with ``celery -A … worker -Q thornsdk``.

    Args:
        app: The app whose workers deliver.
        thorn: What delivers: its store, its stages, its settings and its events.

    Example:
        In the module that ``celery -A`` names::

            app = Celery("shop", broker="redis://localhost/0")
            thorn = Thorn(dispatcher="celery", store="sqlite:////var/lib/shop/thorn.db")
            register_tasks(app, thorn)
    """
    add_tasks(app, lambda: thorn, thorn.settings.lanes)


def add_tasks(app: Celery, open_thorn: Callable[[], Thorn], lanes: int) -> None:
    """Does what `register_tasks` does, with a Thorn that is made when a worker starts.

    Args:
        app: The app whose workers deliver.
        open_thorn: Makes what delivers.
        lanes: Into how many queues batches are sorted by origin.
    """
    worker = _Worker(app, open_thorn, lanes)
    _define_tasks(app, worker)
    app.steps["worker"].add(_beginning(worker))
    app.steps["consumer"].add(_sweeping(worker))
    if app.finalized:  # type: ignore[attr-defined]  # missing in the stubs
        worker.declare_queues(app)
    else:
        # Until then, the application may still configure its queues.
        app.on_after_finalize.connect(worker.declare_queues, weak=False)


class _Worker:
    """What the tasks of an app have in common. It is made when a worker starts, or a task is called."""

    def __init__(self, app: Celery, open_thorn: Callable[[], Thorn], lanes: int) -> None:
        self._app = app
        self._open_thorn = open_thorn
        self._lanes = lanes
        self._publisher = Publisher(lambda: app)
        self._thorn: Thorn | None = None
        self._work: Work | None = None

    @property
    def thorn(self) -> Thorn:
        if self._thorn is None:
            self._thorn = self._open_thorn()
        return self._thorn

    @property
    def work(self) -> Work:
        if self._work is None:
            thorn = self.thorn
            limits = Limits(chunk_size=thorn.settings.chunksize, lanes=self._lanes, hop=_hop(self._app))
            outgoing = Outgoing(self._publisher, limits, thorn.deliverer.clock)
            self._work = Work(thorn.deliverer, outgoing, limits, random.random)
        return self._work

    def prepare(self) -> None:
        """Makes everything before the first task comes.

        Raises:
            ThornError: If something is wrong.
        """
        accepted = set(self._app.conf.accept_content)
        if not accepted & {"json", "application/json"}:
            raise ConfigurationError("tasks are written in JSON: add it to accept_content of the Celery app")
        self.work  # noqa: B018 - it is made when it is asked for

    def declare_queues(self, sender: Celery, **_: object) -> None:
        """Makes workers take our queues, unless they are told which ones to take."""
        for name in all_queues(self._lanes):
            queues = sender.amqp.queues
            queues.select_add(queues[declared(sender, name)])

    def ask_for_sweep(self) -> None:
        """Publishes the task that looks for lost ones, where there is a store to look into."""
        if not self.work.shares_its_store:
            return
        try:
            self._publisher.publish(SWEEP, {}, queue=QUEUE, about="", expires=SWEEP_EVERY)
        except DispatchError:
            return  # Celery tells it itself when the broker is gone; the next one follows soon.

    def arrival(self, task: AnyTask) -> Arrival:
        """Tells how a task came."""
        info = task.request.delivery_info or {}
        queue = str(info.get("routing_key"))
        known = queue in all_queues(self._lanes)
        return Arrival(queue=queue if known else QUEUE, redelivered=bool(info.get("redelivered")))

    def run(self, act: Callable[[Work], None]) -> None:
        """Does a task; gives it back to the broker where that fails."""
        try:
            act(self.work)
        except Exception as exc:
            detail = str(exc) if isinstance(exc, ThornError) else crash(exc)
            try:
                self.thorn.deliverer.tell(logging.ERROR, "task.returned", {"detail": detail})
                time.sleep(_PAUSE)
            finally:
                # Even if the application's time limit strikes here: any other error would drop the task.
                raise Reject(detail, requeue=True) from exc


class _Timer(Protocol):
    def call_repeatedly(self, secs: float, fun: Callable[[], None]) -> object: ...


class _Consumer(Protocol):
    timer: _Timer


def _define_tasks(app: Celery, worker: _Worker) -> None:
    def task(name: str) -> Callable[[Callable[..., None]], object]:
        return app.task(
            name=name,
            bind=True,
            # Celery would give it to every other app of the process too, with what this app delivers.
            shared=False,
            # Acknowledged when it is done; given to another worker when this one dies, or ends it.
            acks_late=True,
            reject_on_worker_lost=True,
            acks_on_failure_or_timeout=False,
            ignore_result=True,
            serializer="json",
        )

    @task(FAN_OUT)
    def fan_out(self: AnyTask, document: Document) -> None:
        worker.run(lambda work: work.fan_out(document, worker.arrival(self)))

    @task(DELIVER)
    def deliver(self: AnyTask, document: Document) -> None:
        worker.run(lambda work: work.deliver(document, worker.arrival(self)))

    @task(RESUME)
    def resume(self: AnyTask, document: Document) -> None:
        worker.run(lambda work: work.resume(document, worker.arrival(self)))

    @task(RETRY)
    def retry(self: AnyTask, document: Document) -> None:
        worker.run(lambda work: work.retry(document, worker.arrival(self)))

    @task(SWEEP)
    def sweep(_self: AnyTask, _document: Document) -> None:
        worker.run(lambda work: work.sweep())


def _hop(app: Celery) -> float:
    # Redis gives a task to another worker when it is not acknowledged in this time.
    visibility = app.conf.broker_transport_options.get("visibility_timeout")
    return HOP if visibility is None else min(HOP, visibility / 2)


def _beginning(worker: _Worker) -> type[bootsteps.StartStopStep]:
    class Beginning(bootsteps.StartStopStep):
        """Makes everything before the pool starts, so that what is wrong is told at once."""

        def __init__(self, parent: object, **options: object) -> None:
            super().__init__(parent, **options)
            try:
                worker.prepare()
            except ThornError as exc:
                raise SystemExit(f"thornsdk: {exc}") from exc

    return Beginning


def _sweeping(worker: _Worker) -> type[bootsteps.StartStopStep]:
    class Sweeping(bootsteps.StartStopStep):
        """Looks for lost deliveries now and again."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, parent: _Consumer) -> None:
            parent.timer.call_repeatedly(SWEEP_EVERY, worker.ask_for_sweep)

    return Sweeping
