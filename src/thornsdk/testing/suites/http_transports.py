"""What every transport promises that speaks HTTP, besides what every transport promises."""

import gzip
import socket
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Final

import pytest

from thornsdk.model import Response
from thornsdk.reasons import Reason
from thornsdk.stages import Transport
from thornsdk.testing.behaviours import answers
from thornsdk.testing.certificates import Authority
from thornsdk.testing.endpoint import Endpoint, Handler, Seen
from thornsdk.testing.suites.far_sides import HttpFarSide
from thornsdk.testing.suites.promises import keeps, not_tested, promise
from thornsdk.testing.suites.running import side_by_side
from thornsdk.testing.suites.transport_tests import TransportTests, check_answer
from thornsdk.testing.suites.transports import TransportSuite
from thornsdk.typing import IPAddress

_REDIRECTS = (301, 302, 303, 307, 308)
_STATUSES = (202, 400, 404, 410, 429, 500, 503)
_OF_HTTP = frozenset({"host", "content-length", "accept-encoding", "accept", "connection", "te"})
"""What HTTP needs or may have, whoever sends it. A streamed body has no length, but a transfer encoding."""
_STREAMED = frozenset({"transfer-encoding"})
_THREADS = 8
_TIMES = 5
_PIECE: Final = bytes(100_000)
_PIECES = 200
_MUCH = _PIECES * len(_PIECE)
_HERE = "127.0.0.1"
_NAME = "hooks.example.test"
_DAY = timedelta(days=1)


