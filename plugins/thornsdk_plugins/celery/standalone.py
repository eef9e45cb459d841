"""A worker without any code of an application: ``celery -A thornsdk_plugins.celery worker``."""

from math import ceil

from celery import Celery

from thornsdk import Settings, Thorn
from thornsdk.errors import ConfigurationError
from thornsdk_plugins.celery.apps import own_app
from thornsdk_plugins.celery.outgoing import HOP
from thornsdk_plugins.celery.tasks import add_tasks

_MARGIN = 60.0


def standalone_app() -> Celery:
    """Makes the app of a worker that the ``THORN_*`` variables of the environment configure.

    Raises:
        ConfigurationError: If ``THORN_BROKER_URL`` is missing, or another setting is wrong.
    """
    settings = Settings.from_environ()
    if settings.broker_url is None:
        raise ConfigurationError("a worker needs a broker: set THORN_BROKER_URL, such as redis://localhost/0")
    app = own_app(settings.broker_url, visibility=_visibility(settings))
    add_tasks(app, lambda: Thorn(settings=settings), settings.lanes)
    return app


def _visibility(settings: Settings) -> float:
    """Gives how long a task may stay with a worker: for its longest wait and its longest batch."""
    rounds = ceil(settings.chunksize / min(settings.concurrency, settings.concurrency_per_origin))
    return HOP * 2 + settings.event_timeout * rounds + _MARGIN
