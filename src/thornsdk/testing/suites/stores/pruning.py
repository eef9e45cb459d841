"""What every store promises when what has ended is removed."""

from attrs import evolve

from thornsdk.model import DeliveryRecord, DeliveryState, OutcomeKind, Pruned, WhenFailed
from thornsdk.reasons import Reason
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import keeps
from thornsdk.testing.suites.stores.comparing import check_is, check_same_set
from thornsdk.testing.suites.stores.samples import (
    MINUTE,
    NOW,
    accepted,
    delivery,
    in_each_state,
    line,
    names,
    pending,
    subscription,
    then,
)
from thornsdk.testing.suites.stores.stage import StoreTests, promised

_DELIVERED = frozenset({DeliveryState.DELIVERED})
_SEVERAL = frozenset({DeliveryState.DELIVERED, DeliveryState.FAILED})


class PruneTests(StoreTests):
    """What every store promises when what has ended is removed."""

    @promised
    def test_prunes_what_ended_before(self, store: Store) -> None:
        """A store prunes what ended before a moment, and counts it by state."""
        early, late = delivery("early"), delivery("late", at=NOW + MINUTE)
        unsubscribed = then(delivery("c"), 1, OutcomeKind.FAILED, reason=Reason.UNSUBSCRIBED)
        kinds = (OutcomeKind.FAILED, OutcomeKind.BLOCKED)
        store.accept([early, delivery("b"), late, unsubscribed, *(delivery(kind, kind) for kind in kinds)])
        check_is(store.prune(before=NOW), Pruned(), "what it has pruned before that moment")
        counts = Pruned(delivered=2, failed=1, blocked=1, cancelled=1)
        check_is(store.prune(before=NOW + MINUTE), counts, "what it has pruned")
        check_same_set(store.deliveries(), [late])
        keeps(store.delivery(early.id) is None, "one that was pruned is found")

    @promised
    def test_prunes_nothing_that_is_to_be_attempted(self, store: Store) -> None:
        """A store never prunes what is pending or leased."""
        several = [pending("pending"), accepted("leased")]
        store.accept(several)
        store.prune(before=NOW + 9 * MINUTE, keep=0)
        store.prune(keep=0, states=frozenset(DeliveryState))
        check_same_set(store.deliveries(), several)

    @promised
    def test_keeps_the_latest(self, store: Store) -> None:
        """A store that is to keep so many keeps those whose latest attempts began last."""
        several = [delivery(f"n{minutes}", at=NOW + minutes * MINUTE) for minutes in (3, 0, 4, 1, 2)]
        for one in several:
            store.record(one)
        for keep, gone in ((5, 0), (2, 3)):
            told = store.prune(keep=keep).total
            keeps(told == gone, f"to keep {keep}, it has pruned {told}, not {gone}")
        check_same_set(store.deliveries(), [several[0], several[2]])
        check_is(store.prune(keep=0), Pruned(delivered=2), "what it has pruned to keep none")

    @promised
    def test_prunes_what_is_too_old_or_too_much(self, store: Store) -> None:
        """A store prunes what is too old even if it is not too much, and the other way round."""
        store.accept(delivery(f"n{minutes}", at=NOW + minutes * MINUTE) for minutes in range(4))
        for keep, left in ((3, ["n1", "n2", "n3"]), (1, ["n3"])):
            store.prune(before=NOW + MINUTE, keep=keep)
            found = sorted(names(store.deliveries()))
            keeps(found == left, f"of before n1, to keep {keep}, it left {', '.join(found)}")

    @promised
    def test_prunes_states_that_are_named(self, store: Store) -> None:
        """A store prunes those in the states that are named, as if there were no others."""
        store.accept(in_each_state())
        check_is(store.prune(NOW + MINUTE, None, frozenset()), Pruned(), "what it has pruned of no state")
        pruned = store.prune(NOW + MINUTE, None, _SEVERAL)
        check_is(pruned, Pruned(delivered=1, failed=1), "what it has pruned")
        left = sorted(names(store.deliveries()))
        keeps(left == ["blocked", "cancelled", "leased", "pending"], f"it left {', '.join(left)}")
        store.accept(delivery("failed", OutcomeKind.FAILED, at=NOW + 9 * MINUTE) for _ in range(3))
        store.accept(delivery(f"n{minutes}", at=NOW + minutes * MINUTE) for minutes in range(3))
        check_is(store.prune(None, 2, _DELIVERED), Pruned(delivered=1), "what it has pruned to keep two")
        check_is(
            store.prune(None, 1, _SEVERAL), Pruned(delivered=2, failed=2), "what it has pruned to keep one"
        )

    @promised
    def test_prunes_attempts_too(self, store: Store) -> None:
        """A store prunes the attempts of a delivery with it, and keeps the attempts and bodies of others."""
        gone = pending("gone")
        left = evolve(pending("left"), message_id=gone.message_id)
        store.record(gone)
        store.record(left)
        store.record(then(gone, 2))
        store.prune(keep=0)
        keeps(store.attempts(gone.id) == [], "the attempts are there")
        check_is(store.delivery(left.id), left, "the other delivery of the message")
        keeps(len(store.attempts(left.id)) == 1, "the attempts of the other delivery are not there")

    @promised
    def test_takes_up_a_message_that_was_pruned(self, store: Store) -> None:
        """A store takes a delivery of a message after all others of it were pruned, with its body."""
        store.record(first := delivery("first"))
        store.prune(keep=0)
        by_record, by_accept = (evolve(delivery(host), message_id=first.message_id) for host in "ab")
        for one, take_up in ((by_record, store.record), (by_accept, lambda one: store.accept([one]))):
            take_up(one)
            check_is(store.delivery(one.id), one, "the delivery")
            store.prune(keep=0)

    @promised
    def test_keeps_what_stops_a_line(self, store: Store) -> None:
        """A store does not prune what failed or was blocked while others of its line wait behind it."""
        for kind in (OutcomeKind.FAILED, OutcomeKind.BLOCKED):
            first, behind = line("first", "behind")
            store.accept([first, behind])
            store.record(stops := then(first, 1, kind))
            told = store.prune(keep=0).total
            keeps(told == 0, f"it has pruned {told} where one that is {kind} has another one behind it")
            check_is(store.ahead_of(behind.id, stop=True), stops, "what stops the line")
            store.record(then(behind, 1))
            store.prune(keep=0)
            left = names(store.deliveries())
            keeps(not left, f"when both had ended, it has not pruned {', '.join(left)}")

    @promised
    def test_keeps_nothing_that_stops_no_line(self, store: Store) -> None:
        """A store prunes what failed where nobody waits for it: it is the last of its line, or skipped."""
        first, behind = line("first", "behind")
        unordered = evolve(subscription("skips"), ordered_by="id")
        skips = evolve(unordered, id=first.subscription_id, when_failed=WhenFailed.SKIP)
        for case, several, put in (
            ("of which another line has one pending", [_failed(first), evolve(behind, order_key="43")], []),
            ("before which one of its line is pending", [first, _failed(behind)], []),
            ("that its subscription skips", [_failed(first), behind], [skips]),
        ):
            store.put(put)
            store.accept(several)
            told = store.prune(keep=0).total
            keeps(told == 1, f"of one {case}, it has pruned {told}")
            for one in several:
                store.record(then(one, 2))
            store.prune(keep=0)


def _failed(one: DeliveryRecord) -> DeliveryRecord:
    return then(one, 1, OutcomeKind.FAILED)
