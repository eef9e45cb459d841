"""What a sender is told of a message."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from uuid import UUID

from attrs import frozen

from thornsdk.model.outcome import OutcomeKind
from thornsdk.model.record import DeliveryRecord


@frozen
class Tally:
    """How many deliveries came to which outcome.

    Attributes:
        delivered: How many arrived.
        retry: How many will be attempted again.
        failed: How many were given up.
        blocked: How many policy did not allow.
        problems: Those that did not arrive, in the order in which they ended: the first hundred of them, so
            that a message for a million subscribers costs no more memory than one for a thousand.
        disabled: How many were skipped, for their subscriptions are disabled. The store keeps them, to be
            replayed. They are neither in the total nor among the problems.
    """

    delivered: int = 0
    retry: int = 0
    failed: int = 0
    blocked: int = 0
    problems: tuple[DeliveryRecord, ...] = ()
    disabled: int = 0

    @property
    def total(self) -> int:
        """How many deliveries were attempted or blocked."""
        return self.delivered + self.retry + self.failed + self.blocked


MAX_PROBLEMS = 100


def tally(results: Iterable[DeliveryRecord]) -> Tally:
    """Counts results as they come, and keeps the first `MAX_PROBLEMS` that did not arrive."""
    counts: Counter[OutcomeKind] = Counter()
    problems: list[DeliveryRecord] = []
    disabled = 0
    for result in results:
        if result.skipped:
            disabled += 1
            continue
        counts[result.kind] += 1
        if result.kind is not OutcomeKind.DELIVERED and len(problems) < MAX_PROBLEMS:
            problems.append(result)
    return Tally(
        delivered=counts[OutcomeKind.DELIVERED],
        retry=counts[OutcomeKind.RETRY],
        failed=counts[OutcomeKind.FAILED],
        blocked=counts[OutcomeKind.BLOCKED],
        problems=tuple(problems),
        disabled=disabled,
    )


class ReceiptState(StrEnum):
    """What a dispatcher has done with a message when `send` returns."""

    ENDED = "ended"
    """Every matching subscription was attempted once; the tally says with what outcome."""
    QUEUED = "queued"
    """A broker has the message, and workers deliver it."""
    STORED = "stored"
    """The broker could not take the message; its deliveries are in the store, due at once."""
    BUFFERED = "buffered"
    """A buffer has the message until it is flushed."""
    WAITING = "waiting"
    """A transaction has the message until it is committed; an outbox, until it is relayed."""
    DISABLED = "disabled"
    """Nothing was sent, and nothing will be."""


@frozen(kw_only=True)
class Receipt:
    """What `send` returns.

    Attributes:
        message_id: The message's id.
        event: The event's name.
        dispatcher: The name of the dispatcher that took the message.
        state: What it has done with it.
        outcomes: The outcomes known so far.
        task_id: The id of the task that a broker took, or None.
    """

    message_id: UUID
    event: str
    dispatcher: str
    state: ReceiptState
    outcomes: Tally = Tally()
    task_id: str | None = None
