"""A pass through several transports: none waits for another, and all else happens in the caller's thread."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.runs import DELIVERED, STAGE_RETRY, plan, results, run
from support.stages import (
    BrokenSigner,
    ProgrammedTransport,
    accepts,
    answered,
    make_pipeline,
    make_subscription,
)
from thornsdk import Delivery, Exchange, OutcomeKind, Planned, Reason, Request, Response, Transport
from thornsdk.errors import StoreFull
from thornsdk.lanes import Lane
from thornsdk.testing import RecordingSigner, RecordingTransport
from thornsdk.typing import Headers

PATIENCE = 10.0


def plans(*schemes: str) -> list[Planned]:
    """A delivery for each scheme, to subscriptions with the numbers 1, 2, 3 and so on."""
    return [
        plan(make_subscription(number, url=f"{scheme}://receiver.test/{number}"))
        for number, scheme in enumerate(schemes, 1)
    ]


def transports(
    programs: Sequence[Callable[[Iterable[Request]], Iterator[Exchange]]],
) -> list[Transport]:
    """A transport for each program, that serve the schemes a, b, c and so on."""
    return [ProgrammedTransport(one, "abcdef"[number]) for number, one in enumerate(programs)]


def in_turn(requests: Iterable[Request]) -> Iterator[Exchange]:
    return map(answered, requests)


def all_at_once(requests: Iterable[Request]) -> Iterator[Exchange]:
    return map(answered, list(requests))


def nothing(requests: Iterable[Request]) -> Iterator[Exchange]:
    return iter(())


def breaks_after_one(requests: Iterable[Request]) -> Iterator[Exchange]:
    yield answered(next(iter(requests)))
    next(iter(requests), None)
    raise LookupError


def meeting(barrier: threading.Barrier) -> Callable[[Request], Response]:
    """Answers when as many requests are in flight as the barrier wants."""

    def answer(request: Request) -> Response:
        barrier.wait(PATIENCE)
        return accepts(request)

    return answer


def noted(note: Callable[[], object]) -> Callable[[Request], Response]:
    """Notes something with each request, and answers."""

    def answer(request: Request) -> Response:
        note()
        return accepts(request)

    return answer


# What is side by side


def test_a_transport_that_hangs_holds_up_no_other() -> None:
    others_have_arrived = threading.Event()

    def hang(request: Request) -> Response:
        assert others_have_arrived.wait(PATIENCE)
        return accepts(request)

    hanging = RecordingTransport(hang, ["a"])
    records = run(make_pipeline([hanging, RecordingTransport(schemes=["b"])]), plans("a", "b", "b"))
    assert {next(records).subscription_id.int, next(records).subscription_id.int} == {2, 3}
    others_have_arrived.set()
    assert [one.subscription_id.int for one in records] == [1]


def test_what_alternates_between_transports_keeps_all_of_them_busy() -> None:
    barrier = threading.Barrier(3)
    three = [RecordingTransport(meeting(barrier), [scheme]) for scheme in "abc"]
    assert [one[1:] for one in results(make_pipeline(three), plans(*"abc" * 5))] == [DELIVERED] * 15


def test_each_transport_gets_its_own() -> None:
    a, b = RecordingTransport(schemes=["a", "c"]), RecordingTransport(schemes=["b"])
    results(make_pipeline([a, b]), plans(*"abcab"))
    assert [one.url.target for one in a.requests] == ["/1", "/3", "/4"]
    assert [one.url.target for one in b.requests] == ["/2", "/5"]


def test_what_its_transport_has_no_room_for_is_kept_in_hand_and_no_more_is_read() -> None:
    begun, go_on = threading.Event(), threading.Event()
    read: list[int] = []

    def waits(request: Request) -> Response:
        begun.set()
        assert go_on.wait(PATIENCE)
        return accepts(request)

    def stream() -> Iterator[Planned]:
        for one in plans(*"abaaaa"):
            read.append(one.delivery.subscription.id.int)
            yield one

    records = run(
        make_pipeline([RecordingTransport(waits, ["a"]), RecordingTransport(schemes=["b"])]), stream()
    )
    assert next(records).subscription_id.int == 2
    assert begun.wait(PATIENCE)
    assert read == [1, 2, 3]
    go_on.set()
    assert len(list(records)) == 5


# What stays in the caller's thread


class ThreadNotingSigner(RecordingSigner):
    """Notes in which thread it signs."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def sign(self, delivery: Delivery, at: object) -> Headers:
        self.threads.add(threading.get_ident())
        return ()


def test_requests_are_read_and_built_and_results_settled_in_the_callers_thread() -> None:
    signer, threads = ThreadNotingSigner(), set[int]()

    def stream() -> Iterator[Planned]:
        for one in plans(*"ababab"):
            threads.add(threading.get_ident())
            yield one

    pipeline = make_pipeline(transports([in_turn, all_at_once]), signers=[signer])
    assert len(list(run(pipeline, stream(), lambda _: threads.add(threading.get_ident())))) == 6
    assert threads == signer.threads == {threading.get_ident()}


def test_a_transport_has_the_context_of_the_caller() -> None:
    customer: ContextVar[str] = ContextVar("customer")
    seen: list[str] = []
    customer.set("acme")
    noting = RecordingTransport(noted(lambda: seen.append(customer.get())), ["a"])
    results(make_pipeline([noting, RecordingTransport(schemes=["b"])]), plans(*"abab"))
    assert seen == ["acme", "acme"]


