"""Keeps subscriptions and deliveries in a SQLite file."""

from thornsdk import HookContext, Plugin, Provided, Store, hookimpl
from thornsdk_plugins.sqlite.store import SqliteStore

__all__ = ["SqlitePlugin", "SqliteStore"]


class SqlitePlugin(Plugin):
    """Provides the store ``sqlite``."""

    @hookimpl
    def thornsdk_stores(self, context: HookContext) -> list[Provided[Store]]:
        """Provides it."""
        summary = "Keeps all in a SQLite file: sqlite:///thorn.db."
        return [Provided("sqlite", lambda stage: SqliteStore.from_url(stage.value), summary)]
