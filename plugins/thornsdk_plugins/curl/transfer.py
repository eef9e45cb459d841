"""One request on one of libcurl's easy handles."""

import os
import socket
from collections.abc import Callable, Sequence
from datetime import datetime
from io import BytesIO
from ipaddress import ip_address
from typing import Final

import pycurl
from attrs import evolve

from thornsdk import Exchange, Origin, Reason, Request, Response, Timings, literal_address
from thornsdk.errors import TransportError
from thornsdk.typing import Headers, IPAddress
from thornsdk_plugins.curl.failures import LOST, NO_LAST_WORD, TOO_LARGE, Failure, meaning
from thornsdk_plugins.curl.heads import read_head
from thornsdk_plugins.curl.options import Options

MAX_BODY: Final = 64 * 1024
"""How many bytes of an answer's body are read, after decoding. The rest is not of interest to a sender."""
# Takes away what libcurl would add by itself; what is given under these names stays.
_NOTHING_ELSE: Final = ("Accept:", "Expect:", "Content-Type:")
_MILLION: Final = 1_000_000
# pycurl takes a method's result for the number of bytes that were taken: any other one ends the transfer.
_STOP: Final = -1
_NO_SOCKET: Final[int] = pycurl.SOCKET_BAD


class Transfer:
    """An easy handle, for one request after the other.

    Args:
        options: What all requests have in common.
        certificate: The name of the client certificate that it shows, or None.
        opened: Told of each socket that is opened, by its number, and of the origin that it is for.

    Attributes:
        give_up_at: When the time of its request is over, by the clock of the loop.

    Raises:
        TransportError: If there is no certificate of that name.
    """

    def __init__(
        self, options: Options, certificate: str | None, opened: Callable[[int, Origin], None]
    ) -> None:
        self.certificate = certificate
        self.give_up_at = 0.0
        self.curl = pycurl.Curl()
        self._options = options
        self._opened = opened
        self._keeps = options.idle_connections > 0 and options.idle_timeout > 0
        self._origin: Origin | None = None
        self._lines: list[bytes] = []
        self._start_anew()
        self._set_up()

    def begin(
        self,
        request: Request,
        at: datetime,
        *,
        spent: float,
        addresses: Sequence[IPAddress] | None,
        shared: bool,
        stale: bool,
    ) -> None:
        """Makes the handle ready to send a request.

        Args:
            request: What to send.
            at: When it was taken up.
            spent: How many seconds of its time have gone into the look-up.
            addresses: The addresses of its host; None where libcurl looks them up, if there is a need.
            shared: Whether it may use connections that are open, and leave its own to others.
            stale: Whether one of the open ones may have been ended at the far side.

        Raises:
            TransportError: If it cannot be sent.
        """
        self._start_anew()
        self.request, self.started_at = request, at
        self._guard, self._spent = request.guard, spent
        curl, url = self.curl, request.url
        curl.setopt(pycurl.HTTPHEADER, _lines(request.headers))
        if url.origin != self._origin:
            curl.setopt(pycurl.URL, str(url.origin))
            self._origin = url.origin
        curl.setopt(pycurl.REQUEST_TARGET, url.target)
        curl.setopt(pycurl.POSTFIELDSIZE, len(request.body))
        # It cannot go back to the beginning: libcurl does not send again what may have arrived.
        curl.setopt(pycurl.READFUNCTION, BytesIO(request.body).read)
        # Of the whole time, the loop takes care. Each address gets its share of the time to connect.
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, round((request.timeout - spent) * 1000)))
        if addresses is not None:
            curl.setopt(pycurl.RESOLVE, _resolved(url.origin, addresses))
        # Without a body, libcurl could send again, over a new connection, what may have arrived.
        curl.setopt(pycurl.FRESH_CONNECT, stale or not (shared and request.body and self._keeps))
        curl.setopt(pycurl.FORBID_REUSE, not (shared and self._keeps))

    def succeeded(self) -> Exchange:
        """Gives the result of a request that was answered."""
        timings, head = self._timings(), read_head(self._lines)
        self.spoke_http2 = head.http2
        if head.too_large:
            return self._exchange(TransportError(*TOO_LARGE, timings), timings)
        if not head.whole:  # libcurl takes the end of the connection for that of the head.
            return self._exchange(TransportError(*LOST, timings), timings)
        return self._exchange(self._response(head.fields, timings), timings)

    def failed(self, code: int, text: str) -> Exchange:
        """Gives the result of a request that was not, or not wholly, answered."""
        if self._truncated or self._ended_with_its_connection(text):
            return self.succeeded()
        timings = self._timings()
        error = self._error(code, text)
        error.timings = timings
        error.__cause__ = pycurl.error(code, text)
        return self._exchange(error, timings)

    def given_up(self) -> Exchange:
        """Gives the result of a request that was not answered within its time."""
        # libcurl's clock of a transfer stands still while nothing happens.
        timings = evolve(self._timings(), total=self.request.timeout)
        return self._exchange(TransportError(Reason.TIMEOUT, "the deadline passed", timings), timings)

    # What libcurl calls

    def _open(self, purpose: int, address: tuple[int, int, int, tuple[str, int]]) -> socket.socket | int:
        family, kind, protocol, (host, *_) = address
        if self._options.proxy is None and (problem := self._guard(ip_address(host))):
            self._refused.append(f"{self.request.url.host} is at {host}: {problem}")
            return _NO_SOCKET
        self._made = socket.socket(family, kind, protocol)
        return self._made

    def _note_socket(self, descriptor: int, purpose: int) -> int:
        self._made.close()  # pycurl has made a copy.
        self._descriptors.append(descriptor)
        self._opened(descriptor, self.request.url.origin)
        return pycurl.SOCKOPT_OK

    def _check_peers(self, *_: object) -> int:
        """Looks once more at what is really connected: a packet filter may have turned us elsewhere."""
        if self._options.proxy is not None:
            return pycurl.PREREQFUNC_OK
        for peer in filter(None, map(_peer, self._descriptors)):
            if problem := self._guard(ip_address(peer)):
                detail = f"connected to {peer}: {problem}"
                self._problems.append(TransportError(Reason.ADDRESS_FORBIDDEN, detail))
                return pycurl.PREREQFUNC_ABORT
        return pycurl.PREREQFUNC_OK

    def _take_body(self, data: bytes) -> int | None:
        self._answer.append(data)
        self._answer_size += len(data)
        if self._answer_size <= MAX_BODY:
            return None
        self._truncated = True
        return _STOP

    # Inside

    def _start_anew(self) -> None:
        self._lines.clear()
        self.spoke_http2 = False
        self._answer: list[bytes] = []
        self._answer_size = 0
        self._truncated = False
        self._descriptors: list[int] = []
        self._refused: list[str] = []
        self._problems: list[TransportError] = []

    def _set_up(self) -> None:
        curl, options = self.curl, self._options
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.USERAGENT, "")
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        # It asks for no encoding, and decodes those that are used all the same.
        curl.setopt(pycurl.ACCEPT_ENCODING, "identity")
        curl.setopt(pycurl.DNS_CACHE_TIMEOUT, 0)
        curl.setopt(pycurl.MAXAGE_CONN, max(1, round(options.idle_timeout)))
        self._set_up_proxy()
        self._set_up_tls()
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open)
        curl.setopt(pycurl.SOCKOPTFUNCTION, self._note_socket)
        curl.setopt(pycurl.PREREQFUNCTION, self._check_peers)
        curl.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, self._take_body)

    def _set_up_proxy(self) -> None:
        # Without a word, libcurl would take the proxy of the environment.
        self.curl.setopt(pycurl.PROXY, self._options.proxy or "")
        self.curl.setopt(pycurl.NOPROXY, "")
        self.curl.setopt(pycurl.HTTPPROXYTUNNEL, self._options.proxy is not None)

    def _set_up_tls(self) -> None:
        curl, options = self.curl, self._options
        curl.setopt(pycurl.SSL_VERIFYPEER, 1)
        curl.setopt(pycurl.SSL_VERIFYHOST, 2)
        curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        for option, path in ((pycurl.CAINFO, options.ca_file), (pycurl.CAPATH, options.ca_folder)):
            if path is None:
                curl.unsetopt(option)
            else:
                curl.setopt(option, path)
        if self.certificate is not None:
            path = options.certificate_file(self.certificate)
            curl.setopt(pycurl.SSLCERT, path)
            curl.setopt(pycurl.SSLKEY, path)

    def _response(self, fields: Headers, timings: Timings) -> Response:
        curl = self.curl
        body = b"".join(self._answer)
        return Response(
            status=curl.getinfo(pycurl.RESPONSE_CODE),
            headers=fields,
            body=body[:MAX_BODY],
            truncated=self._truncated,
            reused=curl.getinfo(pycurl.NUM_CONNECTS) == 0,
            address=curl.getinfo(pycurl.PRIMARY_IP),
            timings=timings,
        )

    def _exchange(self, result: Response | TransportError, timings: Timings) -> Exchange:
        return Exchange(
            request=self.request, result=result, started_at=self.started_at, duration=timings.total
        )

    def _error(self, code: int, text: str) -> TransportError:
        if self._problems:
            return self._problems[0]
        if code == pycurl.E_COULDNT_CONNECT and self._refused and not self._descriptors:
            return TransportError(Reason.ADDRESS_FORBIDDEN, self._refused[0])
        curl = self.curl
        failure = Failure(
            code=code,
            text=text,
            os_error=curl.getinfo(pycurl.OS_ERRNO),
            verify_result=curl.getinfo(pycurl.SSL_VERIFYRESULT),
            proxy_status=curl.getinfo(pycurl.HTTP_CONNECTCODE),
        )
        return TransportError(*meaning(failure, self.request.url.host))

    def _ended_with_its_connection(self, text: str) -> bool:
        """Tells whether all that is missing is a last word of TLS: many servers end without one."""
        return NO_LAST_WORD in text and read_head(self._lines).ends_with_connection

    def _looks_up(self) -> bool:
        return literal_address(self.request.url.host) is None

    def _timings(self) -> Timings:
        """Reads libcurl's clocks: microseconds from the beginning until each step was done."""
        read = self.curl.getinfo
        began, first = read(pycurl.PRETRANSFER_TIME_T), read(pycurl.STARTTRANSFER_TIME_T)
        total = self._spent + read(pycurl.TOTAL_TIME_T) / _MILLION
        first_byte = (first - began) / _MILLION if self._lines else None
        if not (read(pycurl.NUM_CONNECTS) or self._descriptors or self._refused):
            return Timings(total=total, first_byte=first_byte)
        named, connected = read(pycurl.NAMELOOKUP_TIME_T), read(pycurl.CONNECT_TIME_T)
        secured = read(pycurl.APPCONNECT_TIME_T)
        return Timings(
            total=total,
            lookup=self._spent + named / _MILLION if self._looks_up() else None,
            connect=(connected - named) / _MILLION if connected else None,
            tls=(secured - connected) / _MILLION if secured else None,
            first_byte=first_byte,
        )


def _peer(descriptor: int) -> str | None:
    """Gives the address that a socket is connected to; None where it is not, or no more."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            return str(sock.getpeername()[0])
    except OSError:
        return None


def unsent(request: Request, at: datetime, seconds: float, error: TransportError) -> Exchange:
    """Gives the result of a request that never came to be sent.

    Args:
        request: The request.
        at: When it was taken up.
        seconds: How long it was looked after.
        error: Why it was not sent.
    """
    error.timings = Timings(total=seconds, lookup=seconds or None)
    return Exchange(request=request, result=error, started_at=at, duration=seconds)


def _lines(headers: Headers) -> list[str]:
    """Gives headers as libcurl takes them."""
    # libcurl would leave out a header without a value, unless it ends so.
    return [*(f"{name}: {value}" if value else f"{name};" for name, value in headers), *_NOTHING_ELSE]


def _resolved(origin: Origin, addresses: Sequence[IPAddress]) -> list[str]:
    """Gives what libcurl is told of a name: in place of what it was told before, these addresses."""
    place = f"{origin.host}:{origin.port}"
    return [f"-{place}", f"{place}:{','.join(map(str, addresses))}"]
