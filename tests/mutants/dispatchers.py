import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from attrs import evolve

from mutants import EVERYTHING, Mutant
from thornsdk import (
    Bodies,
    Deliverer,
    Dispatch,
    Dispatcher,
    OutcomeKind,
    Receipt,
    ReceiptState,
    RetryPolicy,
    Tally,
    Thorn,
    tally,
)
from thornsdk.errors import DispatchError
from thornsdk.testing import Endpoint, answers, reaching
from thornsdk.testing.suites import DispatcherSuite

PATIENCE = 2.0


class Sound(Mutant, Dispatcher):
    """Breaks nothing: it delivers here and now, or cannot."""

    name = "sound"

    def __init__(self, *, able: bool) -> None:
        self.able = able
        self.queue: list[Dispatch] = []

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        if not self.able:
            raise self.refusal(dispatch)
        return self.take(dispatch, deliverer)

    def refusal(self, dispatch: Dispatch) -> Exception:
        return DispatchError(self.name, "there is no way")

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return self.receipt(dispatch, ReceiptState.ENDED, tally(deliverer.deliver_all(dispatch)))

    def receipt(self, dispatch: Dispatch, state: ReceiptState, outcomes: Tally | None = None) -> Receipt:
        return Receipt(
            message_id=dispatch.message.id,
            event=dispatch.message.event,
            dispatcher=self.name,
            state=state,
            outcomes=outcomes or Tally(),
        )

    def drain(self, deliverer: Deliverer) -> None:
        for one in self.queue:
            tally(deliverer.deliver_all(one))


class Queueing(Sound):
    """Breaks nothing: it delivers later."""

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        self.write(dispatch)
        self.queue.append(dispatch)
        return self.receipt(dispatch, ReceiptState.QUEUED)

    def write(self, dispatch: Dispatch) -> None:
        dispatch.bodies.in_all_types()


class Storing(Sound):
    """Breaks nothing: it leaves all to the store."""

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        kept = tally(deliverer.keep(dispatch, "nobody is there"))
        return self.receipt(dispatch, ReceiptState.STORED, kept)


class Disabled(Sound):
    """Breaks nothing: it sends nothing."""

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return self.receipt(dispatch, ReceiptState.DISABLED)


class Changing(Queueing):
    """Changes what is delivered, on its way."""

    def drain(self, deliverer: Deliverer) -> None:
        for one in self.queue:
            tally(deliverer.deliver_all(self.changed(one)))

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return dispatch


class NoDispatcher(Mutant):
    breaks = "test_is_a_dispatcher"
    also = EVERYTHING

    def __init__(self, *, able: bool) -> None:
        pass


class Forgetful(Mutant, Dispatcher):
    """Inherits its name from the protocol, where it is nothing."""

    breaks = "test_is_a_dispatcher"
    also = EVERYTHING

    def __init__(self, *, able: bool) -> None:
        self.sound = Disabled(able=able)

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return self.sound.dispatch(dispatch, deliverer)


class InTwoLines(Sound):
    breaks = "test_has_a_name"
    name = "in two\nlines"


class Nameless(Sound):
    breaks = "test_has_a_name"
    name = ""


class OfAnotherMessage(Sound):
    breaks = "test_gives_a_receipt_of_the_message"
    also = frozenset({"test_takes_many_in_their_order", "test_serves_several_threads"})

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return evolve(super().take(dispatch, deliverer), message_id=uuid4())


class OfAnotherDispatcher(OfAnotherMessage):
    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return evolve(Sound.take(self, dispatch, deliverer), dispatcher="default")


class OfAnotherEvent(OfAnotherMessage):
    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return evolve(Sound.take(self, dispatch, deliverer), event="order.paid")


class OddState(OfAnotherMessage):
    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return evolve(Sound.take(self, dispatch, deliverer), state=ReceiptState.WAITING)


class NoReceipt(OfAnotherMessage):
    also = EVERYTHING

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return dispatch.message.id  # type: ignore[return-value]  # on purpose


class TellsNoOutcome(Sound):
    breaks = "test_tells_the_outcomes_of_what_has_ended"
    also = frozenset({"test_keeps_troubles_apart"})

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return evolve(super().take(dispatch, deliverer), outcomes=Tally())


LOSING = frozenset(
    {
        "test_keeps_troubles_apart",
        "test_keeps_what_the_disabled_miss",
        "test_has_each_of_many_delivered",
        "test_reaches_those_alone_whom_the_sender_may_reach",
        "test_keeps_the_terms_of_the_event",
    }
)


