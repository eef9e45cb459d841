import logging
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path

import pytest
from attrs import evolve

from mutants import EVERYTHING, Mutant
from thornsdk import Exchange, Reason, Request, Response, Transport, exchange
from thornsdk.errors import TransportError
from thornsdk.testing.suites import Arrived, TransportSuite

PATIENCE = 2.0
LATENESS = 0.2
LOFT = ip_address("192.0.2.1")


class Loft:
    """Where pigeons fly to; what arrived is in a file, for a child process brings some of it."""

    url = "pigeon://127.0.0.1/loft"
    nobody = "pigeon://nobody.example/"
    refusing = "pigeon://refusing.example/"
    silent = "pigeon://silent.example/"
    breaking = "pigeon://breaking.example/"
    dripping = "pigeon://dripping.example/"

    def __init__(self, folder: Path) -> None:
        self._file = folder / "arrived"
        self._file.touch()
        self.closed = folder / "closed"

    def arrive(self, request: Request, body: bytes) -> None:
        data = pickle.dumps((body, request.headers))
        arrived = os.open(self._file, os.O_WRONLY | os.O_APPEND)
        os.write(arrived, data)
        os.close(arrived)

    def arrived(self) -> Sequence[Arrived]:
        return list(self._read())

    def _read(self) -> Iterator[Arrived]:
        with self._file.open("rb") as file:
            while file.peek(1):
                body, headers = pickle.load(file)
                yield Arrived(body=body, headers=headers)


class Sound(Mutant, Transport):
    """Breaks nothing."""

    schemes = frozenset({"pigeon"})
    user_agent = "pigeon/1"

    def __init__(self, loft: Loft) -> None:
        self.loft = loft

    def send(self, request: Request) -> Response:
        if self.forbidden(request) is not None:
            raise TransportError(Reason.ADDRESS_FORBIDDEN, "the loft is forbidden")
        if request.url.host == "nobody.example":
            self.refused(request)
        if request.url.host == "silent.example":
            self.not_answered(request)
        self.fly(request)
        if request.url.host == "breaking.example":
            self.lost(request)
        if request.url.host == "dripping.example":
            self.not_answered_to_the_end(request)
        return Response(status=self.answer(request))

    def answer(self, request: Request) -> int:
        return 503 if request.url.host == "refusing.example" else 200

    def forbidden(self, request: Request) -> str | None:
        return request.guard(LOFT)

    def refused(self, request: Request) -> None:
        raise TransportError(Reason.CONNECTION_REFUSED, "nobody.example has no loft")

    def not_answered(self, request: Request) -> None:
        raise TransportError(Reason.TIMEOUT, "no pigeon came back in time")

    def lost(self, request: Request) -> None:
        raise TransportError(Reason.CONNECTION_LOST, "a hawk took the pigeon")

    def not_answered_to_the_end(self, request: Request) -> None:
        raise TransportError(Reason.TIMEOUT, "not all pigeons came back in time")

    def fly(self, request: Request) -> None:
        self.loft.arrive(request, request.body)


# One request


class Forgetful(Mutant, Transport):
    """Inherits a part from the protocol, where it is nothing."""

    breaks = "test_is_a_transport"
    also = frozenset({"test_names_its_client"})
    schemes = Sound.schemes

    def __init__(self, loft: Loft) -> None:
        self.sound = Sound(loft)

    def send(self, request: Request) -> Response:
        return self.sound.send(request)


class Shouting(Sound):
    breaks = "test_names_its_schemes"
    schemes = frozenset({"pigeon", "Dove"})


class NoScheme(Sound):
    breaks = "test_names_its_schemes"
    schemes = frozenset({"pigeon", "carrier pigeon"})


class ListOfSchemes(Sound):
    breaks = "test_names_its_schemes"
    schemes = ["pigeon"]  # type: ignore[assignment]  # noqa: RUF012 - on purpose


class TwoLines(Sound):
    breaks = "test_names_its_client"
    user_agent = "pigeon/1\r\nX-Injected: yes"


class Nameless(Sound):
    breaks = "test_names_its_client"
    user_agent = ""


class OfAnotherScheme(Sound):
    breaks = "test_serves_the_url_of_its_far_side"
    schemes = frozenset({"dove"})


