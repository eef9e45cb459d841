"""Messages, whom they may reach, and deliveries."""

from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID, uuid5

from attrs import Factory, field, frozen

from thornsdk.model.patterns import check_event_name
from thornsdk.model.subscription import Subscription, check_tenant

Payload_co = TypeVar("Payload_co", covariant=True)


def _check_event(_: object, __: object, name: str) -> None:
    check_event_name(name)


@frozen(kw_only=True)
class Message(Generic[Payload_co]):
    """One occurrence of an event.

    Attributes:
        id: Unique to the message.
        event: The event's name.
        payload: What the application sent, as it gave it.
        created_at: When the application sent it.
        sender: The tenant on whose behalf it is sent, or None.
    """

    id: UUID
    event: str = field(validator=_check_event)
    payload: Payload_co = field(repr=False)
    created_at: datetime
    sender: str | None = field(default=None, validator=check_tenant)


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
        owner = subscription.owner
        may_reach = owner is None or self.broadcast or owner == self.sender
        return may_reach and subscription.active and subscription.wants(self.event)


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
        sender: Its sender, or None.
        subscription: Who gets it.
        content_type: The content type of the body.
        body: The exact bytes.
        id: The same over all attempts, and in every process that works it out: it is made from the ids of
            message and subscription. Sent as ``Hook-Delivery`` and ``webhook-id``.
    """

    message_id: UUID
    event: str
    sender: str | None
    subscription: Subscription
    content_type: str
    body: bytes = field(repr=False)
    id: UUID = field(default=Factory(_own_id, takes_self=True))