class EndsBeforeItBegins(Sound):
    breaks = "test_tells_the_outcomes_of_what_has_ended"
    also = LOSING

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return self.receipt(dispatch, ReceiptState.ENDED)


class LosesWhatItQueued(Queueing):
    breaks = "test_loses_nothing_that_it_took"
    also = LOSING | {"test_sends_what_waits_as_it_was"}

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return self.receipt(dispatch, ReceiptState.QUEUED)


class StoresNothing(Storing):
    breaks = "test_loses_nothing_that_it_took"
    also = LOSING | {"test_sends_what_waits_as_it_was"}

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return self.receipt(dispatch, ReceiptState.STORED)


class OtherBody(Changing):
    breaks = "test_sends_the_message_as_it_is"
    also = frozenset({"test_sends_what_waits_as_it_was"})

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return evolve(dispatch, bodies=Bodies.written({"application/json": b"null"}))


class OtherEvent(Changing):
    breaks = "test_sends_the_message_as_it_is"
    also = frozenset(
        {"test_has_each_of_many_delivered", "test_reaches_those_alone_whom_the_sender_may_reach"}
    )

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return evolve(dispatch, message=evolve(dispatch.message, event="order.paid"))


class OtherId(Changing):
    """Gives another id each time, so that messages seem to be more than they are."""

    breaks = "test_sends_the_message_as_it_is"
    also = frozenset({"test_reaches_those_alone_whom_the_sender_may_reach"})

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return evolve(dispatch, message=evolve(dispatch.message, id=uuid4()))


class OtherTime(Changing):
    breaks = "test_sends_the_message_as_it_is"

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return evolve(dispatch, message=evolve(dispatch.message, created_at=datetime.now(UTC)))


class ToAllTenants(Changing):
    breaks = "test_reaches_those_alone_whom_the_sender_may_reach"

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return evolve(dispatch, audience=evolve(dispatch.audience, broadcast=True))


class ToNobodysAlone(Changing):
    breaks = "test_reaches_those_alone_whom_the_sender_may_reach"

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return evolve(dispatch, audience=evolve(dispatch.audience, sender=None))


class NoBroadcast(Changing):
    breaks = "test_reaches_those_alone_whom_the_sender_may_reach"

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return evolve(dispatch, audience=evolve(dispatch.audience, broadcast=False))


class HasItsOwnTime(Changing):
    breaks = "test_keeps_the_terms_of_the_event"

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return evolve(dispatch, terms=evolve(dispatch.terms, timeout=60.0))


class NeverTriesAgain(Changing):
    breaks = "test_keeps_the_terms_of_the_event"

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return evolve(dispatch, terms=evolve(dispatch.terms, retry=RetryPolicy.never()))


class HasItsOwnSchedule(Changing):
    breaks = "test_keeps_the_terms_of_the_event"

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return evolve(dispatch, terms=evolve(dispatch.terms, retry=RetryPolicy()))


class AsksNoValidator(Changing):
    breaks = "test_keeps_the_terms_of_the_event"

    def changed(self, dispatch: Dispatch) -> Dispatch:
        return evolve(dispatch, terms=evolve(dispatch.terms, recipient_validators=()))


class WritesLater(Queueing):
    breaks = "test_sends_what_waits_as_it_was"

    def write(self, dispatch: Dispatch) -> None:
        pass


class NotSoDisabled(Sound):
    breaks = "test_sends_nothing_where_it_says_so"

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        super().take(dispatch, deliverer)
        return self.receipt(dispatch, ReceiptState.DISABLED)


class KeepsItForLater(Storing):
    breaks = "test_sends_nothing_where_it_says_so"

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        super().take(dispatch, deliverer)
        return self.receipt(dispatch, ReceiptState.DISABLED)


class TellsWhatNeverWas(Disabled):
    breaks = "test_sends_nothing_where_it_says_so"

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return self.receipt(dispatch, ReceiptState.DISABLED, Tally(delivered=3))


class RaisesAProblem(Sound):
    breaks = "test_keeps_troubles_apart"
    also = frozenset({"test_keeps_the_terms_of_the_event"})

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        receipt = super().take(dispatch, deliverer)
        if receipt.outcomes.problems:
            raise DispatchError(self.name, "a subscriber is not there")
        return receipt


