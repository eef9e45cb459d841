"""Turns what kombu, its drivers, ssl and sockets raise into answers or errors of ours, in this one place."""

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import redis.exceptions
from amqp.exceptions import AMQPError
from kombu.exceptions import KombuError

from thornsdk import Reason, Response
from thornsdk.errors import TransportError

# The reply codes of AMQP 0.9.1, section 1.2, each with the HTTP status that comes nearest.
_STATUS: Final = {
    311: 413,  # content too large
    312: 404,  # no route: no queue is bound for it
    313: 404,  # no consumers
    403: 403,  # access refused
    404: 404,  # no such exchange
    405: 423,  # resource locked
    406: 406,  # precondition failed: a message that the broker does not take
    506: 503,  # resource error
    530: 403,  # not allowed, such as a virtual host
    540: 501,  # not implemented
    541: 500,  # internal error
}
# What Redis answers in place of a result: the first that fits counts.
_REDIS_STATUS: Final[dict[type[Exception], int]] = {
    redis.exceptions.AuthenticationError: 403,
    redis.exceptions.NoPermissionError: 403,
    redis.exceptions.BusyLoadingError: 503,
    redis.exceptions.OutOfMemoryError: 503,
    redis.exceptions.ReadOnlyError: 503,
    redis.exceptions.ClusterError: 503,
    redis.exceptions.ResponseError: 500,
}
# A key that is no list is the trouble of one subscription: a status of 500 or more would count against the
# whole broker.
_CONFLICT: Final = 409
_UNREACHABLE: Final = frozenset(
    {
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EACCES,
        errno.EPERM,
        errno.EAFNOSUPPORT,
    }
)
# Replies to what is no AMQP, or none that the broker knows.
_NOT_AMQP: Final = frozenset({501, 502, 503, 504, 505})
# OpenSSL's x509_vfy.h: CERT_NOT_YET_VALID and CERT_HAS_EXPIRED, HOSTNAME_MISMATCH and IP_ADDRESS_MISMATCH,
# DEPTH_ZERO_SELF_SIGNED_CERT.
_EXPIRED: Final = frozenset({9, 10})
_WRONG_NAME: Final = frozenset({62, 64})
_SELF_SIGNED: Final = 18
_TOO_OLD: Final = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"})

LATE: Final = "the deadline passed"
"""What is told of a deadline where nothing more is known."""

_THEIRS: Final = (AMQPError, KombuError, redis.exceptions.RedisError, OSError)
_LOST: Final = (Reason.CONNECTION_LOST, "the connection broke before the broker had answered")


def refused(error: Exception) -> Response | None:
    """Gives the answer that an error stands for; None where the broker has not answered.

    Args:
        error: What was raised, or what came with a message that was returned.
    """
    return next((answer for one in _chain(error) if (answer := _answer(one)) is not None), None)


def translate(error: Exception) -> TransportError | None:
    """Gives our error for one of theirs, to be raised ``from`` theirs; None for what is not theirs."""
    if not isinstance(error, _THEIRS):
        return None
    return TransportError(*next((found for one in _chain(error) if (found := _meaning(one))), _LOST))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Gives an error and what is behind it: kombu and redis-py wrap what others raise."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


def _answer(error: BaseException) -> Response | None:
    if isinstance(error, AMQPError) and error.reply_code in _STATUS:
        return Response(status=_STATUS[error.reply_code], body=str(error.reply_text).encode())
    status = _redis_status(error)
    return None if status is None else Response(status=status, body=str(error).encode())


def _redis_status(error: BaseException) -> int | None:
    if isinstance(error, redis.exceptions.ResponseError) and str(error).startswith("WRONGTYPE"):
        return _CONFLICT
    return next((status for kind, status in _REDIS_STATUS.items() if isinstance(error, kind)), None)


def _meaning(error: BaseException) -> tuple[Reason, str] | None:
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    if isinstance(error, OSError):
        return _os_error(error)
    if isinstance(error, redis.exceptions.TimeoutError):
        return _LATE
    if isinstance(error, AMQPError) and error.reply_code in _NOT_AMQP:
        # Such as headers that are too large for a frame. The text has no more of a message than its size.
        return Reason.PROTOCOL_ERROR, f"broker and client do not understand each other: {error.reply_text}"
    if isinstance(error, redis.exceptions.InvalidResponse):
        return Reason.PROTOCOL_ERROR, "what came back is not the protocol of such a broker"
    return None


_LATE: Final = (Reason.TIMEOUT, LATE)


def _os_error(error: OSError) -> tuple[Reason, str] | None:
    # Where the kernel gives up by itself, no deadline of ours has passed.
    if isinstance(error, TimeoutError) and error.errno != errno.ETIMEDOUT:
        return _LATE
    if isinstance(error, socket.gaierror):
        return Reason.NAME_NOT_RESOLVED, "the broker's host has no address"
    if isinstance(error, ConnectionRefusedError):
        return Reason.CONNECTION_REFUSED, "nothing listens where the broker should be"
    if error.errno in _UNREACHABLE:
        return Reason.UNREACHABLE, "no route leads to the broker"
    return None


def _tls(error: ssl.SSLError) -> tuple[Reason, str] | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error.verify_code)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return None
    # One that Python raises by itself has no reason.
    name = str(getattr(error, "reason", None) or "TLS failed")
    reason = Reason.TLS_TOO_OLD if name in _TOO_OLD else Reason.TLS_FAILED
    return reason, name.replace("_", " ").lower()


def _certificate(found: int) -> tuple[Reason, str]:
    if found in _EXPIRED:
        return Reason.TLS_EXPIRED, "the broker's certificate is past its last day, or before its first"
    if found in _WRONG_NAME:
        return Reason.TLS_WRONG_NAME, "the broker's certificate is for another host"
    if found == _SELF_SIGNED:
        return Reason.TLS_SELF_SIGNED, "the broker's certificate is signed by itself"
    return Reason.TLS_UNTRUSTED, "the broker's certificate is not signed by an authority that is trusted here"
