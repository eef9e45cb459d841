"""How many deliveries there were."""

from datetime import date, datetime
from uuid import UUID

from attrs import Attribute, field, frozen

from thornsdk.errors import InvalidValue
from thornsdk.model.patterns import EventPattern, as_pattern
from thornsdk.model.record import DeliveryState


def _check_day(_: object, attribute: "Attribute[date | None]", day: date | None) -> None:
    if isinstance(day, datetime):
        raise InvalidValue(
            f"{attribute.name!r} is a moment; it takes a day, such as datetime.date(2026, 1, 31)"
        )


@frozen(kw_only=True)
class Count:
    """How many deliveries of an event to a subscription are in a state, of those of one day.

    Attributes:
        day: The day, in UTC, on which their latest attempts began. Those that were not attempted count on the
            day on which they were accepted.
        event: The event's name.
        subscription_id: Who was to get them.
        state: The state that they are in, or had ended in when they were pruned.
        deliveries: How many they are.
    """

    day: date
    event: str
    subscription_id: UUID
    state: DeliveryState
    deliveries: int


@frozen(kw_only=True)
class CountFilter:
    """Which counts are wanted. What is None does not matter.

    Attributes:
        event: Those of events that this pattern matches.
        subscription_id: Those of this subscription.
        since: Those of this day or later.
        before: Those of days before this one.

    Raises:
        InvalidValue: If no event can match the pattern, or a day is a moment.
    """

    event: EventPattern | None = field(default=None, converter=as_pattern)
    subscription_id: UUID | None = None
    since: date | None = field(default=None, validator=_check_day)
    before: date | None = field(default=None, validator=_check_day)

    def admits(self, count: Count) -> bool:
        """Tells whether a count is wanted."""
        return (
            (self.event is None or self.event.matches(count.event))
            and self.subscription_id in {None, count.subscription_id}
            and (self.since is None or count.day >= self.since)
            and (self.before is None or count.day < self.before)
        )
