"""Both stores against a plain model of them, whatever is done in whatever order."""

from collections import Counter
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from support.records import NOW, delivery, lost, until
from thornsdk import (
    Attempt,
    DeliveryRecord,
    DeliveryState,
    Lease,
    Outcome,
    OutcomeKind,
    Pruned,
    Reason,
    Store,
)
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.sqlite import SqliteStore

SECOND = timedelta(seconds=1)
MESSAGES = [UUID(int=1), UUID(int=2)]
SUBSCRIPTIONS = [UUID(int=4), UUID(int=5), UUID(int=6)]
OWED = [
    evolve(
        delivery(due=NOW),
        id=UUID(int=10 + number),
        message_id=MESSAGES[number % 2],
        subscription_id=SUBSCRIPTIONS[number % 3],
        origin=f"https://{number}.example",
        last=evolve(delivery(due=NOW).last, number=0),
        lease=Lease("sender"),
        order_key=None if number == 2 else "key",
    )
    for number in range(5)
]

deliveries = st.sampled_from(OWED)
seconds = st.integers(0, 5)
numbers = st.integers(1, 4)
kinds = st.sampled_from(OutcomeKind)


def weight(record: DeliveryRecord) -> tuple[bool, int]:
    return record.state is DeliveryState.DELIVERED, record.last.number


class Model:
    """What a store is to say, in the plainest words."""

    def __init__(self) -> None:
        self.known: dict[UUID, DeliveryRecord] = {}
        self.history: dict[UUID, dict[int, Attempt]] = {}
        self.failing: dict[UUID, datetime] = {}
        self.pruned: Counter[tuple[UUID, DeliveryState]] = Counter()

    def counts(self) -> dict[tuple[UUID, DeliveryState], int]:
        """How many there are and were; all are of one day and event."""
        there = Counter((one.subscription_id, one.state) for one in self.known.values())
        return dict(self.pruned + there)

    def write(self, record: DeliveryRecord) -> None:
        self.known[record.id] = record
        if record.last.number > 0:
            self.history.setdefault(record.id, {})[record.last.number] = record.last

    def record(self, record: DeliveryRecord) -> None:
        known = self.known.get(record.id)
        if known is None or weight(record) >= weight(known):
            self.note_health(known, record)
            self.write(record)
        elif record.last.number != known.last.number:
            self.history[record.id][record.last.number] = record.last

    def line(self, one: DeliveryRecord) -> list[DeliveryRecord]:
        """The line of a delivery, in the order in which they were accepted."""
        if one.order_key is None:
            return []
        return [other for other in self.known.values() if other.subscription_id == one.subscription_id]

    def ahead_of(self, one: DeliveryRecord, *, stop: bool) -> DeliveryRecord | None:
        line = self.line(one)
        before = line[: line.index(one)] if line else []
        free = {DeliveryState.DELIVERED, DeliveryState.CANCELLED}
        in_the_way = [o for o in before if not o.state.has_ended or (stop and o.state not in free)]
        return in_the_way[0] if in_the_way else None

    def next_in_line(self, one: DeliveryRecord) -> DeliveryRecord | None:
        line = self.line(one)
        after = line[line.index(one) + 1 :] if line else []
        return next((other for other in after if not other.state.has_ended), None)

    def holds_up(self, one: DeliveryRecord) -> bool:
        in_the_way = one.state in {DeliveryState.FAILED, DeliveryState.BLOCKED}
        return in_the_way and self.next_in_line(one) is not None

    def note_health(self, known: DeliveryRecord | None, record: DeliveryRecord) -> None:
        # The same failure that is told twice is no news.
        told = known is not None and known.last.receiver_failed and known.last.started_at
        if record.state is DeliveryState.DELIVERED:
            self.failing.pop(record.subscription_id, None)
        elif record.last.receiver_failed and told != record.last.started_at:
            self.failing.setdefault(record.subscription_id, record.last.started_at)

    def due(self, now: datetime) -> list[DeliveryRecord]:
        ready = [
            (one.next_attempt_at, one.origin, str(one.id), one)
            for one in self.known.values()
            if one.next_attempt_at is not None and one.next_attempt_at <= now
        ]
        return [one for *_, one in sorted(ready)]

    def new(self, message_id: UUID) -> list[DeliveryRecord]:
        new = [
            (one.origin, str(one.id), one)
            for one in self.known.values()
            if one.last.number == 0 and one.lease is not None and one.message_id == message_id
        ]
        return [one for *_, one in sorted(new)]


