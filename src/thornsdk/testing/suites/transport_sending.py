"""What every transport promises of a single request."""

from thornsdk.errors import InvalidHeader, InvalidURL
from thornsdk.model import URL, Response, check_header
from thornsdk.stages import Transport
from thornsdk.testing.suites.far_sides import FarSide
from thornsdk.testing.suites.promises import broken, check_stage, keeps, not_tested, promise
from thornsdk.testing.suites.transport_tests import (
    TAKEN,
    TransportTests,
    check_answer,
    check_sent_once,
)


class SendingPromises(TransportTests):
    """What every transport promises of a single request."""

    @promise
    def test_is_a_transport(self, transport: Transport) -> None:
        """A transport has schemes, a user agent, and a way to send of its own."""
        check_stage(transport, Transport)

    @promise
    def test_names_its_schemes(self, transport: Transport) -> None:
        """A transport names the URL schemes that it serves, at least one, each in lower case."""
        schemes: object = transport.schemes
        keeps(isinstance(schemes, frozenset) and bool(schemes), f"they are {schemes!r}")
        for scheme in transport.schemes:
            try:
                read = URL.parse(f"{scheme}://example.com/").scheme
            except InvalidURL as exc:
                broken(f"{scheme!r} is no scheme of a URL", exc)
            keeps(read == scheme, f"{scheme!r} is not in lower case: no URL has it")

    @promise
    def test_names_its_client(self, transport: Transport) -> None:
        """A transport names its client and version, as text that can stand in ``User-Agent``."""
        told: object = transport.user_agent
        keeps(isinstance(told, str) and bool(told), f"its user agent is {told!r}")
        try:
            check_header("User-Agent", f"Thorn/1 {told}")
        except InvalidHeader as exc:
            broken(f"{told!r}: {exc}", exc)

    @promise
    def test_serves_the_url_of_its_far_side(self, transport: Transport, far_side: FarSide) -> None:
        """A transport serves the schemes of the URLs that it is given, those of its far side here."""
        for url in filter(None, (far_side.url, far_side.nobody, far_side.silent)):
            scheme = URL.parse(url).scheme
            known = ", ".join(sorted(transport.schemes))
            keeps(scheme in transport.schemes, f"the far side has {scheme!r}, and it serves {known}")

    @promise
    def test_sends_the_exact_bytes(self, transport: Transport, far_side: FarSide) -> None:
        """A transport sends the exact bytes of a body, whatever they are: they are signed."""
        largest = bytes(range(256)) * (self.largest_body // 256)
        bodies = [b"", b"\0", b"\r\n\r\n", "☃".encode(), bytes(range(256)), b" {} \n", largest]
        for body in bodies:
            transport.send(self._request(far_side.url, body))
        came = [one.body for one in self._arrivals(far_side, len(bodies))]
        for body in bodies:
            shown = f"{body[:10]!r}, {len(body)} bytes long," if body else "an empty body"
            lengths = sorted(map(len, came))
            keeps(body in came, f"{shown} did not arrive as it was; there came {lengths} bytes")

    @promise
    def test_sends_all_headers(self, transport: Transport, far_side: FarSide) -> None:
        """A transport sends all headers of a request, each with its exact value."""
        transport.send(self._request(far_side.url))
        came = self._arrivals(far_side, 1)[0].headers
        if came is None:
            not_tested(self, "its far side tells no headers")
        found = {(name.lower(), value) for name, value in came}
        lost = [name for name, value in self.headers if (name.lower(), value) not in found]
        keeps(not lost, f"{', '.join(lost)} did not arrive as it was; there came {sorted(found)}")

    @promise
    def test_sends_a_request_once(self, transport: Transport, far_side: FarSide) -> None:
        """A transport sends a request once: another try is another attempt, which is known and told."""
        bodies = [b"%d" % number for number in range(5)]
        for body in bodies:
            transport.send(self._request(far_side.url, body))
        check_sent_once(self._arrivals(far_side, len(bodies)))

    @promise
    def test_gives_the_answer(self, transport: Transport, far_side: FarSide) -> None:
        """A transport gives what the far side answered: a response, with 2xx where it takes the request.

        2xx means that it was delivered, and nothing else does.
        """
        response: object = transport.send(self._request(far_side.url))
        if not isinstance(response, Response):
            broken(f"it gave a {type(response).__name__}")
        status: object = response.status
        keeps(type(status) is int, f"the status is {status!r}, which is no int")
        check_answer(response)

    @promise
    def test_tells_a_refusal(self, transport: Transport, far_side: FarSide) -> None:
        """A transport tells a refusal, alone or among others: by another status than 2xx, or by an error."""
        if far_side.refusing is None:
            not_tested(self, "its far side has no `refusing`")
        places = {b"taken": far_side.url, b"refused": far_side.refusing}
        requests = [self._request(url, body) for _ in range(6) for body, url in places.items()]
        alone = [(one, self._result(transport, one)) for one in requests[:6]]
        among = [(one.request, one.result) for one in transport.send_many(iter(requests[6:]))]
        for request, told in alone + among:
            was = request.body
            as_taken = isinstance(told, Response) and told.status in TAKEN
            keeps(as_taken == (was == b"taken"), f"of one that was {was.decode()}, it gave {told!r}")
