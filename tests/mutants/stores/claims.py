from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import pytest
from attrs import evolve

from mutants.stores.sound import Opened, Sound
from thornsdk import Attempt, DeliveryRecord, DeliveryState
from thornsdk.testing.suites.stores.claims import ClaimTests

Claim = Callable[[DeliveryRecord], DeliveryRecord]


class ClaimsTheLatestFirst(Sound):
    breaks = "test_claims_the_longest_due_first"

    def claim_due(self, now: datetime, limit: int, claim: Claim) -> list[DeliveryRecord]:
        claimed = super().claim_due(now, limit, claim)
        return sorted(claimed, key=lambda one: one.next_attempt_at or now, reverse=True)


class ClaimsNothingLeased(Sound):
    """Leaves what somebody holds, though the lease is over."""

    breaks = "test_claims_the_longest_due_first"
    also = frozenset(
        {
            "test_claims_again_when_the_claim_is_over",
            "test_claims_by_origin",
            "test_claims_nothing_where_a_claim_raises",
            "test_gives_what_was_known_before",
            "test_says_when_the_next_is_due",
        }
    )

    def claim_due(self, now: datetime, limit: int, claim: Claim) -> list[DeliveryRecord]:
        leased = {key: one for key, one in self._open.items() if one.lease}
        for one in leased:
            del self._open[one]
        claimed = super().claim_due(now, limit, claim)
        self._open.update(leased)
        return claimed


class ClaimsAsTheyCame(Sound):
    breaks = "test_claims_by_origin"

    def claim_due(self, now: datetime, limit: int, claim: Claim) -> list[DeliveryRecord]:
        due = [one for one in self._open.values() if one.next_attempt_at and one.next_attempt_at <= now]
        return self._claim(sorted(due, key=lambda one: one.next_attempt_at or now)[:limit], claim)


class TakesNoneForAll(Sound):
    breaks = "test_claims_no_more_than_is_asked_for"

    def claim_due(self, now: datetime, limit: int, claim: Claim) -> list[DeliveryRecord]:
        return super().claim_due(now, limit or 1000, claim)


class GivesWhatIsKnownNow(Sound):
    breaks = "test_gives_what_was_known_before"
    also = frozenset(
        {
            "test_claims_nothing_where_a_claim_raises",
            "test_keeps_why_a_delivery_is_held",
        }
    )

    def claim_due(self, now: datetime, limit: int, claim: Claim) -> list[DeliveryRecord]:
        return [self._open[one.id] for one in super().claim_due(now, limit, claim)]


class ClaimsAfterThatMoment(Sound):
    breaks = "test_claims_again_when_the_claim_is_over"

    def claim_due(self, now: datetime, limit: int, claim: Claim) -> list[DeliveryRecord]:
        over = [
            key
            for key, one in self._open.items()
            if one.lease and one.last.number and one.next_attempt_at == now
        ]
        held = {key: self._open.pop(key) for key in over}
        claimed = super().claim_due(now, limit, claim)
        self._open.update(held)
        return claimed


class ClaimsOneByOne(Sound):
    breaks = "test_claims_nothing_where_a_claim_raises"

    def _claim(self, known: list[DeliveryRecord], claim: Claim) -> list[DeliveryRecord]:
        for one in known:
            super()._claim([one], claim)
        return known


class HidesWhatAClaimRaises(Sound):
    breaks = "test_claims_nothing_where_a_claim_raises"

    def claim_new(self, message_id: UUID, limit: int, claim: Claim) -> list[DeliveryRecord]:
        try:
            return super().claim_new(message_id, limit, claim)
        except Exception:
            return []


class ClaimsNewWhenDue(Sound):
    breaks = "test_claims_what_is_new"

    def claim_new(self, message_id: UUID, limit: int, claim: Claim) -> list[DeliveryRecord]:
        known = [one for one in self._open.values() if one.message_id == message_id]
        if any(one.next_attempt_at != self._first_due(one) for one in known):
            return []
        return super().claim_new(message_id, limit, claim)

    def _first_due(self, one: DeliveryRecord) -> datetime | None:
        return one.accepted_at if one.last.number == 0 else one.next_attempt_at


class ClaimsNewOfAnyMessage(Sound):
    breaks = "test_claims_what_is_new"

    def claim_new(self, message_id: UUID, limit: int, claim: Claim) -> list[DeliveryRecord]:
        new = [one for one in self._open.values() if one.last.number == 0 and one.lease]
        return self._claim(sorted(new, key=lambda one: one.origin)[:limit], claim)


class ClaimsAsNewWhatWasPutOff(Sound):
    breaks = "test_claims_as_new_what_nobody_has_begun"

    def claim_new(self, message_id: UUID, limit: int, claim: Claim) -> list[DeliveryRecord]:
        new = [one for one in self._open.values() if one.message_id == message_id and one.last.number == 0]
        return self._claim(sorted(new, key=lambda one: one.origin)[:limit], claim)