class StopsAtAProblem(Sound):
    breaks = "test_keeps_troubles_apart"
    also = frozenset({"test_keeps_the_terms_of_the_event"})

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        tally(deliverer.skip([]))
        arrived = 0
        for one in deliverer.deliver_all(dispatch):
            if one.kind is not OutcomeKind.DELIVERED and not one.skipped:
                break
            arrived += 1
        return self.receipt(dispatch, ReceiptState.ENDED, Tally(delivered=arrived))


class ForgetsTheDisabled(Sound):
    breaks = "test_keeps_what_the_disabled_miss"

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        active = deliverer.matching(dispatch.audience)
        return self.receipt(dispatch, ReceiptState.ENDED, tally(deliverer.deliver(dispatch, active)))


class SendsToTheDisabled(Sound):
    breaks = "test_keeps_what_the_disabled_miss"

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        tally(deliverer.deliver(dispatch, deliverer.disabled(dispatch.audience)))
        return super().take(dispatch, deliverer)


class Many(Sound):
    """Takes many as `Dispatcher` does."""

    def dispatch_many(self, dispatches: Sequence[Dispatch], deliverer: Deliverer) -> Iterator[Receipt]:
        return iter(list(super().dispatch_many(dispatches, deliverer)))


class Reversed(Many):
    breaks = "test_takes_many_in_their_order"

    def dispatch_many(self, dispatches: Sequence[Dispatch], deliverer: Deliverer) -> Iterator[Receipt]:
        return super().dispatch_many(list(reversed(dispatches)), deliverer)


class OneReceiptForAll(Many):
    breaks = "test_takes_many_in_their_order"

    def dispatch_many(self, dispatches: Sequence[Dispatch], deliverer: Deliverer) -> Iterator[Receipt]:
        return iter(list(super().dispatch_many(dispatches, deliverer))[:1])


class WantsOneAtLeast(Many):
    breaks = "test_takes_none"

    def dispatch_many(self, dispatches: Sequence[Dispatch], deliverer: Deliverer) -> Iterator[Receipt]:
        first, *others = dispatches
        return super().dispatch_many([first, *others], deliverer)


class DeliversTheFirst(Many):
    breaks = "test_has_each_of_many_delivered"

    def dispatch_many(self, dispatches: Sequence[Dispatch], deliverer: Deliverer) -> Iterator[Receipt]:
        yield from super().dispatch_many(dispatches[:1], deliverer)
        yield from (self.receipt(one, ReceiptState.ENDED) for one in dispatches[1:])


class NotForThreads(Sound):
    breaks = "test_serves_several_threads"
    current: Dispatch | None = None

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        self.current = dispatch
        time.sleep(0.001)
        return super().take(self.current, deliverer)


class OtherErrors(Sound):
    breaks = "test_says_that_it_cannot_take_a_message"

    def refusal(self, dispatch: Dispatch) -> Exception:
        return ConnectionRefusedError("there is no way")


class ErrorsOfAnother(Sound):
    breaks = "test_says_that_it_cannot_take_a_message"

    def refusal(self, dispatch: Dispatch) -> Exception:
        return DispatchError("default", "there is no way")


class TakesItAllTheSame(Sound):
    breaks = "test_says_that_it_cannot_take_a_message"
    also = frozenset(
        {"test_gives_no_receipt_of_what_it_cannot_take", "test_sends_nothing_of_what_it_cannot_take"}
    )

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        return self.take(dispatch, deliverer)


class RefusesAndSends(Sound):
    breaks = "test_sends_nothing_of_what_it_cannot_take"

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        receipt = self.take(dispatch, deliverer)
        if not self.able:
            raise self.refusal(dispatch)
        return receipt


