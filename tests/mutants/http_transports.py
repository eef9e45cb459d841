import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import urllib3
from attrs import evolve

from mutants import Mutant
from thornsdk import URL, Reason, Request, Response, Transport, exchange, system_resolver
from thornsdk.errors import TransportError
from thornsdk.testing.suites import HttpFarSide
from thornsdk.testing.suites.http_transports import HttpPromises
from thornsdk.typing import Headers
from thornsdk_plugins.urllib3 import PooledTransport

UNPACKED = 20_000_000


class Sound(Mutant, Transport):
    """Breaks nothing."""

    schemes = frozenset({"http", "https"})
    user_agent = "sound/1"

    def __init__(self, ca_bundle: str | None = None) -> None:
        self.inner = PooledTransport(ca_bundle=ca_bundle)

    def send(self, request: Request) -> Response:
        return self.inner.send(request)

    def close(self) -> None:
        self.inner.close()


class Insecure(Sound):
    """Serves HTTP alone, and breaks nothing: of TLS there is nothing to test."""

    schemes = frozenset({"http"})


class OfTheSecureAlone(Sound):
    """Serves HTTPS alone, and breaks nothing: how it resolves is not seen."""

    schemes = frozenset({"https"})


class ResolvesByItself(Sound):
    """Knows names without asking for them, and breaks nothing that can be seen."""

    def __init__(self, ca_bundle: str | None = None) -> None:
        self.inner = PooledTransport(ca_bundle=ca_bundle, resolver=lambda host, port: [])


class Naive(Mutant, Transport):
    """What a client library does with its defaults, and without verifying anything."""

    breaks = "test_follows_no_redirect"
    also = frozenset(
        {
            "test_gives_any_status_as_the_answer",
            "test_reads_the_beginning_of_a_long_answer",
            "test_unpacks_the_beginning_of_an_answer",
            "test_trusts_no_unknown_authority",
            "test_verifies_certificates",
            "test_resolves_a_name_once",
        }
    )
    schemes = frozenset({"http", "https"})
    user_agent = "naive/1"

    def __init__(self, ca_bundle: str | None = None) -> None:
        retries = urllib3.Retry(redirect=5, allowed_methods=None)
        self.pool = urllib3.PoolManager(cert_reqs="CERT_NONE", retries=retries)

    def send(self, request: Request) -> Response:
        for address in system_resolver(request.url.host, request.url.port or 80):
            request.guard(address)
        came = self.pool.request(
            "POST", request.url.text, body=request.body, headers=dict(request.headers), timeout=5
        )
        return Response(status=came.status, body=came.data)

    def close(self) -> None:
        self.pool.clear()


class FollowsRedirects(Sound):
    breaks = "test_follows_no_redirect"

    def send(self, request: Request) -> Response:
        response = super().send(request)
        to = response.header("Location")
        if to is None:
            return response
        place = to if "://" in to else f"{request.url.origin}{to}"
        return super().send(evolve(request, url=URL.parse(place)))


class LooksWhereARedirectLeads(FollowsRedirects):
    def send(self, request: Request) -> Response:
        response = Sound.send(self, request)
        if response.header("Location") is not None:
            super().send(request)
        return response


class RaisesABadStatus(Sound):
    breaks = "test_gives_any_status_as_the_answer"

    def send(self, request: Request) -> Response:
        response = super().send(request)
        if response.status >= 400:
            raise TransportError(Reason.PROTOCOL_ERROR, f"it answered {response.status}")
        return response


class TriesABadStatusAgain(Sound):
    breaks = "test_gives_any_status_as_the_answer"

    def send(self, request: Request) -> Response:
        response = super().send(request)
        return super().send(request) if response.status == 503 else response


class TellsNoHeaders(Sound):
    breaks = "test_gives_any_status_as_the_answer"

    def send(self, request: Request) -> Response:
        return evolve(super().send(request), headers=())


class TellsNoBody(Sound):
    breaks = "test_gives_any_status_as_the_answer"
    also = frozenset({"test_gives_each_thread_its_own_answer"})

    def send(self, request: Request) -> Response:
        return evolve(super().send(request), body=b"")


class NamesItselfBesides(Sound):
    breaks = "test_sends_no_headers_of_its_own"

    def send(self, request: Request) -> Response:
        return super().send(evolve(request, headers=(*request.headers, ("User-Agent", "sound/1"))))


class KeepsCookies(Sound):
    breaks = "test_sends_no_headers_of_its_own"
    cookies: Headers = ()

    def send(self, request: Request) -> Response:
        response = super().send(evolve(request, headers=(*request.headers, *self.cookies)))
        if cookie := response.header("Set-Cookie"):
            self.cookies = (("Cookie", cookie),)
        return response


class OneAnswerForAll(Sound):
    """Keeps the last answer on itself."""

    breaks = "test_gives_each_thread_its_own_answer"
    last: Response

    def send(self, request: Request) -> Response:
        self.last = super().send(request)
        time.sleep(0.002)
        return self.last


class ReadsAllAndCuts(Sound):
    breaks = "test_reads_the_beginning_of_a_long_answer"

    def send(self, request: Request) -> Response:
        if request.url.scheme == "https" or request.url.address is None:
            return super().send(request)
        with urllib3.PoolManager() as pool:
            came = pool.urlopen(
                "POST",
                request.url.text,
                body=request.body,
                headers=request_headers(request),
                redirect=False,
                retries=False,
                decode_content=False,
            )
        told = tuple(came.headers.items())
        return Response(status=came.status, headers=told, body=came.data[:1000], truncated=True)


