"""What every store promises of lines: the deliveries of one subscription and one order key."""

from typing import Final
from uuid import uuid4

from attrs import evolve

from thornsdk.model import DeliveryRecord, Lease, OutcomeKind
from thornsdk.reasons import Reason
from thornsdk.stages import Store
from thornsdk.testing.suites.promises import keeps
from thornsdk.testing.suites.stores.comparing import check_is
from thornsdk.testing.suites.stores.samples import MINUTE, NOW, accepted, line, name, then
from thornsdk.testing.suites.stores.stage import StoreTests, promised
from thornsdk.testing.values import make_claim

_ENDS: Final = (
    (OutcomeKind.RETRY, Reason.STATUS, {False, True}),
    (OutcomeKind.DELIVERED, Reason.ACCEPTED, set[bool]()),
    (OutcomeKind.FAILED, Reason.UNSUBSCRIBED, set[bool]()),
    (OutcomeKind.FAILED, Reason.STATUS, {True}),
    (OutcomeKind.BLOCKED, Reason.ADDRESS_FORBIDDEN, {True}),
)
"""What an attempt comes to, why, and with which `stop` others wait for the delivery."""


class LineTests(StoreTests):
    """What every store promises of lines: the deliveries of one subscription and one order key."""

    @promised
    def test_gives_the_first_that_is_in_the_way(self, store: Store) -> None:
        """A store gives to wait for the first delivery in the way, in the order of acceptance."""
        first, second, third = line("first", "second", "third")
        store.accept([first, second])
        store.record(third)
        # The order of their attempts is another one.
        for number, one in enumerate((third, second, first)):
            store.record(then(one, 2, OutcomeKind.RETRY, at=NOW + number * MINUTE, due=NOW + number * MINUTE))
        for stop in (False, True):
            found = [name(store.ahead_of(one.id, stop=stop)) for one in (first, second, third)]
            told = f"with stop={stop}, first, second and third of a line wait for {', '.join(found)}"
            keeps(found == ["nothing", "first", "first"], told)
        check_is(store.ahead_of(third.id, stop=False), store.delivery(first.id), "the first")

    @promised
    def test_says_what_is_in_the_way(self, store: Store) -> None:
        """A store lets others wait for what is to be attempted and, with `stop`, for what failed."""
        for kind, reason, waits in _ENDS:
            first, second = line("first", "second")
            store.accept([first, second])
            store.record(then(first, 1, kind, reason=reason))
            found = {stop for stop in (False, True) if store.ahead_of(second.id, stop=stop)}
            told = f"behind one that is {kind} ({reason}), others wait with stop in {sorted(found)}"
            keeps(found == waits, told)

    @promised
    def test_lets_others_wait_for_what_is_leased(self, store: Store) -> None:
        """A store lets others wait for a delivery that is leased, from the start or since it was claimed."""
        first, second = line("first", "second")
        store.accept([evolve(first, lease=Lease("sender")), second])
        check_is(store.ahead_of(second.id, stop=False), store.delivery(first.id), "the first of its line")
        store.claim_due(NOW, 1, make_claim(NOW + MINUTE))
        check_is(store.ahead_of(second.id, stop=False), store.delivery(first.id), "the first of its line")

    @promised
    def test_keeps_lines_apart(self, store: Store) -> None:
        """A store lets nobody wait for a delivery of another subscription or order key, or without a key."""
        for case, parts in (
            ("of another key", {"order_key": "43"}),
            ("without a key", {"order_key": None}),
            ("to another subscription", {"subscription_id": uuid4()}),
        ):
            first, second = line("first", "second")
            other: DeliveryRecord = evolve(first, **parts)
            store.accept([other, second])
            waits = store.ahead_of(second.id, stop=True) or store.next_in_line(other.id)
            keeps(waits is None, f"it lets one wait for another {case}")

    @promised
    def test_gives_nothing_without_a_line(self, store: Store) -> None:
        """A store gives nothing before or behind a delivery that has no key, or that it does not know."""
        first, second = (evolve(one, order_key=None) for one in line("first", "second"))
        store.accept([first, second])
        for one in (first.id, second.id, uuid4()):
            found = store.ahead_of(one, stop=True) or store.next_in_line(one)
            keeps(found is None, f"it gave {name(found)}")

    @promised
    def test_gives_the_next_in_line(self, store: Store) -> None:
        """A store gives as next in line the first delivery behind that is pending or leased."""
        first, second, third, fourth = line("first", "second", "third", "fourth")
        store.accept([first, second, evolve(third, lease=Lease("sender")), fourth])
        store.record(then(second, 1, OutcomeKind.FAILED))
        store.record(then(first, 1))
        found = [name(store.next_in_line(one.id)) for one in (first, second, third, fourth)]
        told = f"where the second of four has failed, behind each of them is {', '.join(found)}"
        keeps(found == ["third", "third", "fourth", "nothing"], told)

    @promised
    def test_leaves_a_delivery_in_its_line(self, store: Store) -> None:
        """A store leaves a delivery in its line, and at its place, whatever it is told of it later."""
        first, second, third = line("first", "second", "third")
        store.accept([first, second, third])
        store.record(evolve(then(first, 2, OutcomeKind.RETRY), order_key=None))
        store.record(then(second, 2, OutcomeKind.FAILED))
        store.record(then(second, 2, OutcomeKind.RETRY))
        found = [name(store.ahead_of(one.id, stop=False)) for one in (first, second, third)]
        keeps(found == ["nothing", "first", "first"], f"they wait for {', '.join(found)}")
        behind = [name(store.next_in_line(one.id)) for one in (first, second, third)]
        keeps(behind == ["second", "third", "nothing"], f"behind them are {', '.join(behind)}")
        known = store.delivery(first.id)
        key = known and known.order_key
        keeps(key == "42", f"the first was told without its key, and now has the key {key!r}")

    @promised
    def test_takes_the_withdrawn_out_of_the_line(self, store: Store) -> None:
        """A store takes what is withdrawn out of its line; accepted again, it stands at the end."""
        to = uuid4()
        first, second = (accepted(host, to=to, key="42") for host in ("first", "second"))
        store.accept([first, second])
        store.withdraw([first.id])
        found = name(store.ahead_of(second.id, stop=True))
        keeps(found == "nothing", f"the second waits for {found}")
        store.accept([first])
        found = name(store.ahead_of(first.id, stop=True))
        keeps(found == "second", f"what was accepted again waits for {found}")