class RefusesAndKeeps(Sound):
    breaks = "test_sends_nothing_of_what_it_cannot_take"

    def dispatch(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        if not self.able:
            tally(deliverer.keep(dispatch, "there is no way"))
        return super().dispatch(dispatch, deliverer)


class ReceiptsOfNothing(Many):
    breaks = "test_gives_no_receipt_of_what_it_cannot_take"

    def dispatch_many(self, dispatches: Sequence[Dispatch], deliverer: Deliverer) -> Iterator[Receipt]:
        if not self.able:
            yield self.receipt(dispatches[0], ReceiptState.QUEUED)
        yield from super().dispatch_many(dispatches, deliverer)


class ErrorsWithThePayload(Sound):
    breaks = "test_tells_no_secret"

    def refusal(self, dispatch: Dispatch) -> Exception:
        return DispatchError(self.name, f"there is no way for {dispatch.message.payload}")


class ErrorThatDoesNotPickle(DispatchError):
    def __init__(self, name: str) -> None:
        super().__init__(name, "there is no way")


class ErrorsThatDoNotPickle(Sound):
    breaks = "test_raises_errors_that_pickle"

    def refusal(self, dispatch: Dispatch) -> Exception:
        return ErrorThatDoesNotPickle(self.name)


class ClosesOnce(Sound):
    breaks = "test_closes_twice"
    closed = False

    def close(self) -> None:
        if self.closed:
            raise ValueError("it is closed")
        self.closed = True


class HangsWhenClosed(Sound):
    breaks = "test_does_not_hang_after_its_end"
    closed = False

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        if self.closed:
            time.sleep(2 * PATIENCE)
            raise self.refusal(dispatch)
        return super().take(dispatch, deliverer)

    def close(self) -> None:
        self.closed = True


class OtherErrorsWhenClosed(Sound):
    breaks = "test_does_not_hang_after_its_end"
    closed = False

    def take(self, dispatch: Dispatch, deliverer: Deliverer) -> Receipt:
        if self.closed:
            raise AttributeError("'NoneType' object has no attribute 'publish'")
        return super().take(dispatch, deliverer)

    def close(self) -> None:
        self.closed = True


MUTANTS = [
    Sound,
    Queueing,
    Storing,
    Disabled,
    Changing,
    NoDispatcher,
    Forgetful,
    InTwoLines,
    Nameless,
    OfAnotherMessage,
    OfAnotherDispatcher,
    OfAnotherEvent,
    OddState,
    NoReceipt,
    TellsNoOutcome,
    EndsBeforeItBegins,
    LosesWhatItQueued,
    StoresNothing,
    OtherBody,
    OtherEvent,
    OtherId,
    OtherTime,
    ToAllTenants,
    ToNobodysAlone,
    NoBroadcast,
    HasItsOwnTime,
    NeverTriesAgain,
    HasItsOwnSchedule,
    AsksNoValidator,
    WritesLater,
    NotSoDisabled,
    KeepsItForLater,
    TellsWhatNeverWas,
    RaisesAProblem,
    StopsAtAProblem,
    ForgetsTheDisabled,
    SendsToTheDisabled,
    Many,
    Reversed,
    OneReceiptForAll,
    WantsOneAtLeast,
    DeliversTheFirst,
    NotForThreads,
    OtherErrors,
    ErrorsOfAnother,
    TakesItAllTheSame,
    RefusesAndSends,
    RefusesAndKeeps,
    ReceiptsOfNothing,
    ErrorsWithThePayload,
    ErrorsThatDoNotPickle,
    ClosesOnce,
    HangsWhenClosed,
    OtherErrorsWhenClosed,
]


@pytest.fixture(params=MUTANTS)
def mutant(request: pytest.FixtureRequest) -> type[Sound]:
    made: type[Sound] = request.param
    return made


@pytest.fixture(scope="module")
def endpoints() -> Iterator[Sequence[Endpoint]]:
    """What the subscribers of all tests are: to open them anew for each would take most of the time."""
    with Endpoint() as one, Endpoint() as another, Endpoint() as third:
        yield [one, another, third]


@pytest.fixture(scope="module")
def shared(endpoints: Sequence[Endpoint]) -> Iterator[Thorn]:
    """The Thorn of all tests, for the same reason."""
    with Thorn(store="memory", breaker_failures=0, **reaching(*endpoints)) as thorn:
        thorn.event("order.created")
        yield thorn


class TestMutants(DispatcherSuite):
    patience = PATIENCE

    @pytest.fixture
    def subscribers(self, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        for one in endpoints:
            one.behave(answers(200))
            one.seen.clear()
        return endpoints

    @pytest.fixture
    def thorn(self, shared: Thorn) -> Iterator[Thorn]:
        yield shared
        for one in shared.subscriptions():
            shared.unsubscribe(one.id)
        shared.prune(keep=0)

    @pytest.fixture
    def dispatcher(self, mutant: type[Sound]) -> Sound:
        return mutant(able=True)

    @pytest.fixture
    def unable(self, mutant: type[Sound]) -> Dispatcher:
        return mutant(able=False)

    @pytest.fixture
    def drain(self, dispatcher: Sound, thorn: Thorn) -> Callable[[], None]:
        return lambda: dispatcher.drain(thorn.deliverer)
