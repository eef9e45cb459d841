"""Send webhooks from Python: embedded, typed, signed, and truthful about what arrived.

The names here are what applications and plugins rely on. Besides them there are `thornsdk.errors`,
`thornsdk.typing`, and `thornsdk.receive` for the far side.

A name is imported when it is first asked for, so that a receiver, who needs `thornsdk.receive` alone, does
not pay for the sending side.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # To a type checker, a hook is a method that overrides one: it finds a hook that there is not.
    from typing_extensions import override as hookimpl

    from thornsdk.buffers import Buffer
    from thornsdk.dispatching import Bodies, Body, Deliverer, Dispatch, Dispatcher, Planned, Terms
    from thornsdk.events import Event
    from thornsdk.fanning import fan_out
    from thornsdk.hookspecs import HookContext, Plugin, Provided, StageContext
    from thornsdk.lookups import LookUp, LookUps, system_resolver
    from thornsdk.model import (
        URL,
        Attempt,
        Audience,
        Count,
        CountFilter,
        Delivery,
        DeliveryFilter,
        DeliveryRecord,
        DeliveryState,
        Digest,
        EventPattern,
        Exchange,
        Lease,
        Message,
        OldSecret,
        Origin,
        Outcome,
        OutcomeKind,
        Pruned,
        PublicKey,
        RateLimit,
        Receipt,
        ReceiptState,
        Request,
        Response,
        Secret,
        SigningKey,
        Subscription,
        SubscriptionNotice,
        Tally,
        WhenFailed,
        as_signing_keys,
        covering,
        delivery_id,
        literal_address,
        tally,
    )
    from thornsdk.outbox import Outbox
    from thornsdk.pipeline import Pipeline
    from thornsdk.policy.addresses import AddressRules
    from thornsdk.policy.breaker import Breaker, BreakerPolicy, BreakerState
    from thornsdk.policy.places import Places
    from thornsdk.policy.plain import Plain, to_plain
    from thornsdk.policy.retry import RetryPolicy
    from thornsdk.policy.signatures import hook_hmac, standard_webhooks, standard_webhooks_v1a
    from thornsdk.policy.traffic import Traffic
    from thornsdk.reasons import Reason
    from thornsdk.settings import Settings
    from thornsdk.stages import (
        HeaderNames,
        HeaderSerializer,
        Observer,
        Serializer,
        Signer,
        Store,
        SubscriptionObserver,
        Transport,
        YieldedNames,
        exchange,
    )
    from thornsdk.thorn import Thorn
    from thornsdk.timings import Timings
    from thornsdk.version import VERSION
else:
    # PEP 562. A type checker that saw it would take any name for one of ours.
    def __getattr__(name: str) -> object:
        # What was found is kept as an ordinary name: this runs once for each.
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


__all__ = [
    "URL",
    "VERSION",
    "AddressRules",
    "Attempt",
    "Audience",
    "Bodies",
    "Body",
    "Breaker",
    "BreakerPolicy",
    "BreakerState",
    "Buffer",
    "Count",
    "CountFilter",
    "Deliverer",
    "Delivery",
    "DeliveryFilter",
    "DeliveryRecord",
    "DeliveryState",
    "Digest",
    "Dispatch",
    "Dispatcher",
    "Event",
    "EventPattern",
    "Exchange",
    "HeaderNames",
    "HeaderSerializer",
    "HookContext",
    "Lease",
    "LookUp",
    "LookUps",
    "Message",
    "Observer",
    "OldSecret",
    "Origin",
    "Outbox",
    "Outcome",
    "OutcomeKind",
    "Pipeline",
    "Places",
    "Plain",
    "Planned",
    "Plugin",
    "Provided",
    "Pruned",
    "PublicKey",
    "RateLimit",
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
    "SigningKey",
    "StageContext",
    "Store",
    "Subscription",
    "SubscriptionNotice",
    "SubscriptionObserver",
    "Tally",
    "Terms",
    "Thorn",
    "Timings",
    "Traffic",
    "Transport",
    "WhenFailed",
    "YieldedNames",
    "as_signing_keys",
    "covering",
    "delivery_id",
    "exchange",
    "fan_out",
    "hook_hmac",
    "hookimpl",
    "literal_address",
    "standard_webhooks",
    "standard_webhooks_v1a",
    "system_resolver",
    "tally",
    "to_plain",
]

_HOMES = {
    "Buffer": "thornsdk.buffers",
    "Bodies": "thornsdk.dispatching",
    "Body": "thornsdk.dispatching",
    "Deliverer": "thornsdk.dispatching",
    "Dispatch": "thornsdk.dispatching",
    "Dispatcher": "thornsdk.dispatching",
    "Planned": "thornsdk.dispatching",
    "Terms": "thornsdk.dispatching",
    "Event": "thornsdk.events",
    "fan_out": "thornsdk.fanning",
    "HookContext": "thornsdk.hookspecs",
    "Plugin": "thornsdk.hookspecs",
    "Provided": "thornsdk.hookspecs",
    "StageContext": "thornsdk.hookspecs",
    "hookimpl": "thornsdk.hookspecs",
    "URL": "thornsdk.model",
    "Attempt": "thornsdk.model",
    "Audience": "thornsdk.model",
    "Count": "thornsdk.model",
    "CountFilter": "thornsdk.model",
    "Delivery": "thornsdk.model",
    "DeliveryFilter": "thornsdk.model",
    "DeliveryRecord": "thornsdk.model",
    "DeliveryState": "thornsdk.model",
    "Digest": "thornsdk.model",
    "EventPattern": "thornsdk.model",
    "Exchange": "thornsdk.model",
    "Lease": "thornsdk.model",
    "Message": "thornsdk.model",
    "OldSecret": "thornsdk.model",
    "Origin": "thornsdk.model",
    "Outcome": "thornsdk.model",
    "OutcomeKind": "thornsdk.model",
    "Pruned": "thornsdk.model",
    "PublicKey": "thornsdk.model",
    "RateLimit": "thornsdk.model",
    "Receipt": "thornsdk.model",
    "ReceiptState": "thornsdk.model",
    "Request": "thornsdk.model",
    "Response": "thornsdk.model",
    "Secret": "thornsdk.model",
    "SigningKey": "thornsdk.model",
    "Subscription": "thornsdk.model",
    "SubscriptionNotice": "thornsdk.model",
    "Tally": "thornsdk.model",
    "WhenFailed": "thornsdk.model",
    "as_signing_keys": "thornsdk.model",
    "covering": "thornsdk.model",
    "delivery_id": "thornsdk.model",
    "tally": "thornsdk.model",
    "LookUp": "thornsdk.lookups",
    "LookUps": "thornsdk.lookups",
    "system_resolver": "thornsdk.lookups",
    "Outbox": "thornsdk.outbox",
    "Pipeline": "thornsdk.pipeline",
    "AddressRules": "thornsdk.policy.addresses",
    "literal_address": "thornsdk.model",
    "Breaker": "thornsdk.policy.breaker",
    "BreakerPolicy": "thornsdk.policy.breaker",
    "BreakerState": "thornsdk.policy.breaker",
    "Places": "thornsdk.policy.places",
    "Plain": "thornsdk.policy.plain",
    "to_plain": "thornsdk.policy.plain",
    "RetryPolicy": "thornsdk.policy.retry",
    "hook_hmac": "thornsdk.policy.signatures",
    "standard_webhooks": "thornsdk.policy.signatures",
    "standard_webhooks_v1a": "thornsdk.policy.signatures",
    "Traffic": "thornsdk.policy.traffic",
    "Reason": "thornsdk.reasons",
    "Settings": "thornsdk.settings",
    "HeaderNames": "thornsdk.stages",
    "HeaderSerializer": "thornsdk.stages",
    "Observer": "thornsdk.stages",
    "Serializer": "thornsdk.stages",
    "Signer": "thornsdk.stages",
    "Store": "thornsdk.stages",
    "SubscriptionObserver": "thornsdk.stages",
    "Transport": "thornsdk.stages",
    "YieldedNames": "thornsdk.stages",
    "exchange": "thornsdk.stages",
    "Thorn": "thornsdk.thorn",
    "Timings": "thornsdk.timings",
    "VERSION": "thornsdk.version",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
