"""What every transport promises where something goes wrong."""

import logging
import time
from collections.abc import Iterable

import pytest

from thornsdk.model import URL
from thornsdk.reasons import Reason
from thornsdk.stages import Transport
from thornsdk.testing.suites.far_sides import FarSide
from thornsdk.testing.suites.promises import check_pickles, keeps, not_tested, promise
from thornsdk.testing.suites.running import within
from thornsdk.testing.suites.transport_tests import (
    BRIEFLY,
    HIDDEN,
    TransportTests,
    check_answer,
    check_sent_once,
    forbids_all,
)

_NOBODY_THERE = frozenset(
    {
        Reason.CONNECTION_REFUSED,
        Reason.CONNECTION_LOST,
        Reason.UNREACHABLE,
        Reason.NAME_NOT_RESOLVED,
        Reason.PROXY_REFUSED,
        Reason.TIMEOUT,
    }
)
_LOST = frozenset({Reason.CONNECTION_LOST, Reason.TIMEOUT})


class TroublePromises(TransportTests):
    """What every transport promises where something goes wrong."""

    @promise
    def test_says_that_nobody_is_there(self, transport: Transport, far_side: FarSide) -> None:
        """Where nothing listens, a transport raises a TransportError whose reason is one of the network."""
        if far_side.nobody is None:
            not_tested(self, "its far side has no `nobody`")
        error = self._error(transport, self._request(far_side.nobody))
        expected = ", ".join(sorted(_NOBODY_THERE))
        keeps(error.reason in _NOBODY_THERE, f"its reason is {error.reason}, which is none of {expected}")

    @promise
    def test_keeps_the_deadline(self, transport: Transport, far_side: FarSide) -> None:
        """Where nothing is answered, a transport raises a TransportError at the deadline: a timeout.

        It has sent once at most: another try is another attempt.
        """
        if far_side.silent is None:
            not_tested(self, "its far side has no `silent`")
        self._check_deadline(transport, far_side.silent)
        check_sent_once(far_side.arrived())

    @promise
    def test_keeps_the_deadline_while_it_reads(self, transport: Transport, far_side: FarSide) -> None:
        """Where an answer comes byte by byte, a transport raises a TransportError at the deadline: a timeout.

        The deadline is that of the whole attempt: what comes now and then does not put it off.
        """
        if far_side.dripping is None:
            not_tested(self, "its far side has no `dripping`")
        self._check_deadline(transport, far_side.dripping)

    @promise
    def test_sends_nothing_again_by_itself(self, transport: Transport, far_side: FarSide) -> None:
        """Where the connection breaks before an answer, a transport raises connection_lost, and sends once.

        Nobody knows what has arrived; another try is another attempt, which is known and told. One whose
        client connects anew may wait for an answer until the deadline: a timeout.
        """
        if far_side.breaking is None:
            not_tested(self, "its far side has no `breaking`")
        transport.send(self._request(far_side.url))  # So that a connection that was kept open breaks, too.
        for body in (b"kept open", b"opened anew"):
            error = self._error(transport, self._request(far_side.breaking, body, timeout=BRIEFLY))
            keeps(error.reason in _LOST, f"its reason is {error.reason}")
        check_sent_once(far_side.arrived())

    @promise
    def test_serves_on_after_a_failure(self, transport: Transport, far_side: FarSide) -> None:
        """A transport serves on after requests that failed."""
        self._errors(transport, far_side)
        check_answer(within(self.patience, lambda: transport.send(self._request(far_side.url)), "the send"))

    @promise
    def test_sends_nothing_to_a_forbidden_address(self, transport: Transport, far_side: FarSide) -> None:
        """A transport connects to no address that a request's guard forbids, and gives address_forbidden.

        A name may be one that it does not resolve. Where it does, each of its addresses is asked about.
        """
        if self.why_unguarded:
            not_tested(self, self.why_unguarded)
        by_name = _by_name(far_side.url)
        # Where nobody is, who connects before it asks is refused.
        for url in filter(None, (far_side.url, by_name, far_side.nobody)):
            unresolved = (Reason.NAME_NOT_RESOLVED,) if url == by_name else ()
            self._check_forbidden(transport, far_side, url, *unresolved)

    def _check_deadline(self, transport: Transport, url: str) -> None:
        begin = time.monotonic()
        error = self._error(transport, self._request(url, timeout=BRIEFLY))
        took = time.monotonic() - begin
        keeps(error.reason is Reason.TIMEOUT, f"its reason is {error.reason}")
        in_time = took <= BRIEFLY + self.lateness
        keeps(in_time, f"the deadline was {BRIEFLY:g} seconds, and it took {took:.1f}")

    def _check_forbidden(self, transport: Transport, far_side: FarSide, url: str, *or_else: Reason) -> None:
        error = self._error(transport, self._request(url, guard=forbids_all))
        came = len(far_side.arrived())
        keeps(not came, f"{came} request arrived at a forbidden address")
        asked = error.reason in {Reason.ADDRESS_FORBIDDEN, *or_else}
        told = f"of {URL.parse(url).origin}, its reason is {error.reason}"
        keeps(asked, f"{told}; the guard is to be asked before anything is connected")

    @promise
    def test_tells_no_secret(
        self, transport: Transport, far_side: FarSide, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A transport tells nothing of path, query, headers or body, neither in an error nor in a log."""
        taken = self._hiding(far_side.url)
        with caplog.at_level(logging.DEBUG):
            errors = self._raised(transport, [taken, *self._failing(far_side)])
        for error in errors:
            keeps(HIDDEN not in f"{error}{error!r}", f"an error says: {error}")
        secrets = {HIDDEN, taken.url.target} - {"/"}
        # With tracebacks, which are logged as well.
        logged = [(one.name, logging.Formatter().format(one)) for one in caplog.records]
        told = [f"the logger {name!r} says: {text}" for name, text in logged if _holds(text, secrets)]
        keeps(not told, "; ".join(told))

    @promise
    def test_raises_errors_that_pickle(self, transport: Transport, far_side: FarSide) -> None:
        """A transport's error pickles, so that it can cross processes."""
        for error in self._errors(transport, far_side):
            check_pickles(error)


def _holds(text: str, secrets: Iterable[str]) -> bool:
    return any(one in text for one in secrets)


def _by_name(url: str) -> str | None:
    """Gives the same place by the name that it has on every machine; None where it has none."""
    here = "127.0.0.1"
    return url.replace(here, "localhost", 1) if URL.parse(url).host == here else None