class Strips(Sound):
    breaks = "test_sends_the_exact_bytes"

    def fly(self, request: Request) -> None:
        self.loft.arrive(request, request.body.strip())


class LeavesOutEmptyHeaders(Sound):
    breaks = "test_sends_all_headers"

    def fly(self, request: Request) -> None:
        kept = tuple((name, value) for name, value in request.headers if value)
        self.loft.arrive(evolve(request, headers=kept), request.body)


class SendsOneTwice(Sound):
    breaks = "test_sends_a_request_once"
    also = frozenset({"test_sends_each_of_many"})

    def fly(self, request: Request) -> None:
        for _ in range(2 if request.body == b"4" else 1):
            super().fly(request)


class OddStatus(Sound):
    breaks = "test_gives_the_answer"

    def send(self, request: Request) -> Response:
        answer = super().send(request)
        return evolve(answer, status=HTTPStatus(answer.status))


class NoResponse(Sound):
    breaks = "test_gives_the_answer"
    also = EVERYTHING

    def send(self, request: Request) -> Response:
        return super().send(request).status  # type: ignore[return-value]  # on purpose


class AlwaysAccepted(Sound):
    """Tells of another success than that of HTTP."""

    breaks = "test_gives_the_answer"
    also = EVERYTHING

    def send(self, request: Request) -> Response:
        return evolve(super().send(request), status=0)


class TakesNoForYes(Sound):
    breaks = "test_tells_a_refusal"

    def answer(self, request: Request) -> int:
        return 200


# Many requests


class Many(Sound):
    """Does with many requests what `Transport` does."""

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for request in requests:
            yield exchange(self.send, request)


class GivesOneTwice(Many):
    breaks = "test_gives_one_result_for_each_request"
    also = frozenset({"test_reads_a_stream_to_its_end_and_no_further"})

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for number, one in enumerate(super().send_many(requests)):
            yield one
            if number == 0:
                yield one


class LosesTheLast(Many):
    breaks = "test_gives_one_result_for_each_request"
    also = frozenset(
        {
            "test_reads_a_stream_to_its_end_and_no_further",
            "test_gives_a_failure_as_a_result",
            "test_serves_several_streams",
        }
    )

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        before: Exchange | None = None
        for one in super().send_many(requests):
            if before is not None:
                yield before
            before = one


class GivesNothing(Many):
    breaks = "test_gives_one_result_for_each_request"
    also = EVERYTHING

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        return iter(())


class Copies(Many):
    """Gives requests that are equal to those that it was given."""

    breaks = "test_gives_one_result_for_each_request"
    also = frozenset({"test_gives_a_failure_as_a_result", "test_serves_several_streams"})

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in super().send_many(requests):
            yield evolve(one, request=evolve(one.request))


class LosesOneOfMany(Many):
    breaks = "test_sends_each_of_many"

    def fly(self, request: Request) -> None:
        if request.body != b"7":
            super().fly(request)


class WantsOneAtLeast(Many):
    breaks = "test_gives_nothing_for_nothing"

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        stream = iter(requests)
        yield exchange(self.send, next(stream))
        yield from super().send_many(stream)


class ReadsElsewhere(Many):
    breaks = "test_reads_requests_in_the_callers_thread"

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        stream = iter(requests)
        with ThreadPoolExecutor(1) as reader:
            while (request := reader.submit(next, stream, None).result()) is not None:
                yield exchange(self.send, request)


class ReadsAllAtFirst(Many):
    breaks = "test_reads_requests_as_it_sends_them"

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        return super().send_many(list(requests))


class ReadsTwoForOne(Many):
    breaks = "test_reads_requests_as_it_sends_them"
    also = frozenset({"test_reads_a_stream_to_its_end_and_no_further"})

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        stream, waiting = iter(requests), deque[Request]()
        while True:
            waiting.extend(request for _ in range(2) if (request := next(stream, None)) is not None)
            if not waiting:
                return
            yield exchange(self.send, waiting.popleft())


class AsksAgain(Many):
    breaks = "test_reads_a_stream_to_its_end_and_no_further"

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        stream = iter(requests)
        yield from super().send_many(stream)
        yield from super().send_many(stream)


