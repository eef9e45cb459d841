"""A short way through the plainest heads of answers, which are nearly all.

http.client reads a head with the parser for e-mail, which takes longer than sending the request. What leaves
no question open needs none of that; whatever does is left to http.client.
"""

import re
from typing import Final

from attrs import frozen

from thornsdk.typing import Headers
from thornsdk_plugins.urllib3.framing import WITHOUT_BODY

# RFC 9112, sections 4 and 5, without what is obsolete or odd: one line each, of visible ASCII.
_PLAIN: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) [\t\x20-\x7e]*\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e]*\r\n)+)\r\n"
)
_LENGTH: Final = re.compile(r"[0-9]{1,12}")
_MAX_FIELDS: Final = 99  # As http.client has it.
# Each of these can change where an answer ends, whether its connection stays open (RFC 9112, section 6), or
# how its body is to be read.
_QUESTIONS: Final = frozenset(
    {"transfer-encoding", "content-encoding", "upgrade", "keep-alive", "proxy-connection"}
)


@frozen
class PlainHead:
    """The head of an answer that is as long as it says, on a connection that stays open.

    Attributes:
        size: How many bytes it has.
        status: The HTTP status.
        fields: Names and values.
        length: How many bytes the body has.
    """

    size: int
    status: int
    fields: Headers
    length: int


def plain_head(data: bytes) -> PlainHead | None:
    """Gives the head that data begins with; None where it is not whole, or not plain."""
    found = _PLAIN.match(data)
    if found is None:
        return None
    status = int(found[1])
    fields = tuple(_field(line) for line in found[2].decode("ascii").splitlines())
    length = _length(fields)
    if length is None or len(fields) > _MAX_FIELDS or status in WITHOUT_BODY:
        return None
    return PlainHead(found.end(), status, fields, length)


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip(" \t")


def _length(fields: Headers) -> int | None:
    """Gives the one length that is said; None where there is another question about where the answer ends."""
    length: int | None = None
    for name, value in fields:
        lower = name.lower()
        if lower == "content-length":
            if length is not None or not _LENGTH.fullmatch(value):
                return None
            length = int(value)
        elif lower in _QUESTIONS or (lower == "connection" and value.lower() != "keep-alive"):
            return None
    return length
