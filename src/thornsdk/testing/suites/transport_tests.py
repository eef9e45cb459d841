"""What all tests of transports stand on: what they are given, and what they send."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import cycle, islice
from uuid import uuid4

import pytest
from attrs import evolve

from thornsdk.errors import TransportError
from thornsdk.model import URL, Request, Response
from thornsdk.stages import Transport
from thornsdk.testing.suites.far_sides import Arrived, FarSide
from thornsdk.testing.suites.promises import broken, error_of, errors_of, fixture_wanted, keeps, not_tested
from thornsdk.testing.suites.running import within
from thornsdk.typing import AddressGuard, Headers, IPAddress

BRIEFLY = 0.5
"""The deadline of a request that is never answered, in seconds."""
HIDDEN = "hidden-in-the-request"
"""What stands in each part of a request that no error may tell."""
TAKEN = range(200, 300)
"""The statuses that say that a request was taken."""

_POLL = 0.01


class TransportTests:
    """What the tests of a transport are given."""

    patience: float = 30.0
    """How many seconds anything may take before it counts as hanging, which is far longer than it should."""

    lateness: float = 4.0
    """How many seconds after its deadline a request may end, which is far longer than it should."""

    largest_body: int = 1_000_000
    """How many bytes a body may have where the way has a limit that is known."""

    reads_ahead: int = 1000
    """How many requests it may have read for which it has not given a result."""

    headers: Headers = (
        ("User-Agent", "Thorn/1 suite/1"),
        ("Content-Type", "application/json; charset=utf-8"),
        ("Hook-Event", "order.created"),
        ("Hook-Delivery", "2f1acc6c-0f5b-4f5b-8a52-5d8b2f0f3a5e"),
        ("Hook-HMAC", "kH4Bzp+3pJw7/2mQ0t0oYw=="),
        ("webhook-signature", "v1,kH4Bzp+3= v1,pJw7/2mQ="),
        ("X-Odd", 'a:b; c="d", {e} %20 \t~'),
        ("X-Empty", ""),
    )
    """What is sent with each request."""

    why_unguarded: str = ""
    """Why it asks no guard, such as ``it sends only to the broker that the operator configured``."""

    why_not_forked: str = ""
    """Why it is not used after a fork, such as ``its client library forbids it``."""

    @pytest.fixture
    def transport(self) -> Transport:
        """The transport under test, a new one for each test; the fixture closes it."""
        fixture_wanted(self, "transport")

    @pytest.fixture
    def far_side(self) -> FarSide:
        """Where it can send to, and what arrived there; for HTTP, an open `HttpFarSide`."""
        fixture_wanted(self, "far_side")

    def _request(
        self,
        url: str,
        body: bytes = b"{}",
        *,
        timeout: float | None = None,
        guard: AddressGuard = lambda _: None,
    ) -> Request:
        """Makes a request.

        Args:
            url: Where to.
            body: The exact bytes.
            timeout: The deadline, in seconds; with None, what counts as hanging.
            guard: Says where it may not go; by default, it may go anywhere.
        """
        return Request(
            id=uuid4(),
            url=URL.parse(url),
            headers=self.headers,
            body=body,
            timeout=self.patience if timeout is None else timeout,
            guard=guard,
        )

    def _arrivals(self, far_side: FarSide, count: int) -> Sequence[Arrived]:
        """Waits until so many requests have arrived, and gives all that have."""
        give_up_at = time.monotonic() + self.patience
        while len(arrived := far_side.arrived()) < count:
            if time.monotonic() > give_up_at:
                broken(f"{len(arrived)} of {count} requests have arrived")
            time.sleep(_POLL)
        return arrived

    def _error(self, transport: Transport, request: Request) -> TransportError:
        """Gives the error of a request that cannot be answered."""
        answered = f"it gave an answer from {request.url.origin}"
        return within(
            self.patience,
            lambda: error_of(TransportError, lambda: transport.send(request), answered),
            "the send",
        )

    def _result(self, transport: Transport, request: Request) -> Response | TransportError:
        """Gives what comes of a request, as `send_many` gives it."""
        try:
            return transport.send(request)
        except TransportError as exc:
            return exc

    def _in_turns(self, far_side: FarSide, count: int) -> list[str]:
        """Gives URLs where requests are answered and, where it can be had, where nobody is, in turns."""
        return list(islice(cycle(filter(None, (far_side.url, far_side.nobody))), count))

    def _check_result(self, far_side: FarSide, url: str, result: Response | TransportError) -> None:
        """Breaks the promise of the test unless a result is one that can come from there."""
        if url == far_side.url:
            check_answer(result)
        else:
            kind = type(result).__name__
            keeps(isinstance(result, TransportError), f"the result of a failure is a {kind}")

    def _errors(self, transport: Transport, far_side: FarSide) -> list[Exception]:
        """Gives what can be raised here, of whatever kind, by requests that hide something in each part."""
        requests = self._failing(far_side)
        if not requests:
            not_tested(self, "no error can be had: its far side has neither `nobody` nor `silent`")
        return self._raised(transport, requests)

    def _raised(self, transport: Transport, requests: Sequence[Request]) -> list[Exception]:
        """Sends requests, and gives what they raise, of whatever kind."""
        calls = (partial(transport.send, one) for one in requests)
        return within(self.patience, lambda: errors_of(calls), "to send what may fail")

    def _failing(self, far_side: FarSide) -> list[Request]:
        """Makes the requests that can fail here; they hide something in each part."""
        requests: list[Request] = []
        if far_side.nobody is not None:
            requests.append(self._hiding(f"{far_side.nobody.rstrip('/')}/{HIDDEN}?key={HIDDEN}"))
        if far_side.silent is not None:
            requests.append(self._hiding(f"{far_side.silent}?key={HIDDEN}", timeout=BRIEFLY))
        if not self.why_unguarded:
            requests.append(self._hiding(f"{far_side.url}?key={HIDDEN}", guard=forbids_all))
        return requests

    def _hiding(
        self, url: str, *, timeout: float | None = None, guard: AddressGuard = lambda _: None
    ) -> Request:
        """Makes a request that hides something in its body and a header."""
        made = self._request(url, HIDDEN.encode(), timeout=timeout, guard=guard)
        return evolve(made, headers=(*self.headers, ("X-Hidden", HIDDEN)))


def forbids_all(_: IPAddress) -> str:
    """Forbids every address."""
    return "the test forbids it"


def check_answer(result: Response | TransportError) -> None:
    """Breaks the promise of the test unless the far side has accepted a request."""
    if isinstance(result, TransportError):
        broken(f"there is no answer: {result}", result)
    keeps(result.status in TAKEN, f"the status is {result.status!r}, where the far side accepts it")


def check_sent_once(arrived: Iterable[Arrived]) -> None:
    """Breaks the promise of the test where something arrived more than once."""
    times = Counter(one.body.decode(errors="replace") for one in arrived)
    often = {body: count for body, count in times.items() if count > 1}
    keeps(not often, f"some arrived more than once: {often}")