class SendsTheRestAnyway(Many):
    breaks = "test_may_be_left_early"

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        stream = iter(requests)
        try:
            yield from super().send_many(stream)
        finally:
            for request in stream:
                self.send(request)


class RaisesAFailure(Many):
    breaks = "test_gives_a_failure_as_a_result"
    also = frozenset({"test_serves_several_streams"})

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in super().send_many(requests):
            if isinstance(one.result, TransportError):
                raise one.result
            yield one


class CountsInMilliseconds(Many):
    breaks = "test_tells_when_and_how_long"

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in super().send_many(requests):
            yield evolve(one, duration=one.duration * 1000 + 1)


class LocalTime(Many):
    breaks = "test_tells_when_and_how_long"

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in super().send_many(requests):
            yield evolve(one, started_at=datetime.now())  # noqa: DTZ005 - on purpose


class TakenUpBefore(Many):
    breaks = "test_tells_when_and_how_long"

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in super().send_many(requests):
            yield evolve(one, started_at=datetime.fromtimestamp(0, one.started_at.tzinfo))


# Troubles


class SaysThatItIsBroken(Sound):
    breaks = "test_says_that_nobody_is_there"

    def refused(self, request: Request) -> None:
        raise TransportError(Reason.STAGE_FAILED, "nobody.example has no loft")


class ErrorsOfTheSystem(Sound):
    breaks = "test_says_that_nobody_is_there"
    also = frozenset({"test_serves_several_threads"})

    def refused(self, request: Request) -> None:
        raise ConnectionRefusedError("nobody.example has no loft")


class WaitsForEver(Sound):
    breaks = "test_keeps_the_deadline"
    also = frozenset(
        {"test_serves_on_after_a_failure", "test_tells_no_secret", "test_raises_errors_that_pickle"}
    )

    def not_answered(self, request: Request) -> None:
        time.sleep(2 * PATIENCE)


class HasItsOwnTime(Sound):
    """Gives up when it is tired, whatever the deadline is."""

    breaks = "test_keeps_the_deadline"

    def not_answered(self, request: Request) -> None:
        time.sleep(request.timeout + 2 * LATENESS)
        super().not_answered(request)


class LostInTime(Sound):
    breaks = "test_keeps_the_deadline"

    def not_answered(self, request: Request) -> None:
        raise TransportError(Reason.CONNECTION_LOST, "no pigeon came back")


class SendsAgainInTime(Sound):
    breaks = "test_keeps_the_deadline"

    def not_answered(self, request: Request) -> None:
        self.fly(request)
        self.fly(request)
        super().not_answered(request)


class WaitsForEachByte(Sound):
    """Has a time limit for each byte, and none for them all."""

    breaks = "test_keeps_the_deadline_while_it_reads"

    def not_answered_to_the_end(self, request: Request) -> None:
        time.sleep(2 * PATIENCE)


class IsContentWithTheBeginning(Sound):
    breaks = "test_keeps_the_deadline_while_it_reads"

    def not_answered_to_the_end(self, request: Request) -> None:
        pass


class SendsAgainWhatWasLost(Sound):
    breaks = "test_sends_nothing_again_by_itself"

    def lost(self, request: Request) -> None:
        self.fly(request)
        super().lost(request)


class SaysThatNothingWasSent(Sound):
    breaks = "test_sends_nothing_again_by_itself"

    def lost(self, request: Request) -> None:
        self.refused(request)


class BrokenByAFailure(Sound):
    breaks = "test_serves_on_after_a_failure"
    also = frozenset(
        {"test_gives_a_failure_as_a_result", "test_serves_several_threads", "test_serves_several_streams"}
    )
    broken = False

    def refused(self, request: Request) -> None:
        self.broken = True
        super().refused(request)

    def fly(self, request: Request) -> None:
        if self.broken:
            raise TransportError(Reason.CONNECTION_LOST, "the pigeons are afraid")
        super().fly(request)


class AsksNobody(Sound):
    breaks = "test_sends_nothing_to_a_forbidden_address"

    def forbidden(self, request: Request) -> str | None:
        return None


