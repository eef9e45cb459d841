import json
import time
from typing import Any

import pytest

from mutants import EVERYTHING, Mutant
from thornsdk import Delivery, Message, Serializer, to_plain
from thornsdk.errors import SerializationError
from thornsdk.testing.suites import SerializerSuite
from thornsdk.typing import Headers


class Sound(Mutant):
    """Breaks nothing."""

    content_type = "application/json"

    def serialize(self, message: Message[object]) -> bytes:
        return self.write(message.payload)

    def write(self, payload: object) -> bytes:
        return json.dumps(to_plain(payload)).encode()


class Forgetful(Mutant, Serializer):
    """Inherits its method from the protocol, where it does nothing."""

    breaks = "test_is_a_serializer"
    also = EVERYTHING
    content_type = "application/json"


class TypeWithoutSubtype(Sound):
    breaks = "test_has_a_content_type_that_can_be_sent"
    content_type = "csv"


class TypeInTwoLines(Sound):
    breaks = "test_has_a_content_type_that_can_be_sent"
    content_type = "text/csv\r\nHook-Event: a.b"


class TypeThatIsNoText(Sound):
    breaks = "test_has_a_content_type_that_can_be_sent"
    also = frozenset({"test_writes_json_where_it_says_so"})
    content_type = b"text/csv"  # type: ignore[assignment]  # on purpose


class TypeThatChanges(Sound):
    breaks = "test_keeps_its_content_type"

    def serialize(self, message: Message[object]) -> bytes:
        self.content_type = "application/problem+json"
        return super().serialize(message)


class View(Sound):
    breaks = "test_gives_bytes"
    also = frozenset({"test_writes_json_where_it_says_so"})

    def serialize(self, message: Message[object]) -> bytes:
        return memoryview(super().serialize(message))  # type: ignore[return-value]  # on purpose


class NeverTheSame(Sound):
    breaks = "test_writes_a_message_alike_each_time"
    also = frozenset({"test_writes_on_after_an_error", "test_serves_several_threads"})
    times = 0

    def serialize(self, message: Message[object]) -> bytes:
        self.times += 1
        return super().serialize(message) + b" " * self.times


