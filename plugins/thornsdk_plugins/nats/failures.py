"""Turns what nats-py, asyncio, ssl and sockets raise into our errors, in this one place."""

import errno
import ssl

from nats.errors import ConnectionClosedError, Error

from thornsdk import Reason
from thornsdk.errors import TransportError, crash

# OpenSSL's x509_vfy.h: CERT_NOT_YET_VALID and CERT_HAS_EXPIRED, HOSTNAME_MISMATCH and IP_ADDRESS_MISMATCH,
# DEPTH_ZERO_SELF_SIGNED_CERT.
_CERTIFICATE_REASONS = {
    9: Reason.TLS_EXPIRED,
    10: Reason.TLS_EXPIRED,
    18: Reason.TLS_SELF_SIGNED,
    62: Reason.TLS_WRONG_NAME,
    64: Reason.TLS_WRONG_NAME,
}
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})


def translate(error: Exception) -> TransportError:
    """Gives our error for one of theirs. The caller raises it ``from`` theirs."""
    return TransportError(*_meaning(error))


def _meaning(error: Exception) -> tuple[Reason, str]:
    # Some of nats-py's time-outs are its errors too, and all that asyncio raises are errors of the system.
    if isinstance(error, TimeoutError):
        return Reason.TIMEOUT, "the deadline passed before the stream has acknowledged"
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    if isinstance(error, OSError):
        return _os_error(error)
    if isinstance(error, ConnectionClosedError):
        return Reason.CONNECTION_LOST, "the connection broke before the stream has acknowledged"
    if isinstance(error, Error):
        return Reason.PROTOCOL_ERROR, f"the server broke off, or does not speak NATS ({type(error).__name__})"
    return Reason.STAGE_FAILED, f"the transport {crash(error)}"


def _tls(error: ssl.SSLError) -> tuple[Reason, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = _CERTIFICATE_REASONS.get(error.verify_code, Reason.TLS_UNTRUSTED)
        return reason, error.verify_message
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return Reason.CONNECTION_LOST, "the server ended TLS"
    # One that Python raises by itself has no reason.
    name = str(getattr(error, "reason", None) or "TLS failed").replace("_", " ").lower()
    wants_ours = "alert" in name and "certificate" in name
    return Reason.TLS_CLIENT_CERTIFICATE if wants_ours else Reason.TLS_FAILED, name


def _os_error(error: OSError) -> tuple[Reason, str]:
    if isinstance(error, ConnectionRefusedError):
        return Reason.CONNECTION_REFUSED, "nothing listens there"
    if error.errno in _UNREACHABLE:
        return Reason.UNREACHABLE, "no route leads there"
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return Reason.CONNECTION_LOST, f"the connection failed ({name})"
