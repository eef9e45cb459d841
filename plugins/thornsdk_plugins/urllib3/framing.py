"""Where an answer ends, and whether its connection serves another request (RFC 9112, sections 6.3 and 9.3).

http.client looks at the first header of a name alone, and lets pass what it does not understand. Whoever can
make it look for the end in another place than the server does can forge the answer to the next request.
"""

import re
from http import HTTPStatus
from http.client import HTTPException
from typing import Final

from attrs import frozen

from thornsdk.typing import Headers

_LENGTH: Final = re.compile(r"[0-9]{1,18}")
WITHOUT_BODY: Final = frozenset(
    {HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
)
"""The statuses whose answers end with their heads, whatever is in them."""


@frozen
class Framing:
    """Where an answer ends.

    Attributes:
        chunked: Whether its body comes in chunks, the last of which says that it is the last.
        length: How many bytes the body has; None where it is chunked, or ends with the connection.
        closes: Whether the connection serves no other request.
    """

    chunked: bool
    length: int | None
    closes: bool


def framing(status: int, fields: Headers, *, is_old: bool) -> Framing:
    """Tells where an answer to a POST ends.

    Args:
        status: The HTTP status.
        fields: Names and values.
        is_old: Whether it is of HTTP/1.0, where connections close unless something else is said.

    Raises:
        HTTPException: If that cannot be told for sure.
    """
    codings, lengths = _tokens("transfer-encoding", fields), _tokens("content-length", fields)
    options = _tokens("connection", fields)
    closes = "close" in options or (is_old and "keep-alive" not in options)
    if status in WITHOUT_BODY:
        return Framing(chunked=False, length=0, closes=closes or bool(codings))
    if codings:
        if codings != ["chunked"]:
            raise HTTPException("a transfer coding is unknown")
        # Two ways to tell the end are a sign of an attack, or of an old server (section 6.1).
        return Framing(chunked=True, length=None, closes=closes or is_old or bool(lengths))
    if lengths:
        return Framing(chunked=False, length=_length(lengths), closes=closes)
    return Framing(chunked=False, length=None, closes=True)


def _tokens(name: str, fields: Headers) -> list[str]:
    values = [value for known, value in fields if known.lower() == name]
    return [token.strip(" \t").lower() for value in values for token in value.split(",")]


def _length(lengths: list[str]) -> int:
    first, *others = set(lengths)
    if others or not _LENGTH.fullmatch(first):
        raise HTTPException("the length is none")
    return int(first)
