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

from thornsdk import Exchange, Origin, Reason, Request, Response, Timings
from thornsdk.errors import TransportError, crash
from thornsdk.typing import Headers, IPAddress
from thornsdk_plugins.curl.failures import (
    LOST,
    NO_LAST_WORD,
    TOO_LARGE,
    Failure,
    meaning,
    os_error_meaning,
)
from thornsdk_plugins.curl.heads import MAX_FIELDS, MAX_HEAD, read_head
from thornsdk_plugins.curl.options import Options
from thornsdk_plugins.curl.way import Way

MAX_BODY: Final = 64 * 1024
"""How many bytes of an answer's body are read, after decoding. The rest is not of interest to a sender."""
# Takes away what libcurl would add by itself; what is given under these names stays.
_NOTHING_ELSE: Final = ("Accept:", "Expect:", "Content-Type:")
_MILLION: Final = 1_000_000
_MAX_LINES: Final = MAX_FIELDS + 2
# libcurl has a limit of its own for connecting, which is shorter than a deadline may be: not so this one.
_LONG: Final = 24 * 60 * 60 * 1000
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
        self._origin: Origin | None = None
        self._has_resolved = False
        self._lines: list[bytes] = []
        self._start_anew()
        self._set_up()

    def begin(self, request: Request, at: datetime, way: Way) -> None:
        """Makes the handle ready to send a request.

        Args:
            request: What to send.
            at: When it was taken up.
            way: How it is to be sent.
        """
        self._start_anew()
        self.request, self.started_at = request, at
        self._guard, self._spent = request.guard, way.spent
        curl, url = self.curl, request.url
        curl.setopt(pycurl.HTTPHEADER, _lines(request.headers))
        if url.origin != self._origin:
            curl.setopt(pycurl.URL, str(url.origin))
            self._origin = url.origin
        curl.setopt(pycurl.REQUEST_TARGET, url.target)
        curl.setopt(pycurl.POSTFIELDSIZE, len(request.body))
        # It cannot go back to the beginning: libcurl does not send again what may have arrived.
        curl.setopt(pycurl.READFUNCTION, BytesIO(request.body).read)
        self._set_addresses(way)
        # Nobody else's request may get onto the connection of one that is alone, not even while it is open.
        version = pycurl.CURL_HTTP_VERSION_2TLS if way.shared else pycurl.CURL_HTTP_VERSION_1_1
        curl.setopt(pycurl.HTTP_VERSION, version)
        curl.setopt(pycurl.PIPEWAIT, way.joins)
        curl.setopt(pycurl.FRESH_CONNECT, way.fresh or not way.shared)
        curl.setopt(pycurl.FORBID_REUSE, not way.shared)

    def succeeded(self) -> Exchange:
        """Gives the result of a request that was answered."""
        timings, head = self._timings(), read_head(self._lines)
        self.spoke_http2 = head.http2
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
        error.__cause__ = error.__cause__ or pycurl.error(code)  # Its words may quote the answer.
        return self._exchange(error, timings)

    def given_up(self) -> Exchange:
        """Gives the result of a request that was not answered within its time."""
        # libcurl's clock of a transfer stands still while nothing happens.
        timings = evolve(self._timings(), total=self.request.timeout)
        return self._exchange(TransportError(Reason.TIMEOUT, "the deadline passed", timings), timings)

    # What libcurl calls

    def _open(self, purpose: int, address: tuple[int, int, int, tuple[str, int]]) -> socket.socket | int:
        # Whatever is raised here would be printed, and be lost.
        try:
            return self._opened_socket(*address)
        except OSError as exc:
            self._note(TransportError(*os_error_meaning(exc.errno or 0)), exc)
        except Exception as exc:
            self._note(TransportError(Reason.STAGE_FAILED, f"the guard {crash(exc)}"), exc)
        return _NO_SOCKET

    def _opened_socket(
        self, family: int, kind: int, protocol: int, where: tuple[str, int]
    ) -> socket.socket | int:
        host = where[0]
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
                self._note(TransportError(Reason.ADDRESS_FORBIDDEN, f"connected to {peer}: {problem}"))
                return pycurl.PREREQFUNC_ABORT
        return pycurl.PREREQFUNC_OK

    def _take_line(self, line: bytes) -> int | None:
        self._lines.append(line)
        self._head_size += len(line)
        # The fields of the final head, its first line and its last one; what comes before it counts as well.
        if self._head_size <= MAX_HEAD and len(self._lines) <= _MAX_LINES:
            return None
        self._note(TransportError(*TOO_LARGE))
        return _STOP

    def _take_body(self, data: bytes) -> int | None:
        self._answer.append(data)
        self._answer_size += len(data)
        if self._answer_size <= MAX_BODY:
            return None
        self._truncated = True
        return _STOP

    # Inside

    def _note(self, problem: TransportError, cause: Exception | None = None) -> None:
        problem.__cause__ = cause
        self._problems.append(problem)

    def _start_anew(self) -> None:
        self._lines.clear()
        self._head_size = 0
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
        # It asks for no encoding, and decodes those that are used all the same.
        curl.setopt(pycurl.ACCEPT_ENCODING, "identity")
        curl.setopt(pycurl.DNS_CACHE_TIMEOUT, 0)
        curl.setopt(pycurl.MAXAGE_CONN, max(1, round(options.idle_timeout)))
        self._set_up_proxy()
        self._set_up_tls()
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open)
        curl.setopt(pycurl.SOCKOPTFUNCTION, self._note_socket)
        curl.setopt(pycurl.PREREQFUNCTION, self._check_peers)
        curl.setopt(pycurl.HEADERFUNCTION, self._take_line)
        curl.setopt(pycurl.WRITEFUNCTION, self._take_body)

    def _set_up_proxy(self) -> None:
        # Without a word, libcurl would take the proxy of the environment.
        self.curl.setopt(pycurl.PROXY, "" if self._options.proxy is None else str(self._options.proxy))
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

    def _set_addresses(self, way: Way) -> None:
        # Of the whole time, the loop takes care. Where there are several addresses, each gets its share.
        left = max(1, round((self.request.timeout - way.spent) * 1000))
        is_alone = len(way.addresses) == 1 if way.addresses else self._options.spells_out(self.request)
        self.curl.setopt(pycurl.CONNECTTIMEOUT_MS, _LONG if is_alone else left)
        if way.addresses is not None:
            self.curl.setopt(pycurl.RESOLVE, _resolved(self._options.place(self.request), way.addresses))
        elif self._has_resolved:
            self.curl.setopt(pycurl.RESOLVE, [])
        self._has_resolved = way.addresses is not None

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
            lookup=self._spent or None,
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


def _resolved(place: Origin, addresses: Sequence[IPAddress]) -> list[str]:
    """Gives what libcurl is told of a name: in place of what it was told before, these addresses."""
    name = f"{place.host}:{place.port}"
    return [f"-{name}", f"{name}:{','.join(map(str, addresses))}"]
