"""Turns libcurl's errors into ours, in this one place."""

import errno
from typing import Final

import pycurl
from attrs import frozen

from thornsdk import Reason

# OpenSSL's x509_vfy.h: CERT_NOT_YET_VALID and CERT_HAS_EXPIRED, HOSTNAME_MISMATCH and IP_ADDRESS_MISMATCH,
# DEPTH_ZERO_SELF_SIGNED_CERT.
_EXPIRED: Final = frozenset({9, 10})
_WRONG_NAME: Final = frozenset({62, 64})
_SELF_SIGNED: Final = 18
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
# What OpenSSL says, as libcurl passes it on.
_TOO_OLD: Final = ("unsupported protocol", "alert protocol version")
_CLIENT_CERTIFICATE: Final = tuple(
    f"alert {meaning}"
    for meaning in (
        "bad certificate",
        "certificate expired",
        "certificate required",
        "certificate revoked",
        "certificate unknown",
        "unknown ca",
        "unsupported certificate",
    )
)
NO_LAST_WORD: Final = "unexpected eof"
"""What OpenSSL says, in any version that it says it in, of a connection that ended without a word of TLS."""
_BROKEN_TLS: Final = (NO_LAST_WORD, "ssl_error_syscall", "connection reset", "connection was reset")
# CURLE_HTTP2, CURLE_HTTP2_STREAM and CURLE_TOO_LARGE, for which pycurl has no names, or had none.
_HTTP2: Final = frozenset({16, 92})
_HEAD_TOO_LARGE: Final = 100
_WEIRD_REPLY: Final = 8

LOST: Final = (Reason.CONNECTION_LOST, "the connection broke before the answer was whole")
"""What is said of an answer that was cut short."""
TOO_LARGE: Final = (Reason.ANSWER_TOO_LARGE, "the answer's headers are too many or too long")
"""What is said of an answer of which the head is too long."""
_NOT_HTTP: Final = (Reason.PROTOCOL_ERROR, "what came back is not HTTP")


@frozen
class Failure:
    """What libcurl says of a request that failed.

    Attributes:
        code: The ``CURLE_`` code.
        text: The words with it; they may quote what came back, so they are read here and told nowhere.
        os_error: The error of the operating system; 0 where there is none.
        verify_result: What OpenSSL thinks of the certificate; 0 where it is good, or was not looked at.
        proxy_status: What the proxy answered to CONNECT; 0 without an answer.
    """

    code: int
    text: str
    os_error: int
    verify_result: int
    proxy_status: int


def meaning(failure: Failure, host: str) -> tuple[Reason, str]:
    """Gives the reason, and what to say.

    Args:
        failure: What libcurl says.
        host: The host of the request.
    """
    if failure.code == pycurl.E_OPERATION_TIMEDOUT:
        return Reason.TIMEOUT, "the deadline passed"
    if failure.proxy_status >= 300:  # noqa: PLR2004 - RFC 9110, section 9.3.6: a tunnel is opened with 2xx
        return Reason.PROXY_REFUSED, f"the proxy would not connect, and answered {failure.proxy_status}"
    if failure.code == pycurl.E_COULDNT_RESOLVE_HOST:
        return Reason.NAME_NOT_RESOLVED, f"{host} has no address"
    if failure.code == pycurl.E_COULDNT_RESOLVE_PROXY:
        return Reason.NAME_NOT_RESOLVED, "the proxy has no address"
    if failure.code == pycurl.E_COULDNT_CONNECT:
        return os_error_meaning(failure.os_error)
    if failure.code == pycurl.E_PEER_FAILED_VERIFICATION:
        return _certificate(failure)
    if failure.code == pycurl.E_SSL_CERTPROBLEM:
        return Reason.TLS_CLIENT_CERTIFICATE, "the client certificate cannot be used"
    return _exchange(failure)


def os_error_meaning(os_error: int) -> tuple[Reason, str]:
    """Gives the reason, and what to say, of an error of the operating system while connecting."""
    if os_error == errno.ECONNREFUSED:
        return Reason.CONNECTION_REFUSED, "nothing listens there"
    if os_error in _UNREACHABLE:
        return Reason.UNREACHABLE, "no route leads there"
    if os_error == errno.ETIMEDOUT:
        return Reason.TIMEOUT, "the deadline passed"
    return Reason.CONNECTION_LOST, f"the connection failed ({errno.errorcode.get(os_error, 'OSError')})"


def _certificate(failure: Failure) -> tuple[Reason, str]:
    found = failure.verify_result
    if found in _EXPIRED:
        return Reason.TLS_EXPIRED, "the certificate is past its last day, or before its first"
    if found == _SELF_SIGNED:
        return Reason.TLS_SELF_SIGNED, "the certificate is signed by itself"
    # That a good certificate has another name is libcurl's own finding.
    if found in _WRONG_NAME or "subject name" in failure.text:
        return Reason.TLS_WRONG_NAME, "the certificate is for another host"
    return Reason.TLS_UNTRUSTED, "the certificate is not signed by an authority that is trusted here"


def _exchange(failure: Failure) -> tuple[Reason, str]:
    text = failure.text.lower()
    if any(sign in text for sign in _TOO_OLD):
        return Reason.TLS_TOO_OLD, "the receiver speaks no version of TLS that is new enough"
    if any(sign in text for sign in _CLIENT_CERTIFICATE):
        return Reason.TLS_CLIENT_CERTIFICATE, "the receiver wants another client certificate"
    if any(sign in text for sign in _BROKEN_TLS):
        return LOST
    if failure.code == pycurl.E_SSL_CONNECT_ERROR or "ssl routines" in text:
        return Reason.TLS_FAILED, "TLS failed"
    if failure.code in {_WEIRD_REPLY, pycurl.E_UNSUPPORTED_PROTOCOL, *_HTTP2}:
        return _NOT_HTTP
    if "chunk" in text:
        return Reason.PROTOCOL_ERROR, "the answer comes in chunks that cannot be told apart"
    if failure.code == pycurl.E_BAD_CONTENT_ENCODING:
        return Reason.PROTOCOL_ERROR, "the answer cannot be decoded"
    if failure.code == _HEAD_TOO_LARGE or text.startswith("too large response headers"):
        return TOO_LARGE
    return LOST
