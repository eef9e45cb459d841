"""Traffic: how fast, and how many at once, a subscription is called. Values, without a clock.

Attempts are counted in a token bucket. What finds no room is put off, each to a slot of its own: were they
all due when there is room for one, each would come as often as there are others.
"""

import math
from datetime import datetime, timedelta
from uuid import UUID

from attrs import evolve, frozen

from thornsdk.model import RateLimit
from thornsdk.reasons import Reason

_NONE = timedelta(0)
_LONGEST_WAIT = timedelta(days=1)
"""For how long a delivery is put off at most. Then it is put off again."""
_FAR = timedelta(days=2)
_SKEW = timedelta(minutes=1)
"""How far the clocks of two machines may be apart."""

_FIRST_GUESS = 0.1
"""How many seconds an attempt takes, until one has ended."""
_SHORTEST = 0.01
_LONGEST = 1.0
"""For how many seconds a slot is kept for an attempt at most, so that a receiver that was slow and is quick
again is not spared for long. Where attempts take longer, what waits comes in vain a few times."""
_WEIGHT = 0.2


@frozen(kw_only=True)
class Traffic:
    """What is known of the attempts to a subscription. That of one that was never called is ``Traffic()``.

    Attributes:
        full_at: When the bucket is full again, if no attempt is begun before; None for one that is full.
        queue_until: The last slot that was given to a delivery that came for the first time; None for none.
        late_until: The last slot of one that came back from there and found no room all the same; None for
            none.
        duration: How many seconds an attempt takes, roughly; None before one has ended.
        in_flight: The deliveries that are attempted, each with the moment at which that must be over: the
            process that began it has died, if it has not said so before.
    """

    full_at: datetime | None = None
    queue_until: datetime | None = None
    late_until: datetime | None = None
    duration: float | None = None
    in_flight: tuple[tuple[UUID, datetime], ...] = ()

    def anew(self) -> "Traffic":
        """Gives what is left where limits have changed: what is in flight still is."""
        return Traffic(duration=self.duration, in_flight=self.in_flight)


@frozen(kw_only=True)
class Turn:
    """What becomes of a delivery that asks whether it may be attempted.

    Attributes:
        traffic: What is true from now on.
        until: When it is due; None where it may be attempted now.
        reason: Why it may not; None where it may.
    """

    traffic: Traffic
    until: datetime | None = None
    reason: Reason | None = None


@frozen
class TrafficPolicy:
    """The limits of a subscription.

    Attributes:
        rate_limit: How fast attempts may follow each other; None for as fast as they come.
        max_in_flight: How many may be under way at once; None for as many as there are.
    """

    rate_limit: RateLimit | None
    max_in_flight: int | None

    def ask(
        self, known: Traffic, delivery_id: UUID, now: datetime, time: timedelta, *, has_waited: bool
    ) -> Turn:
        """Tells whether a delivery may be attempted, or else when it is due.

        In any time, no more attempts are begun than the burst and what the rate allows in that time. One that
        comes first goes behind those that wait. One that comes back from its slot goes where there is room.

        Args:
            known: What was true before.
            delivery_id: Which delivery.
            now: When it asks.
            time: In what time its attempt must be over; later, its place is free.
            has_waited: Whether it was put off before, and comes back.
        """
        known = self._believed(known, delivery_id, now)
        room_at = self._room_at(known, now)
        has_place = self.max_in_flight is None or len(known.in_flight) < self.max_in_flight
        lasts = known.late_until if has_waited else known.queue_until
        others_wait = lasts is not None and lasts > now
        if room_at <= now and has_place and (has_waited or not others_wait):
            return Turn(traffic=self._begun(known, delivery_id, now, time))
        if lasts is not None and others_wait:
            slot = lasts + max(self._interval, self._spacing(known))
        else:
            slot = now if has_place else now + self._spacing(known)
        slot = min(max(slot, room_at), now + _LONGEST_WAIT)
        after = evolve(known, late_until=slot) if has_waited else evolve(known, queue_until=slot)
        by_place = not has_place or self.rate_limit is None
        reason = Reason.TOO_MANY_IN_FLIGHT if by_place else Reason.RATE_LIMITED
        return Turn(traffic=after, until=slot, reason=reason)

    def ended(self, known: Traffic, delivery_id: UUID, duration: float) -> Traffic:
        """Gives what is true after an attempt.

        Args:
            known: What was true before.
            delivery_id: Of which delivery it was.
            duration: How many seconds it took; 0 for one that was not sent.
        """
        before = known.duration
        if duration > 0:
            before = duration if before is None else before + _WEIGHT * (duration - before)
        return evolve(known, duration=before, in_flight=_without(known.in_flight, delivery_id))

    def take_back(self, known: Traffic, delivery_id: UUID) -> Traffic:
        """Gives what is true when a delivery that might be attempted is not."""
        full_at = known.full_at - self._interval if known.full_at else None
        return evolve(known, full_at=full_at, in_flight=_without(known.in_flight, delivery_id))

    @property
    def _interval(self) -> timedelta:
        """The time in which the bucket gets room for one attempt."""
        if self.rate_limit is None:
            return _NONE
        # Rounded up, or there would be more attempts in a long time than the rate allows.
        return timedelta(microseconds=math.ceil(1_000_000 / self.rate_limit.per_second))

    @property
    def _whole(self) -> timedelta:
        """The time in which an empty bucket gets full."""
        return self._interval * (self.rate_limit.burst if self.rate_limit else 0)

    def _spacing(self, known: Traffic) -> timedelta:
        """Gives the time in which a place in flight gets free."""
        if self.max_in_flight is None:
            return _NONE
        duration = _FIRST_GUESS if known.duration is None else known.duration
        return timedelta(seconds=min(max(duration, _SHORTEST), _LONGEST) / self.max_in_flight)

    def _room_at(self, known: Traffic, now: datetime) -> datetime:
        """Gives from when on the bucket has room for an attempt."""
        return now if known.full_at is None else max(known.full_at - self._whole + self._interval, now)

    def _begun(self, known: Traffic, delivery_id: UUID, now: datetime, time: timedelta) -> Traffic:
        if self.rate_limit is not None:
            known = evolve(known, full_at=max(known.full_at or now, now) + self._interval)
        if self.max_in_flight is not None:
            known = evolve(known, in_flight=(*known.in_flight, (delivery_id, now + time)))
        return known

    def _believed(self, known: Traffic, delivery_id: UUID, now: datetime) -> Traffic:
        """Leaves out what is over, and what was written by a clock that was far ahead."""
        full_at = known.full_at if self.rate_limit else None
        if full_at is not None and full_at > now + self._whole + _SKEW:
            full_at = now + self._whole  # The bucket is empty; that is soon over.
        in_flight = _without(known.in_flight, delivery_id)
        return Traffic(
            full_at=full_at,
            queue_until=_near(known.queue_until, now),
            late_until=_near(known.late_until, now),
            duration=known.duration,
            in_flight=tuple(one for one in in_flight if now < one[1] <= now + _FAR),
        )


def _near(slot: datetime | None, now: datetime) -> datetime | None:
    return slot if slot is not None and slot <= now + _FAR else None


def _without(
    in_flight: tuple[tuple[UUID, datetime], ...], delivery_id: UUID
) -> tuple[tuple[UUID, datetime], ...]:
    return tuple(one for one in in_flight if one[0] != delivery_id)
