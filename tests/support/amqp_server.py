"""What an AMQP broker says to a publisher: for what a RabbitMQ does not do when it is asked to."""

import socket
from collections.abc import Callable
from struct import pack, unpack, unpack_from
from typing import Final, TypeAlias

from amqp.serialization import dumps

Method: TypeAlias = tuple[int, int]

# AMQP 0.9.1: what is said (channel, class and method, format of the arguments, arguments) to what is heard.
_REPLIES: Final[dict[Method, tuple[int, Method, str, tuple[object, ...]]]] = {
    (10, 11): (0, (10, 30), "BlB", (2047, 131072, 0)),  # start-ok: tune
    (10, 40): (0, (10, 41), "s", ("",)),  # open: open-ok
    (10, 50): (0, (10, 51), "", ()),  # close: close-ok
    (20, 10): (1, (20, 11), "S", ("",)),  # channel.open: open-ok
    (20, 40): (1, (20, 41), "", ()),  # channel.close: close-ok
    (85, 10): (1, (85, 11), "", ()),  # confirm.select: select-ok
}
_PUBLISH: Final = (60, 40)


def speaks_amqp(*answers: bytes | None) -> Callable[[socket.socket], None]:
    """Opens a connection and a channel like a broker, and answers each message as it is told.

    Args:
        answers: What is said to each message in turn; with None, the connection is cut.
    """

    def serve(sock: socket.socket) -> None:
        left = list(answers)
        assert _exactly(sock, 8) == b"AMQP\x00\x00\x09\x01"
        sock.sendall(_says(0, (10, 10), "ooFSS", (0, 9, {}, "PLAIN AMQPLAIN", "en_US")))
        while (heard := _next_method(sock)) is not None:
            answer = left.pop(0) if heard == _PUBLISH else _reply(heard)
            if answer is None:
                return
            sock.sendall(answer)

    return serve


def returns(code: int, text: str) -> bytes:
    """Gives a message back, and confirms it then."""
    return _says(1, (60, 50), "Bsss", (code, text, "", "")) + _frame(2, 1, pack(">HHQH", 60, 0, 0, 0)) + ACK


def closes_channel(code: int, text: str) -> bytes:
    """Closes the channel over a message."""
    return _says(1, (20, 40), "BsBB", (code, text, 60, 40))


def closes_connection(code: int, text: str) -> bytes:
    """Takes leave."""
    return _says(0, (10, 50), "BsBB", (code, text, 0, 0))


def _reply(heard: Method) -> bytes:
    return _says(*_REPLIES[heard]) if heard in _REPLIES else b""


def _says(channel: int, method: Method, form: str, words: tuple[object, ...]) -> bytes:
    return _frame(1, channel, pack(">HH", *method) + (dumps(form, words) if form else b""))


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


ACK: Final = _says(1, (60, 80), "Lb", (1, False))
"""Confirms a message."""
NACK: Final = _says(1, (60, 120), "Lbb", (1, False, False))
"""Says that a message was not taken."""
BLOCKED: Final = _says(0, (10, 60), "s", ("low on memory",))
"""Says that it takes no messages at present."""
UNBLOCKED: Final = _says(0, (10, 61), "", ())
"""Says that it takes messages again."""
SILENCE: Final = b""
"""Leaves it open what became of a message."""


def _next_method(sock: socket.socket) -> Method | None:
    """Reads the next method; of a message, to its end. None where the client has gone."""
    method: Method | None = None
    missing = 0
    while method is None or missing:
        head = _exactly(sock, 7)
        if not head:
            return None
        kind, _, size = unpack(">BHI", head)
        payload = _exactly(sock, size + 1)
        if kind == 1:
            method = unpack_from(">HH", payload)
            missing = 1 if method == _PUBLISH else 0
        elif kind == 2:
            (missing,) = unpack_from(">Q", payload, 4)
        else:
            missing -= size
    return method


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return data
