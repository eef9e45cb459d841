"""Reads answers, with what http.client has for it."""

import http.client
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.errors import MissingHeaderBodySeparatorDefect
from http import HTTPStatus
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Final, cast

from attrs import frozen
from urllib3 import HTTPResponse

from thornsdk.typing import Headers
from thornsdk_plugins.urllib3.framing import framing
from thornsdk_plugins.urllib3.heads import PlainHead, plain_head
from thornsdk_plugins.urllib3.overridden import must_have
from thornsdk_plugins.urllib3.watch import WatchedSocket, WatchedSSLSocket

if TYPE_CHECKING:
    import socket

    from _typeshed import WriteableBuffer

MAX_BODY: Final = 64 * 1024
"""How many bytes of an answer's body are read, after decoding. The rest is not of interest to a sender."""
MAX_HEAD: Final = 64 * 1024
"""How many bytes the head of an answer may have, with all the interim answers before it."""
_AT_ONCE: Final = 16 * 1024
"""How many bytes are taken from a connection at once; TLS never gives more."""
_HTTP_1_0: Final = 10
_MAX_CHUNK_LINE: Final = 1024
# RFC 9112, section 7.1. What follows the size is an extension, of which none means anything to us.
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")


@frozen(kw_only=True)
class Answer:
    """What was read.

    Attributes:
        status: The HTTP status.
        headers: As they came.
        body: After decoding, cut at `MAX_BODY`.
        truncated: Whether it was cut.
        reusable: Whether the connection can serve another request.
    """

    status: int
    headers: Headers
    body: bytes
    truncated: bool
    reusable: bool


def read_answer(sock: WatchedSocket | WatchedSSLSocket) -> Answer:
    """Reads the answer to a POST.

    Raises:
        OSError: If the connection broke.
        TimeoutError: If the deadline passed.
        HTTPException: If what comes is not HTTP, or ends too early.
        HTTPError: If urllib3 cannot decode it.
    """
    begun = sock.recv(_AT_ONCE)
    head = plain_head(begun)
    if head is None or head.length > MAX_BODY:
        return _read_with_care(_Source(sock, begun))
    return _read_plain(sock, head, begun)


def _read_plain(sock: WatchedSocket | WatchedSSLSocket, head: PlainHead, begun: bytes) -> Answer:
    end = head.size + head.length
    while len(begun) < end:
        more = sock.recv(_AT_ONCE)
        if not more:
            raise http.client.IncompleteRead(begun, end - len(begun))
        begun += more
    return Answer(
        status=head.status,
        headers=head.fields,
        body=begun[head.size : end],
        truncated=False,
        # More than the answer must not be taken for the answer to the next request.
        reusable=len(begun) == end,
    )


def _read_with_care(source: "_Source") -> Answer:
    answer = FinalAnswer(source)
    try:
        answer.begin()
        body = _read_body(answer)
    finally:
        answer.close()
    truncated = len(body) > MAX_BODY
    ended = not truncated and answer.status != HTTPStatus.SWITCHING_PROTOCOLS
    return Answer(
        status=answer.status,
        headers=answer.fields,
        body=body[:MAX_BODY],
        truncated=truncated,
        reusable=ended and not answer.will_close and not answer.surplus,
    )


class _Source(RawIOBase):
    """What comes over a connection, as a file: first what was taken from there already.

    Args:
        sock: Where it comes from.
        begun: What was taken.

    Attributes:
        is_over: Whether the whole answer was read: nothing else is waited for.
        ends_with_connection: Whether nothing but the end of the connection says where the answer ends.
    """

    def __init__(self, sock: WatchedSocket | WatchedSSLSocket, begun: bytes) -> None:
        self._sock = sock
        self._begun = begun
        self.is_over = False
        self.ends_with_connection = False

    def makefile(self, _: str) -> BufferedReader:
        """Makes the file that http.client asks a socket for."""
        return BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        if self._begun:
            space = memoryview(buffer)
            taken, self._begun = self._begun[: len(space)], self._begun[len(space) :]
            space[: len(taken)] = taken
            return len(taken)
        if self.is_over:
            return None
        try:
            return self._sock.recv_into(buffer)
        except ssl.SSLEOFError:
            # Many servers end TLS without a word. Status and head were whole: more of the body says nothing.
            if self.ends_with_connection:
                return 0
            raise