class AsksTooLate(Sound):
    breaks = "test_sends_nothing_to_a_forbidden_address"

    def forbidden(self, request: Request) -> str | None:
        if request.guard(LOFT) is not None:
            self.fly(request)
        return request.guard(LOFT)


class ConnectsBeforeItAsks(Sound):
    breaks = "test_sends_nothing_to_a_forbidden_address"

    def forbidden(self, request: Request) -> str | None:
        if request.url.host == "nobody.example":
            self.refused(request)
        return super().forbidden(request)


class AsksNobodyAboutNames(Sound):
    breaks = "test_sends_nothing_to_a_forbidden_address"

    def forbidden(self, request: Request) -> str | None:
        return None if request.url.host == "localhost" else super().forbidden(request)


class ForbidsWithoutAReason(Sound):
    breaks = "test_sends_nothing_to_a_forbidden_address"

    def forbidden(self, request: Request) -> str | None:
        if request.guard(LOFT) is not None:
            raise TransportError(Reason.UNREACHABLE, "the loft is forbidden")
        return None


class QuotesTheUrl(Sound):
    breaks = "test_tells_no_secret"

    def refused(self, request: Request) -> None:
        raise TransportError(Reason.CONNECTION_REFUSED, f"nothing is at {request.url}")


class LogsTheBody(Sound):
    breaks = "test_tells_no_secret"

    def not_answered(self, request: Request) -> None:
        logging.getLogger("pigeon").debug("lost on the way: %r", request.body)
        super().not_answered(request)


class LogsWhatArrives(Sound):
    breaks = "test_tells_no_secret"

    def fly(self, request: Request) -> None:
        logging.getLogger("pigeon").info("flies to %s", request.url.text)
        super().fly(request)


class LogsATraceback(Sound):
    breaks = "test_tells_no_secret"

    def refused(self, request: Request) -> None:
        logging.getLogger("pigeon").warning("refused", exc_info=ValueError(request.url.text))
        super().refused(request)


class ErrorThatDoesNotPickle(TransportError):
    def __init__(self, loft: str) -> None:
        super().__init__(Reason.CONNECTION_REFUSED, f"{loft} has no loft")


class ErrorsThatDoNotPickle(Sound):
    breaks = "test_raises_errors_that_pickle"

    def refused(self, request: Request) -> None:
        raise ErrorThatDoesNotPickle("nobody.example")


# Life


class NotForThreads(Sound):
    breaks = "test_serves_several_threads"
    request: Request | None = None

    def fly(self, request: Request) -> None:
        self.request = request
        time.sleep(0.0001)
        super().fly(self.request)


class OneHeapOfResults(Many):
    breaks = "test_serves_several_streams"

    def __init__(self, loft: Loft) -> None:
        super().__init__(loft)
        self.heap: list[Exchange] = []

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in super().send_many(requests):
            self.heap.append(one)
            time.sleep(0.001)
            yield self.heap.pop()


class OneResultForAll(Sound):
    """Keeps the last result on itself, so that a thread gets that of another one."""

    breaks = "test_serves_several_threads"
    also = frozenset({"test_serves_several_streams"})
    last: Response | TransportError

    def send(self, request: Request) -> Response:
        self.last = exchange(super().send, request).result
        time.sleep(0.001)
        if isinstance(self.last, TransportError):
            raise self.last
        return self.last


class MixesStreams(Many):
    """Gives each stream its own requests, with the results of others."""

    breaks = "test_serves_several_streams"
    last: Exchange

    def send_many(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in super().send_many(requests):
            self.last = one
            time.sleep(0.001)
            yield evolve(one, result=self.last.result)


class ClosesOnce(Sound):
    breaks = "test_closes_twice"
    closed = False

    def close(self) -> None:
        if self.closed:
            raise ValueError("it is closed")
        self.closed = True


class ClosesWhatWasUsed(Sound):
    breaks = "test_closes_unused"
    opened = False

    def fly(self, request: Request) -> None:
        self.opened = True
        super().fly(request)

    def close(self) -> None:
        if not self.opened:
            raise AttributeError("it was never opened")


class HangsWhenClosed(Sound):
    breaks = "test_does_not_hang_after_its_end"
    closed = False

    def fly(self, request: Request) -> None:
        time.sleep(2 * PATIENCE if self.closed else 0)
        super().fly(request)

    def close(self) -> None:
        self.closed = True


class OtherErrorsWhenClosed(Sound):
    breaks = "test_does_not_hang_after_its_end"
    closed = False

    def fly(self, request: Request) -> None:
        if self.closed:
            raise AttributeError("'NoneType' object has no attribute 'fly'")
        super().fly(request)

    def close(self) -> None:
        self.closed = True


class KeepsTheProcess(Sound):
    breaks = "test_lets_the_process_end"
    thread: threading.Thread | None = None

    def fly(self, request: Request) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=time.sleep, args=(2 * PATIENCE,))
            self.thread.start()
        super().fly(request)