class WithTheDate(Sound):
    breaks = "test_writes_a_message_alike_each_time"

    def serialize(self, message: Message[object]) -> bytes:
        return super().serialize(message) + b" " * (int(time.time()) // 86_400 % 1000)


class JsonAlone(Sound):
    """Writes what `json` knows, and nothing that an application declares."""

    breaks = "test_gives_bytes"
    also = EVERYTHING

    def serialize(self, message: Message[object]) -> bytes:
        try:
            return json.dumps(message.payload).encode()
        except TypeError as exc:
            raise SerializationError("$", "it is no JSON") from exc


class AlwaysTheSame(Sound):
    breaks = "test_writes_different_payloads_differently"
    also = frozenset({"test_reads_back_as_it_was"})

    def serialize(self, message: Message[object]) -> bytes:
        super().serialize(message)
        return b"{}"


class WritesIntoThePayload(Sound):
    breaks = "test_leaves_the_payload_as_it_is"

    def serialize(self, message: Message[object]) -> bytes:
        payload: Any = message.payload
        if not isinstance(payload, dict):
            return self.write(payload)
        written = self.write({name: value for name, value in payload.items() if name != "_written"})
        payload["_written"] = True
        return written


class OtherErrors(Sound):
    breaks = "test_says_what_it_cannot_write"

    def serialize(self, message: Message[object]) -> bytes:
        try:
            return super().serialize(message)
        except SerializationError:
            raise TypeError("it cannot be written") from None


class ErrorsWithoutPlace(Sound):
    breaks = "test_says_what_it_cannot_write"

    def serialize(self, message: Message[object]) -> bytes:
        try:
            return super().serialize(message)
        except SerializationError as exc:
            raise SerializationError("somewhere", exc.problem) from None


class WritesAnything(Sound):
    breaks = "test_says_what_it_cannot_write"
    also = frozenset({"test_reads_back_as_it_was"})

    def serialize(self, message: Message[object]) -> bytes:
        return json.dumps(message.payload, default=lambda _: None).encode()


class ErrorsWithThePayload(Sound):
    breaks = "test_quotes_nothing_of_the_payload_in_an_error"

    def serialize(self, message: Message[object]) -> bytes:
        try:
            return super().serialize(message)
        except SerializationError as exc:
            raise SerializationError(exc.path, f"{message.payload} cannot be written") from None


class ErrorThatDoesNotPickle(SerializationError):
    def __init__(self, path: str) -> None:
        super().__init__(path, "it cannot be written")


class ErrorsThatDoNotPickle(Sound):
    breaks = "test_raises_errors_that_pickle"

    def serialize(self, message: Message[object]) -> bytes:
        try:
            return super().serialize(message)
        except SerializationError as exc:
            raise ErrorThatDoesNotPickle(exc.path) from None


class BrokenByAnError(Sound):
    breaks = "test_writes_on_after_an_error"
    prefix = b""

    def serialize(self, message: Message[object]) -> bytes:
        try:
            return self.prefix + super().serialize(message)
        except SerializationError:
            self.prefix += b" "
            raise


class NotForThreads(Sound):
    breaks = "test_serves_several_threads"
    payload: object = None

    def serialize(self, message: Message[object]) -> bytes:
        self.payload = message.payload
        time.sleep(0.0001)
        return self.write(self.payload)


class NoJson(Sound):
    breaks = "test_writes_json_where_it_says_so"

    def serialize(self, message: Message[object]) -> bytes:
        return super().serialize(message) + b";"


class AllNumbersAsText(Sound):
    breaks = "test_reads_back_as_it_was"

    def write(self, payload: object) -> bytes:
        return json.dumps(to_plain(payload)).replace("42", '"42"').encode()


class WithHeaders(Sound):
    """Writes headers too, and breaks nothing."""

    def headers(self, delivery: Delivery) -> Headers:
        return (("Shop-Event", delivery.event),)


class HeadersAsMapping(WithHeaders):
    breaks = "test_writes_headers_that_can_be_sent"

    def headers(self, delivery: Delivery) -> Headers:
        return dict(super().headers(delivery))  # type: ignore[return-value]  # on purpose


class HeadersThatAreNotAscii(WithHeaders):
    breaks = "test_writes_headers_that_can_be_sent"

    def headers(self, delivery: Delivery) -> Headers:
        return (("Shop-Event", "bestellung ü"),)


class HeadersOfTheLibrary(WithHeaders):
    breaks = "test_writes_headers_that_can_be_sent"

    def headers(self, delivery: Delivery) -> Headers:
        return (("Content-Type", self.content_type),)


class WithHeadersThatItNames(WithHeaders):
    """Breaks nothing."""

    header_names = frozenset({"shop-event"})


class NamesOtherHeaders(WithHeaders):
    breaks = "test_writes_the_headers_that_it_names"
    header_names = frozenset({"shop-name"})


class HeadersThatChange(WithHeaders):
    breaks = "test_writes_headers_alike_each_time"
    times = 0

    def headers(self, delivery: Delivery) -> Headers:
        self.times += 1
        return (("Shop-Attempt", str(self.times)),)


MUTANTS = [
    Sound,
    Forgetful,
    TypeWithoutSubtype,
    TypeInTwoLines,
    TypeThatIsNoText,
    TypeThatChanges,
    View,
    NeverTheSame,
    WithTheDate,
    JsonAlone,
    AlwaysTheSame,
    WritesIntoThePayload,
    OtherErrors,
    ErrorsWithoutPlace,
    WritesAnything,
    ErrorsWithThePayload,
    ErrorsThatDoNotPickle,
    BrokenByAnError,
    NotForThreads,
    NoJson,
    AllNumbersAsText,
    WithHeaders,
    HeadersAsMapping,
    HeadersThatAreNotAscii,
    HeadersOfTheLibrary,
    WithHeadersThatItNames,
    NamesOtherHeaders,
    HeadersThatChange,
]


class TestMutants(SerializerSuite):
    @pytest.fixture(params=MUTANTS)
    def serializer(self, request: pytest.FixtureRequest) -> Serializer:
        made: Serializer = request.param()
        return made

    def read(self, body: bytes) -> object:
        return json.loads(bytes(body).rstrip(b";"))