class Stores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(TemporaryDirectory()))
        self.stores: list[Store] = [MemoryStore(), SqliteStore(folder / "thorn.db")]
        for one in self.stores:
            self.stack.enter_context(closing(one))
        self.model = Model()
        self.now = NOW

    def teardown(self) -> None:
        self.stack.close()

    @rule(by=seconds)
    def time_passes(self, by: int) -> None:
        self.now += by * SECOND

    @rule(new=st.lists(deliveries, max_size=3))
    def accept(self, new: list[DeliveryRecord]) -> None:
        for store in self.stores:
            store.accept(new)
        for one in new:
            self.model.known.setdefault(one.id, one)

    @rule(one=deliveries, number=numbers, kind=kinds, wait=seconds)
    def record(self, one: DeliveryRecord, number: int, kind: OutcomeKind, wait: int) -> None:
        retry_at = self.now + wait * SECOND if kind is OutcomeKind.RETRY else None
        outcome = Outcome(kind, Reason.STATUS, retry_at)
        attempt = Attempt(number=number, started_at=self.now, duration=0.0, outcome=outcome)
        told = evolve(one, last=attempt, lease=None)
        for store in self.stores:
            store.record(told)
        self.model.record(told)

    @rule(limit=st.integers(0, 3), lease=seconds)
    def claim_due(self, limit: int, lease: int) -> None:
        claim = until(self.now + lease * SECOND)
        expected = self.model.due(self.now)[:limit]
        for store in self.stores:
            assert store.claim_due(self.now, limit, claim) == expected
        for one in expected:
            self.model.write(claim(one))

    @rule(limit=st.integers(0, 3), lease=seconds, message_id=st.sampled_from(MESSAGES))
    def claim_new(self, limit: int, lease: int, message_id: UUID) -> None:
        claim = until(self.now + lease * SECOND)
        expected = self.model.new(message_id)[:limit]
        for store in self.stores:
            assert store.claim_new(message_id, limit, claim) == expected
        for one in expected:
            self.model.write(claim(one))

    @rule(one=deliveries, ago=seconds, lease=seconds)
    def take(self, one: DeliveryRecord, ago: int, lease: int) -> None:
        known = self.model.known.get(one.id, one)
        due_at = self.now - ago * SECOND
        taken = lost(known, self.now + lease * SECOND)
        expected = one.id in self.model.known and known.next_attempt_at == due_at
        for store in self.stores:
            assert store.take(one.id, due_at, taken) is expected
        if expected:
            self.model.write(taken)

    @rule(one=deliveries, lease=st.sampled_from([None, Lease("sender")]))
    def take_back(self, one: DeliveryRecord, lease: Lease | None) -> None:
        known = self.model.known.get(one.id)
        if known is None or known.last.number == 0 or known.lease is None or known.next_attempt_at is None:
            return
        before = self.model.history[one.id].get(known.last.number - 1, one.last)
        if before.outcome.kind is not OutcomeKind.RETRY:
            return  # Its end was told late: who took it knows it as pending, and that is not in the history.
        # Only what was accepted and never begun stays with who sends it.
        back = evolve(known, last=before, lease=None if before.number else lease).due_at(self.now)
        for store in self.stores:
            assert store.take(one.id, known.next_attempt_at, back) is True
        self.model.history[one.id].pop(known.last.number)
        self.model.write(back)

    @rule(one=deliveries)
    def withdraw(self, one: DeliveryRecord) -> None:
        known = self.model.known.get(one.id)
        if known is not None and known.last.number == 0:
            del self.model.known[one.id]
            self.model.history.pop(one.id, None)
        for store in self.stores:
            store.withdraw([one.id])

    @rule(ago=seconds, states=st.none() | st.frozensets(st.sampled_from(DeliveryState)))
    def prune(self, ago: int, states: frozenset[DeliveryState] | None) -> None:
        before = self.now - ago * SECOND
        gone = [
            one
            for one in self.model.known.values()
            if one.state.has_ended
            and one.last.started_at < before
            and (states is None or one.state in states)
            and not self.model.holds_up(one)
        ]
        for store in self.stores:
            assert store.prune(before, states=states) == Pruned.of(Counter(one.state for one in gone))
        for one in gone:
            del self.model.known[one.id]
            self.model.history.pop(one.id, None)
            self.model.pruned[one.subscription_id, one.state] += 1

    @invariant()
    def all_say_the_same(self) -> None:
        for store in self.stores:
            assert {one: store.failing_since(one) for one in SUBSCRIPTIONS} == {
                one: self.model.failing.get(one) for one in SUBSCRIPTIONS
            }
            counts = {(one.subscription_id, one.state): one.deliveries for one in store.counts()}
            assert counts == self.model.counts()
            found = list(store.deliveries())
            assert {one.id: one for one in found} == self.model.known
            for one in found:
                for stop in (False, True):
                    assert store.ahead_of(one.id, stop=stop) == self.model.ahead_of(one, stop=stop)
                assert store.next_in_line(one.id) == self.model.next_in_line(one)
                history = self.model.history.get(one.id, {})
                assert store.attempts(one.id) == [history[number] for number in sorted(history)]


Stores.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestStores = Stores.TestCase
