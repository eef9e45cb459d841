"""What all tests of dispatchers stand on: what they are given, and what they skip."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from thornsdk.dispatching import Dispatch, Dispatcher
from thornsdk.model import Receipt, ReceiptState
from thornsdk.testing.endpoint import Endpoint
from thornsdk.testing.reaching import reaching
from thornsdk.testing.suites.promises import fixture_wanted, not_tested
from thornsdk.testing.suites.sites import DELIVERING, Site
from thornsdk.testing.values import EVENT
from thornsdk.thorn import Thorn


class DispatcherTests:
    """What the tests of a dispatcher are given."""

    patience: float = 30.0
    """How many seconds anything may take before it counts as hanging, which is far longer than it should."""

    @pytest.fixture
    def dispatcher(self) -> Dispatcher:
        """The dispatcher under test, a new one for each test; the fixture closes it."""
        fixture_wanted(self, "dispatcher")

    @pytest.fixture
    def unable(self) -> Dispatcher:
        """A dispatcher of the same kind that can take no message, such as one whose broker is not there."""
        not_tested(self, "no fixture `unable` gives a dispatcher that can take no message")

    @pytest.fixture
    def drain(self) -> Callable[[], None]:
        """Makes the far side do what it was given, until nothing is left that is due; where there is one."""
        return lambda: not_tested(self, "no fixture `drain` makes the far side deliver what is queued")

    @pytest.fixture
    def subscribers(self) -> Iterator[Sequence[Endpoint]]:
        """Three subscribers that answer 200."""
        with ExitStack() as stack:
            yield [stack.enter_context(Endpoint()) for _ in range(3)]

    @pytest.fixture
    def thorn(self, subscribers: Sequence[Endpoint], tmp_path: Path) -> Iterator[Thorn]:
        """The application that sends: it may reach the subscribers, and has a store that workers can open."""
        with Thorn(store=f"sqlite:///{tmp_path}/thorn.db", **reaching(*subscribers)) as thorn:
            thorn.event(EVENT)
            yield thorn

    @pytest.fixture
    def site(self, thorn: Thorn, subscribers: Sequence[Endpoint], drain: Callable[[], None]) -> Site:
        """All of that together."""
        return Site(thorn, subscribers, drain)

    def _deliver(self, dispatcher: Dispatcher, site: Site, dispatch: Dispatch) -> Receipt:
        """Has a message delivered, now or later; skips the promise where nothing is."""
        receipt = self._taken(dispatcher, site, *DELIVERING, dispatch=dispatch)
        site.finish([receipt])
        return receipt

    def _taken(
        self, dispatcher: Dispatcher, site: Site, *states: ReceiptState, dispatch: Dispatch | None = None
    ) -> Receipt:
        """Has a message taken; skips the promise where something else becomes of it."""
        receipt = dispatcher.dispatch(dispatch or site.dispatch(), site.deliverer)
        self._check_states([receipt], *states)
        return receipt

    def _check_states(self, receipts: Sequence[Receipt], *states: ReceiptState) -> None:
        """Skips the promise where something else became of messages."""
        for one in receipts:
            if one.state not in states:
                not_tested(self, f"the state of what it takes is {one.state}")
