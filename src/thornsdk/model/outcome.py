"""What attempts mean."""

from datetime import datetime
from enum import StrEnum

from attrs import field, frozen

from thornsdk.reasons import Reason
from thornsdk.timings import Timings


class OutcomeKind(StrEnum):
    """What an attempt means for its delivery."""

    DELIVERED = "delivered"
    """The subscriber has it."""
    RETRY = "retry"
    """It will be attempted again."""
    FAILED = "failed"
    """It was given up."""
    BLOCKED = "blocked"
    """Policy does not allow it; nothing was sent."""


@frozen
class Outcome:
    """What an attempt means, and why.

    Attributes:
        kind: What it means for the delivery.
        reason: Why.
        retry_at: When the next attempt is due; given with `OutcomeKind.RETRY` alone.
    """

    kind: OutcomeKind
    reason: Reason
    retry_at: datetime | None = None


_NOT_THE_RECEIVERS = frozenset(
    {
        Reason.NOT_SERIALIZABLE,
        Reason.UNSUBSCRIBED,
        Reason.CANCELLED,
        Reason.WORKER_LOST,
        Reason.NOT_ATTEMPTED,
        Reason.NOT_QUEUED,
        Reason.ORIGIN_PAUSED,
        Reason.SUBSCRIPTION_DISABLED,
        Reason.RATE_LIMITED,
        Reason.TOO_MANY_IN_FLIGHT,
        Reason.OUT_OF_TURN,
        Reason.STAGE_FAILED,
    }
)

KEPT_ANSWER = 1024
"""How many bytes of an answer's body are kept with an attempt."""


@frozen(kw_only=True)
class Attempt:
    """One try of a delivery.

    Attributes:
        number: Starts at 1; 0 where nothing was attempted yet.
        started_at: When it began.
        duration: How long it took, in seconds; 0 where nothing was sent.
        outcome: What it means.
        status: The status of the answer, or None without an answer.
        detail: What was seen, in words, without anything secret; empty where the reason says it all.
        request_bytes: The length of the body, in bytes; 0 where policy or a stage kept it from being sent.
        response_bytes: The length of the answer's body after decoding, in bytes, as far as it was read.
        reused: Whether an open connection was used again; None where unknown.
        timings: Where the time went; None where nothing was sent, or the transport does not tell.
        address: The address that was connected to, as ``127.0.0.1``; None where unknown.
        answer: How the body of the answer began, after decoding: its first `KEPT_ANSWER` bytes. It may quote
            the request, so it is kept in stores and never logged.
    """

    number: int
    started_at: datetime
    duration: float
    outcome: Outcome
    status: int | None = None
    detail: str = ""
    request_bytes: int = 0
    response_bytes: int = 0
    reused: bool | None = None
    timings: Timings | None = None
    address: str | None = None
    answer: bytes = field(default=b"", repr=False)

    @property
    def receiver_failed(self) -> bool:
        """Whether the receiver or the way to it failed, and not the sender or its policy."""
        kind = self.outcome.kind
        # Most attempts arrive: what costs time comes last.
        return (
            (kind is OutcomeKind.RETRY or kind is OutcomeKind.FAILED)
            and self.number > 0
            and self.outcome.reason not in _NOT_THE_RECEIVERS
        )
