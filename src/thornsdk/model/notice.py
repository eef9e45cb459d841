"""What is told of a subscription, beside its attempts."""

from datetime import datetime
from uuid import UUID

from attrs import frozen


@frozen(kw_only=True)
class SubscriptionNotice:
    """A subscription has been failing for long, or was disabled. It holds no secret.

    Attributes:
        subscription_id: The subscription's id.
        origin: Where it goes: scheme, host and port as text.
        owner: The tenant that it belongs to, or None.
        failing_since: When the first of the attempts began that have all failed since; None where it was
            disabled for another reason.
        disable_at: From when on an attempt that fails disables it; None where it is disabled.
        disabled: Why it was disabled; None where it is active.
    """

    subscription_id: UUID
    origin: str
    owner: str | None
    failing_since: datetime | None = None
    disable_at: datetime | None = None
    disabled: str | None = None