class ForgetsWhatIsTakenBack(Sound):
    """Claims as new what was never taken, and so leaves what was taken back to a lease that is over."""

    breaks = "test_claims_as_new_what_nobody_has_begun"

    def claim_new(self, message_id: UUID, limit: int, claim: Claim) -> list[DeliveryRecord]:
        claimed = super().claim_new(message_id, limit, claim)
        return [one for one in claimed if one.id not in self._told_of]

    def __init__(self) -> None:
        super().__init__()
        self._told_of: set[UUID] = set()

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        self._told_of.add(delivery_id)
        return super().take(delivery_id, due_at, taken)


class ComparesMomentsAsText(Sound):
    breaks = "test_takes_what_is_due_at_just_that_moment"

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        known = self._open.get(delivery_id)
        due = known.next_attempt_at if known else None
        same = due is not None and due.isoformat() == due_at.isoformat()
        return same and super().take(delivery_id, due_at, taken)


class TakesNothingLeased(Sound):
    breaks = "test_takes_what_is_due_at_just_that_moment"
    also = frozenset(
        {
            "test_claims_as_new_what_nobody_has_begun",
            "test_forgets_an_attempt_that_is_taken_back",
        }
    )

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        known = self._open.get(delivery_id)
        return known is not None and known.lease is None and super().take(delivery_id, due_at, taken)


class TakesWhatIsDueBefore(Sound):
    breaks = "test_leaves_what_is_due_at_another_moment"

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        known = self._open.get(delivery_id)
        due = known.next_attempt_at if known else None
        return due is not None and due <= due_at and super().take(delivery_id, due, taken)


class RoundsToMilliseconds(Sound):
    breaks = "test_leaves_what_is_due_at_another_moment"

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        known = self._open.get(delivery_id)
        due = known.next_attempt_at if known else None
        near = due is not None and abs((due - due_at).total_seconds()) < 0.001
        return near and due is not None and super().take(delivery_id, due, taken)


class TakesWhatOnceWasDue(Sound):
    """Goes by when a delivery was first due, and does not see that somebody has taken it since."""

    breaks = "test_takes_nothing_twice"

    def __init__(self) -> None:
        super().__init__()
        self.due: dict[UUID, datetime] = {}

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        known = self._open.get(delivery_id)
        if known is not None and self.due.get(delivery_id) == due_at:
            self._replace(known, taken)
            return True
        self.due.setdefault(delivery_id, due_at)
        return super().take(delivery_id, due_at, taken)


class TakesWhatHasEnded(Sound):
    breaks = "test_takes_nothing_that_has_ended"

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        ended = delivery_id in self._ended
        return ended or super().take(delivery_id, due_at, taken)


class TakesWhatItDoesNotKnow(Sound):
    breaks = "test_takes_nothing_that_has_ended"

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        if self.delivery(delivery_id) is None:
            self.accept([taken])
            return True
        return super().take(delivery_id, due_at, taken)


class RemembersWhatIsTakenBack(Sound):
    breaks = "test_forgets_an_attempt_that_is_taken_back"

    def __init__(self) -> None:
        super().__init__()
        self.begun: dict[UUID, list[Attempt]] = {}

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        known = self._open.get(delivery_id)
        if known and known.last.number > taken.last.number:
            self.begun[delivery_id] = [known.last]
        return super().take(delivery_id, due_at, taken)

    def attempts(self, delivery_id: UUID) -> list[Attempt]:
        return super().attempts(delivery_id) + self.begun.get(delivery_id, [])


class ForgetsWhyItIsHeld(Sound):
    breaks = "test_keeps_why_a_delivery_is_held"

    def take(self, delivery_id: UUID, due_at: datetime, taken: DeliveryRecord) -> bool:
        return super().take(delivery_id, due_at, evolve(taken, held=None))


class SeesNoLeases(Sound):
    breaks = "test_says_when_the_next_is_due"
    also = frozenset({"test_takes_what_is_due_at_just_that_moment"})

    def next_due(self) -> datetime | None:
        pending = (one for one in self._open.values() if one.state is DeliveryState.PENDING)
        return min(filter(None, (one.next_attempt_at for one in pending)), default=None)


MUTANTS = [
    Sound,
    ClaimsTheLatestFirst,
    ClaimsNothingLeased,
    ClaimsAsTheyCame,
    TakesNoneForAll,
    GivesWhatIsKnownNow,
    ClaimsAfterThatMoment,
    ClaimsOneByOne,
    HidesWhatAClaimRaises,
    ClaimsNewWhenDue,
    ClaimsNewOfAnyMessage,
    ClaimsAsNewWhatWasPutOff,
    ForgetsWhatIsTakenBack,
    ComparesMomentsAsText,
    TakesNothingLeased,
    TakesWhatIsDueBefore,
    RoundsToMilliseconds,
    TakesWhatOnceWasDue,
    TakesWhatHasEnded,
    TakesWhatItDoesNotKnow,
    RemembersWhatIsTakenBack,
    ForgetsWhyItIsHeld,
    SeesNoLeases,
]


@pytest.mark.parametrize("mutant", MUTANTS)
class TestMutants(Opened, ClaimTests):
    pass
