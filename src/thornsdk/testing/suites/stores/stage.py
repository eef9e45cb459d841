"""What makes a stage a store."""

import functools
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from inspect import getattr_static
from typing import Concatenate, ParamSpec, TypeVar

import pytest

from thornsdk.errors import ThornError
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import broken, check_stage, fixture_wanted, keeps, not_tested, promise
from thornsdk.testing.suites.running import within
from thornsdk.testing.suites.stores.samples import delivery, subscription

_Suite = TypeVar("_Suite", bound="StoreTests")
_Fixtures = ParamSpec("_Fixtures")


def promised(
    test: Callable[Concatenate[_Suite, _Fixtures], None],
) -> Callable[Concatenate[_Suite, _Fixtures], None]:
    """Makes a test a promise, as `promise` does, that is broken too where the store never answers.

    A store that waits for its own lock would hang, and say nothing. So it is used in a thread of its own.
    """

    @promise
    @functools.wraps(test)
    def run(suite: _Suite, /, *args: _Fixtures.args, **kwargs: _Fixtures.kwargs) -> None:
        __tracebackhide__ = True
        within(suite.patience, lambda: test(suite, *args, **kwargs), "what it was asked")

    return run


class StoreTests:
    """What the tests of all promises of a store share, and what makes it one."""

    many: int = 250
    """How many subscriptions or deliveries make a long stream, more than the store reads at once."""
    patience: float = 60.0
    """How many seconds a promise may take before it counts as hanging, far more than it should."""

    @pytest.fixture
    def store(self) -> Store:
        """The store under test, a new one without anything in it for each test; the fixture closes it."""
        fixture_wanted(self, "store")

    def another(self, store: Store) -> Store | None:
        """Opens the same data a second time, as another process does; the suite closes what this gives.

        Args:
            store: The store under test.

        Returns:
            None where there is no second way in, because the data belongs to one process alone.
        """
        return None

    @pytest.fixture
    def other(self, store: Store) -> Iterator[Store]:
        """The same data, opened a second time."""
        with closing(self._opened_again(store)) as other:
            yield other

    def _opened_again(self, store: Store) -> Store:
        """Opens the same data once more, or skips the promise."""
        opened = self.another(store)
        if opened is None:
            not_tested(self, "`another` opens no second connection, so what several processes do is not seen")
        return opened

    @promised
    def test_is_a_store(self, store: Store) -> None:
        """A store has all methods of its kind, and leaves none to the protocol."""
        check_stage(store, Store)
        # Some kinds may leave this one to their protocol; a store that does never lets go of what it holds.
        closes = getattr_static(store, "close") is not vars(Store)["close"]
        keeps(closes, f"{type(store).__qualname__} does not define close")

    @promised
    def test_has_one_identity(self, store: Store) -> None:
        """A store has an identity, a text that stays the same, or has None where no other process sees it."""
        first: object = store.identity
        store.put([subscription()])
        sound = first is None or (isinstance(first, str) and first.strip() != "")
        keeps(sound, f"its identity is {first!r}")
        keeps(first == store.identity, f"its identity was {first!r}, and then {store.identity!r}")

    @promised
    def test_closes_twice(self, store: Store) -> None:
        """A store may be closed twice."""
        store.close()
        store.close()

    @promised
    def test_tells_no_errors_of_others(self, store: Store) -> None:
        """A store that was closed goes on, or raises an error of thornsdk, and none of its driver."""
        store.close()
        read = partial(next, store.subscriptions(), None)
        for use in (read, store.next_due, partial(store.record, delivery())):
            try:
                use()
            except ThornError:
                continue
            except Exception as exc:
                broken(f"it raised {type(exc).__module__}.{type(exc).__qualname__}", exc)
