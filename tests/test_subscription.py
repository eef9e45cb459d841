import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from thornsdk import (
    URL,
    Attempt,
    Audience,
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
    Outcome,
    OutcomeKind,
    Reason,
    Receipt,
    ReceiptState,
    Request,
    Response,
    Secret,
    Subscription,
    Tally,
    tally,
)
from thornsdk.errors import (
    InvalidEventName,
    InvalidHeader,
    InvalidPattern,
    InvalidSecret,
    InvalidURL,
    InvalidValue,
)
from thornsdk.model import as_secrets
from thornsdk.model.receipt import MAX_PROBLEMS

ID = UUID("00000000-0000-4000-8000-000000000001")
MESSAGE_ID = UUID("00000000-0000-4000-8000-000000000002")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def subscription(**options: Any) -> Subscription:
    given: dict[str, Any] = {
        "patterns": "order.*",
        "url": "https://example.com/hunter2",
        "secrets": "hunter2",
    }
    return Subscription(id=ID, **{**given, **options})


def delivery(**options: Any) -> Delivery:
    given: dict[str, Any] = {
        "created_at": NOW,
        "sender": "acme",
        "subscription": subscription(),
        "body": b"hunter2",
    }
    return Delivery(
        message_id=MESSAGE_ID, event="order.created", content_type="application/json", **{**given, **options}
    )


def attempt(kind: OutcomeKind, reason: Reason = Reason.STATUS, retry_at: datetime | None = None) -> Attempt:
    return Attempt(number=1, started_at=NOW, duration=0.5, outcome=Outcome(kind, reason, retry_at))


def record(kind: OutcomeKind, retry_at: datetime | None = None) -> DeliveryRecord:
    return DeliveryRecord.of(delivery(), attempt(kind, retry_at=retry_at))


def test_a_subscription_has_sensible_defaults() -> None:
    made = subscription()
    assert made.content_type == "application/json"
    assert made.digest is Digest.SHA256
    assert (made.owner, made.headers, made.disabled, made.active) == (None, (), None, True)


def test_one_or_several_patterns_and_secrets_are_taken_as_text_or_values() -> None:
    made = subscription(patterns=["a", EventPattern("b.*")], secrets=["new", Secret("old")])
    assert made.patterns == (EventPattern("a"), EventPattern("b.*"))
    assert made.secrets == (Secret("new"), Secret("old"))
    assert subscription(patterns=EventPattern("a")).patterns == (EventPattern("a"),)
    assert subscription(secrets=Secret("one")).secrets == (Secret("one"),)


def test_an_old_secret_signs_until_it_ends() -> None:
    made = subscription(secrets=["new", "other"], old_secrets=[OldSecret("old", NOW)])
    moment = timedelta(microseconds=1)
    assert made.valid_secrets(NOW - moment) == (Secret("new"), Secret("other"), Secret("old"))
    assert made.valid_secrets(NOW) == made.valid_secrets(NOW + moment) == made.secrets


def test_a_subscription_wants_what_one_of_its_patterns_matches() -> None:
    made = subscription(patterns=["order.*", "cart"])
    assert [made.wants(event) for event in ("order.created", "cart", "order", "cart.filled")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(("given", "burst"), [(0.5, 1), (2.5, 3), ({"per_second": 5, "burst": 9}, 9)])
def test_a_rate_limit_lets_through_one_second_at_once_unless_it_says_otherwise(
    given: object, burst: int
) -> None:
    limit = subscription(rate_limit=given).rate_limit
    assert limit is not None
    assert limit.burst == burst


def test_a_disabled_subscription_is_not_active() -> None:
    assert not subscription(disabled="gone").active


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"patterns": ()}, InvalidValue, "a subscription needs at least one event pattern"),
        ({"patterns": "order.cre*"}, InvalidPattern, "a * must stand alone"),
        ({"client_certificate": "/etc/key.pem"}, InvalidValue, "THORN_CLIENT_CERTIFICATES says which file"),
        ({"secrets": ()}, InvalidSecret, "a subscription needs at least one secret"),
        ({"secrets": ["good", ""]}, InvalidSecret, "a secret must not be empty"),
        ({"url": "https://user:hunter2@example.com"}, InvalidURL, "it has a user name or password in it"),
        ({"content_type": ""}, InvalidValue, "the content_type of a subscription must not be empty"),
        ({"content_type": "text/plain\n"}, InvalidHeader, "the value of the header 'Content-Type'"),
        ({"digest": "md5"}, InvalidValue, "'md5' is not a digest; there are: sha1, sha256, sha512"),
        ({"owner": ""}, InvalidValue, "the owner must not be empty; give None for nobody"),
        ({"disabled": " "}, InvalidValue, "the reason why a subscription is disabled must not be empty"),
        ({"disabled": "\ud800"}, InvalidValue, "the reason why a subscription is disabled has a lone"),
        ({"rate_limit": 0}, InvalidValue, "a rate limit of 0 per second; it takes a number from 1/3600"),
        ({"rate_limit": True}, InvalidValue, "a rate limit of True per second"),
        ({"rate_limit": float("nan")}, InvalidValue, "a rate limit of nan per second"),
        ({"rate_limit": float("inf")}, InvalidValue, "a rate limit of inf per second"),
        ({"rate_limit": float("-inf")}, InvalidValue, "a rate limit of -inf per second"),
        ({"rate_limit": {"per_second": "1"}}, InvalidValue, "a rate limit of '1' per second"),
        ({"rate_limit": {"burst": 1}}, InvalidValue, "a rate limit takes per_second, and burst if you like"),
        (
            {"rate_limit": {"per_second": 1, "burst": 0}},
            InvalidValue,
            "the burst of a rate limit is 0; it takes",
        ),
        ({"max_in_flight": 1.5}, InvalidValue, "max_in_flight is 1.5; it takes a whole number from 1"),
        (
            {"ordered_by": "order..id"},
            InvalidValue,
            "ordered_by is 'order..id'; it takes the name of a field",
        ),
        ({"retry_schedule": "5,300"}, InvalidValue, "retry_schedule is '5,300'; it takes a list of seconds"),
        ({"retry_schedule": [5, -1]}, InvalidValue, "each from 0 to 31536000, a year"),
        ({"when_failed": "wait"}, InvalidValue, "when_failed is 'wait'; it takes one of: stop, skip"),
        ({"headers": {"Hook-HMAC": "hunter2"}}, InvalidHeader, "'Hook-HMAC' is set by the library"),
    ],
)
def test_a_part_that_cannot_be_is_refused(
    options: dict[str, object], kind: type[InvalidValue], message: str
) -> None:
    with pytest.raises(kind) as caught:
        subscription(**options)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("options", [{"secrets": [5]}, {"patterns": [5]}, {"owner": 5}])
