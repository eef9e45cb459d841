"""What every store promises: subscriptions, deliveries, and what is taken of them, by one or by many."""

from thornsdk.testing.suites.stores.claims import ClaimTests
from thornsdk.testing.suites.stores.concurrency import ConcurrencyTests
from thornsdk.testing.suites.stores.counts import CountTests
from thornsdk.testing.suites.stores.deliveries import DeliveryTests
from thornsdk.testing.suites.stores.failing import FailingTests
from thornsdk.testing.suites.stores.limits import LimitTests
from thornsdk.testing.suites.stores.lines import LineTests
from thornsdk.testing.suites.stores.pruning import PruneTests
from thornsdk.testing.suites.stores.streams import StreamTests
from thornsdk.testing.suites.stores.subscriptions import SubscriptionTests

__all__ = ["StoreSuite"]


class StoreSuite(
    SubscriptionTests,
    StreamTests,
    DeliveryTests,
    ClaimTests,
    LineTests,
    FailingTests,
    LimitTests,
    PruneTests,
    CountTests,
    ConcurrencyTests,
):
    """What every store promises; `store` is given by the class of tests that inherits it.

    A store that several processes open gives a second connection in `another`, and is then tested with both.

    Example:
        >>> from collections.abc import Iterator
        >>> from contextlib import closing
        >>> from pathlib import Path
        >>> import pytest
        >>> from thornsdk import Store
        >>> from thornsdk.testing.suites import StoreSuite
        >>> from thornsdk_plugins.sqlite import SqliteStore
        >>> class TestSqliteStore(StoreSuite):
        ...     @pytest.fixture
        ...     def store(self, tmp_path: Path) -> Iterator[Store]:
        ...         self.path = tmp_path / "thorn.db"
        ...         with closing(SqliteStore(self.path)) as store:
        ...             yield store
        ...
        ...     def another(self, store: Store) -> Store:
        ...         return SqliteStore(self.path)
    """
