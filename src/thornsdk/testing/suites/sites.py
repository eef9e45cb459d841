"""What the promises of a dispatcher are seen with: an application that sends, and its subscribers."""

from collections.abc import Callable, Sequence

from attrs import evolve, frozen

from thornsdk.dispatching import Bodies, Deliverer, Dispatch, Dispatcher
from thornsdk.model import Audience, Message, Receipt, ReceiptState, Subscription
from thornsdk.stages import utc_now
from thornsdk.testing.endpoint import Endpoint
from thornsdk.testing.suites.promises import broken, keeps
from thornsdk.testing.values import EVENT, make_message, make_subscription
from thornsdk.thorn import Thorn

DELIVERING = (ReceiptState.ENDED, ReceiptState.QUEUED, ReceiptState.STORED)
"""What may become of a message that is delivered, as a dispatcher says it."""


@frozen
class Site:
    """An application that sends, its subscribers, and what delivers what it has queued.

    Attributes:
        thorn: The application.
        subscribers: Where its messages go, once `subscribe` was called.
        drain: Makes the far side do what it was given.
    """

    thorn: Thorn
    subscribers: Sequence[Endpoint]
    drain: Callable[[], None]

    @property
    def deliverer(self) -> Deliverer:
        """What a dispatcher is given beside a message."""
        return self.thorn.deliverer

    def subscribe(
        self, event: str = EVENT, owners: Sequence[str | None] = (None, None, None)
    ) -> list[Subscription]:
        """Subscribes each subscriber.

        Args:
            event: To which event.
            owners: The tenant that each subscription belongs to.
        """
        each = zip(self.subscribers, owners, strict=True)
        return [self.thorn.subscribe(event, one.url, owner=owner) for one, owner in each]

    def subscribe_in_each_type(self) -> Endpoint:
        """Subscribes one subscriber once for each content type."""
        for content_type in self.thorn.pipeline.by_content_type:
            self.thorn.subscribe(EVENT, self.subscribers[0].url, content_type=content_type)
        return self.subscribers[0]

    def subscribe_to_what_nobody_writes(self, endpoint: Endpoint) -> None:
        """Subscribes an endpoint to a content type for which there is no serializer any more."""
        self.deliverer.store.put([make_subscription(endpoint.url, content_type="text/x-unknown")])

    def bodies(self, message: Message[object]) -> Bodies:
        """Gives the bodies of a message, none of which is written."""
        return Bodies(self.thorn.pipeline.by_content_type, message)

    def dispatch(
        self, payload: object = 42, *, event: str = EVENT, sender: str | None = None, broadcast: bool = False
    ) -> Dispatch:
        """Makes a message on its way, as `send` does: its body is written in the first content type."""
        message = evolve(make_message(payload, event=event, sender=sender), created_at=utc_now())
        bodies = self.bodies(message)
        bodies.in_type(self.thorn.pipeline.serializers[0].content_type)
        return Dispatch(
            message=message,
            audience=Audience(event=event, sender=sender, broadcast=broadcast),
            bodies=bodies,
            terms=self.deliverer.terms(event),
        )

    def finish(self, receipts: Sequence[Receipt]) -> None:
        """Delivers what is queued or in the store."""
        if any(one.state is ReceiptState.QUEUED for one in receipts):
            self.drain()
        if any(one.state is ReceiptState.STORED for one in receipts):
            self.thorn.run_due()

    def came(self) -> int:
        """Gives how many requests came to all subscribers."""
        return sum(len(one.seen) for one in self.subscribers)


def check_receipt(receipt: object, dispatch: Dispatch, dispatcher: Dispatcher) -> None:
    """Breaks the promise of the test unless a receipt is that of a message, and of its dispatcher."""
    if not isinstance(receipt, Receipt):
        broken(f"it gave a {type(receipt).__name__}")
    message = dispatch.message
    keeps(receipt.message_id == message.id, "the receipt has the id of another message")
    keeps(receipt.event == message.event, f"the receipt is of an event {receipt.event!r}")
    of = receipt.dispatcher
    keeps(of == dispatcher.name, f"the receipt is of {of!r}, and the dispatcher is {dispatcher.name!r}")
    known = (*DELIVERING, ReceiptState.DISABLED)
    own = receipt.state in known
    keeps(own, f"the state is {receipt.state!s}; that of a dispatcher is {', '.join(known)}")
