"""Headers: what may be sent as one, and which names are ours."""

import re
from collections.abc import Iterable

from thornsdk.errors import InvalidHeader
from thornsdk.typing import HasItems, Headers, HeadersLike

# RFC 9110, section 5.1: a field name is a token. Section 5.5: a value is visible characters with spaces and
# tabs between them. We keep to ASCII, which every receiver reads alike.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")

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


def check_header(name: str, value: str) -> None:
    """Checks that a header can be sent.

    Raises:
        InvalidHeader: If the name is not a token, or the value has a control character, a line break, a
            non-ASCII character, or space around it. The error never quotes the value: it may be a secret.
    """
    if not _NAME.fullmatch(name):
        raise InvalidHeader(f"{name!r} cannot be the name of a header (RFC 9110, section 5.1)")
    if not _VALUE.fullmatch(value):
        raise InvalidHeader(
            f"the value of the header {name!r} cannot be sent: it may hold visible ASCII characters, with "
            f"spaces and tabs between them (RFC 9110, section 5.5)"
        )


def header_pairs(headers: HeadersLike) -> Headers:
    """Returns headers as pairs, as they were given."""
    if isinstance(headers, (tuple, list)):  # What stores give; to ask for a protocol takes far longer.
        given: Iterable[tuple[str, str]] = headers
    else:
        given = headers.items() if isinstance(headers, HasItems) else headers
    return tuple((name, value) for name, value in given)


def check_signed(headers: Iterable[tuple[str, str]]) -> Headers:
    """Returns the headers that signers and the subscription add, checked.

    Raises:
        InvalidHeader: If one cannot be sent, stands twice, or is one that the library or HTTP itself sets: a
            wrong ``Content-Length`` would break off the signed bytes.
    """
    pairs = tuple(headers)
    seen: set[str] = set(_RESERVED | _OURS)
    for name, value in pairs:
        check_header(name, value)
        if name.lower() in seen:
            raise InvalidHeader(f"the header {name!r} is set by the library, or stands twice")
        seen.add(name.lower())
    return pairs


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
        if lower in _RESERVED or lower.startswith(_RESERVED_PREFIXES):
            raise InvalidHeader(f"the header {name!r} is set by the library; a subscription cannot change it")
        if lower in seen:
            raise InvalidHeader(f"the header {name!r} is given twice")
        seen.add(lower)
    return pairs
