"""What every store promises to several threads at once, and to several processes."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, takewhile
from typing import Final
from uuid import UUID, uuid4

import pytest
from attrs import evolve, frozen

from thornsdk.model import Audience, DeliveryRecord, OutcomeKind, Subscription
from thornsdk.policy.breaker import Breaker
from thornsdk.policy.traffic import Traffic
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import keeps
from thornsdk.testing.suites.running import side_by_side
from thornsdk.testing.suites.stores.comparing import check_given, check_is, check_same_set
from thornsdk.testing.suites.stores.samples import (
    EVENT,
    MINUTE,
    NOW,
    accepted,
    delivery,
    pending,
    subscription,
    then,
)
from thornsdk.testing.suites.stores.stage import StoreTests, promised
from thornsdk.testing.values import make_claim, make_taken

_THREADS: Final = 4
_EACH: Final = 10
_ORIGIN: Final = "https://example.com"
_LATER: Final = NOW + 10 * MINUTE


@frozen
class Users:
    """Threads that use one store at once; where there are two connections, they take turns with them."""

    connections: Sequence[Store]
    patience: float

    def all_at_once(self, do: Callable[[Store, int], object]) -> None:
        """Has each thread do something with a connection; it is given its own number too."""
        __tracebackhide__ = True
        self.gather(lambda store, number: [do(store, number)])

    def gather(self, do: Callable[[Store, int], Iterable[object]]) -> list[object]:
        """Has each thread do something, and gives together what they give."""
        __tracebackhide__ = True

        def run(number: int) -> list[object]:
            return list(do(self.connections[number % len(self.connections)], number))

        return list(chain.from_iterable(side_by_side(_THREADS, run, self.patience)))


class ConcurrencyTests(StoreTests):
    """What every store promises to several threads at once, and to several processes."""

    @pytest.fixture(params=["threads", "processes"])
    def users(self, request: pytest.FixtureRequest, store: Store) -> Users:
        """Threads of one process and, where the store has a second way in, those of two."""
        connections = [store] if request.param == "threads" else [store, request.getfixturevalue("other")]
        return Users(connections, self.patience / 2)

    @promised
    def test_loses_no_change_of_a_subscription(self, store: Store, users: Users) -> None:
        """A store loses no change of a subscription, however many make one at once."""
        one = subscription(disabled="0")
        store.put([one])

        def count(known: Subscription) -> Subscription:
            return evolve(known, disabled=str(int(known.disabled or "") + 1))

        users.all_at_once(lambda here, _: [here.change(one.id, count) for _ in range(_EACH)])
        found = store.find(one.id)
        _check_none_lost(int(found.disabled or "") if found else 0)

    @promised
    def test_loses_no_change_of_a_breaker(self, store: Store, users: Users) -> None:
        """A store loses no change of a circuit breaker, however many make one at once."""

        def count(known: Breaker) -> Breaker:
            return evolve(known, failures=known.failures + 1)

        users.all_at_once(lambda here, _: [here.change_breaker(_ORIGIN, count) for _ in range(_EACH)])
        _check_none_lost(store.breakers().get(_ORIGIN, Breaker()).failures)

    @promised
    def test_loses_no_change_of_traffic(self, store: Store, users: Users) -> None:
        """A store loses no change of traffic, however many make one at once."""
        one = uuid4()

        def begin(known: Traffic) -> Traffic:
            return evolve(known, in_flight=(*known.in_flight, (uuid4(), NOW)))

        users.all_at_once(lambda here, _: [here.change_traffic(one, begin) for _ in range(_EACH)])
        _check_none_lost(len(store.change_traffic(one, lambda known: known).in_flight))

    @promised
    def test_lets_one_claim_what_is_due(self, store: Store, users: Users) -> None:
        """A store gives a delivery that is due to one of those who claim at once, and leaves none."""
        several = [pending(f"n{number}") for number in range(_THREADS * _EACH)]
        store.accept(several)

        def claim(here: Store, _: int) -> Iterable[UUID]:
            while claimed := here.claim_due(NOW, 3, make_claim(_LATER)):
                yield from (one.id for one in claimed)

        _check_one_each(users.gather(claim), several)

    @promised
    def test_lets_one_claim_what_is_new(self, store: Store, users: Users) -> None:
        """A store gives a delivery that is new to one of those who claim it at once, and leaves none."""
        message = uuid4()
        several = [accepted(f"n{number}", due=_LATER, message=message) for number in range(_THREADS * _EACH)]
        store.accept(several)

        def claim(here: Store, _: int) -> Iterable[UUID]:
            while claimed := here.claim_new(message, 3, make_claim(_LATER)):
                yield from (one.id for one in claimed)

        _check_one_each(users.gather(claim), several)

    @promised
    def test_lets_one_take(self, store: Store, users: Users) -> None:
        """A store lets one of those take a delivery who try at once."""
        several = [pending(f"n{number}") for number in range(2 * _EACH)]
        store.accept(several)

        def take(here: Store, _: int) -> Iterable[UUID]:
            return [one.id for one in several if here.take(one.id, NOW, make_taken(one, _LATER))]

        _check_one_each(users.gather(take), several)

    @promised
    def test_lets_one_tell(self, store: Store, users: Users) -> None:
        """A store says to one of those who ask at once that a failing is to be told."""
        several = [pending(f"n{number}") for number in range(2 * _EACH)]
        for one in several:
            store.record(one)

        def tell(here: Store, _: int) -> Iterable[UUID]:
            return [one.id for one in several if here.tell_failing(one.subscription_id)]

        _check_one_each(users.gather(tell), several)

    @promised
    def test_accepts_once_what_several_tell(self, store: Store, users: Users) -> None:
        """A store keeps a delivery once that several accept at once."""
        several = [accepted(f"n{number}") for number in range(2 * _EACH)]
        users.all_at_once(lambda here, _: here.accept(several))
        check_same_set(store.deliveries(), several)
        counted = sum(one.deliveries for one in store.counts())
        keeps(counted == len(several), f"of {len(several)}, it counts {counted}")

    @promised
    def test_shows_all_that_was_accepted_or_none(self, users: Users) -> None:
        """A store shows all of what was accepted together, or nothing of it yet."""
        batches = [[accepted(f"n{number}") for number in range(2 * _EACH)] for _ in range(_EACH)]

        def write(here: Store) -> None:
            for batch in batches:
                here.accept(batch)

        def read(here: Store) -> None:
            for first, *_, last in batches:
                _wait_for(partial(here.delivery, first.id), users.patience / 2)
                whole = here.delivery(last.id) is not None
                keeps(whole, "it showed the first of them, and then not the last")

        # Connections take turns: of two that write and two that read, each has one of both.
        users.all_at_once(lambda here, number: read(here) if number in {1, 2} else write(here))

    @promised
    def test_can_be_read_while_it_is_written(self, store: Store, users: Users) -> None:
        """A store gives all that was there, and each once, while others write."""
        subscriptions = [subscription(f"n{number:02}") for number in range(2 * _EACH)]
        deliveries = [delivery(f"n{number:02}") for number in range(2 * _EACH)]
        store.put(subscriptions)
        store.accept(deliveries)
        before = {one.id for one in subscriptions} | {one.id for one in deliveries}
        reading = [1, 2]

        def write(here: Store) -> None:
            for _ in takewhile(lambda _: reading, range(_EACH * _EACH)):
                here.put([subscription("new")])
                here.record(pending("new"))

        def read(here: Store) -> None:
            for _ in range(_EACH):
                matching = [one for one in here.matching(Audience(event=EVENT)) if one.id in before]
                check_same_set(matching, subscriptions)
                check_same_set([one for one in here.deliveries() if one.id in before], deliveries)
            reading.pop()

        # Connections take turns: of two that write and two that read, each has one of both.
        users.all_at_once(lambda here, number: read(here) if number in {1, 2} else write(here))

    @promised
    def test_loses_no_attempt(self, store: Store, users: Users) -> None:
        """A store loses no attempt, and not that one arrived, however many are recorded at once."""
        one = pending()
        store.record(one)
        numbers = range(2, 2 + _THREADS * _EACH)
        arrived = then(one, numbers[_EACH])

        def record(here: Store, number: int) -> None:
            for each in numbers[number::_THREADS]:
                here.record(arrived if each == arrived.last.number else then(one, each, OutcomeKind.RETRY))

        users.all_at_once(record)
        check_is(store.delivery(one.id), arrived, "the delivery")
        found = [attempt.number for attempt in store.attempts(one.id)]
        keeps(found == [1, *numbers], f"of {len(numbers) + 1} attempts, it has the numbers {found}")

    @promised
    def test_counts_once_what_several_prune(self, store: Store, users: Users) -> None:
        """A store prunes and counts a delivery once, however many prune at once."""
        to = uuid4()
        store.accept(delivery(to=to) for _ in range(self.many))
        pruned = users.gather(lambda here, _: [here.prune(keep=0)])
        told = sum(getattr(one, "total", 0) for one in pruned)
        keeps(told == self.many, f"of {self.many}, they have pruned {told}")
        counted = [one.deliveries for one in store.counts()]
        keeps(counted == [self.many], f"of {self.many}, it counts {counted}")

    @promised
    def test_shows_others_what_was_written(self, store: Store, other: Store) -> None:
        """A store shows at once what another process has written."""
        one, record = subscription(), pending()
        other.put([one])
        other.record(record)
        other.change_breaker(_ORIGIN, lambda _: Breaker(failures=1))
        other.change_traffic(one.id, lambda _: Traffic(duration=0.5))
        check_is(store.find(one.id), one, "the subscription")
        check_is(store.delivery(record.id), record, "the delivery")
        check_is(store.failing_since(record.subscription_id), NOW, "since when it fails")
        check_is(store.breakers().get(_ORIGIN), Breaker(failures=1), "the breaker")
        check_is(store.change_traffic(one.id, lambda known: known), Traffic(duration=0.5), "the traffic")
        keeps(store.remove(one.id), "it could not be removed")
        keeps(other.find(one.id) is None, "what was removed here is found there")

    @promised
    def test_shows_the_same_to_all(self, store: Store, other: Store) -> None:
        """A store shows the same to all processes, whichever of them did what, in turns, or did nothing."""
        one, due, late = subscription(), pending("due"), accepted("late", due=_LATER)
        claim = make_claim(_LATER)
        steps: tuple[Callable[[Store], object], ...] = (
            lambda here: here.put([]),
            lambda here: here.put([one]),
            lambda here: here.claim_due(NOW - MINUTE, 9, claim),
            lambda here: here.record(due),
            lambda here: here.claim_new(uuid4(), 9, claim),
            lambda here: here.accept([late]),
            lambda here: here.take(due.id, _LATER, make_taken(due, NOW)),
            lambda here: here.claim_due(NOW, 9, claim),
            lambda here: here.prune(keep=9),
            lambda here: here.change(one.id, lambda known: evolve(known, owner="acme")),
        )
        for number, step in enumerate(steps):
            step((store, other)[number % 2])
        for here in (store, other):
            check_given(here.subscriptions(), [evolve(one, owner="acme")])
            check_same_set(here.deliveries(), [due, late])
            check_is(here.delivery(due.id), make_taken(due, _LATER), "the delivery that was claimed")

    @promised
    def test_keeps_what_was_written(self, store: Store) -> None:
        """A store keeps what a process has written that has closed it since."""
        one, record = subscription(), pending()
        with closing(self._opened_again(store)) as other:
            other.put([one])
            other.record(record)
        check_is(store.find(one.id), one, "the subscription")
        check_is(store.delivery(record.id), record, "the delivery")

    @promised
    def test_has_one_identity_everywhere(self, store: Store, other: Store) -> None:
        """A store that several processes open has one identity in all of them, which is not None."""
        here, there = store.identity, other.identity
        keeps(here is not None and here == there, f"it is {here!r} in one, and {there!r} in another")


def _wait_for(find: Callable[[], object], seconds: float) -> None:
    give_up_at = time.monotonic() + seconds
    while find() is None and time.monotonic() < give_up_at:
        time.sleep(0)


def _check_none_lost(made: int) -> None:
    keeps(made == _THREADS * _EACH, f"of {_THREADS * _EACH} changes, {made} were made")


def _check_one_each(won: Sequence[object], several: Sequence[DeliveryRecord]) -> None:
    counts = Counter(won)
    doubled = sum(count > 1 for count in counts.values())
    missing = sum(one.id not in counts for one in several)
    keeps(
        not doubled and not missing,
        f"of {len(several)}, several got {doubled}, and nobody got {missing}",
    )
