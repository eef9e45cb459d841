"""What every transport promises of threads, of processes, and of its end."""

import multiprocessing
import os
import threading
import time
import warnings
from collections import Counter
from contextlib import suppress
from itertools import chain

import pytest

from thornsdk.errors import ThornError
from thornsdk.model import Request
from thornsdk.stages import Transport
from thornsdk.testing.suites.far_sides import FarSide
from thornsdk.testing.suites.promises import broken, keeps, not_tested, promise
from thornsdk.testing.suites.running import side_by_side, within
from thornsdk.testing.suites.transport_tests import TransportTests, check_answer

_THREADS = 8
_TIMES = 5
_POLL = 0.01


class LifePromises(TransportTests):
    """What every transport promises of threads, of processes, and of its end."""

    @promise
    def test_serves_several_threads(self, transport: Transport, far_side: FarSide) -> None:
        """A transport serves several threads at once, and each gets its answers and its failures."""

        def send(number: int) -> list[bytes]:
            bodies = [b"%d.%d" % (number, step) for step in range(_TIMES)]
            # Half of them begin with a failure, so that results differ at any moment.
            urls = self._in_turns(far_side, _TIMES + 1)[number % 2 :]
            sent = list(zip(urls, bodies, strict=False))
            for url, body in sent:
                self._check_result(far_side, url, self._result(transport, self._request(url, body)))
            return [body for url, body in sent if url == far_side.url]

        sent = Counter(chain.from_iterable(side_by_side(_THREADS, send, self.patience)))
        times = Counter(one.body for one in self._arrivals(far_side, sent.total()))
        keeps(times == sent, f"of {sent.total()} requests, {dict(times - sent)} came too often")

    @promise
    def test_serves_several_streams(self, transport: Transport, far_side: FarSide) -> None:
        """A transport sends many for several threads at once, and gives each thread its own results."""

        def send(number: int) -> int:
            urls = self._in_turns(far_side, _TIMES + 1)[number % 2 :]
            requests = {id(one): one for one in map(self._request, urls)}
            results = {id(one.request): one for one in transport.send_many(iter(requests.values()))}
            for known in requests.keys() & results.keys():
                self._check_result(far_side, requests[known].url.text, results[known].result)
            return len(requests.keys() ^ results.keys())

        wrong = sum(side_by_side(_THREADS, send, self.patience))
        keeps(not wrong, f"{wrong} results are missing, or were given to another thread")

    @promise
    def test_closes_twice(self, transport: Transport, far_side: FarSide) -> None:
        """A transport may be closed twice."""
        transport.send(self._request(far_side.url))
        for _ in range(2):
            within(self.patience, transport.close, "to close it")

    @promise
    def test_closes_unused(self, transport: Transport) -> None:
        """A transport that has sent nothing may be closed."""
        within(self.patience, transport.close, "to close it")

    @promise
    def test_does_not_hang_after_its_end(self, transport: Transport, far_side: FarSide) -> None:
        """A transport that was closed sends on or raises an error of thornsdk, and does not hang."""
        transport.send(self._request(far_side.url))
        transport.close()

        def send() -> None:
            with suppress(ThornError):
                transport.send(self._request(far_side.url))

        within(self.patience, send, "the send")

    @promise
    def test_lets_the_process_end(
        self, far_side: FarSide, threads_before: frozenset[threading.Thread], transport: Transport
    ) -> None:
        """A transport that was closed has no thread left that keeps the process from ending."""
        for _ in transport.send_many(self._request(far_side.url) for _ in range(_TIMES)):
            pass
        transport.close()
        give_up_at = time.monotonic() + self.patience
        while left := [one.name for one in _lasting_threads() - threads_before]:
            if time.monotonic() > give_up_at:
                broken(f"{', '.join(left)} is still running")
            time.sleep(_POLL)

    @promise
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_serves_after_a_fork(self, transport: Transport, far_side: FarSide) -> None:
        """A transport that was used before a fork serves in the child, which closes it, and in the parent.

        A child never touches the connections of its parent.
        """
        if self.why_not_forked:
            not_tested(self, self.why_not_forked)
        requests = {who: self._request(far_side.url, who.encode()) for who in ("before", "child", "after")}
        check_answer(transport.send(requests["before"]))
        problem = self._in_child(transport, requests["child"])
        keeps(not problem, f"in the child, {problem}")
        problem = _problem(transport, requests["after"])
        keeps(not problem, f"in the parent after the fork, {problem}")
        came = Counter(one.body.decode(errors="replace") for one in self._arrivals(far_side, len(requests)))
        keeps(came == Counter(requests.keys()), f"of before, child and after, there came {dict(came)}")

    @pytest.fixture
    def threads_before(self) -> frozenset[threading.Thread]:
        """The threads that are there before the transport is made."""
        return _lasting_threads()

    def _in_child(self, transport: Transport, request: Request) -> str:
        context = multiprocessing.get_context("fork")
        told = context.SimpleQueue()
        child = context.Process(target=lambda: told.put(_problem(transport, request)))
        with warnings.catch_warnings():
            # That a process with threads forks is what is tested.
            warnings.simplefilter("ignore", DeprecationWarning)
            child.start()
        child.join(self.patience)
        if child.is_alive():
            child.kill()
            child.join()
            return f"the send did not end within {self.patience:g} seconds"
        return str(told.get()) if child.exitcode == 0 else f"the process ended with {child.exitcode}"


def _problem(transport: Transport, request: Request) -> str:
    """Sends a request and closes the transport; says what went wrong, or nothing."""
    try:
        check_answer(transport.send(request))
        transport.close()
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"
    return ""


def _lasting_threads() -> frozenset[threading.Thread]:
    return frozenset(one for one in threading.enumerate() if not one.daemon)
