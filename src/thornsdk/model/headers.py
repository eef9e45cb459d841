"""Headers: what may be sent as one, and which names are ours."""

import re
from collections.abc import Iterable

from thornsdk.errors import InvalidHeader
from thornsdk.typing import HasItems, Headers, HeadersLike

# RFC 9110, section 5.1: a field name is a token. Section 5.5: a value is visible characters with spaces and
# tabs between them. We keep to ASCII, which every receiver reads alike.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")

# What says where a request ends: a transport sets these.
_FRAMING = frozenset({"content-length", "host", "transfer-encoding"})
# Names and values as lines, with something between them that may be in neither.
_FRAMED = "|".join(sorted(_FRAMING))
_LINES = re.compile(f"(?:(?!(?i:{_FRAMED})\0){_NAME.pattern}\0{_VALUE.pattern}\n)*")

_RESERVED = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_RESERVED_PREFIXES = ("hook-", "webhook-")
_OURS = frozenset({"hook-event", "hook-delivery", "hook-subscription"})
_NOT_SIGNERS = _RESERVED | _OURS


def check_header(name: str, value: str) -> None:
    """Checks that a header can be sent.

    Raises:
        InvalidHeader: If the name is not a token, or the value has a control character, a line break, a
            non-ASCII character, or space around it. The error never quotes the value: it may be a secret.
    """
    if problem := _problem(name, value):
        raise InvalidHeader(problem)


def _problem(name: str, value: str) -> str:
    if not _NAME.fullmatch(name):
        return f"{name!r} cannot be the name of a header (RFC 9110, section 5.1)"
    if not _VALUE.fullmatch(value):
        return (
            f"the value of the header {name!r} cannot be sent: it may hold visible ASCII characters, with "
            f"spaces and tabs between them (RFC 9110, section 5.5)"
        )
    return ""


def header_pairs(headers: HeadersLike) -> Headers:
    """Returns headers as pairs, as they were given."""
    if isinstance(headers, (tuple, list)):  # What stores give; to ask for a protocol takes far longer.
        given: Iterable[tuple[str, str]] = headers
    else:
        given = headers.items() if isinstance(headers, HasItems) else headers
    return tuple((name, value) for name, value in given)


def check_signed(headers: Iterable[tuple[str, str]]) -> Headers:
    """Returns the headers that serializer, signers and subscription add, with their names checked.

    Raises:
        InvalidHeader: If one stands twice, or is one that the library or HTTP itself sets: a wrong
            ``Content-Length`` would break off the signed bytes. The error never quotes a value.
    """
    pairs = tuple(headers)
    seen: set[str] = set()
    for name, _ in pairs:
        lower = name.lower()
        if lower in _NOT_SIGNERS:
            raise InvalidHeader(f"the header {name!r} is set by the library; no stage can change it")
        if lower in seen:
            raise InvalidHeader(f"the header {name!r} comes twice, from stages or from the subscription")
        seen.add(lower)
    return pairs


def as_read(name: str) -> str:
    """Returns the name of a header as receivers tell it from others.

    Many servers take Hook_HMAC for Hook-HMAC: CGI does not tell them apart (RFC 3875, section 4.1.18).
    """
    return name.lower().replace("_", "-")


def check_sendable(headers: Headers) -> None:
    """Checks that all headers of a request can be sent.

    Raises:
        InvalidHeader: If one cannot, as `check_header` has it, or is one that the transport sets.
        TypeError: If a name or value is no text.
    """
    # All at one look: nearly always, they can. What is no text raises.
    lines = "".join([part for name, value in headers for part in (name, "\0", value, "\n")])
    # A line break inside of one would make two of it.
    if lines.count("\n") != len(headers) or _LINES.fullmatch(lines) is None:
        problems = (_problem(name, value) or _framing_problem(name) for name, value in headers)
        raise InvalidHeader(next(filter(None, problems)))


def _framing_problem(name: str) -> str:
    return f"the header {name!r} is set by the transport" if name.lower() in _FRAMING else ""


def custom_headers(headers: HeadersLike) -> Headers:
    """Returns the headers of a subscription, checked.

    Args:
        headers: A mapping, or pairs.

    Raises:
        InvalidHeader: If one cannot be sent, stands twice, or is one that the library or HTTP itself sets.
    """
    pairs = header_pairs(headers)
    seen: set[str] = set()
    for name, value in pairs:
        check_header(name, value)
        lower = name.lower()
        read = as_read(name)
        if read in _RESERVED or read.startswith(_RESERVED_PREFIXES):
            raise InvalidHeader(f"the header {name!r} is set by the library; a subscription cannot change it")
        if lower in seen:
            raise InvalidHeader(f"the header {name!r} is given twice")
        seen.add(lower)
    return pairs