def test_a_part_of_another_type_is_refused_when_it_is_made(options: dict[str, object]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        subscription(**options)


def test_the_repr_of_a_subscription_tells_no_secret() -> None:
    made = subscription(headers={"Authorization": "hunter2"})
    assert "hunter2" not in repr(made)


def test_a_subscription_is_frozen_hashable_and_pickles() -> None:
    made = subscription(headers={"X-Key": "1"}, owner="acme")
    with pytest.raises(FrozenInstanceError):
        made.disabled = "gone"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(made)) == made
    assert hash(made) == hash(evolve(made))


def test_when_a_message_was_sent_has_a_time_zone() -> None:
    naive = datetime(2026, 1, 2)  # noqa: DTZ001 - the point of it
    told = "the moment 'created_at' has no time zone, such as datetime.UTC"
    message = Message(id=ID, event="order.created", payload=42, created_at=NOW)
    for one in (message, delivery(), record(OutcomeKind.DELIVERED)):
        with pytest.raises(InvalidValue, match=told):
            evolve(one, created_at=naive)


def test_a_message_needs_a_proper_event_name_and_hides_its_payload() -> None:
    message = Message(id=ID, event="order.created", payload="hunter2", created_at=NOW)
    assert "hunter2" not in repr(message)
    with pytest.raises(InvalidEventName):
        evolve(message, event="order.*")


@pytest.mark.parametrize(
    ("sender", "broadcast", "owner", "admitted"),
    [
        (None, False, None, True),
        (None, False, "acme", False),
        ("acme", False, "acme", True),
        ("acme", False, None, True),
        ("acme", False, "rival", False),
        (None, True, "acme", True),
        ("acme", True, "rival", True),
        ("acme", True, None, True),
    ],
)
def test_a_message_reaches_no_tenant_by_accident(
    sender: str | None, broadcast: bool, owner: str | None, admitted: bool
) -> None:
    audience = Audience(event="order.created", sender=sender, broadcast=broadcast)
    assert audience.admits(subscription(owner=owner)) is admitted


def test_not_even_a_broadcast_reaches_the_disabled_and_those_that_want_other_events() -> None:
    audience = Audience(event="order.created", broadcast=True)
    assert not audience.admits(subscription(disabled="gone"))
    assert not audience.admits(subscription(patterns="cart.*"))


def test_the_id_of_a_delivery_is_made_from_message_and_subscription() -> None:
    assert delivery().id == delivery(body=b"another").id == uuid5(MESSAGE_ID, str(ID))
    assert delivery().id != delivery(subscription=evolve(subscription(), id=MESSAGE_ID)).id


def test_requests_responses_and_deliveries_hide_bodies_and_headers_in_their_repr() -> None:
    headers = (("Hook-HMAC", "hunter2"),)
    url = URL.parse("https://example.com/hunter2?key=hunter2")
    request = Request(
        id=ID, url=url, headers=headers, body=b"hunter2", timeout=1.0, guard=lambda address: None
    )
    response = Response(status=200, headers=headers, body=b"hunter2")
    exchange = Exchange(request=request, result=response, started_at=NOW, duration=0.1)
    assert "hunter2" not in f"{exchange!r} {delivery()!r} {record(OutcomeKind.DELIVERED)!r}"


