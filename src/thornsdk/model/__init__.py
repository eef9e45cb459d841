"""The frozen values that everything else is made of."""

from thornsdk.model.count import Count, CountFilter
from thornsdk.model.exchange import Exchange, Request, Response
from thornsdk.model.headers import check_header, check_signed, custom_headers, header_pairs
from thornsdk.model.keys import (
    PublicKey,
    PublicKeysLike,
    SigningKey,
    SigningKeysLike,
    as_public_keys,
    as_signing_keys,
)
from thornsdk.model.limits import MAX_WAIT, RateLimit, RateLimitLike, ScheduleLike, WhenFailed, as_rate_limit
from thornsdk.model.message import Audience, Delivery, Message, delivery_id, keyed_message_id
from thornsdk.model.notice import SubscriptionNotice
from thornsdk.model.outcome import KEPT_ANSWER, Attempt, Outcome, OutcomeKind
from thornsdk.model.patterns import EventPattern, check_event_name, covering
from thornsdk.model.receipt import Receipt, ReceiptState, Tally, tally
from thornsdk.model.record import CANCELLING, DeliveryFilter, DeliveryRecord, DeliveryState, Lease, Pruned
from thornsdk.model.rotation import rotated
from thornsdk.model.secret import OldSecret, Secret, SecretLike, as_secret
from thornsdk.model.subscription import (
    JSON,
    Digest,
    PatternsLike,
    SecretsLike,
    Subscription,
    as_patterns,
    as_secrets,
)
from thornsdk.model.url import DEFAULT_PORTS, URL, Origin, literal_address

__all__ = [
    "CANCELLING",
    "DEFAULT_PORTS",
    "JSON",
    "KEPT_ANSWER",
    "MAX_WAIT",
    "URL",
    "Attempt",
    "Audience",
    "Count",
    "CountFilter",
    "Delivery",
    "DeliveryFilter",
    "DeliveryRecord",
    "DeliveryState",
    "Digest",
    "EventPattern",
    "Exchange",
    "Lease",
    "Message",
    "OldSecret",
    "Origin",
    "Outcome",
    "OutcomeKind",
    "PatternsLike",
    "Pruned",
    "PublicKey",
    "PublicKeysLike",
    "RateLimit",
    "RateLimitLike",
    "Receipt",
    "ReceiptState",
    "Request",
    "Response",
    "ScheduleLike",
    "Secret",
    "SecretLike",
    "SecretsLike",
    "SigningKey",
    "SigningKeysLike",
    "Subscription",
    "SubscriptionNotice",
    "Tally",
    "WhenFailed",
    "as_patterns",
    "as_public_keys",
    "as_rate_limit",
    "as_secret",
    "as_secrets",
    "as_signing_keys",
    "check_event_name",
    "check_header",
    "check_signed",
    "covering",
    "custom_headers",
    "delivery_id",
    "header_pairs",
    "keyed_message_id",
    "literal_address",
    "rotated",
    "tally",
]
