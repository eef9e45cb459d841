"""Messages, whom they may reach, and deliveries."""

import json
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID, uuid5

from attrs import Attribute, Factory, field, frozen

from thornsdk.errors import InvalidValue
from thornsdk.model.patterns import check_event_name
from thornsdk.model.subscription import Subscription, check_encodable, check_tenant

Payload_co = TypeVar("Payload_co", covariant=True)


def _check_event(_: object, __: object, name: str) -> None:
    check_event_name(name)


def check_zone(_: object, attribute: "Attribute[datetime]", moment: datetime) -> None:
    """Checks a moment.

    Raises:
        InvalidValue: If it has no time zone.
    """
    if moment.tzinfo is None:
        raise InvalidValue(f"the moment {attribute.name!r} has no time zone, such as datetime.UTC")


MAX_KEY = 255
"""The most characters an idempotency key has."""

_KEYED = UUID("5a1f0f5e-52a4-5b7c-9c0e-2b8f1c6d7e90")


def _check_key(_: object, __: object, key: str | None) -> None:
    if key is None:
        return
    if not key or len(key) > MAX_KEY:
        raise InvalidValue(f"an idempotency key has 1 to {MAX_KEY} characters; this one has {len(key)}")
    check_encodable("the idempotency key", key)


def keyed_message_id(event: str, sender: str | None, key: str) -> UUID:
    """Gives the id of the message that an application calls by a key, the same in every process.

    Args:
        event: The event's name: another event may have the same key.
        sender: The tenant on whose behalf it is sent, or None: and so may another tenant.
        key: The idempotency key.
    """
    return uuid5(_KEYED, json.dumps([event, sender, key]))


@frozen(kw_only=True)
class Message(Generic[Payload_co]):
    """One occurrence of an event.

    Attributes:
        id: Unique to the message.
        event: The event's name.
        payload: What the application sent, as it gave it.
        created_at: When the application sent it, with a time zone.
        sender: The tenant on whose behalf it is sent, or None.
        idempotency_key: What the application calls the occurrence, or None. The id is made from it, so that
            it is the same message however often it is sent.
    """

    id: UUID
    event: str = field(validator=_check_event)
    payload: Payload_co = field(repr=False)
    created_at: datetime = field(validator=check_zone)
    sender: str | None = field(default=None, validator=check_tenant)
    idempotency_key: str | None = field(default=None, validator=_check_key)


@frozen(kw_only=True)
class Audience:
    """Which subscriptions a message may reach.

    Attributes:
        event: The event's name.
        sender: The tenant whose own subscriptions are reached, besides those that nobody owns. With None,
            only those that nobody owns.
        broadcast: Reach the subscriptions of all tenants.
    """

    event: str
    sender: str | None = field(default=None, validator=check_tenant)
    broadcast: bool = False

    def admits(self, subscription: Subscription) -> bool:
        """Tells whether a subscription is active, wants the event, and may be reached."""
        return subscription.active and self._reaches(subscription)

    def misses(self, subscription: Subscription) -> bool:
        """Tells whether a subscription would be admitted, were it not disabled."""
        return not subscription.active and self._reaches(subscription)

    def _reaches(self, subscription: Subscription) -> bool:
        owner = subscription.owner
        may_reach = owner is None or self.broadcast or owner == self.sender
        return may_reach and subscription.wants(self.event)


def delivery_id(message_id: UUID, subscription_id: UUID) -> UUID:
    """Gives the id of the delivery of a message to a subscription, the same in every process."""
    return uuid5(message_id, str(subscription_id))


def _own_id(delivery: "Delivery") -> UUID:
    return delivery_id(delivery.message_id, delivery.subscription.id)


@frozen(kw_only=True)
class Delivery:
    """One message for one subscription, with the exact bytes that are signed and sent.

    Attributes:
        message_id: The message that is delivered.
        event: The name of its event.
        created_at: When the application sent it, with a time zone; the same over all attempts and replays.
        sender: Its sender, or None.
        subscription: Who gets it.
        content_type: The content type of the body.
        body: The exact bytes.
        id: The same over all attempts, and in every process that works it out: it is made from the ids of
            message and subscription. Sent as ``Hook-Delivery`` and ``webhook-id``.
        order_key: Where its subscription is ordered, what it shares with those that it waits for and that
            wait for it; None where it waits for none.
    """

    message_id: UUID
    event: str
    created_at: datetime = field(validator=check_zone)
    sender: str | None
    subscription: Subscription
    content_type: str
    body: bytes = field(repr=False)
    id: UUID = field(default=Factory(_own_id, takes_self=True))
    order_key: str | None = None
