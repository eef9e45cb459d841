"""Turns what urllib3, http.client, ssl and sockets raise into our errors, in this one place."""

import errno
import http.client
import ssl

from urllib3.exceptions import ProtocolError, ReadTimeoutError
from urllib3.exceptions import SSLError as Urllib3SSLError

from thornsdk import Reason, Timings
from thornsdk.errors import TransportError

# OpenSSL's x509_vfy.h: CERT_NOT_YET_VALID and CERT_HAS_EXPIRED, HOSTNAME_MISMATCH and IP_ADDRESS_MISMATCH,
# DEPTH_ZERO_SELF_SIGNED_CERT.
_EXPIRED = frozenset({9, 10})
_WRONG_NAME = frozenset({62, 64})
_SELF_SIGNED = 18
# OpenSSL's names for these errors; those with ALERT in them came from the far side.
_TOO_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"})
_CLIENT_CERTIFICATE = frozenset(
    {
        "BAD_CERTIFICATE",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_REQUIRED",
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_UNKNOWN",
        "UNKNOWN_CA",
        "UNSUPPORTED_CERTIFICATE",
    }
)
_UNREACHABLE = frozenset(
    {
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EACCES,
        errno.EPERM,
        errno.EAFNOSUPPORT,
    }
)
# These are raised ``from`` what they wrap.
_WRAPPERS = (ProtocolError, ReadTimeoutError, Urllib3SSLError)


def translate(error: Exception, timings: Timings) -> TransportError:
    """Gives our error for one of theirs. The caller raises it ``from`` theirs.

    Args:
        error: What was raised.
        timings: Where the time went.
    """
    reason, detail = _meaning(_root(error))
    return TransportError(reason, detail, timings)


def _root(error: BaseException) -> BaseException:
    """Takes the error out of urllib3's wrappers."""
    while isinstance(error, _WRAPPERS) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _meaning(error: BaseException) -> tuple[Reason, str]:
    if isinstance(error, TimeoutError):
        return Reason.TIMEOUT, "the deadline passed"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error)
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    if isinstance(error, ConnectionRefusedError):
        return Reason.CONNECTION_REFUSED, "nothing listens there"
    # RemoteDisconnected is a BadStatusLine too: it must be looked at first.
    if isinstance(error, (ConnectionError, http.client.IncompleteRead)):
        return Reason.CONNECTION_LOST, "the connection broke before the answer was whole"
    if isinstance(error, OSError):
        return _os_error(error)
    if isinstance(error, http.client.HTTPException):
        return _http(error)
    return Reason.PROTOCOL_ERROR, f"the answer cannot be read ({type(error).__name__})"


def _certificate(error: ssl.SSLCertVerificationError) -> tuple[Reason, str]:
    if error.verify_code in _EXPIRED:
        return Reason.TLS_EXPIRED, error.verify_message
    if error.verify_code in _WRONG_NAME:
        return Reason.TLS_WRONG_NAME, error.verify_message
    if error.verify_code == _SELF_SIGNED:
        return Reason.TLS_SELF_SIGNED, error.verify_message
    return Reason.TLS_UNTRUSTED, error.verify_message


def _tls(error: ssl.SSLError) -> tuple[Reason, str]:
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Reason.CONNECTION_LOST, "the far side ended TLS before the answer was whole"
    # One that Python raises by itself has no reason.
    name = str(getattr(error, "reason", None) or "TLS failed")
    return _tls_reason(name), name.replace("_", " ").lower()


def _tls_reason(name: str) -> Reason:
    if name in _TOO_OLD:
        return Reason.TLS_TOO_OLD
    _, alert, meaning = name.partition("_ALERT_")
    if alert and meaning in _CLIENT_CERTIFICATE:
        return Reason.TLS_CLIENT_CERTIFICATE
    return Reason.TLS_FAILED


def _os_error(error: OSError) -> tuple[Reason, str]:
    if error.errno in _UNREACHABLE:
        return Reason.UNREACHABLE, "no route leads there"
    return (
        Reason.CONNECTION_LOST,
        f"the connection failed ({errno.errorcode.get(error.errno or 0, 'OSError')})",
    )


def _http(error: http.client.HTTPException) -> tuple[Reason, str]:
    if isinstance(error, http.client.LineTooLong) or str(error).startswith("got more than"):
        return Reason.ANSWER_TOO_LARGE, "the answer's headers are too many or too long"
    return Reason.PROTOCOL_ERROR, "what came back is not HTTP"
