"""What every serializer promises."""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from uuid import UUID

import pytest
from attrs import evolve, frozen

from thornsdk.dispatching import is_json
from thornsdk.errors import InvalidHeader, SerializationError
from thornsdk.model import Delivery, check_header
from thornsdk.policy.plain import to_plain
from thornsdk.stages import HeaderNames, HeaderSerializer, Serializer
from thornsdk.testing.suites.clocks import put_forward
from thornsdk.testing.suites.headers import check_can_be_sent, check_named, check_names, check_pairs
from thornsdk.testing.suites.promises import (
    broken,
    check_pickles,
    check_stage,
    error_of,
    errors_of,
    fixture_wanted,
    keeps,
    not_tested,
    promise,
)
from thornsdk.testing.suites.running import side_by_side
from thornsdk.testing.values import make_delivery, make_message, make_subscription
from thornsdk.typing import Headers

_THREADS = 8
_TIMES = 50
_HIDDEN = "4111-1111"


class _State(StrEnum):
    PAID = "paid"


@frozen
class _Order:
    """A payload as applications declare them: what `to_plain` makes plain."""

    id: UUID
    total: Decimal
    placed_at: datetime
    state: _State


_ORDER = _Order(UUID(int=42), Decimal("9.90"), datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC), _State.PAID)


class Unwritable:
    """What no serializer knows how to write, with a secret in it that no error may quote."""

    def __init__(self) -> None:
        self.card: str = _HIDDEN
        """What must not be told."""

    def __repr__(self) -> str:
        return f"Unwritable(card={self.card!r})"


