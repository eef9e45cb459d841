"""Events: what an application declares and sends."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeAlias, TypeVar

from attrs import field, frozen

from thornsdk.dispatching import Terms
from thornsdk.model import Receipt, check_event_name
from thornsdk.outbox import Outbox
from thornsdk.static import StaticSubscribers
from thornsdk.typing import OnCommit

Payload = TypeVar("Payload")

Transaction: TypeAlias = OnCommit | Outbox
"""The transaction that a message belongs to: what calls on commit, or a table of the same database."""


class Sender(Protocol):
    """Sends the payload of an event."""

    def __call__(
        self,
        event: str,
        payload: object,
        *,
        sender: str | None,
        broadcast: bool,
        transaction: Transaction | None,
        idempotency_key: str | None,
    ) -> Receipt:
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
    _buffers: Callable[[], bool] = field(alias="buffers", repr=False)

    def send(
        self,
        payload: Payload,
        *,
        sender: str | None = None,
        broadcast: bool = False,
        transaction: Transaction | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Sends a message to every matching subscription.

        Inside `Thorn.buffer`, the message waits in the buffer; given an outbox, it waits there.

        Args:
            payload: What happened.
            sender: The tenant on whose behalf it is sent: it reaches the subscriptions that the tenant owns,
                and those that nobody owns. With None, only those that nobody owns.
            broadcast: Reach the subscriptions of all tenants.
            transaction: Sends the message when a transaction is committed: something that takes a function
                and calls it then, such as Django's ``transaction.on_commit``; or an `Outbox`, which writes
                the message in that same transaction, for `Thorn.relay` to hand over. The payload is written
                now; after a rollback nothing is sent.
            idempotency_key: What you call this occurrence, such as the id of a database row, of at most 255
                characters. Sent twice with the same key, by whichever process, it is one message: no delivery
                that the store knows of is made again, and the first payload counts.

        Returns:
            What was done with the message.

        Raises:
            SerializationError: If the payload cannot be written. Nothing was sent.
            DispatchError: If the dispatcher could not take the message. Nothing was sent, unless the error
                says that the broker may have it.
            InvalidValue: If the sender or the key is empty, or the key is too long. Nothing was sent.
            ConfigurationError: If a callable among the static subscribers raises. Nothing was sent.
            OutboxError: If the outbox could not be written. Nothing was sent.
            StoreError: If the store broke. What was sent before was recorded as far as it let us.
            ClosedError: If the `Thorn` was closed.
        """
        return self._send(
            self.name,
            payload,
            sender=sender,
            broadcast=broadcast,
            transaction=transaction,
            idempotency_key=idempotency_key,
        )

    async def asend(
        self,
        payload: Payload,
        *,
        sender: str | None = None,
        broadcast: bool = False,
        transaction: Transaction | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Does what `send` does, in a thread of the loop's default executor, so that the loop goes on.

        Where the message only waits, for its buffer or its transaction, it needs no thread; a transaction
        that calls back at once holds the loop up until the message is sent. Cancelling it does not stop the
        requests: the message goes on in its thread.
        """
        given = partial(
            self.send,
            payload,
            sender=sender,
            broadcast=broadcast,
            transaction=transaction,
            idempotency_key=idempotency_key,
        )
        if transaction is not None or self._buffers():
            return given()
        return await asyncio.to_thread(given)