def test_a_header_of_a_response_is_found_in_any_case_and_the_first_one_counts() -> None:
    response = Response(status=200, headers=(("Retry-After", "1"), ("retry-after", "2")))
    assert response.header("RETRY-after") == "1"
    assert response.header("Location") is None


def test_a_record_says_what_is_known_of_a_delivery() -> None:
    made = DeliveryRecord.of(delivery(), attempt(OutcomeKind.DELIVERED, Reason.ACCEPTED))
    assert made.id == delivery().id
    assert (made.message_id, made.subscription_id) == (MESSAGE_ID, ID)
    assert (made.event, made.sender, made.content_type) == ("order.created", "acme", "application/json")
    assert (made.origin, made.body) == ("https://example.com", b"hunter2")
    assert (made.kind, made.last.outcome.reason) == (OutcomeKind.DELIVERED, Reason.ACCEPTED)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (OutcomeKind.DELIVERED, DeliveryState.DELIVERED),
        (OutcomeKind.RETRY, DeliveryState.PENDING),
        (OutcomeKind.FAILED, DeliveryState.FAILED),
        (OutcomeKind.BLOCKED, DeliveryState.BLOCKED),
    ],
)
def test_an_outcome_leaves_a_delivery_in_a_state(kind: OutcomeKind, state: DeliveryState) -> None:
    assert record(kind).state is state


def test_a_delivery_whose_subscription_has_ended_is_cancelled() -> None:
    outcome = Outcome(OutcomeKind.FAILED, Reason.UNSUBSCRIBED)
    assert DeliveryState.after(outcome) is DeliveryState.CANCELLED


def test_a_delivery_is_leased_while_a_process_has_it() -> None:
    leased = evolve(record(OutcomeKind.RETRY, retry_at=NOW), lease=Lease("host:1:token"))
    assert (leased.state, leased.next_attempt_at) == (DeliveryState.LEASED, NOW)


def test_a_record_shows_no_body_and_no_answer() -> None:
    made = record(OutcomeKind.DELIVERED)
    shown = repr(evolve(made, last=evolve(made.last, answer=b"secret answer")))
    assert "secret answer" not in shown
    assert "hunter2" not in shown


def test_a_filter_of_nothing_admits_every_delivery() -> None:
    assert DeliveryFilter().admits(record(OutcomeKind.DELIVERED))


def test_a_pending_record_can_be_made_due_at_another_time() -> None:
    pending = record(OutcomeKind.RETRY, retry_at=NOW)
    later = pending.due_at(NOW + timedelta(hours=1))
    assert (pending.next_attempt_at, later.next_attempt_at) == (NOW, NOW + timedelta(hours=1))
    assert later.due_at(NOW) == pending
    assert record(OutcomeKind.FAILED).next_attempt_at is None


def test_a_tally_counts_each_outcome_and_keeps_what_did_not_arrive_in_order() -> None:
    kinds = [
        OutcomeKind.FAILED,
        OutcomeKind.DELIVERED,
        OutcomeKind.BLOCKED,
        OutcomeKind.RETRY,
        OutcomeKind.FAILED,
    ]
    counted = tally(record(kind) for kind in kinds)
    assert (counted.delivered, counted.retry, counted.failed, counted.blocked) == (1, 1, 2, 1)
    assert counted.total == 5
    assert [problem.kind for problem in counted.problems] == [kind for kind in kinds if kind != "delivered"]


def test_a_tally_counts_what_was_skipped_on_its_own() -> None:
    skipped = record(OutcomeKind.FAILED)
    outcome = Outcome(OutcomeKind.FAILED, Reason.SUBSCRIPTION_DISABLED)
    skipped = evolve(skipped, last=evolve(skipped.last, outcome=outcome))
    assert tally([skipped, record(OutcomeKind.DELIVERED), skipped]) == Tally(delivered=1, disabled=2)


def test_a_tally_keeps_only_the_first_hundred_problems() -> None:
    results = [evolve(record(OutcomeKind.FAILED), event=f"e{number}") for number in range(MAX_PROBLEMS + 1)]
    counted = tally(results)
    assert counted.failed == MAX_PROBLEMS + 1
    assert list(counted.problems) == results[:MAX_PROBLEMS]


def test_a_receipt_of_which_nothing_is_known_counts_nothing() -> None:
    receipt = Receipt(
        message_id=ID, event="order.created", dispatcher="disabled", state=ReceiptState.DISABLED
    )
    assert receipt.outcomes == Tally()
    assert receipt.outcomes.total == 0


def test_states_and_kinds_are_written_as_their_words() -> None:
    words = [*OutcomeKind, *DeliveryState, *ReceiptState, *Digest]
    assert json.loads(json.dumps(words)) == [word.name.lower() for word in words]


def test_a_secret_may_be_given_as_bytes() -> None:
    (secret,) = as_secrets(b"abc")
    assert secret.key == b"abc"
