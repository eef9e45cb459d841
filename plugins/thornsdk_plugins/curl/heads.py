"""The heads of answers, as libcurl gives them: line by line, those of interim answers too."""

import re
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from thornsdk.typing import Headers

MAX_HEAD: Final = 64 * 1024
"""How many bytes the head of an answer may have, with all the interim answers before it."""
MAX_FIELDS: Final = 99
"""How many headers an answer may have."""

_ENDS: Final = (b"\r\n", b"\n")
_STATUS: Final = re.compile(rb"HTTP/[0-9](?:\.[0-9])? [0-9]{3}")


@frozen
class Head:
    """The head of the final answer.

    Attributes:
        fields: Names and values.
        http2: Whether it came over HTTP/2.
        whole: Whether it came to its end.
    """

    fields: Headers
    http2: bool
    whole: bool

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection says where the answer ends."""
        names = {name.lower() for name, _ in self.fields}
        return self.whole and names.isdisjoint({"content-length", "transfer-encoding"})


def read_head(lines: Sequence[bytes]) -> Head:
    """Reads the head of the final answer: what came before it, an interim answer or a proxy has said."""
    begin = 0
    for number in range(1, len(lines)):
        # A head begins where another one has ended. What follows the last one are trailers.
        if lines[number - 1] in _ENDS and _STATUS.match(lines[number]):
            begin = number
    text = b"".join(lines[begin:]).decode("iso-8859-1")
    head, end, _ = text.replace("\r\n", "\n").partition("\n\n")
    fields = tuple(map(_field, head.split("\n")[1:]))
    return Head(fields=fields, http2=text.startswith("HTTP/2"), whole=bool(end))


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()
