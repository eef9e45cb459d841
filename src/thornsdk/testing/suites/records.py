"""One record and one notice of each kind that an observer can be told of."""

from datetime import timedelta
from uuid import uuid4

from attrs import evolve

from thornsdk.model import DeliveryRecord, Lease, OutcomeKind, SubscriptionNotice
from thornsdk.reasons import Reason
from thornsdk.testing.values import NOW, make_delivery, make_record, make_subscription
from thornsdk.timings import Timings

_LATER = NOW + timedelta(minutes=1)
_BLOCKED = frozenset(
    {Reason.ADDRESS_FORBIDDEN, Reason.SCHEME_FORBIDDEN, Reason.PORT_FORBIDDEN, Reason.RECIPIENT_REFUSED}
)
_FAILED = frozenset(
    {
        Reason.GONE,
        Reason.NOT_SERIALIZABLE,
        Reason.UNSUBSCRIBED,
        Reason.CANCELLED,
        Reason.SUBSCRIPTION_DISABLED,
    }
)


def each_record() -> list[DeliveryRecord]:
    """Gives a record with each reason, and records at their extremes."""
    elsewhere, many = _elsewhere(), _of_a_tenant()
    return [
        *map(_because, Reason),
        *_before_an_attempt(),
        elsewhere,
        many,
        *map(_answered, (elsewhere, many)),
    ]


def each_notice() -> list[SubscriptionNotice]:
    """Gives a notice of each kind: a subscription fails, was disabled for that, or because it is gone."""
    failing = SubscriptionNotice(
        subscription_id=uuid4(),
        origin="https://example.com",
        owner=None,
        failing_since=NOW,
        disable_at=_LATER,
    )
    disabled = evolve(failing, owner="Ünï & Co.", disable_at=None, disabled="every attempt has failed")
    return [failing, disabled, evolve(disabled, failing_since=None, disabled="it answered 410")]


def _because(reason: Reason) -> DeliveryRecord:
    if reason is Reason.ACCEPTED:
        return make_record()
    if reason in _BLOCKED:
        return make_record(OutcomeKind.BLOCKED, reason)
    if reason in _FAILED:
        return make_record(
            OutcomeKind.FAILED, reason, number=0 if reason is Reason.SUBSCRIPTION_DISABLED else 1
        )
    return make_record(OutcomeKind.RETRY, reason, retry_at=_LATER)


def _before_an_attempt() -> list[DeliveryRecord]:
    pending = make_record(OutcomeKind.RETRY, Reason.NOT_ATTEMPTED, number=0, retry_at=_LATER)
    return [pending, evolve(pending, held=Reason.ORIGIN_PAUSED), evolve(pending, lease=Lease("host:1:a"))]


def _elsewhere() -> DeliveryRecord:
    """Of another scheme and another content type, after many attempts."""
    far = make_subscription("pigeon://[2001:db8::1]/", content_type="application/vnd.acme; charset=utf-8")
    delivery = make_delivery(b"\0\xff", to=evolve(far, patterns="a.b.c"), event="a.b.c")
    return make_record(OutcomeKind.FAILED, Reason.STATUS, of=delivery, number=10_000)


def _of_a_tenant() -> DeliveryRecord:
    """With all that may be known beside the attempt."""
    return evolve(
        make_record(OutcomeKind.DELIVERED, Reason.ACCEPTED, number=2),
        sender="Ünï & Co.",
        owner="{owner}",
        accepted_at=NOW,
        order_key='"42"',
    )


def _answered(record: DeliveryRecord) -> DeliveryRecord:
    """With all that may be known of an attempt."""
    attempt = evolve(
        record.last,
        status=599,
        detail="the answer: ☃ {detail} %s",
        request_bytes=10**9,
        response_bytes=10**9,
        reused=True,
        timings=Timings(total=0.5, lookup=0.1, connect=0.1, tls=0.1, first_byte=0.1),
        address="2001:db8::1",
        answer=b"\0\xff",
    )
    return evolve(record, last=attempt)