@pytest.mark.parametrize("schemes", ["", "a"])
def test_a_single_delivery_needs_no_thread(schemes: str) -> None:
    threads: set[int] = set()
    noting = RecordingTransport(noted(lambda: threads.add(threading.get_ident())), ["a"])
    results(make_pipeline([noting, RecordingTransport(schemes=["b"])]), plans(*schemes))
    assert threads <= {threading.get_ident()}


# Where something goes wrong


def test_a_transport_that_breaks_costs_what_it_had_in_flight_and_goes_on() -> None:
    pipeline = make_pipeline(transports([breaks_after_one, in_turn]))
    found = results(pipeline, plans(*"abababab"))
    assert found == [
        *((1, *DELIVERED), (2, *DELIVERED), (3, *STAGE_RETRY), (4, *DELIVERED)),
        *((5, *DELIVERED), (6, *DELIVERED), (7, *STAGE_RETRY), (8, *DELIVERED)),
    ]


def test_a_transport_that_takes_nothing_ends_and_each_delivery_is_told() -> None:
    found = results(make_pipeline(transports([nothing, in_turn])), plans(*"abab"))
    assert found == [(1, *STAGE_RETRY), (2, *DELIVERED), (3, *STAGE_RETRY), (4, *DELIVERED)]


def test_a_result_that_nobody_asked_for_is_told_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def gives_twice(requests: Iterable[Request]) -> Iterator[Exchange]:
        for one in requests:
            yield from [answered(one)] * 2

    assert [
        one[1:] for one in results(make_pipeline(transports([gives_twice, in_turn])), plans(*"abab"))
    ] == [DELIVERED] * 4
    assert caplog.messages == ["transport.unknown_exchange transport=support.stages.ProgrammedTransport"] * 2


def test_an_exit_in_a_transport_is_the_callers() -> None:
    def exits(requests: Iterable[Request]) -> Iterator[Exchange]:
        next(iter(requests))
        raise SystemExit(3)

    with pytest.raises(SystemExit, match="3"):
        results(make_pipeline(transports([exits, in_turn])), plans(*"abab"))


def test_a_scheme_that_no_transport_serves_is_told_in_between() -> None:
    found = results(make_pipeline(transports([in_turn, in_turn])), plans(*"axb"))
    forbidden = (OutcomeKind.BLOCKED, Reason.SCHEME_FORBIDDEN)
    assert found == [(1, *DELIVERED), (2, *forbidden), (3, *DELIVERED)]


def test_what_needs_no_request_is_told_in_between() -> None:
    signer = BrokenSigner([UUID(int=2)])
    pipeline = make_pipeline(transports([in_turn, in_turn]), signers=[signer])
    assert results(pipeline, plans(*"abb")) == [(1, *DELIVERED), (2, *STAGE_RETRY), (3, *DELIVERED)]


def test_where_the_system_has_no_thread_left_the_deliveries_are_attempted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: Lane) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Lane, "start", start)
    assert results(make_pipeline(transports([in_turn, in_turn])), plans("a", "b")) == [
        (1, *STAGE_RETRY),
        (2, *STAGE_RETRY),
    ]


def test_a_store_that_breaks_ends_the_pass_when_what_is_in_flight_has_ended() -> None:
    settled: list[int] = []

    def settle(record: object) -> None:
        settled.append(1)
        raise StoreFull("the disk is full")

    requests: list[RecordingTransport] = [RecordingTransport(schemes=[scheme]) for scheme in "ab"]
    with pytest.raises(StoreFull):
        list(run(make_pipeline(requests), plans(*"ab" * 20), settle))
    assert len(settled) == sum(len(one.requests) for one in requests) < 40


def test_a_pass_that_is_left_early_sends_what_was_begun_and_no_more() -> None:
    go_on = threading.Event()

    def waits(request: Request) -> Response:
        assert go_on.wait(PATIENCE)
        return accepts(request)

    waiting, other = RecordingTransport(waits, ["a"]), RecordingTransport(schemes=["b"])
    records = run(make_pipeline([waiting, other]), plans(*"abababab"))
    next(records)
    records.close()  # type: ignore[attr-defined]  # it is a generator
    go_on.set()
    wait_for_lanes()
    assert (len(waiting.requests), len(other.requests)) == (1, 1)


def wait_for_lanes() -> None:
    for thread in threading.enumerate():
        if thread.name == "thornsdk-lane":
            thread.join(PATIENCE)
            assert not thread.is_alive()


# Whatever comes


PROGRAMS = [in_turn, all_at_once, nothing, breaks_after_one]


@given(
    programs=st.lists(st.sampled_from(PROGRAMS), min_size=2, max_size=4),
    schemes=st.lists(st.sampled_from("abcdx"), max_size=30),
)
def test_each_delivery_has_one_result_whatever_its_transport_does(
    programs: list[Callable[[Iterable[Request]], Iterator[Exchange]]], schemes: list[str]
) -> None:
    told = run(make_pipeline(transports(programs)), plans(*schemes))
    ids = sorted(one.subscription_id.int for one in told)
    assert ids == list(range(1, len(schemes) + 1))
    assert not [one for one in threading.enumerate() if one.name == "thornsdk-lane"]
