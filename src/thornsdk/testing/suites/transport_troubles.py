"""What every transport promises where something goes wrong."""

import logging

import pytest

from thornsdk.reasons import Reason
from thornsdk.stages import Transport
from thornsdk.testing.suites.far_sides import FarSide
from thornsdk.testing.suites.promises import check_pickles, keeps, not_tested, promise, within
from thornsdk.testing.suites.transport_tests import (
    BRIEFLY,
    HIDDEN,
    TransportTests,
    check_answer,
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


class TroublePromises(TransportTests):
    """What every transport promises where something goes wrong."""

    @promise
    def test_says_that_nobody_is_there(self, transport: Transport, far_side: FarSide) -> None:
        """Where nothing listens, a transport raises a TransportError whose reason is one of the network."""
        if far_side.nobody is None:
            not_tested(self, "its far side has no `nobody`")
        error = self.error(transport, self.request(far_side.nobody))
        expected = ", ".join(sorted(_NOBODY_THERE))
        keeps(error.reason in _NOBODY_THERE, f"its reason is {error.reason}, which is none of {expected}")

    @promise
    def test_keeps_the_deadline(self, transport: Transport, far_side: FarSide) -> None:
        """Where nothing is answered, a transport raises a TransportError at the deadline: a timeout."""
        if far_side.silent is None:
            not_tested(self, "its far side has no `silent`")
        error = self.error(transport, self.request(far_side.silent, timeout=BRIEFLY))
        keeps(error.reason is Reason.TIMEOUT, f"its reason is {error.reason}")

    @promise
    def test_serves_on_after_a_failure(self, transport: Transport, far_side: FarSide) -> None:
        """A transport serves on after requests that failed."""
        self.errors(transport, far_side)
        check_answer(within(self.patience, lambda: transport.send(self.request(far_side.url)), "the send"))

    @promise
    def test_sends_nothing_to_a_forbidden_address(self, transport: Transport, far_side: FarSide) -> None:
        """A transport connects to no address that a request's guard forbids, and gives address_forbidden."""
        if self.why_unguarded:
            not_tested(self, self.why_unguarded)
        error = self.error(transport, self.request(far_side.url, guard=forbids_all))
        came = len(far_side.arrived())
        keeps(not came, f"{came} request arrived at a forbidden address")
        keeps(error.reason is Reason.ADDRESS_FORBIDDEN, f"its reason is {error.reason}")

    @promise
    def test_tells_no_secret(
        self, transport: Transport, far_side: FarSide, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A transport tells nothing of path, query, headers or body, neither in an error nor in a log."""
        with caplog.at_level(logging.DEBUG):
            errors = self.errors(transport, far_side)
        for error in errors:
            keeps(HIDDEN not in f"{error}{error!r}", f"an error says: {error}")
        told = [one.getMessage() for one in caplog.records if HIDDEN in one.getMessage()]
        keeps(not told, f"a log says: {', '.join(told)}")

    @promise
    def test_raises_errors_that_pickle(self, transport: Transport, far_side: FarSide) -> None:
        """A transport's error pickles, so that it can cross processes."""
        for error in self.errors(transport, far_side):
            check_pickles(error)
