"""What every dispatcher promises."""

from contextlib import suppress

from thornsdk.dispatching import Dispatcher
from thornsdk.errors import DispatchError, ThornError
from thornsdk.model import DeliveryState, Receipt, ReceiptState
from thornsdk.testing.behaviours import answers, closes
from thornsdk.testing.suites.dispatcher_arrivals import ArrivalPromises
from thornsdk.testing.suites.promises import check_pickles, check_stage, error_of, errors_of, keeps, promise
from thornsdk.testing.suites.running import side_by_side, within
from thornsdk.testing.suites.sites import DELIVERING, Site, check_receipt
from thornsdk.testing.values import EVENT

_HIDDEN = "4111-1111"
_MANY = 5
_THREADS = 4


class DispatcherSuite(ArrivalPromises):
    """What every dispatcher promises; `dispatcher` is given by the class of tests that inherits it.

    The messages go over HTTP to subscribers on loopback.

    Example:
        >>> import pytest
        >>> from thornsdk import Dispatcher
        >>> from thornsdk.testing.suites import DispatcherSuite
        >>> from thornsdk_plugins.default import DefaultDispatcher
        >>> class TestDefaultDispatcher(DispatcherSuite):
        ...     @pytest.fixture
        ...     def dispatcher(self) -> Dispatcher:
        ...         return DefaultDispatcher()
    """

    @promise
    def test_is_a_dispatcher(self, dispatcher: Dispatcher) -> None:
        """A dispatcher has a name, and a way to dispatch of its own."""
        check_stage(dispatcher, Dispatcher)

    @promise
    def test_has_a_name(self, dispatcher: Dispatcher) -> None:
        """A dispatcher has a name in visible characters, as receipts and logs give it."""
        told: object = dispatcher.name
        sound = isinstance(told, str) and told.isprintable() and told.strip() == told != ""
        keeps(sound, f"its name is {told!r}")

    @promise
    def test_gives_a_receipt_of_the_message(self, dispatcher: Dispatcher, site: Site) -> None:
        """A dispatcher gives a receipt of that very message, with its own name and a state of dispatchers."""
        dispatch = site.dispatch()
        check_receipt(dispatcher.dispatch(dispatch, site.deliverer), dispatch, dispatcher)

    @promise
    def test_tells_the_outcomes_of_what_has_ended(self, dispatcher: Dispatcher, site: Site) -> None:
        """A dispatcher that says that all has ended has attempted all deliveries, and tells all outcomes."""
        site.subscribe()
        receipt = self._taken(dispatcher, site, ReceiptState.ENDED)
        came, wanted = site.came(), len(site.subscribers)
        keeps(came == wanted, f"{came} of {wanted} requests were made")
        told = receipt.outcomes.delivered
        keeps(told == wanted, f"of {wanted} deliveries that arrived, it tells {told}")

    @promise
    def test_loses_nothing_that_it_took(self, dispatcher: Dispatcher, site: Site) -> None:
        """A dispatcher that says that a message is queued, or in the store, has it delivered from there."""
        site.subscribe()
        receipt = self._taken(dispatcher, site, ReceiptState.QUEUED, ReceiptState.STORED)
        site.finish([receipt])
        missed = sum(not one.seen for one in site.subscribers)
        keeps(not missed, f"{missed} of {len(site.subscribers)} subscribers got nothing")

    @promise
    def test_sends_nothing_where_it_says_so(self, dispatcher: Dispatcher, site: Site) -> None:
        """A dispatcher that says that nothing is sent sends nothing, keeps nothing, and tells no outcome."""
        site.subscribe()
        receipt = self._taken(dispatcher, site, ReceiptState.DISABLED)
        keeps(not site.came(), f"{site.came()} requests were made")
        kept = len(list(site.thorn.deliveries()))
        keeps(not kept, f"{kept} deliveries are in the store")
        keeps(not receipt.outcomes.total, f"it tells {receipt.outcomes.total} outcomes")

    @promise
    def test_keeps_troubles_apart(self, dispatcher: Dispatcher, site: Site) -> None:
        """One bad subscriber harms no other: not by its answer, nor by a body that nobody writes."""
        refusing, hanging_up, good = site.subscribers
        refusing.behave(answers(503))
        hanging_up.behave(closes)
        site.subscribe_to_what_nobody_writes(good)
        site.subscribe()
        receipt = self._deliver(dispatcher, site, site.dispatch())
        keeps(
            len(good.seen) == 1, f"beside three bad ones, the good one got {len(good.seen)} requests, not 1"
        )
        if receipt.state is ReceiptState.ENDED:
            told = receipt.outcomes
            seen = f"of 4, it tells {told.delivered} as delivered and {len(told.problems)} as problems"
            keeps((told.delivered, len(told.problems)) == (1, 3), seen)

    @promise
    def test_keeps_what_the_disabled_miss(self, dispatcher: Dispatcher, site: Site) -> None:
        """What a disabled subscription misses is not sent, and is in the store, where it can be replayed."""
        disabled, *_ = site.subscribe()
        site.thorn.disable(disabled.id, "it is on holiday")
        self._deliver(dispatcher, site, site.dispatch())
        keeps(not site.subscribers[0].seen, "it was sent all the same")
        kept = sum(one.skipped for one in site.thorn.deliveries(DeliveryState.CANCELLED))
        keeps(kept == 1, f"of 1 delivery that it missed, the store has {kept}")

    @promise
    def test_takes_many_in_their_order(self, dispatcher: Dispatcher, site: Site) -> None:
        """A dispatcher takes several messages in their order, and gives a receipt of each."""
        dispatches = [site.dispatch(number) for number in range(_MANY)]
        receipts = list(dispatcher.dispatch_many(dispatches, site.deliverer))
        keeps(len(receipts) == _MANY, f"{_MANY} messages have {len(receipts)} receipts")
        for receipt, dispatch in zip(receipts, dispatches, strict=True):
            check_receipt(receipt, dispatch, dispatcher)

    @promise
    def test_takes_none(self, dispatcher: Dispatcher, site: Site) -> None:
        """A dispatcher that is given no messages gives no receipts."""
        receipts = list(dispatcher.dispatch_many([], site.deliverer))
        keeps(not receipts, f"it gave {len(receipts)}")

    @promise
    def test_has_each_of_many_delivered(self, dispatcher: Dispatcher, site: Site) -> None:
        """A dispatcher has each of several messages delivered to each subscriber."""
        site.subscribe()
        dispatches = [site.dispatch(number) for number in range(_MANY)]
        receipts = list(dispatcher.dispatch_many(dispatches, site.deliverer))
        self._check_states(receipts, *DELIVERING)
        site.finish(receipts)
        for one in site.subscribers:
            came = len(one.came(EVENT))
            keeps(came == _MANY, f"of {_MANY} messages, a subscriber got {came}")

    @promise
    def test_serves_several_threads(self, dispatcher: Dispatcher, site: Site) -> None:
        """A dispatcher serves several threads at once, and gives each the receipts of its own messages."""

        def send(number: int) -> None:
            for step in range(_MANY):
                dispatch = site.dispatch([number, step])
                check_receipt(dispatcher.dispatch(dispatch, site.deliverer), dispatch, dispatcher)

        side_by_side(_THREADS, send, self.patience)

    @promise
    def test_says_that_it_cannot_take_a_message(self, unable: Dispatcher, site: Site) -> None:
        """A dispatcher that cannot take a message raises a DispatchError with its own name."""
        dispatch = site.dispatch()
        error = error_of(
            DispatchError, lambda: unable.dispatch(dispatch, site.deliverer), "it took the message"
        )
        keeps(error.dispatcher == unable.name, f"it names {error.dispatcher!r}, not {unable.name!r}")

    @promise
    def test_gives_no_receipt_of_what_it_cannot_take(self, unable: Dispatcher, site: Site) -> None:
        """A dispatcher that cannot take several messages raises an error, and gives no receipt."""
        receipts: list[Receipt] = []
        dispatches = [site.dispatch(number) for number in range(_MANY)]
        errors = errors_of([lambda: receipts.extend(unable.dispatch_many(dispatches, site.deliverer))])
        keeps(bool(errors), "it raised nothing")
        keeps(not receipts, f"it gave {len(receipts)}")

    @promise
    def test_sends_nothing_of_what_it_cannot_take(self, unable: Dispatcher, site: Site) -> None:
        """A dispatcher that cannot take messages sends nothing of them, and leaves nothing in the store."""
        site.subscribe()
        dispatches = [site.dispatch(number) for number in range(_MANY)]
        errors_of(
            [
                lambda: unable.dispatch(dispatches[0], site.deliverer),
                lambda: list(unable.dispatch_many(dispatches, site.deliverer)),
            ]
        )
        keeps(not site.came(), f"{site.came()} requests were made")
        kept = len(list(site.thorn.deliveries()))
        keeps(not kept, f"{kept} deliveries are in the store")

    @promise
    def test_tells_no_secret(self, unable: Dispatcher, site: Site) -> None:
        """A dispatcher's error tells nothing of the payload."""
        for error in _errors(unable, site):
            keeps(_HIDDEN not in f"{error}{error!r}", f"the error says: {error}")

    @promise
    def test_raises_errors_that_pickle(self, unable: Dispatcher, site: Site) -> None:
        """A dispatcher's error pickles, so that it can cross processes."""
        for error in _errors(unable, site):
            check_pickles(error)

    @promise
    def test_closes_twice(self, dispatcher: Dispatcher, site: Site) -> None:
        """A dispatcher may be closed twice."""
        dispatcher.dispatch(site.dispatch(), site.deliverer)
        for _ in range(2):
            within(self.patience, dispatcher.close, "to close it")

    @promise
    def test_does_not_hang_after_its_end(self, dispatcher: Dispatcher, site: Site) -> None:
        """A dispatcher that was closed takes messages or raises an error of thornsdk, and does not hang."""
        dispatcher.close()

        def dispatch() -> None:
            with suppress(ThornError):
                dispatcher.dispatch(site.dispatch(), site.deliverer)

        within(self.patience, dispatch, "to dispatch")


def _errors(unable: Dispatcher, site: Site) -> list[Exception]:
    """Gives what is raised, of whatever kind."""
    dispatch = site.dispatch({"card": _HIDDEN})
    return errors_of([lambda: unable.dispatch(dispatch, site.deliverer)])
