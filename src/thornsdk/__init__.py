"""Send webhooks from Python: embedded, typed, signed, and truthful about what arrived.

The names here are what applications and plugins rely on. Besides them there are `thornsdk.errors`,
`thornsdk.typing`, and `thornsdk.receive` for the far side.
"""

from thornsdk.events import Event
from thornsdk.hookspecs import HookContext, Plugin, Provided, StageContext, hookimpl
from thornsdk.model import (
    URL,
    Attempt,
    Audience,
    Delivery,
    DeliveryRecord,
    DeliveryState,
    Digest,
    EventPattern,
    Exchange,
    Message,
    Origin,
    Outcome,
    OutcomeKind,
    Receipt,
    ReceiptState,
    Request,
    Response,
    Secret,
    Subscription,
    Tally,
    covering,
    tally,
)
from thornsdk.pipeline import Pipeline
from thornsdk.policy.addresses import AddressRules, literal_address
from thornsdk.policy.plain import Plain, to_plain
from thornsdk.policy.retry import RetryPolicy
from thornsdk.policy.signatures import hook_hmac, standard_webhooks
from thornsdk.reasons import Reason
from thornsdk.settings import Settings
from thornsdk.stages import (
    Deliverer,
    Dispatch,
    Dispatcher,
    Observer,
    Serializer,
    Signer,
    Store,
    Terms,
    Transport,
    exchange,
)
from thornsdk.thorn import Thorn
from thornsdk.version import VERSION

__all__ = [
    "URL",
    "VERSION",
    "AddressRules",
    "Attempt",
    "Audience",
    "Deliverer",
    "Delivery",
    "DeliveryRecord",
    "DeliveryState",
    "Digest",
    "Dispatch",
    "Dispatcher",
    "Event",
    "EventPattern",
    "Exchange",
    "HookContext",
    "Message",
    "Observer",
    "Origin",
    "Outcome",
    "OutcomeKind",
    "Pipeline",
    "Plain",
    "Plugin",
    "Provided",
    "Reason",
    "Receipt",
    "ReceiptState",
    "Request",
    "Response",
    "RetryPolicy",
    "Secret",
    "Serializer",
    "Settings",
    "Signer",
    "StageContext",
    "Store",
    "Subscription",
    "Tally",
    "Terms",
    "Thorn",
    "Transport",
    "covering",
    "exchange",
    "hook_hmac",
    "hookimpl",
    "literal_address",
    "standard_webhooks",
    "tally",
    "to_plain",
]
