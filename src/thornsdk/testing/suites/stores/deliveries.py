"""What every store promises of deliveries that it is told of, and gives."""

from collections.abc import Iterator
from datetime import timedelta, timezone
from functools import partial
from typing import Final
from uuid import UUID, uuid4

from attrs import evolve

from thornsdk.model import (
    Attempt,
    Audience,
    DeliveryFilter,
    DeliveryRecord,
    DeliveryState,
    EventPattern,
    Lease,
    Outcome,
    OutcomeKind,
)
from thornsdk.reasons import Reason
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import keeps
from thornsdk.testing.suites.stores.comparing import (
    Deliberate,
    check_given,
    check_is,
    check_raises_that,
    check_same_set,
)
from thornsdk.testing.suites.stores.samples import (
    EVENT,
    MINUTE,
    NOW,
    accepted,
    delivery,
    in_each_state,
    pending,
    subscription,
    then,
)
from thornsdk.testing.suites.stores.stage import StoreTests, promised
from thornsdk.timings import Timings

_FAR_EAST: Final = timezone(timedelta(hours=13))
_IDS: Final = (UUID(int=1), UUID(int=2))


class DeliveryTests(StoreTests):
    """What every store promises of deliveries that it is told of, and gives."""

    @promised
    def test_gives_deliveries_back_whole(self, store: Store) -> None:
        """A store gives a delivery back as it was recorded or accepted, with all that may be known of it."""
        several = [delivery("plain"), pending("pending"), _with_everything(), _with_nothing()]
        store.accept(several[::2])
        for one in several[1::2]:
            store.record(one)
        for one in several:
            check_is(store.delivery(one.id), one, "the delivery")
        check_same_set(store.deliveries(), several)

    @promised
    def test_finds_deliveries_that_are_there_alone(self, store: Store) -> None:
        """A store that knows no delivery of an id gives None, and no attempts."""
        store.record(delivery())
        found = store.delivery(uuid4())
        keeps(found is None, f"of an id that nobody has, it gave {found!r}")
        attempts = store.attempts(uuid4())
        keeps(attempts == [], f"of an id that nobody has, it gave the attempts {attempts!r}")

    @promised
    def test_keeps_moments(self, store: Store) -> None:
        """A store keeps a moment to the microsecond, in whatever time zone it is told."""
        one = pending(at=NOW.astimezone(_FAR_EAST), due=(NOW + MINUTE).astimezone(_FAR_EAST))
        store.record(one)
        check_is(store.delivery(one.id), one, "the delivery")
        since, before = NOW.astimezone(_FAR_EAST), (NOW + timedelta(microseconds=1)).astimezone(_FAR_EAST)
        check_given(store.deliveries(DeliveryFilter(since=since, before=before)), [one])

    @promised
    def test_keeps_bodies(self, store: Store) -> None:
        """A store gives each delivery of a message the body of its own content type."""
        message = uuid4()
        several = [
            evolve(
                accepted(f"n{number}", message=message),
                content_type=f"text/{number % 40}",
                body=b"%d" % (number % 40),
            )
            for number in range(80)
        ]
        store.accept(several[::2])
        for one in several[1::2]:
            store.record(one)
        for one in several:
            check_is(store.delivery(one.id), one, "the delivery")

    @promised
    def test_gives_the_latest_attempts_first(self, store: Store) -> None:
        """A store gives deliveries by their latest attempts, the latest one first, each once."""
        # Half of them at one moment, and told in another order.
        several = [
            delivery(f"n{number}", at=NOW + min(number, self.many // 2) * MINUTE)
            for number in range(self.many)
        ]
        for one in several[::3] + several[1::3] + several[2::3]:
            store.record(one)
        given = list(store.deliveries())
        check_same_set(given, several)
        times = [one.last.started_at for one in given]
        keeps(times == sorted(times, reverse=True), "an earlier attempt came before a later one")

    @promised
    def test_gives_the_deliveries_that_are_wanted(self, store: Store) -> None:
        """A store gives exactly those deliveries that a filter admits, the latest first."""
        several = _of_many_kinds()
        store.accept(several)
        for wanted in _filters():
            given = list(store.deliveries(wanted))
            admitted = [one for one in several if wanted.admits(one)]
            told = f"for {', '.join(_told(wanted))}, "
            check_same_set(given, admitted, told)
            times = [one.last.started_at for one in given]
            keeps(times == sorted(times, reverse=True), f"{told}an earlier attempt came before a later one")

    @promised
    def test_accepts_all_or_none(self, store: Store) -> None:
        """A store accepts all deliveries that it is given or, where reading them raises, none."""
        check_raises_that(partial(store.accept, _breaking_off()))
        check_given(store.deliveries(), [])
        store.accept([])
        store.accept([one := accepted("a"), other := accepted("b")])
        check_same_set(store.deliveries(), [one, other])

    @promised
    def test_accepts_what_is_new_alone(self, store: Store) -> None:
        """A store leaves deliveries as they are that it is told of again, and accepts the others."""
        known, new = accepted("known"), accepted("new")
        store.accept([known])
        store.record(done := then(known, 1))
        store.accept([known, new])
        check_is(store.delivery(known.id), done, "the delivery that was known")
        check_is(store.delivery(new.id), new, "the new delivery")

    @promised
    def test_accepts_what_is_made_from_what_it_gives(self, store: Store) -> None:
        """A store takes deliveries that are made from what is read from it meanwhile."""
        several = [subscription(f"n{number:04}") for number in range(self.many)]
        store.put(several)

        made = (accepted(to=one.id) for one in store.matching(Audience(event=EVENT)))
        store.accept(new for new in made if store.delivery(new.id) is None)
        given = {one.subscription_id for one in store.deliveries()}
        keeps(given == {one.id for one in several}, f"it accepted {len(given)} of {len(several)}")

    @promised
    def test_keeps_what_was_told_first(self, store: Store) -> None:
        """A store keeps when a message was sent, and a delivery accepted, as it was told first."""
        first = evolve(pending(), accepted_at=None)
        store.record(first)
        later = evolve(first, created_at=first.created_at + MINUTE, accepted_at=NOW + MINUTE)
        known = then(later, 2, OutcomeKind.RETRY, at=NOW + MINUTE, due=NOW + MINUTE)
        store.record(known)
        expected = evolve(known, created_at=first.created_at, accepted_at=NOW)
        check_is(store.delivery(first.id), expected, "the delivery after `record`")
        keeps(store.take(first.id, NOW + MINUTE, known), "it was not taken")
        check_is(store.delivery(first.id), expected, "the delivery after `take`")

    @promised
    def test_replaces_an_attempt_by_a_later_one(self, store: Store) -> None:
        """A store knows a delivery by its latest attempt, and gives it where that belongs alone."""
        first = pending("before")
        store.record(first)
        done = evolve(then(first, 2, at=NOW + MINUTE), origin="https://after.example")
        store.record(done)
        check_given(store.deliveries(), [done])
        check_given(store.deliveries(_in(DeliveryState.PENDING)), [])
        due = store.next_due()
        keeps(due is None, f"what has ended is due at {due}")

    @promised
    def test_takes_up_what_had_failed(self, store: Store) -> None:
        """A store knows a delivery that had failed as pending, when it is told so."""
        failed = delivery(kind=OutcomeKind.FAILED)
        store.record(failed)
        store.record(again := then(failed, 1, OutcomeKind.RETRY))
        check_given(store.deliveries(_in(DeliveryState.PENDING)), [again])
        check_given(store.deliveries(_in(DeliveryState.FAILED)), [])
        keeps(store.next_due() == NOW, "it is not due")

    @promised
    def test_keeps_what_arrived(self, store: Store) -> None:
        """A store knows a delivery as delivered once it arrived, whatever other attempts come to."""
        one, late = delivery("one"), pending("late", number=3)
        store.record(one)
        store.record(then(one, 2, OutcomeKind.FAILED))
        store.record(then(one, 3, OutcomeKind.RETRY))
        check_is(store.delivery(one.id), one, "the delivery")
        store.record(late)
        store.record(arrived := then(late, 2))
        check_is(store.delivery(late.id), arrived, "the one that arrived while another attempt was made")
        keeps(store.next_due() is None, "it is due")

    @promised
    def test_counts_the_latest_attempt(self, store: Store) -> None:
        """A store knows a delivery by the attempt of the highest number, whichever ends last."""
        one = pending(number=3, due=NOW + MINUTE)
        store.record(one)
        store.record(then(one, 2, OutcomeKind.FAILED, at=NOW + MINUTE))
        check_is(store.delivery(one.id), one, "the delivery")

    @promised
    def test_keeps_each_attempt(self, store: Store) -> None:
        """A store keeps each attempt of a delivery once, by its number, as it was told last."""
        one = accepted()
        store.accept([one])
        keeps(store.attempts(one.id) == [], "one that was not begun has attempts")
        told = [then(one, number, OutcomeKind.RETRY, at=NOW + number * MINUTE) for number in (1, 3, 2)]
        begun = then(one, 4, OutcomeKind.RETRY, reason=Reason.WORKER_LOST)
        for known in (*told, told[0], begun, done := then(one, 4), then(one, 1, OutcomeKind.FAILED)):
            store.record(known)
        store.record(delivery("b"))
        last = then(one, 1, OutcomeKind.FAILED)
        wanted = [known.last for known in (last, told[2], told[1], done)]
        found = store.attempts(one.id)
        keeps([a.number for a in found] == [1, 2, 3, 4], f"it gave the numbers {[a.number for a in found]}")
        for attempt, expected in zip(found, wanted, strict=True):
            check_is(attempt, expected, f"attempt {expected.number}")

    @promised
    def test_withdraws_what_was_not_begun(self, store: Store) -> None:
        """A store that has withdrawn a delivery knows nothing of it; one that was attempted stays."""
        gone, begun, other = accepted("gone"), pending("begun"), accepted("other")
        store.accept([gone, begun, other])
        store.withdraw([gone.id, begun.id, uuid4()])
        check_same_set(store.deliveries(), [begun, other])
        keeps(store.delivery(gone.id) is None, "it is found")
        store.accept([gone])
        check_is(store.delivery(gone.id), gone, "what was accepted again")


def _with_everything() -> DeliveryRecord:
    outcome = Outcome(OutcomeKind.RETRY, Reason.TIMEOUT, NOW + MINUTE)
    attempt = Attempt(
        number=3,
        started_at=NOW,
        duration=1.5,
        outcome=outcome,
        status=503,
        detail="ü\n",
        request_bytes=1,
        response_bytes=2,
        reused=True,
        timings=Timings(total=1.5, lookup=0.125, connect=0.25, tls=0.25, first_byte=0.5),
        address="2001:db8::1",
        answer=bytes(range(256)),
    )
    return evolve(
        delivery("all"),
        sender="tenant",
        content_type="text/plain; charset=utf-8",
        body=bytes(range(256)),
        last=attempt,
        owner="tenant 'ü\"",
        lease=Lease("host:1:token"),
        held=Reason.ORIGIN_PAUSED,
        order_key="ö 42",
    )


def _with_nothing() -> DeliveryRecord:
    """With no more than a delivery must have, and an empty body."""
    one = delivery("none", OutcomeKind.BLOCKED)
    return evolve(one, body=b"", order_key="", last=evolve(one.last, reused=False, duration=0.0))


def _of_many_kinds() -> list[DeliveryRecord]:
    """Two in each state, of several events, subscriptions and tenants."""
    events, owners = ("order.created", "order.item.created", "user.left"), (None, "acme", "é'; --")
    several = [one for minutes in (0, 1) for one in in_each_state(NOW + minutes * MINUTE)]
    return [
        evolve(
            one,
            event=events[number % 3],
            owner=owners[number // 2 % 3],
            subscription_id=_IDS[number // 3 % 2],
        )
        for number, one in enumerate(several)
    ]


def _filters() -> list[DeliveryFilter]:
    return [
        DeliveryFilter(),
        *(_in(state) for state in DeliveryState),
        _in(),
        _in(DeliveryState.DELIVERED, DeliveryState.FAILED),
        *(
            DeliveryFilter(event=EventPattern(text))
            for text in ("order.*", "*", "*.created", "user.left", "x")
        ),
        *(DeliveryFilter(subscription_id=one) for one in (*_IDS, UUID(int=3))),
        *(DeliveryFilter(owner=one) for one in ("acme", "é'; --", "nobody's")),
        DeliveryFilter(since=NOW + MINUTE),
        DeliveryFilter(before=NOW + MINUTE),
        DeliveryFilter(since=NOW, before=NOW),
        DeliveryFilter(
            states=frozenset({DeliveryState.PENDING, DeliveryState.LEASED, DeliveryState.BLOCKED}),
            event=EventPattern("order.*"),
            subscription_id=_IDS[0],
            since=NOW,
            before=NOW + 2 * MINUTE,
        ),
    ]


def _in(*states: DeliveryState) -> DeliveryFilter:
    return DeliveryFilter(states=frozenset(states))


def _told(wanted: DeliveryFilter) -> Iterator[str]:
    yield "all" if wanted == DeliveryFilter() else f"{wanted!r}"


def _breaking_off() -> Iterator[DeliveryRecord]:
    yield accepted("a")
    yield accepted("b")
    raise Deliberate
