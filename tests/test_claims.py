from collections.abc import Iterator

from support.records import NOW, delivery
from support.stages import TERMS, make_subscription
from thornsdk import DeliveryRecord, Planned
from thornsdk.claims import Claim, Due
from thornsdk.planned import plan_again


class Claims:
    """Gives so many claims, and counts those that were asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked = 0

    def __iter__(self) -> Iterator[Claim]:
        for _ in range(self.count):
            self.asked += 1
            yield Claim(known=delivery(due=NOW), leased_until=NOW)


def planned(claim: Claim) -> Planned:
    return plan_again(claim.known, make_subscription(), TERMS)


def settled(claim: Claim) -> DeliveryRecord:
    return claim.known


def test_what_is_due_is_claimed_when_it_is_asked_for() -> None:
    claims = Claims(3)
    due = Due(iter(claims), planned)
    next(due)
    assert claims.asked == 1
    assert len(list(due)) == 2
    assert due.ended


def test_what_needs_no_attempt_is_set_aside_and_given_once() -> None:
    known: list[DeliveryRecord] = []

    def every_other(claim: Claim) -> Planned | DeliveryRecord:
        known.append(claim.known)
        return planned(claim) if len(known) % 2 else claim.known

    due = Due(iter(Claims(6)), every_other)
    assert [one.delivery.id for one in due] == [one.id for one in known[::2]]
    assert list(due.aside()) == known[1::2]
    assert list(due.aside()) == []


def test_after_many_that_need_no_attempt_it_pauses_and_goes_on_when_they_were_given() -> None:
    claims = Claims(250)
    due = Due(iter(claims), settled)
    asked = []
    while not due.ended:
        assert list(due) == []
        asked.append(claims.asked)
        list(due.aside())
    assert asked == [100, 200, 250]


def test_what_is_put_back_is_neither_attempted_nor_given() -> None:
    due = Due(iter(Claims(250)), lambda claim: None)
    assert list(due) == []
    assert list(due.aside()) == []
    assert due.ended
