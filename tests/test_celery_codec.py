import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from thornsdk import (
    Attempt,
    Audience,
    Body,
    DeliveryRecord,
    Outcome,
    OutcomeKind,
    Reason,
    RetryPolicy,
    Terms,
)
from thornsdk.errors import SerializationError
from thornsdk_plugins.celery.codec import (
    Document,
    Unreadable,
    read_batch,
    read_envelopes,
    read_resume,
    read_retry,
    write_batch,
    write_envelopes,
    write_resume,
    write_retry,
)
from thornsdk_plugins.celery.documents import Batch, Envelope, Needs, Resume, Retry

BODY = "a text that stands in the body alone"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.none() | st.text("ab.-é", min_size=1, max_size=20)
seconds = st.floats(0, 3600)
zones = st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))])
moments = st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1), timezones=zones)  # noqa: DTZ001 - zones follow
written: st.SearchStrategy[bytes] = st.binary(max_size=50) | texts.map(str.encode)
bodies: st.SearchStrategy[Body] = written | st.builds(SerializationError, texts, texts)
policies = st.builds(
    RetryPolicy,
    st.lists(seconds, max_size=4),
    jitter=st.floats(0, 1),
    max_retry_after=seconds,
    permanent=st.frozensets(st.integers(100, 599), max_size=3),
)
terms = st.builds(Terms, timeout=seconds, retry=policies, recipient_validators=st.just(()))
needs = st.builds(Needs, event=texts, store=names, requirements=st.lists(texts, max_size=3).map(tuple))


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    wanted = draw(needs)
    return Envelope(
        message_id=draw(st.uuids()),
        created_at=draw(moments),
        audience=Audience(event=wanted.event, sender=draw(names), broadcast=draw(st.booleans())),
        bodies=draw(st.dictionaries(texts, bodies, max_size=3)),
        terms=draw(terms),
        needs=wanted,
        again=draw(st.booleans()),
    )


batches = st.builds(
    Batch,
    envelope=envelopes(),
    subscriptions=st.lists(st.uuids(), max_size=4).map(tuple),
    number=st.integers(1, 20),
    again=st.booleans(),
)
resumes = st.builds(
    Resume,
    at=moments,
    deliveries=st.lists(st.tuples(st.uuids(), st.integers(1, 20)), max_size=4).map(tuple),
    terms=st.none() | terms,
    needs=needs,
)


@st.composite
def records(draw: st.DrawFn) -> DeliveryRecord:
    """What is known of a delivery that is due again, as far as a worker needs it."""
    outcome = Outcome(OutcomeKind.RETRY, draw(st.sampled_from(Reason)), draw(moments))
    number = draw(st.integers(0, 20))
    return DeliveryRecord(
        id=draw(st.uuids()),
        message_id=draw(st.uuids()),
        event=draw(texts),
        created_at=draw(moments),
        sender=draw(names),
        owner=draw(names),
        subscription_id=draw(st.uuids()),
        origin=draw(texts),
        content_type=draw(texts),
        body=draw(written),
        last=Attempt(number=number, started_at=draw(moments), duration=0.0, outcome=outcome),
        held=draw(st.none() | st.sampled_from(Reason)),
    )


retries = st.builds(Retry, record=records(), terms=terms, needs=needs)


def travelled(document: Document) -> Any:
    """A document as the other side of a broker gets it."""
    return json.loads(json.dumps(document))


def comparable(envelope: Envelope) -> tuple[Envelope, dict[str, object]]:
    """Errors are equal to themselves alone: their texts are compared in their place."""
    told = {key: repr(body) for key, body in envelope.bodies.items()}
    return evolve(envelope, bodies={}), dict(told)


# What is written is read


@given(st.lists(envelopes(), max_size=3))
def test_messages_travel_whole(sent: Sequence[Envelope]) -> None:
    read = read_envelopes(travelled(write_envelopes(sent)))
    assert [comparable(one) for one in read] == [comparable(one) for one in sent]


@given(batches)
def test_batches_travel_whole(batch: Batch) -> None:
    read = read_batch(travelled(write_batch(batch)))
    assert comparable(read.envelope) == comparable(batch.envelope)
    assert evolve(read, envelope=batch.envelope) == batch


@given(resumes)
def test_what_the_store_is_to_attempt_again_travels_whole(resume: Resume) -> None:
    assert read_resume(travelled(write_resume(resume))) == resume


@given(retries)
def test_a_delivery_that_is_in_no_store_travels_whole(retry: Retry) -> None:
    assert read_retry(travelled(write_retry(retry))) == retry


def test_a_body_that_is_text_travels_as_text() -> None:
    assert write_batch(sample_batch({"a": "å".encode()}))["message"]["bodies"] == {"a": {"text": "å"}}  # type: ignore[index,call-overload]


def test_recipient_validators_do_not_travel() -> None:
    batch = sample_batch({})
    own = evolve(batch.envelope.terms, recipient_validators=(print,))
    read = read_batch(write_batch(evolve(batch, envelope=evolve(batch.envelope, terms=own))))
    assert read.envelope.terms.recipient_validators == ()


def test_a_document_shows_no_body_where_it_is_printed() -> None:
    assert BODY not in repr(sample_batch({"a": BODY.encode()}))


# What cannot be read


UUIDS = (UUID(int=1), UUID(int=2))
NOW = datetime(2026, 1, 2, tzinfo=UTC)
TERMS = Terms(timeout=10.0, retry=RetryPolicy([1.0, 2.0], permanent=[404]))
NEEDS = Needs(event="order.created", store="a store", requirements=("a validator",))


