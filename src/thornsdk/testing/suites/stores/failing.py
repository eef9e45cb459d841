"""What every store promises of subscriptions whose attempts fail."""

from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID, uuid4

from attrs import evolve

from thornsdk.model import OutcomeKind
from thornsdk.reasons import Reason
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import keeps
from thornsdk.testing.suites.stores.samples import MINUTE, NOW, delivery, pending, subscription, then
from thornsdk.testing.suites.stores.stage import StoreTests, promised
from thornsdk.testing.values import make_claim

_NOT_THE_RECEIVERS: Final = (
    (OutcomeKind.BLOCKED, Reason.ADDRESS_FORBIDDEN),
    (OutcomeKind.FAILED, Reason.NOT_SERIALIZABLE),
    (OutcomeKind.FAILED, Reason.UNSUBSCRIBED),
    (OutcomeKind.RETRY, Reason.WORKER_LOST),
    (OutcomeKind.RETRY, Reason.STAGE_FAILED),
)


class FailingTests(StoreTests):
    """What every store promises of subscriptions whose attempts fail."""

    @promised
    def test_knows_since_when_a_subscription_fails(self, store: Store) -> None:
        """A store knows since when all attempts to a subscription fail: since the first of them began."""
        to = uuid4()
        _check(store, to, None, "before the first attempt")
        one, other = pending(to=to), pending(to=to)
        for minutes, known in enumerate(
            (one, then(one, 2, OutcomeKind.RETRY), then(other, 3, OutcomeKind.FAILED))
        ):
            store.record(evolve(known, last=evolve(known.last, started_at=NOW + minutes * MINUTE)))
            _check(store, to, NOW, f"after {minutes + 1} that failed, the first at {NOW}")
        _check(store, uuid4(), None, "of another subscription")

    @promised
    def test_ends_the_failing_when_one_arrives(self, store: Store) -> None:
        """A store knows no failing once any delivery to the subscription has arrived; it may begin anew."""
        to = uuid4()
        one = pending(to=to)
        for arrived in (then(one, 2), delivery(to=to)):
            store.record(pending(to=to))
            store.record(arrived)
            _check(store, to, None, "after one that arrived")
        store.record(pending(to=to, at=NOW + MINUTE))
        _check(store, to, NOW + MINUTE, f"after one that failed at {NOW + MINUTE}")

    @promised
    def test_blames_no_receiver_for_others(self, store: Store) -> None:
        """A store takes for failing what the receiver failed alone, as `Attempt.receiver_failed` says."""
        for kind, reason in _NOT_THE_RECEIVERS:
            one = delivery(to=uuid4())
            store.record(then(one, 1, kind, reason=reason))
            _check(store, one.subscription_id, None, f"after an attempt that was {kind} ({reason})")
            store.record(then(one, 2, OutcomeKind.FAILED, at=NOW + MINUTE))
            _check(store, one.subscription_id, NOW + MINUTE, "after one that the receiver failed")
        unbegun = pending(to=uuid4(), number=0)
        store.accept([unbegun])
        store.record(unbegun)
        _check(store, unbegun.subscription_id, None, "after one that was not begun")

    @promised
    def test_hears_of_each_failure_once(self, store: Store) -> None:
        """A store takes no attempt for a new failure that it is told of again, or too late, or takes back."""
        to = uuid4()
        one = pending(to=to)
        store.record(one)
        store.record(delivery(to=to))
        claimed = store.claim_due(NOW, 1, make_claim(NOW + MINUTE))
        store.take(one.id, NOW + MINUTE, claimed[0])
        _check(store, to, None, "after an attempt was taken back")
        store.take(one.id, NOW, one.due_at(NOW + MINUTE))
        store.record(one)
        _check(store, to, None, "after an attempt was told twice")
        late = delivery(number=2, to=to)
        store.record(late)
        store.record(then(late, 1, OutcomeKind.RETRY))
        _check(store, to, None, "after the first attempt was told when the second had arrived")

    @promised
    def test_ends_the_failing_of_what_is_enabled(self, store: Store) -> None:
        """A store knows no failing after a subscription was enabled; other changes do not end it."""
        one = subscription()
        changing = partial(store.change, one.id, partial(evolve, disabled=None))
        for enable in (partial(store.put, [one]), changing):
            store.put([one])
            store.record(pending(to=one.id))
            store.put([evolve(one, owner="acme")])
            store.change(one.id, lambda known: evolve(known, owner=None))
            store.put([evolve(one, disabled="enough")])
            _check(store, one.id, NOW, "after it was changed, and disabled")
            enable()
            _check(store, one.id, None, "after it was enabled")

    @promised
    def test_ends_the_failing_of_what_is_removed(self, store: Store) -> None:
        """A store knows no failing of a subscription that was removed."""
        one, other = subscription(), subscription("b")
        store.put([one, other])
        store.record(pending(to=one.id))
        store.record(pending(to=other.id))
        store.remove(one.id)
        _check(store, one.id, None, "after it was removed")
        _check(store, other.id, NOW, "after another one was removed")

    @promised
    def test_has_a_failing_told_once(self, store: Store) -> None:
        """A store says once that a failing is to be told, and again when it has begun anew."""
        to = uuid4()
        keeps(store.tell_failing(to) is False, "what does not fail is to be told")
        for minutes in range(2):
            store.record(pending(to=to, at=NOW + minutes * MINUTE))
            told: list[object] = [store.tell_failing(to), store.tell_failing(to)]
            keeps(told == [True, False], f"asked twice, it said {told}")
            store.record(delivery(to=to))
        keeps(store.tell_failing(to) is False, "what has ended is to be told")


def _check(store: Store, to: UUID, wanted: datetime | None, case: str) -> None:
    found = store.failing_since(to)
    keeps(found == wanted, f"{case}, it has been failing since {found}")
