"""What every transport promises of many requests at once."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

from thornsdk.model import Exchange, Request
from thornsdk.stages import Transport, utc_now
from thornsdk.testing.suites.far_sides import FarSide
from thornsdk.testing.suites.promises import broken, keeps, not_tested, promise
from thornsdk.testing.suites.running import within
from thornsdk.testing.suites.transport_tests import TransportTests, check_answer

_MANY = 20
_TAKEN = 100
# Clocks are read one after the other, and some are coarse.
_SLACK = timedelta(seconds=0.1)


class StreamPromises(TransportTests):
    """What every transport promises of `send_many`."""

    @promise
    def test_gives_one_result_for_each_request(self, transport: Transport, far_side: FarSide) -> None:
        """A transport gives one result for each request, with the very object that it was given."""
        requests = [self._request(far_side.url, b"%d" % number) for number in range(_MANY)]
        results = list(transport.send_many(iter(requests)))
        given = Counter(id(one.request) for one in results)
        strange = len(given.keys() - {id(one) for one in requests})
        keeps(not strange, f"{strange} of {len(results)} results are of requests that it was not given")
        missing = sum(not given[id(one)] for one in requests)
        keeps(not missing, f"{missing} of {_MANY} requests have none")
        keeps(len(results) == _MANY, f"{_MANY} requests have {len(results)} results")

    @promise
    def test_sends_each_of_many(self, transport: Transport, far_side: FarSide) -> None:
        """A transport sends each of many requests once, and gives the answer to each."""
        bodies = {b"%d" % number for number in range(_MANY)}
        for one in transport.send_many(self._request(far_side.url, body) for body in sorted(bodies)):
            check_answer(one.result)
        times = Counter(one.body for one in self._arrivals(far_side, _MANY))
        keeps(times == Counter(bodies), f"of {_MANY} bodies, there came {dict(times)}")

    @promise
    def test_gives_nothing_for_nothing(self, transport: Transport) -> None:
        """A transport that is given no requests gives no results."""
        results = within(self.patience, lambda: list(transport.send_many(iter(()))), "an empty stream")
        keeps(not results, f"it gave {len(results)}")

    @promise
    def test_reads_requests_in_the_callers_thread(self, transport: Transport, far_side: FarSide) -> None:
        """A transport reads the requests in the thread of who reads its results: a store gives them there."""
        threads: set[int] = set()

        def requests() -> Iterator[Request]:
            for _ in range(_MANY):
                threads.add(threading.get_ident())
                yield self._request(far_side.url)

        for _ in transport.send_many(requests()):
            pass
        keeps(threads == {threading.get_ident()}, "they were read in another thread, or in several")

    @promise
    def test_reads_requests_as_it_sends_them(self, transport: Transport, far_side: FarSide) -> None:
        """A transport reads few requests ahead, so that an endless stream gives results before it ends."""
        stream = _Endless(lambda: self._request(far_side.url), _TAKEN + self.reads_ahead)
        given = ahead = 0
        for one in transport.send_many(stream):
            check_answer(one.result)
            given += 1
            ahead = stream.read - given
            if given == _TAKEN or ahead > self.reads_ahead:
                break
        sound = given == _TAKEN and ahead <= self.reads_ahead
        keeps(sound, f"with {given} results given, it had read {given + ahead} requests")

    @promise
    def test_reads_a_stream_to_its_end_and_no_further(self, transport: Transport, far_side: FarSide) -> None:
        """A transport asks for no request after it was told that there are no more: it is called again."""
        stream = _Pausing([self._request(far_side.url) for _ in range(4)])
        results = list(transport.send_many(stream))
        keeps(len(results) == stream.count, f"{stream.count} requests have {len(results)} results")

    @promise
    def test_may_be_left_early(self, transport: Transport, far_side: FarSide) -> None:
        """A transport whose results are left early reads no more requests, and serves on."""
        stream = _Endless(lambda: self._request(far_side.url), _TAKEN + self.reads_ahead)

        def leave() -> int:
            results = transport.send_many(stream)
            next(results, None)
            read = stream.read
            close = getattr(results, "close", None)  # Only generators have it.
            if close is not None:
                close()
            return read

        read = within(self.patience, leave, "to leave its results")
        check_answer(within(self.patience, lambda: transport.send(self._request(far_side.url)), "the send"))
        keeps(stream.read == read, f"it has read {stream.read - read} more")

    @promise
    def test_gives_a_failure_as_a_result(self, transport: Transport, far_side: FarSide) -> None:
        """A request that fails is a result like others, with its error, and harms no other."""
        if far_side.nobody is None:
            not_tested(self, "its far side has no `nobody`")
        urls = self._in_turns(far_side, 5)
        requests = [self._request(url) for url in urls]
        results = {id(one.request): one for one in transport.send_many(iter(requests))}
        for url, request in zip(urls, requests, strict=True):
            one = results.get(id(request)) or broken(f"{len(urls) - len(results)} have none after a failure")
            self._check_result(far_side, url, one.result)

    @promise
    def test_tells_when_and_how_long(self, transport: Transport, far_side: FarSide) -> None:
        """A transport tells of each request when it was taken up, and how many seconds it took."""
        began_at, begin = utc_now(), time.monotonic()
        for one in transport.send_many(self._request(far_side.url) for _ in range(3)):
            _check_times(one)
            now, passed = utc_now(), timedelta(seconds=time.monotonic() - begin)
            sound = began_at - _SLACK <= one.started_at <= now + _SLACK
            keeps(sound, f"one is said to begin at {one.started_at}, and it was between {began_at} and {now}")
            sound = timedelta(seconds=one.duration) <= passed + _SLACK
            keeps(sound, f"one is said to take {one.duration} seconds, and all together took {passed}")


class _Endless:
    """Requests without end; it ends all the same when far too many were read."""

    def __init__(self, make: Callable[[], Request], limit: int) -> None:
        self._make = make
        self._limit = limit
        self.read = 0

    def __iter__(self) -> "_Endless":
        return self

    def __next__(self) -> Request:
        if self.read > self._limit:
            raise StopIteration
        self.read += 1
        return self._make()


class _Pausing:
    """Requests that go on after they were said to end, as those of the pipeline do."""

    def __init__(self, requests: list[Request]) -> None:
        self._turns: list[Request | None] = [*requests[1:], None, requests[0]]
        self.count = len(requests) - 1

    def __iter__(self) -> "_Pausing":
        return self

    def __next__(self) -> Request:
        request = self._turns.pop(0) if self._turns else None
        if request is None:
            raise StopIteration
        return request


def _check_times(one: Exchange) -> None:
    started_at: object = one.started_at
    has_zone = getattr(started_at, "tzinfo", None) is not None
    keeps(has_zone, f"it is said to begin at {started_at!r}, which is no moment with a time zone")
    duration: object = one.duration
    keeps(isinstance(duration, (int, float)) and duration >= 0, f"one is said to take {duration!r} seconds")
