"""Which Celery app is used, and how one of ours is set up."""

from typing import Final

from celery import Celery
from celery._state import get_current_app  # The one that `celery.current_app` stands for.

from thornsdk.errors import ConfigurationError

QUEUE = "thornsdk"
"""The queue of all tasks; with lanes, that of those that are not batches."""


_FALLBACK: Final = "default"
"""What Celery calls the app that stands in where nobody has made one."""


def lane_queue(lane: int, lanes: int) -> str:
    """Gives the name of a lane's queue. The first lane is 0, its queue ``thornsdk.1``."""
    return QUEUE if lanes == 1 else f"{QUEUE}.{lane + 1}"


def all_queues(lanes: int) -> tuple[str, ...]:
    """Gives the names of all queues."""
    return (QUEUE, *(lane_queue(lane, lanes) for lane in range(lanes) if lanes > 1))


def current_app() -> Celery | None:
    """Gives the application's current app; None where this thread sees none.

    Celery has a current app for each thread: threads other than the one that made the app see it only if it
    was made the default for all, with ``app.set_default()``.
    """
    app = get_current_app()
    return None if app.main == _FALLBACK else app


def app_for(broker_url: str | None) -> Celery:
    """Gives an app for this broker; without one, the application's current app.

    Raises:
        ConfigurationError: If there is neither.
    """
    if broker_url is not None:
        return own_app(broker_url)
    app = current_app() or get_current_app()
    if app.main == _FALLBACK and app.conf.broker_url is None:
        raise ConfigurationError(
            "the dispatcher 'celery' has no broker: set THORN_BROKER_URL, or make your Celery app before the "
            "Thorn, or give it to a CeleryDispatcher"
        )
    return app


def own_app(broker_url: str, *, visibility: float | None = None) -> Celery:
    """Makes an app for a broker.

    Args:
        broker_url: The broker.
        visibility: With Redis, after how many seconds a message whose worker died is given to another one.
    """
    app = Celery("thornsdk", set_as_current=False)
    app.conf.update(
        # Given so, it counts more than CELERY_BROKER_URL, which is about other apps.
        broker_read_url=broker_url,
        broker_write_url=broker_url,
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # What a worker has taken in advance comes back late when it dies: it takes one at a time.
        worker_prefetch_multiplier=1,
        # Cancelled tasks would come back as if their worker had died.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
    )
    if visibility is not None and broker_url.startswith(("redis", "sentinel")):
        app.conf.broker_transport_options = {
            "visibility_timeout": visibility,
            # Other apps on the same database may be slower, or faster: each gives back its own tasks alone.
            "unacked_key": "thornsdk.unacked",
            "unacked_index_key": "thornsdk.unacked_index",
            "unacked_mutex_key": "thornsdk.unacked_mutex",
        }
    return app