def request_headers(request: Request) -> urllib3.HTTPHeaderDict:
    return urllib3.HTTPHeaderDict(request.headers)


class SaysNothingOfTheCut(Sound):
    breaks = "test_reads_the_beginning_of_a_long_answer"

    def send(self, request: Request) -> Response:
        return evolve(super().send(request), truncated=False)


class UnpacksAllAndCuts(Sound):
    breaks = "test_unpacks_the_beginning_of_an_answer"
    keeps = 1000

    def send(self, request: Request) -> Response:
        response = super().send(request)
        if response.header("Content-Encoding") is None:
            return response
        return evolve(response, body=bytes(UNPACKED)[: self.keeps])


class UnpacksAll(UnpacksAllAndCuts):
    keeps = UNPACKED


class TrustsAll(Sound):
    breaks = "test_trusts_no_unknown_authority"
    also = frozenset({"test_verifies_certificates"})

    def send(self, request: Request) -> Response:
        if request.url.scheme == "http":
            return super().send(request)
        with urllib3.PoolManager(cert_reqs="CERT_NONE") as pool:
            return Response(status=pool.request("POST", request.url.text, body=request.body).status)


class SaysThatTlsFailed(Sound):
    breaks = "test_trusts_no_unknown_authority"
    also = frozenset({"test_verifies_certificates"})

    def send(self, request: Request) -> Response:
        try:
            return super().send(request)
        except TransportError as exc:
            if exc.reason in {Reason.TLS_UNTRUSTED, Reason.TLS_EXPIRED, Reason.TLS_WRONG_NAME}:
                raise TransportError(Reason.TLS_FAILED, exc.detail) from exc
            raise


class TrustsAnyName(Sound):
    breaks = "test_verifies_certificates"

    def __init__(self, ca_bundle: str | None = None) -> None:
        super().__init__(ca_bundle)
        self.file = ca_bundle

    def send(self, request: Request) -> Response:
        if self.file is None:
            return super().send(request)
        with urllib3.PoolManager(ca_certs=self.file, assert_hostname=False) as pool:
            return Response(status=pool.request("POST", request.url.text, body=request.body).status)


class TrustsNobody(Sound):
    """Refuses each certificate for a reason that one of them has."""

    breaks = "test_verifies_certificates"

    def send(self, request: Request) -> Response:
        result = exchange(super().send, request).result
        if request.url.scheme == "https" and isinstance(result, Response):
            raise TransportError(Reason.TLS_UNTRUSTED, "nobody is trusted")
        if isinstance(result, TransportError):
            raise result
        return result


class ResolvesTwice(Sound):
    breaks = "test_resolves_a_name_once"

    def send(self, request: Request) -> Response:
        socket.getaddrinfo(request.url.host, request.url.port)
        return super().send(request)


class AsksNoGuard(Sound):
    breaks = "test_resolves_a_name_once"

    def send(self, request: Request) -> Response:
        return super().send(evolve(request, guard=lambda _: None))


class PutsTheAddressIntoTheUrl(Sound):
    breaks = "test_resolves_a_name_once"

    def send(self, request: Request) -> Response:
        if request.url.address is not None:
            return super().send(request)
        (address,) = system_resolver(request.url.host, request.url.port or 80)
        return super().send(evolve(request, url=URL.parse(f"http://{address}:{request.url.port}/")))


MUTANTS = [
    Sound,
    Insecure,
    OfTheSecureAlone,
    ResolvesByItself,
    Naive,
    FollowsRedirects,
    LooksWhereARedirectLeads,
    RaisesABadStatus,
    TriesABadStatusAgain,
    TellsNoHeaders,
    TellsNoBody,
    NamesItselfBesides,
    KeepsCookies,
    OneAnswerForAll,
    ReadsAllAndCuts,
    SaysNothingOfTheCut,
    UnpacksAllAndCuts,
    UnpacksAll,
    TrustsAll,
    SaysThatTlsFailed,
    TrustsAnyName,
    TrustsNobody,
    ResolvesTwice,
    AsksNoGuard,
    PutsTheAddressIntoTheUrl,
]


class TestMutants(HttpPromises):
    """What every transport promises besides is broken by the mutants of transports."""

    patience = 5.0

    @pytest.fixture(params=MUTANTS)
    def mutant(self, request: pytest.FixtureRequest) -> type[Sound]:
        made: type[Sound] = request.param
        return made

    @pytest.fixture
    def far_side(self) -> Iterator[HttpFarSide]:
        with HttpFarSide() as far_side:
            yield far_side

    @pytest.fixture
    def transport(self, mutant: type[Sound], far_side: HttpFarSide) -> Iterator[Transport]:
        with closing(mutant()) as transport:
            yield transport

    @pytest.fixture
    def trusting(self, mutant: type[Sound]) -> Iterator[Callable[[str], Transport]]:
        made: list[Transport] = []

        def make(file: str) -> Transport:
            made.append(mutant(file))
            return made[-1]

        yield make
        for one in made:
            one.close()