class OfOneProcess(Sound):
    breaks = "test_serves_after_a_fork"

    def __init__(self, loft: Loft) -> None:
        super().__init__(loft)
        self.process = os.getpid()

    def fly(self, request: Request) -> None:
        if os.getpid() != self.process:
            raise TransportError(Reason.CONNECTION_LOST, "the pigeons are at home")
        super().fly(request)


class DiesInAChild(OfOneProcess):
    def fly(self, request: Request) -> None:
        if os.getpid() != self.process:
            os._exit(3)
        super().fly(request)


class HangsInAChild(OfOneProcess):
    def fly(self, request: Request) -> None:
        time.sleep(0 if os.getpid() == self.process else 2 * PATIENCE)
        super().fly(request)


class ChildClosesForAll(OfOneProcess):
    """Its child ends what its parent has opened."""

    def fly(self, request: Request) -> None:
        if self.loft.closed.exists():
            raise TransportError(Reason.CONNECTION_LOST, "the loft is closed")
        self.loft.arrive(request, request.body)

    def close(self) -> None:
        if os.getpid() != self.process:
            self.loft.closed.touch()


MUTANTS = [
    Sound,
    Forgetful,
    Shouting,
    NoScheme,
    ListOfSchemes,
    TwoLines,
    Nameless,
    OfAnotherScheme,
    Strips,
    LeavesOutEmptyHeaders,
    SendsOneTwice,
    OddStatus,
    NoResponse,
    AlwaysAccepted,
    TakesNoForYes,
    Many,
    GivesOneTwice,
    LosesTheLast,
    GivesNothing,
    Copies,
    LosesOneOfMany,
    WantsOneAtLeast,
    ReadsElsewhere,
    ReadsAllAtFirst,
    ReadsTwoForOne,
    AsksAgain,
    SendsTheRestAnyway,
    RaisesAFailure,
    CountsInMilliseconds,
    LocalTime,
    TakenUpBefore,
    SaysThatItIsBroken,
    ErrorsOfTheSystem,
    WaitsForEver,
    HasItsOwnTime,
    LostInTime,
    SendsAgainInTime,
    WaitsForEachByte,
    IsContentWithTheBeginning,
    SendsAgainWhatWasLost,
    SaysThatNothingWasSent,
    BrokenByAFailure,
    AsksNobody,
    AsksTooLate,
    ConnectsBeforeItAsks,
    AsksNobodyAboutNames,
    ForbidsWithoutAReason,
    QuotesTheUrl,
    LogsTheBody,
    LogsWhatArrives,
    LogsATraceback,
    ErrorsThatDoNotPickle,
    NotForThreads,
    OneHeapOfResults,
    OneResultForAll,
    MixesStreams,
    ClosesOnce,
    ClosesWhatWasUsed,
    HangsWhenClosed,
    OtherErrorsWhenClosed,
    KeepsTheProcess,
    OfOneProcess,
    DiesInAChild,
    HangsInAChild,
    ChildClosesForAll,
]


class TestMutants(TransportSuite):
    patience = PATIENCE
    lateness = LATENESS
    reads_ahead = 30

    @pytest.fixture
    def far_side(self, tmp_path: Path) -> Loft:
        return Loft(tmp_path)

    @pytest.fixture(params=MUTANTS)
    def transport(self, request: pytest.FixtureRequest, far_side: Loft) -> Transport:
        made: Transport = request.param(far_side)
        return made
