"""A store against a plain model of it, whatever is done in whatever order; it needs hypothesis.

`StoreSuite` shows one promise at a time. This looks for what goes wrong between them.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from attrs import evolve
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from thornsdk.model import DeliveryRecord, DeliveryState, Lease, OutcomeKind, Pruned
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import BrokenPromise
from thornsdk.testing.suites.stores.model import Model
from thornsdk.testing.suites.stores.samples import NOW, accepted, then
from thornsdk.testing.values import make_claim, make_taken

_SECOND: Final = timedelta(seconds=1)
_MESSAGES: Final = (UUID(int=1), UUID(int=2))
_SUBSCRIPTIONS: Final = (UUID(int=4), UUID(int=5), UUID(int=6))
_WITHOUT_KEY: Final = 2
_ACCEPTED: Final = tuple(
    evolve(
        accepted(
            f"n{number}",
            message=_MESSAGES[number % 2],
            to=_SUBSCRIPTIONS[number % 3],
            key=None if number == _WITHOUT_KEY else "key",
        ),
        id=UUID(int=10 + number),
    )
    for number in range(5)
)

_deliveries = st.sampled_from(_ACCEPTED)
_seconds = st.integers(0, 5)


class StoreMachine(RuleBasedStateMachine):
    """Uses a store and a model of it alike, and looks after each step whether both say the same.

    Inherit from it, override `open_store`, and give its ``TestCase`` a name that pytest collects.

    Example:
        >>> from thornsdk import Store
        >>> from thornsdk.testing.suites.stores.stateful import StoreMachine
        >>> from thornsdk_plugins.memory import MemoryStore
        >>> class MemoryMachine(StoreMachine):
        ...     def open_store(self) -> Store:
        ...         return MemoryStore()
        >>> TestMemoryMachine = MemoryMachine.TestCase
    """

    def __init__(self) -> None:
        super().__init__()
        self.store: Store = self.open_store()
        """The store under test."""
        self.model: Model = Model()
        """What it is to say."""
        self.now: datetime = NOW
        """What time it is."""

    def open_store(self) -> Store:
        """Opens a new store without anything in it; it is closed in the end.

        Raises:
            NotImplementedError: Where it is not overridden.
        """
        raise NotImplementedError(f"{type(self).__qualname__} needs a method 'open_store' that opens a store")

    def teardown(self) -> None:
        """Closes the store."""
        self.store.close()

    @rule(by=_seconds)
    def time_passes(self, by: int) -> None:
        """Sets the clock forward."""
        self.now += by * _SECOND

    @rule(new=st.lists(_deliveries, max_size=3))
    def accept(self, new: list[DeliveryRecord]) -> None:
        """Accepts deliveries, some of which may be known."""
        self.store.accept(new)
        for one in new:
            self.model.known.setdefault(one.id, one)

    @rule(one=_deliveries, number=st.integers(1, 4), kind=st.sampled_from(OutcomeKind), wait=_seconds)
    def record(self, one: DeliveryRecord, number: int, kind: OutcomeKind, wait: int) -> None:
        """Records what became of an attempt, in whatever order."""
        told = then(one, number, kind, at=self.now, due=self.now + wait * _SECOND)
        self.store.record(told)
        self.model.record(told)

    @rule(limit=st.integers(0, 3), lease=_seconds)
    def claim_due(self, limit: int, lease: int) -> None:
        """Claims what is due."""
        claim = make_claim(self.now + lease * _SECOND)
        expected = self.model.due(self.now)[:limit]
        _check("what it gives as due", self.store.claim_due(self.now, limit, claim), expected)
        for one in expected:
            self.model.write(claim(one))

    @rule(limit=st.integers(0, 3), lease=_seconds, message_id=st.sampled_from(_MESSAGES))
    def claim_new(self, limit: int, lease: int, message_id: UUID) -> None:
        """Claims what is new of a message."""
        claim = make_claim(self.now + lease * _SECOND)
        expected = self.model.new(message_id)[:limit]
        _check("what it gives as new", self.store.claim_new(message_id, limit, claim), expected)
        for one in expected:
            self.model.write(claim(one))

    @rule(one=_deliveries, ago=_seconds, lease=_seconds)
    def take(self, one: DeliveryRecord, ago: int, lease: int) -> None:
        """Takes a delivery that may be due just then."""
        known = self.model.known.get(one.id, one)
        due_at = self.now - ago * _SECOND
        taken = make_taken(known, self.now + lease * _SECOND)
        expected = one.id in self.model.known and known.next_attempt_at == due_at
        _check("whether it took one", self.store.take(one.id, due_at, taken), expected)
        if expected:
            self.model.write(taken)

    @rule(one=_deliveries, lease=st.sampled_from([None, Lease("sender")]))
    def take_back(self, one: DeliveryRecord, lease: Lease | None) -> None:
        """Takes back an attempt that was begun."""
        known = self.model.known.get(one.id, one)
        before = self.model.history.get(one.id, {}).get(known.last.number - 1, one.last)
        begun = known.last.number > 0 and known.lease is not None
        # Where its end was told late, who took it knows it as pending, and that is not in the history.
        if known.next_attempt_at is None or not begun or before.outcome.kind is not OutcomeKind.RETRY:
            return
        # Only what was accepted and never begun stays with who sends it.
        back = evolve(known, last=before, lease=None if before.number else lease).due_at(self.now)
        _check(
            "whether it took one back", self.store.take(one.id, known.next_attempt_at, back), expected=True
        )
        self.model.history[one.id].pop(known.last.number)
        self.model.write(back)

    @rule(one=_deliveries)
    def withdraw(self, one: DeliveryRecord) -> None:
        """Withdraws a delivery, whether it was begun or not."""
        known = self.model.known.get(one.id)
        if known is not None and known.last.number == 0:
            self.model.forget(known)
        self.store.withdraw([one.id])

    @rule(ago=_seconds, states=st.none() | st.frozensets(st.sampled_from(DeliveryState)))
    def prune(self, ago: int, states: frozenset[DeliveryState] | None) -> None:
        """Prunes what has ended, by age and state."""
        before = self.now - ago * _SECOND
        told = self.store.prune(before, states=states)
        gone = self.model.prune(
            lambda one: one.last.started_at < before and (states is None or one.state in states)
        )
        _check("what it has pruned", told, Pruned.of(gone))

    @invariant()
    def knows_each_delivery(self) -> None:
        """It gives the deliveries, their attempts and their neighbours as they are."""
        found = {one.id: one for one in self.store.deliveries()}
        _check("what it knows of deliveries", found, self.model.known)
        for one in found.values():
            history = self.model.history.get(one.id, {})
            _check(
                "the attempts", self.store.attempts(one.id), [history[number] for number in sorted(history)]
            )
            for stop in (False, True):
                waits = self.store.ahead_of(one.id, stop=stop)
                _check("what one waits for", waits, self.model.ahead_of(one, stop=stop))
            _check("the next in line", self.store.next_in_line(one.id), self.model.next_in_line(one))

    @invariant()
    def knows_them_together(self) -> None:
        """It counts them as they are, and knows which subscriptions fail, and what is due next."""
        counts = {(one.subscription_id, one.state): one.deliveries for one in self.store.counts()}
        _check("the counts", counts, self.model.counts())
        failing = {one: self.store.failing_since(one) for one in _SUBSCRIPTIONS}
        _check("which fail", failing, {one: self.model.failing.get(one) for one in _SUBSCRIPTIONS})
        due = [one.next_attempt_at for one in self.model.known.values() if one.next_attempt_at]
        _check("when the next is due", self.store.next_due(), min(due, default=None))


def _check(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BrokenPromise(f"a store says what its model says: {what} is {found!r}, not {expected!r}")