class SerializerSuite:
    """What every serializer promises; `serializer` is given by the class of tests that inherits it.

    Example:
        >>> import json
        >>> import pytest
        >>> from thornsdk import Serializer
        >>> from thornsdk.testing.suites import SerializerSuite
        >>> from thornsdk_plugins.json import JsonSerializer
        >>> class TestJson(SerializerSuite):
        ...     @pytest.fixture
        ...     def serializer(self) -> Serializer:
        ...         return JsonSerializer()
        ...
        ...     def read(self, body: bytes) -> object:
        ...         return json.loads(body)
    """

    @pytest.fixture
    def serializer(self) -> Serializer:
        """The serializer under test."""
        fixture_wanted(self, "serializer")

    def payloads(self) -> Sequence[object]:
        """Gives payloads that it can write, two at least, of which no two are written alike."""
        nested = {"id": 42, "name": "☃", "lines": [{"sku": "a", "count": 2}], "paid": True, "note": None}
        return ({"id": 42}, {"id": 43, "name": "Jane & Joe = 2"}, nested, _ORDER)

    def unwritable(self) -> Sequence[object]:
        """Gives payloads that it cannot write; none where it can write any object whatever."""
        return ({"id": 42, "card": Unwritable()}, {"cards": [Unwritable()]})

    def read(self, body: bytes) -> object:
        """Reads a body back, as the plain data that `to_plain` makes of the payload; where that is possible.

        Without it, whether a body says what the payload says is not tested.
        """
        not_tested(self, "no method `read` says how a body is read back")

    @promise
    def test_is_a_serializer(self, serializer: Serializer) -> None:
        """A serializer has a content type and a way to serialize of its own."""
        check_stage(serializer, Serializer)

    @promise
    def test_has_a_content_type_that_can_be_sent(self, serializer: Serializer) -> None:
        """A serializer's content type can stand in a header, and names a type such as ``text/csv``.

        Subscriptions choose by it, and it is the value of ``Content-Type`` (RFC 9110, section 8.3).
        """
        told = serializer.content_type
        keeps(isinstance(told, str), f"it is of the type {type(told).__name__}, not str")
        try:
            check_header("Content-Type", told)
        except InvalidHeader as exc:
            broken(f"{told!r}: {exc}", exc)
        kind, slash, subtype = told.partition(";")[0].strip().partition("/")
        keeps(bool(kind and slash and subtype), f"it is {told!r}, which has no type and subtype")

    @promise
    def test_keeps_its_content_type(self, serializer: Serializer) -> None:
        """A serializer's content type stays the same as long as it lives."""
        told = [serializer.content_type]
        for payload in self.payloads():
            serializer.serialize(make_message(payload))
            told.append(serializer.content_type)
        keeps(len(set(told)) == 1, f"it was {', then '.join(map(repr, dict.fromkeys(told)))}")

    @promise
    def test_gives_bytes(self, serializer: Serializer) -> None:
        """A serializer gives bytes: those are signed and sent."""
        for payload in self.payloads():
            body: object = serializer.serialize(make_message(payload))
            keeps(isinstance(body, bytes), f"for {payload!r} it gave a {type(body).__name__}")

    @promise
    def test_writes_a_message_alike_each_time(
        self, serializer: Serializer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A serializer writes the same message as the same bytes each time: a delivery is attempted often."""
        for payload in self.payloads():
            message = make_message(payload)
            bodies = {serializer.serialize(message) for _ in range(3)}
            with monkeypatch.context() as later:
                put_forward(later)
                bodies.add(serializer.serialize(message))
            keeps(len(bodies) == 1, f"{payload!r} was written in {len(bodies)} ways: {sorted(bodies)}")

    @promise
    def test_writes_different_payloads_differently(self, serializer: Serializer) -> None:
        """A serializer writes what the payload says: other payloads become other bytes."""
        message = make_message()
        messages = [evolve(message, payload=payload) for payload in self.payloads()]
        keeps(len(messages) > 1, "the method `payloads` gives fewer than two payloads to compare")
        bodies = {serializer.serialize(message) for message in messages}
        keeps(len(bodies) == len(messages), f"{len(messages)} payloads became {len(bodies)} bodies")

    @promise
    def test_leaves_the_payload_as_it_is(self, serializer: Serializer) -> None:
        """A serializer changes nothing in the payload: it is the application's, and others write it too."""
        for payload in self.payloads():
            before = deepcopy(payload)
            serializer.serialize(make_message(payload))
            keeps(payload == before, f"{before!r} became {payload!r}")

    @promise
    def test_says_what_it_cannot_write(self, serializer: Serializer) -> None:
        """A serializer raises a SerializationError, with a path in the payload, for what it cannot write."""
        for payload in self._unwritable():
            write = partial(serializer.serialize, make_message(payload))
            otherwise = f"a payload of `unwritable`, {_shape(payload)}, was written"
            error = error_of(SerializationError, write, otherwise)
            path: object = error.path
            sound = isinstance(path, str) and path.startswith("$")
            keeps(sound, f"the path is {path!r}; it begins with $, such as $.items[0].price")

    @promise
    def test_quotes_nothing_of_the_payload_in_an_error(self, serializer: Serializer) -> None:
        """A serializer's error quotes nothing that stands in the payload: it may be a secret."""
        for error in self._errors(serializer):
            keeps(_HIDDEN not in f"{error}{error!r}", f"the error says: {error}")

    @promise
    def test_raises_errors_that_pickle(self, serializer: Serializer) -> None:
        """A serializer's error pickles, so that it can cross processes."""
        for error in self._errors(serializer):
            check_pickles(error)

    @promise
    def test_writes_on_after_an_error(self, serializer: Serializer) -> None:
        """A serializer that could not write one message writes the next as if nothing had been."""
        message = make_message(self.payloads()[0])
        before = serializer.serialize(message)
        self._errors(serializer)
        after = serializer.serialize(message)
        keeps(after == before, f"before the error it wrote {before!r}, and after it {after!r}")

    @promise
    def test_serves_several_threads(self, serializer: Serializer) -> None:
        """A serializer serves several threads at once, and writes in each what it writes alone."""
        messages = [make_message(payload) for payload in self.payloads()]
        alone = [serializer.serialize(message) for message in messages]

        def write(number: int) -> list[int]:
            order = [(number + step) % len(messages) for step in range(_TIMES)]
            return [index for index in order if serializer.serialize(messages[index]) != alone[index]]

        wrong = sum(map(len, side_by_side(_THREADS, write)))
        keeps(wrong == 0, f"{wrong} of {_THREADS * _TIMES} bodies were others than those written alone")

    @promise
    def test_writes_json_where_it_says_so(self, serializer: Serializer) -> None:
        """A serializer whose content type is one of JSON writes JSON: ordering reads its fields."""
        if not is_json(serializer.content_type):
            not_tested(self, f"{serializer.content_type} is no type of JSON")
        for payload in self.payloads():
            body = serializer.serialize(make_message(payload))
            try:
                json.loads(body)
            except ValueError as exc:
                broken(f"{body!r} is no JSON: {exc}", exc)

    @promise
    def test_reads_back_as_it_was(self, serializer: Serializer) -> None:
        """A body reads back as what the payload says."""
        for payload in self.payloads():
            wanted = to_plain(payload)
            body = serializer.serialize(make_message(payload))
            told = self.read(body)
            keeps(told == wanted, f"{wanted!r} was written as {body!r}, and read back as {told!r}")

    @promise
    def test_writes_headers_that_can_be_sent(self, serializer: Serializer) -> None:
        """A serializer that writes headers too writes some that can be sent, none of the library, each once.

        RFC 9110, sections 5.1 and 5.5.
        """
        headers = self._writer_of_headers(serializer)(self._delivery(serializer))
        check_pairs(headers)
        check_can_be_sent(headers)
        check_names(headers)

    @promise
    def test_writes_headers_alike_each_time(self, serializer: Serializer) -> None:
        """A serializer that writes headers too writes the same of a delivery each time.

        It is attempted often, and in any process.
        """
        write, delivery = self._writer_of_headers(serializer), self._delivery(serializer)
        one, another = write(delivery), write(delivery)
        keeps(one == another, f"it wrote {one!r}, and then {another!r}")

    @promise
    def test_writes_the_headers_that_it_names(self, serializer: Serializer) -> None:
        """A serializer that names its headers beforehand names them in lower case, and writes no others."""
        if not isinstance(serializer, HeaderNames):
            not_tested(self, "the serializer has no `header_names`, and need not")
        check_named(serializer.header_names, self._writer_of_headers(serializer)(self._delivery(serializer)))

    def _writer_of_headers(self, serializer: Serializer) -> Callable[[Delivery], Headers]:
        if not (isinstance(serializer, HeaderSerializer) and callable(serializer.headers)):
            not_tested(self, "the serializer has no method `headers`, and need not")
        return serializer.headers

    def _delivery(self, serializer: Serializer) -> Delivery:
        to = make_subscription(content_type=serializer.content_type)
        return make_delivery(serializer.serialize(make_message(self.payloads()[0])), to=to)

    def _unwritable(self) -> Sequence[object]:
        return self.unwritable() or not_tested(self, "it writes any object: `unwritable` gives nothing")

    def _errors(self, serializer: Serializer) -> list[Exception]:
        """Gives what is raised, of whatever kind."""
        messages = [make_message(payload) for payload in self._unwritable()]
        return errors_of(partial(serializer.serialize, one) for one in messages)


def _shape(payload: object) -> str:
    """Says what a payload is, without what is in it."""
    names = f" with {', '.join(map(str, payload))}" if isinstance(payload, Mapping) else ""
    return f"a {type(payload).__name__}{names}"