class FinalAnswer(http.client.HTTPResponse):
    """The final answer to a request.

    Interim answers before it, such as 103, are passed over (RFC 9110, section 15.2): http.client would take
    them for the final one, and what follows for the answer to the next request.

    Args:
        source: Where it comes from.

    Attributes:
        fields: The names and values of its head.
        surplus: Whether more came than the answer: it must not be taken for the answer to the next request.
    """

    fp: BufferedReader
    fields: Headers

    def __init__(self, source: _Source) -> None:
        super().__init__(cast("socket.socket", source), method="POST")
        self._source = source
        self.surplus = False

    def begin(self) -> None:
        """Reads the head.

        Raises:
            HTTPException: If a line is no header, the head is too long, or it does not say where the answer
                ends.
        """
        with self._lines():
            super().begin()
        if self._has_lost_lines():
            raise http.client.HTTPException("a line is no header")
        self.fields = tuple(self.getheaders())
        found = framing(self.status, self.fields, is_old=self.version == _HTTP_1_0)
        self.chunked, self.chunk_left = found.chunked, None
        self.length, self.will_close = found.length, found.closes
        self._source.ends_with_connection = found.length is None and not found.chunked

    def encoding(self) -> str:
        """Tells how the body is encoded."""
        named = (value for name, value in self.fields if name.lower() == "content-encoding")
        return ", ".join(named) or "identity"

    @contextmanager
    def _lines(self) -> Iterator[None]:
        file = self.fp
        self.fp = cast("BufferedReader", _Lines(file))
        try:
            yield
        finally:
            self.fp = file

    def _close_conn(self) -> None:
        self._source.is_over = True  # What has come can be looked at now, and nothing else is waited for.
        with suppress(OSError):  # Where it broke off, nothing can be looked at, and nothing goes on.
            self.surplus = bool(self.fp.peek())
        super()._close_conn()  # type: ignore[misc]

    def _has_lost_lines(self) -> bool:
        # The parser is that of email: what it takes for a message's text were lines of the head.
        lost = any(isinstance(one, MissingHeaderBodySeparatorDefect) for one in self.msg.defects)
        return lost or bool(self.msg.get_payload())

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        interim = HTTPStatus.SWITCHING_PROTOCOLS < status < HTTPStatus.OK
        return version, HTTPStatus.CONTINUE if interim else status, reason

    def _read_next_chunk_size(self) -> int:
        # http.client takes whatever `int` takes: -1 would mean all that ever comes.
        line = self.fp.readline(_MAX_CHUNK_LINE)
        if not line:
            raise http.client.IncompleteRead(b"")
        found = _CHUNK.fullmatch(line)
        if found is None:
            raise http.client.HTTPException("the size of a chunk is none")
        return int(found[1], 16)

    def _read_and_discard_trailer(self) -> None:
        with self._lines():
            super()._read_and_discard_trailer()  # type: ignore[misc]


must_have(
    http.client.HTTPResponse,
    "_close_conn",
    "_read_status",
    "_read_next_chunk_size",
    "_read_and_discard_trailer",
)


class _Lines:
    """The lines of a head or trailer, up to a length: http.client caps lines and headers, not all of them.

    Args:
        file: Where the lines come from.
    """

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._left = MAX_HEAD
        self._begun = False

    def readline(self, limit: int) -> bytes:
        line = self._file.readline(min(limit, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise http.client.LineTooLong("head")
        if self._begun and not line.endswith(b"\n"):
            # http.client would take the end of the connection for that of the head.
            raise http.client.IncompleteRead(line)
        if b"\r" in line.removesuffix(b"\r\n"):
            # The parser of email would make two lines of it.
            raise http.client.HTTPException("a line has a carriage return in it")
        self._begun = True
        return line

    def peek(self) -> bytes:
        return b""

    def close(self) -> None:
        """Leaves the file open: the answer closes it, however its head ends."""


def _read_body(answer: FinalAnswer) -> bytes:
    plain = answer.encoding() == "identity"
    body = answer.read(MAX_BODY + 1) if plain else _decoded(answer)
    if answer.length and len(body) <= MAX_BODY:
        raise http.client.IncompleteRead(b"", answer.length)
    return body


def _decoded(answer: FinalAnswer) -> bytes:
    """Reads a body that was encoded although we did not ask for it."""
    decoder = HTTPResponse(
        body=answer,
        headers={"Content-Encoding": answer.encoding()},
        status=answer.status,
        preload_content=False,
        original_response=answer,
    )
    return decoder.read(MAX_BODY + 1, decode_content=True)