def sample_batch(of: dict[str, Body]) -> Batch:
    audience = Audience(event="order.created", sender="acme", broadcast=True)
    envelope = Envelope(
        message_id=UUIDS[0], created_at=NOW, audience=audience, bodies=of, terms=TERMS, needs=NEEDS
    )
    return Batch(envelope=envelope, subscriptions=UUIDS)


RECORD = DeliveryRecord(
    id=UUIDS[0],
    message_id=UUIDS[1],
    event="order.created",
    created_at=NOW,
    sender="acme",
    subscription_id=UUIDS[0],
    origin="https://example.com",
    content_type="application/json",
    body=BODY.encode(),
    last=Attempt(
        number=1, started_at=NOW, duration=0.0, outcome=Outcome(OutcomeKind.RETRY, Reason.STATUS, NOW)
    ),
)
ALL_BODIES: dict[str, Body] = {
    "text": BODY.encode(),
    "binary": BODY.encode() + b"\xff",
    "none": SerializationError("$", "it cannot be written"),
}
KINDS: dict[str, tuple[Document, Callable[[object], object]]] = {
    "messages": (write_envelopes([sample_batch(ALL_BODIES).envelope]), read_envelopes),
    "batch": (write_batch(sample_batch(ALL_BODIES)), read_batch),
    "resume": (
        write_resume(Resume(at=NOW, deliveries=((UUIDS[0], 2),), terms=TERMS, needs=NEEDS)),
        read_resume,
    ),
    "retry": (write_retry(Retry(record=RECORD, terms=TERMS, needs=NEEDS)), read_retry),
}

each_kind = pytest.mark.parametrize(("document", "read"), KINDS.values(), ids=KINDS.keys())


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document: what it is in, and the key or the index."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


def variants(document: Document, change: Callable[[Any, Any], object]) -> Iterator[Any]:
    """Copies of a document, each of them changed in another place."""
    for number in range(len(list(places(document)))):
        copy = deepcopy(document)
        holder, key = list(places(copy))[number]
        if change(holder, key) is not False:
            yield copy


def put(value: object) -> Callable[[Any, Any], object]:
    return lambda holder, key: holder.__setitem__(key, deepcopy(value))


def leave_out(holder: Any, key: Any) -> object:
    # Lists may be shorter, and any content type may be missing.
    optional = isinstance(holder, list) or (key in ALL_BODIES and set(holder) == set(ALL_BODIES))
    return False if optional else holder.__delitem__(key)


def refusal(read: Callable[[object], object], document: object) -> str:
    with pytest.raises(Unreadable) as caught:
        read(document)
    return str(caught.value)


@each_kind
def test_a_document_that_lacks_any_part_is_refused(
    document: Document, read: Callable[[object], object]
) -> None:
    for changed in variants(document, leave_out):
        assert BODY not in refusal(read, changed)


@each_kind
def test_a_part_that_is_of_the_wrong_kind_is_refused(
    document: Document, read: Callable[[object], object]
) -> None:
    for changed in variants(document, put({"wrong": BODY})):
        assert BODY not in refusal(read, changed)


@each_kind
@pytest.mark.parametrize("wrong", [None, {}, [], BODY, 10**400, -1, 0.5, True, "\ud800"], ids=ascii)
def test_whatever_stands_in_a_document_reading_it_gives_a_value_or_refuses_it(
    document: Document, read: Callable[[object], object], wrong: object
) -> None:
    for changed in variants(document, put(wrong)):
        with suppress(Unreadable):
            read(changed)


def test_a_binary_body_with_characters_that_do_not_belong_there_is_refused() -> None:
    document = write_batch(sample_batch({"a": b"\xff" * 30}))
    text = json.dumps(document)
    assert "////" in text
    refusal(read_batch, json.loads(text.replace("////", "//!!//")))


@pytest.mark.parametrize("number", [0, -1])
def test_an_attempt_before_the_first_is_refused(number: int) -> None:
    document, read = KINDS["batch"]
    refusal(read, {**document, "number": number})


def test_a_delivery_cannot_have_been_attempted_less_than_never() -> None:
    document, read = KINDS["retry"]
    changed = travelled(document)
    changed["delivery"]["number"] = -1
    refusal(read, changed)


def test_a_time_limit_that_is_no_number_is_refused() -> None:
    document = deepcopy(KINDS["retry"][0])
    document["terms"]["timeout"] = float("nan")  # type: ignore[index,call-overload]  # it is a mapping
    refusal(read_retry, document)


def test_a_delivery_without_bytes_is_refused() -> None:
    document = deepcopy(KINDS["retry"][0])
    document["delivery"]["body"] = {"path": "$", "problem": "none"}  # type: ignore[index,call-overload]
    refusal(read_retry, document)


def test_a_moment_without_a_zone_is_refused() -> None:
    document, read = KINDS["resume"]
    refusal(read, {**document, "at": "2026-01-02T03:04:05"})


@each_kind
@pytest.mark.parametrize("other", [None, 0, 2, "1", BODY, [BODY], {"a": BODY}], ids=ascii)
def test_a_document_of_another_version_is_refused_whatever_else_is_in_it(
    document: Document, read: Callable[[object], object], other: object
) -> None:
    text = refusal(read, {"version": other, "later": "parts"})
    assert text.startswith("it is of version ")
    assert text.endswith("; this worker knows version 1")
    assert BODY not in text


@each_kind
@pytest.mark.parametrize("stranger", [None, BODY, 1, [], [BODY], {}], ids=ascii)
def test_what_is_no_document_of_ours_is_refused(
    document: Document, read: Callable[[object], object], stranger: object
) -> None:
    assert refusal(read, stranger).startswith("it is of version None")
