"""What every store promises to those who take deliveries to attempt them."""

from datetime import datetime, timedelta, timezone
from typing import Final
from uuid import uuid4

from attrs import evolve

from thornsdk.model import DeliveryRecord, DeliveryState, OutcomeKind
from thornsdk.reasons import Reason
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import keeps
from thornsdk.testing.suites.stores.comparing import Deliberate, check_given, check_is, check_raises_that
from thornsdk.testing.suites.stores.samples import (
    MINUTE,
    NOW,
    TICK,
    accepted,
    delivery,
    name,
    names,
    pending,
    then,
)
from thornsdk.testing.suites.stores.stage import StoreTests, promised
from thornsdk.testing.values import make_claim, make_taken

_LATER: Final = NOW + 10 * MINUTE
_HOSTS: Final = "cabcba"


class ClaimTests(StoreTests):
    """What every store promises to those who take deliveries to attempt them."""

    @promised
    def test_claims_the_longest_due_first(self, store: Store) -> None:
        """A store claims what is due, pending or leased, the longest due first, and nothing else."""
        due = [pending(f"n{minutes}", due=NOW + minutes * MINUTE) for minutes in (2, 0, 3)]
        store.accept([*due, accepted("n1", due=NOW + MINUTE), *map(delivery, "abc")])
        claimed = store.claim_due(NOW + 2 * MINUTE, 10, make_claim(_LATER))
        keeps(names(claimed) == ["n0", "n1", "n2"], f"it gave {names(claimed)}, not n0, n1, n2")

    @promised
    def test_claims_by_origin(self, store: Store) -> None:
        """A store claims what is due at one moment by origin, so that connections are used again."""
        store.accept(accepted(host) for host in _HOSTS)
        claimed = [one for _ in "12" for one in store.claim_due(NOW, 4, make_claim(_LATER))]
        keeps(names(claimed) == sorted(_HOSTS), f"it gave {', '.join(names(claimed))}")

    @promised
    def test_claims_no_more_than_is_asked_for(self, store: Store) -> None:
        """A store claims no more than it is asked for, and what is left the next time."""
        store.accept(pending(host) for host in "abcde")
        claims = [len(store.claim_due(NOW, limit, make_claim(_LATER))) for limit in (2, 0, 2, 2, 2)]
        keeps(claims == [2, 0, 2, 1, 0], f"of 5 that are due, asked for 2, 0, 2, 2, 2, it gave {claims}")

    @promised
    def test_gives_what_was_known_before(self, store: Store) -> None:
        """A store gives what was known of a delivery before it was claimed, and knows what the claim says."""
        one = accepted()
        store.accept([one])
        check_given(store.claim_due(NOW, 1, make_claim(_LATER, holder="me")), [one])
        check_is(store.delivery(one.id), make_taken(one, _LATER, holder="me"), "the delivery")
        found = store.attempts(one.id)
        keeps([a.number for a in found] == [1], "the attempt that was begun is not among its attempts")

    @promised
    def test_claims_again_when_the_claim_is_over(self, store: Store) -> None:
        """A store claims a delivery again from the moment at which its claim is over, and not before."""
        one = pending()
        store.record(one)
        store.claim_due(NOW, 1, make_claim(NOW + MINUTE))
        early = store.claim_due(NOW + MINUTE - TICK, 1, make_claim(_LATER))
        keeps(not early, "a microsecond before, it was claimed")
        again = store.claim_due(NOW + MINUTE, 1, make_claim(_LATER))
        keeps(names(again) == ["a"], "at that moment, it was not")

    @promised
    def test_claims_nothing_where_a_claim_raises(self, store: Store) -> None:
        """A store claims nothing where a claim raises, not even those before, and can be used as before."""
        message = uuid4()
        first, second = (accepted(host, message=message) for host in "ab")
        store.accept([first, second])

        def claim(known: DeliveryRecord) -> DeliveryRecord:
            if known.id == second.id:
                raise Deliberate
            return make_taken(known, _LATER)

        for claiming in (
            lambda: store.claim_due(NOW, 9, claim),
            lambda: store.claim_new(message, 9, claim),
        ):
            check_raises_that(claiming)
            check_is(store.delivery(first.id), first, "the first of two")
        check_given(store.claim_due(NOW, 9, make_claim(_LATER)), [first, second])

    @promised
    def test_claims_what_is_new(self, store: Store) -> None:
        """A store claims what is new of a message, whenever it is due, by origin, and nothing of others."""
        message = uuid4()
        store.accept(accepted(host, due=_LATER, message=message) for host in _HOSTS)
        store.accept([accepted("other", due=_LATER)])
        claims = [store.claim_new(message, limit, make_claim(_LATER)) for limit in (4, 0, 4, 4)]
        counts = [len(one) for one in claims]
        keeps(counts == [4, 0, 2, 0], f"of 6, asked for 4, 0, 4, 4, it gave {counts}")
        given = [name(one) for page in claims for one in page]
        keeps(given == sorted(_HOSTS), f"it gave {', '.join(given)}")
        check_is(claims[0][0].last, accepted(due=_LATER).last, "what was known before of its attempts")

    @promised
    def test_claims_as_new_what_nobody_has_begun(self, store: Store) -> None:
        """A store claims as new what nobody has begun since it was accepted, or put off."""
        begun, off, back = (accepted(host) for host in ("begun", "off", "back"))
        store.accept([begun, off, back])
        store.take(begun.id, NOW, make_taken(begun, _LATER))
        store.take(back.id, NOW, make_taken(back, _LATER))
        store.take(back.id, _LATER, back)
        store.take(off.id, NOW, evolve(off.due_at(NOW + MINUTE), lease=None, held=Reason.RATE_LIMITED))
        new = [
            one
            for known in (begun, off, back)
            for one in store.claim_new(known.message_id, 9, make_claim(_LATER))
        ]
        keeps(names(new) == ["back"], f"it gave {', '.join(names(new)) or 'none'}, not back")
        store.record(then(back, 1, OutcomeKind.RETRY))
        keeps(
            not store.claim_new(back.message_id, 9, make_claim(_LATER)), "it gave one that has failed since"
        )

    @promised
    def test_takes_what_is_due_at_just_that_moment(self, store: Store) -> None:
        """A store replaces a delivery that is due at just that moment, in whatever time zone, and says so."""
        one, other = pending("one"), accepted("other", due=_LATER)
        store.accept([one, other])
        taken, later = make_taken(one, NOW + MINUTE), make_taken(other, NOW + MINUTE)
        east = _LATER.astimezone(timezone(timedelta(hours=13)))
        told: list[object] = [store.take(one.id, NOW, taken), store.take(other.id, east, later)]
        keeps(told == [True, True], f"of two that were due just then, it said {told}")
        check_is(store.delivery(one.id), taken, "the delivery")
        check_given(store.claim_due(NOW, 9, make_claim(_LATER)), [])
        keeps(store.next_due() == NOW + MINUTE, "it is not due when it says")
        given = {one.state for one in store.deliveries()}
        keeps(given == {DeliveryState.LEASED}, f"they are {', '.join(given)}")

    @promised
    def test_leaves_what_is_due_at_another_moment(self, store: Store) -> None:
        """A store does not take a delivery that is due at another moment, and says so."""
        one = pending()
        store.record(one)
        for moment in (NOW - TICK, NOW + TICK, NOW + MINUTE):
            told = store.take(one.id, moment, make_taken(one, _LATER))
            keeps(told is False, f"it took at {moment.isoformat()} what is due at {NOW.isoformat()}")
        check_is(store.delivery(one.id), one, "the delivery")

    @promised
    def test_takes_nothing_twice(self, store: Store) -> None:
        """A store does not take what was taken or claimed since."""
        taken, claimed = pending("taken", due=NOW + MINUTE), pending("claimed")
        store.accept([taken, claimed])
        store.claim_due(NOW, 9, make_claim(_LATER))
        store.take(taken.id, NOW + MINUTE, make_taken(taken, _LATER))
        for one, due in ((claimed, NOW), (taken, NOW + MINUTE)):
            told = store.take(one.id, due, make_taken(one, _LATER + MINUTE))
            keeps(told is False, f"it took what was {name(one)}")
            known = store.delivery(one.id)
            keeps(known is not None and known.next_attempt_at == _LATER, f"it changed what was {name(one)}")

    @promised
    def test_takes_nothing_that_has_ended(self, store: Store) -> None:
        """A store does not take a delivery that has ended, or that it does not know."""
        ended = [delivery(kind=kind) for kind in OutcomeKind if kind is not OutcomeKind.RETRY]
        store.accept(ended)
        for one in (*ended, pending("unknown")):
            told = store.take(one.id, NOW, make_taken(one, _LATER))
            keeps(told is False, f"it took one that is {one.state if one in ended else 'unknown'}")
        check_given([one for one in store.deliveries() if one.lease is not None], [])

    @promised
    def test_forgets_an_attempt_that_is_taken_back(self, store: Store) -> None:
        """A store that is told by `take` that an attempt was not made has no trace of it."""
        one = pending()
        store.record(one)
        store.claim_due(NOW, 1, make_claim(NOW + MINUTE))
        keeps(store.take(one.id, NOW + MINUTE, one), "it was not taken")
        check_is(store.delivery(one.id), one, "the delivery")
        found = [attempt.number for attempt in store.attempts(one.id)]
        keeps(found == [1], f"it has the attempts {found}, not 1 alone")

    @promised
    def test_keeps_why_a_delivery_is_held(self, store: Store) -> None:
        """A store keeps why a delivery is held back, until it is told otherwise."""
        one = pending()
        store.record(one)
        store.take(one.id, NOW, held := evolve(one.due_at(NOW + MINUTE), held=Reason.ORIGIN_PAUSED))
        check_is(store.delivery(one.id), held, "the delivery")
        check_given(store.claim_due(NOW + MINUTE, 1, make_claim(_LATER)), [held])
        check_is(store.delivery(one.id), make_taken(held, _LATER), "the delivery that was claimed")

    @promised
    def test_says_when_the_next_is_due(self, store: Store) -> None:
        """A store says when the next delivery is due, pending or leased, and None where none is."""

        def check(wanted: datetime | None, case: str) -> None:
            found = store.next_due()
            keeps(found == wanted, f"{case}, it said {found}")

        check(None, "with nothing in it")
        store.record(delivery("ended"))
        check(None, "with one that has ended")
        store.record(late := pending("late", due=NOW + 2 * MINUTE))
        check(NOW + 2 * MINUTE, f"with one that is due at {NOW + 2 * MINUTE}")
        store.accept([accepted("leased", due=NOW + MINUTE)])
        check(NOW + MINUTE, f"with a lease that is over at {NOW + MINUTE}")
        store.claim_due(NOW + MINUTE, 1, make_claim(_LATER))
        check(NOW + 2 * MINUTE, "with that one claimed")
        store.record(then(late, 2))
        check(_LATER, "when the other one had arrived")
