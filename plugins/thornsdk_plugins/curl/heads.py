"""The heads of answers, as libcurl gives them: line by line, those of interim answers too."""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from thornsdk.typing import Headers

MAX_HEAD: Final = 64 * 1024
"""How many bytes the head of an answer may have, with all the interim answers before it."""
MAX_FIELDS: Final = 99
"""How many headers an answer may have."""


@frozen
class Head:
    """The head of the final answer.

    Attributes:
        fields: Names and values.
        http2: Whether it came over HTTP/2.
        whole: Whether it came to its end.
        too_large: Whether it is longer, or has more headers, than is taken.
    """

    fields: Headers
    http2: bool
    whole: bool
    too_large: bool

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection says where the answer ends."""
        names = {name.lower() for name, _ in self.fields}
        return self.whole and names.isdisjoint({"content-length", "transfer-encoding"})


def read_head(lines: Sequence[bytes]) -> Head:
    """Reads the head of the final answer: what came before it, an interim answer or a proxy has said."""
    statuses = [number for number, line in enumerate(lines) if line.startswith(b"HTTP/")]
    begin = statuses[-1] if statuses else 0
    text = b"".join(lines[begin:]).decode("iso-8859-1")
    # What follows the empty line are trailers.
    head, end, _ = text.replace("\r\n", "\n").partition("\n\n")
    fields = tuple(map(_field, head.split("\n")[1:]))
    return Head(
        fields=fields,
        http2=text.startswith("HTTP/2"),
        whole=bool(end),
        too_large=len(fields) > MAX_FIELDS or sum(map(len, lines)) > MAX_HEAD,
    )


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()
