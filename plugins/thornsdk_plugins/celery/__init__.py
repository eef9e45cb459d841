"""Delivers in Celery workers: one task per message, and a task per batch of deliveries.

``celery -A thornsdk_plugins.celery worker`` starts a worker without any code of an application, configured by
the ``THORN_*`` variables of the environment.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from thornsdk import Dispatcher, HookContext, Plugin, Provided, StageContext, hookimpl

if TYPE_CHECKING:
    from thornsdk_plugins.celery.dispatcher import CeleryDispatcher
    from thornsdk_plugins.celery.tasks import register_tasks
else:
    # PEP 562: loading the plugin must not cost the import of Celery; building its stage may.
    def __getattr__(name: str) -> object:
        if name == "app":
            # Where `celery -A` looks for the app. It is kept as an ordinary name.
            app: object = import_module("thornsdk_plugins.celery.standalone").standalone_app()
            globals()[name] = app
            return app
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


__all__ = ["CeleryDispatcher", "CeleryPlugin", "register_tasks"]

_HOMES = {
    "CeleryDispatcher": "thornsdk_plugins.celery.dispatcher",
    "register_tasks": "thornsdk_plugins.celery.tasks",
}


def _build(stage: StageContext) -> Dispatcher:
    from thornsdk_plugins.celery.dispatcher import CeleryDispatcher

    settings = stage.settings
    return CeleryDispatcher(
        broker_url=settings.broker_url,
        chunk_size=settings.chunksize,
        fallback_to_store=settings.broker_fallback,
    )


class CeleryPlugin(Plugin):
    """Provides the dispatcher ``celery``."""

    @hookimpl
    def thornsdk_dispatchers(self, context: HookContext) -> list[Provided[Dispatcher]]:
        """Provides it."""
        summary = "Hands messages to Celery workers, which deliver them in batches."
        return [Provided("celery", _build, summary, extra="thornsdk[celery]")]