class HttpPromises(TransportTests):
    """What a transport promises that speaks HTTP, beside what every transport promises."""

    longest_answer: int = 1_000_000
    """How many bytes of an answer it may keep."""

    @pytest.fixture
    def trusting(self) -> Callable[[str], Transport]:
        """Makes a transport that trusts the authorities of a PEM file, by its path; the fixture closes it."""
        return lambda _: not_tested(self, "no fixture `trusting` makes a transport that trusts an authority")

    @promise
    def test_follows_no_redirect(self, transport: Transport, far_side: HttpFarSide) -> None:
        """A transport follows no redirect: it is the answer, and where it leads to is not asked."""
        with Endpoint() as elsewhere:
            for status in _REDIRECTS:
                for to in ("/elsewhere", elsewhere.url):
                    far_side.endpoint.behave(answers(status, b"", {"Location": to}))
                    told = transport.send(self._request(far_side.url)).status
                    keeps(told == status, f"of a redirect with {status}, it gave the status {told}")
            count, wanted = len(far_side.arrived()), 2 * len(_REDIRECTS)
            keeps(count == wanted and not elsewhere.seen, f"for {wanted} requests, {count} were made")

    @promise
    def test_gives_any_status_as_the_answer(self, transport: Transport, far_side: HttpFarSide) -> None:
        """A transport gives any status as the answer, with its headers, and asks once: retries are policy."""
        for status in _STATUSES:
            far_side.endpoint.behave(answers(status, b"why", {"Retry-After": "1"}))
            response = transport.send(self._request(far_side.url))
            keeps(response.status == status, f"of {status}, it gave the status {response.status}")
            keeps(response.body == b"why", f"of the body b'why', it gave {response.body!r}")
            told = response.header("Retry-After")
            keeps(told == "1", f"of the header Retry-After: 1, it gave {told!r}")
        count = len(far_side.arrived())
        keeps(count == len(_STATUSES), f"for {len(_STATUSES)} requests, {count} were made")

    @promise
    def test_sends_no_headers_of_its_own(self, transport: Transport, far_side: HttpFarSide) -> None:
        """A transport sends each header of a request once, and of its own those alone that HTTP needs."""
        far_side.endpoint.behave(answers(200, b"", {"Set-Cookie": "known=yes"}))
        for _ in range(2):
            transport.send(self._request(far_side.url))
        wanted = Counter(name.lower() for name, _ in self.headers)
        for one in far_side.arrived():
            came = Counter(name.lower() for name, _ in one.headers or ())
            strange = (came - wanted).keys() - _OF_HTTP - _STREAMED
            keeps(not strange, f"it sends {', '.join(sorted(strange))} besides, or once more")

    @promise
    def test_gives_each_thread_its_own_answer(self, transport: Transport, far_side: HttpFarSide) -> None:
        """A transport that serves several threads at once gives each the answers to its own requests."""
        far_side.endpoint.behave(lambda handler, seen: handler.answer(200, seen.body))

        def send(number: int) -> int:
            bodies = [b"%d.%d" % (number, step) for step in range(_TIMES)]
            return sum(transport.send(self._request(far_side.url, one)).body != one for one in bodies)

        wrong = sum(side_by_side(_THREADS, send, self.patience))
        keeps(not wrong, f"{wrong} of {_THREADS * _TIMES} answers were those to other requests")

    @promise
    def test_reads_the_beginning_of_a_long_answer(self, transport: Transport, far_side: HttpFarSide) -> None:
        """A transport reads the beginning of a long answer alone, and says that the body was cut."""
        sent: list[int] = []

        def much(handler: Handler, _: Seen) -> None:
            handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _MUCH)
            for _number in range(_PIECES):
                sent.append(len(_PIECE))
                handler.raw(_PIECE)

        far_side.endpoint.behave(much)
        response = transport.send(self._request(far_side.url))
        keeps(sum(sent) < _MUCH, f"of an answer of {_MUCH} bytes, it has read all")
        self._check_short(response, f"of an answer of {_MUCH} bytes")
        keeps(response.truncated, "the body was cut, and `truncated` is False")

    @promise
    def test_unpacks_the_beginning_of_an_answer(self, transport: Transport, far_side: HttpFarSide) -> None:
        """A transport that unpacks answers unpacks the beginning alone: a little may become very much."""
        packed = gzip.compress(bytes(_MUCH))
        far_side.endpoint.behave(answers(200, packed, {"Content-Encoding": "gzip"}))
        with _memory_taken() as taken:
            response = transport.send(self._request(far_side.url))
        of = f"of {len(packed)} bytes that become {_MUCH}"
        self._check_short(response, of)
        at_most = 2 * self.longest_answer + 10 * len(packed)
        keeps(taken[0] < at_most, f"{of}, it has taken {taken[0]} bytes of memory, not {at_most} at most")

    @promise
    def test_trusts_no_unknown_authority(self, transport: Transport) -> None:
        """A transport refuses a certificate of an authority that it does not trust: tls_untrusted."""
        self._check_refused(transport, Authority().context(_HERE), Reason.TLS_UNTRUSTED)

    @promise
    def test_verifies_certificates(
        self, trusting: Callable[[str], Transport], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """A transport refuses a certificate for another name, or out of its time, from whom it may trust.

        The reasons are tls_wrong_name and tls_expired.
        """
        authority, now = Authority(), datetime.now(UTC)
        transport = trusting(authority.write_to(tmp_path_factory.mktemp("authority") / "ca.pem"))
        self._check_refused(transport, authority.context(_NAME), Reason.TLS_WRONG_NAME)
        for begins, ends in ((-2 * _DAY, -_DAY), (_DAY, 2 * _DAY)):
            late = _context(authority, now + begins, now + ends)
            self._check_refused(transport, late, Reason.TLS_EXPIRED)
        with Endpoint(tls=authority.context(_HERE)) as endpoint:
            check_answer(transport.send(self._request(endpoint.url)))

    @promise
    def test_resolves_a_name_once(self, transport: Transport, asked_for: list[str]) -> None:
        """A transport resolves a name once, and connects to the address that it has asked the guard about.

        A second answer may be another one, which nobody has allowed. The name stays in ``Host``.
        """
        if "http" not in transport.schemes:
            not_tested(self, "it does not serve http")
        allowed: list[IPAddress] = []
        with Endpoint() as endpoint:
            url = f"http://{_NAME}:{endpoint.port}/"
            result = self._result(transport, self._request(url, guard=allowed.append))
            if not asked_for:
                not_tested(self, "it resolves names by other means than `socket.getaddrinfo`")
            keeps(len(asked_for) == 1, f"it resolves a name {len(asked_for)} times for one attempt")
            keeps(isinstance(result, Response), f"it gave no answer: {result}")
            asked = ip_address(_HERE) in allowed
            keeps(asked, f"it asked the guard about {allowed}, and connects to {_HERE}")
            host = endpoint.seen[0].header("Host")
            keeps(host == f"{_NAME}:{endpoint.port}", f"the header Host is {host!r}")

    @pytest.fixture
    def asked_for(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The names that were resolved; the one that the test knows leads to this machine."""
        asked: list[str] = []
        really: Callable[..., object] = vars(socket)["getaddrinfo"]

        def resolve(host: str | bytes | None, *args: object, **kwargs: object) -> object:
            name = host.decode() if isinstance(host, bytes) else host
            if name != _NAME:
                return really(host, *args, **kwargs)
            asked.append(name)
            return really(_HERE, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        return asked

    def _check_refused(self, transport: Transport, context: SSLContext, reason: Reason) -> None:
        """Breaks the promise of the test unless a transport refuses a certificate, and sends nothing."""
        if "https" not in transport.schemes:
            not_tested(self, "it does not serve https")
        with Endpoint(tls=context) as endpoint:
            error = self._error(transport, self._request(endpoint.url))
            keeps(error.reason is reason, f"the reason is {error.reason}, not {reason}")
            keeps(not endpoint.seen, "the request was sent all the same")

    def _check_short(self, response: Response, of: str) -> None:
        check_answer(response)
        length = len(response.body)
        short = length <= self.longest_answer
        keeps(short, f"{of}, it gave {length}; `longest_answer` is {self.longest_answer}")


class HttpTransportSuite(HttpPromises, TransportSuite):
    """What a transport promises that speaks HTTP: all that every transport does, and more.

    It is given `transport` and `far_side`, an open `HttpFarSide`, and `trusting` where it serves HTTPS.

    Example:
        >>> from collections.abc import Callable, Iterator
        >>> from contextlib import ExitStack, closing
        >>> import pytest
        >>> from thornsdk import Transport
        >>> from thornsdk.testing.suites import HttpFarSide, HttpTransportSuite
        >>> from thornsdk_plugins.urllib3 import PooledTransport
        >>> class TestPooledTransport(HttpTransportSuite):
        ...     @pytest.fixture
        ...     def far_side(self) -> Iterator[HttpFarSide]:
        ...         with HttpFarSide() as far_side:
        ...             yield far_side
        ...
        ...     @pytest.fixture
        ...     def transport(self, far_side: HttpFarSide) -> Iterator[Transport]:
        ...         with closing(PooledTransport()) as transport:
        ...             yield transport
        ...
        ...     @pytest.fixture
        ...     def trusting(self) -> Iterator[Callable[[str], Transport]]:
        ...         with ExitStack() as stack:
        ...             yield lambda file: stack.enter_context(closing(PooledTransport(ca_bundle=file)))
    """


@contextmanager
def _memory_taken() -> Iterator[list[int]]:
    """Counts how many bytes Python takes at most meanwhile, beside what it has."""
    taken: list[int] = []
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield taken
    finally:
        taken.append(tracemalloc.get_traced_memory()[1] - before)
        if not tracing:
            tracemalloc.stop()


def _context(authority: Authority, begins: datetime, ends: datetime) -> SSLContext:
    """Gives what a server needs to be this machine for some time."""
    context = SSLContext(PROTOCOL_TLS_SERVER)
    authority.ca.issue_cert(_HERE, not_before=begins, not_after=ends).configure_cert(context)
    return context
