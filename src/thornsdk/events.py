"""Events: what an application declares and sends."""

import asyncio
from typing import Generic, Protocol, TypeVar

from attrs import field, frozen

from thornsdk.model import Receipt, check_event_name
from thornsdk.stages import Terms
from thornsdk.static import StaticSubscribers

Payload = TypeVar("Payload")


class Sender(Protocol):
    """Sends the payload of an event."""

    def __call__(self, event: str, payload: object, *, sender: str | None, broadcast: bool) -> Receipt:
        """Sends it, and says what was done with it."""
        ...


def _check_name(_: object, __: object, name: str) -> None:
    check_event_name(name)


@frozen(kw_only=True, eq=False)
class Event(Generic[Payload]):
    """A definition of an event; made with `Thorn.event`.

    Attributes:
        name: Such as ``order.created``.
        terms: The terms on which its deliveries are attempted.
        subscribers: Those that get it besides the subscriptions of store and settings.
    """

    name: str = field(validator=_check_name)
    terms: Terms
    subscribers: StaticSubscribers = field(repr=False)
    _send: Sender = field(alias="send", repr=False)

    def send(self, payload: Payload, *, sender: str | None = None, broadcast: bool = False) -> Receipt:
        """Sends a message to every matching subscription.

        Args:
            payload: What happened.
            sender: The tenant on whose behalf it is sent: it reaches the subscriptions that the tenant owns,
                and those that nobody owns. With None, only those that nobody owns.
            broadcast: Reach the subscriptions of all tenants.

        Returns:
            What was done with the message.

        Raises:
            SerializationError: If the payload cannot be written. Nothing was sent.
            InvalidValue: If the sender is empty. Nothing was sent.
            ConfigurationError: If a callable among the static subscribers raises. Nothing was sent.
            StoreError: If the store broke. What was sent before was recorded as far as it let us.
            ClosedError: If the `Thorn` was closed.
        """
        return self._send(self.name, payload, sender=sender, broadcast=broadcast)

    async def asend(self, payload: Payload, *, sender: str | None = None, broadcast: bool = False) -> Receipt:
        """Does what `send` does, in a thread of the loop's default executor, so that the loop goes on.

        Cancelling it does not stop the requests: the message goes on in its thread.
        """
        return await asyncio.to_thread(self.send, payload, sender=sender, broadcast=broadcast)
