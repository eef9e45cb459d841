"""What travels through the broker: tasks as values."""

from collections.abc import Mapping
from datetime import datetime
from typing import cast
from uuid import UUID

from attrs import field, frozen

from thornsdk import Audience, Body, DeliveryRecord, Terms


@frozen(kw_only=True)
class Needs:
    """What a worker must know to do a task as its sender meant it.

    Attributes:
        event: The name of the event; empty where there are several.
        store: The identity of the sender's store; None where that lives in the sender's process alone.
        requirements: What configuration and code add to the event at the sender's.
    """

    event: str = ""
    store: str | None = None
    requirements: tuple[str, ...] = ()


@frozen(kw_only=True)
class Envelope:
    """A message on its way to all its subscribers.

    Attributes:
        message_id: The message's id.
        created_at: When the application sent it.
        audience: Which subscriptions it may reach.
        bodies: Its payload in each content type of the sender's pipeline.
        terms: The sender's terms. Recipient validators do not travel: they are the worker's own.
        needs: What a worker must know.
        again: Whether some of its batches may have been published before, or some of its deliveries made.
    """

    message_id: UUID
    created_at: datetime
    audience: Audience
    bodies: Mapping[str, Body] = field(repr=False)
    terms: Terms
    needs: Needs
    again: bool = False


@frozen(kw_only=True)
class Batch:
    """Deliveries of one message that are attempted together.

    Attributes:
        envelope: The message.
        subscriptions: Who gets it.
        number: The number of the attempt. It is more than 1 where workers died with the attempts before.
        again: Whether some of it may have been done before, so that it is worth a look into the store.
    """

    envelope: Envelope
    subscriptions: tuple[UUID, ...]
    number: int = 1
    again: bool = False


@frozen(kw_only=True)
class Resume:
    """Deliveries to attempt again, of which the store knows everything.

    Attributes:
        at: When to attempt them.
        deliveries: Their ids, each with the number of the attempt that is to be made: one that was begun
            already, by whomever, is not made again.
        terms: The sender's terms; None for those of the worker.
        needs: What a worker must know.
    """

    at: datetime
    deliveries: tuple[tuple[UUID, int], ...]
    terms: Terms | None
    needs: Needs


@frozen(kw_only=True)
class Retry:
    """A delivery to attempt again, where no store is shared between the workers.

    Attributes:
        record: What is known of it.
        terms: The sender's terms.
        needs: What a worker must know.
    """

    record: DeliveryRecord
    terms: Terms
    needs: Needs


def due_at(record: DeliveryRecord) -> datetime:
    """Gives when a pending delivery is due."""
    return cast("datetime", record.next_attempt_at)
