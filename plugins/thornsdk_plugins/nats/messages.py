"""What is published: subject, headers and body of a request."""

import re
from typing import Final
from urllib.parse import unquote

from attrs import field, frozen

from thornsdk import URL, Reason, Request
from thornsdk.errors import TransportError

MESSAGE_ID: Final = "Nats-Msg-Id"
"""By this header, a stream drops what it was given before."""

# https://docs.nats.io/nats-concepts/subjects: tokens with dots between them; * and > are wildcards; what
# begins with $ is the server's own ($JS.API can delete a stream), and what begins with _ are its clients'.
# Quotes and backslashes come back escaped where a server forbids a subject: nobody would know whose it was.
_SUBJECT = re.compile(r"(?![$_])[^\s.*>/\"\\]+(\.[^\s.*>/\"\\]+)*")
_LONGEST = 512
"""How many bytes a subject may have: a server breaks off connections over longer lines, all requests' own."""
_FIRST_LINE = "NATS/1.0\r\n"


@frozen(kw_only=True)
class Publication:
    """A request as it is published.

    Attributes:
        subject: The subject.
        headers: The headers, with that by which doubles are known.
        body: The exact bytes of the request.
    """

    subject: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, request: Request) -> "Publication":
        """Makes it of a request.

        Raises:
            TransportError: If it must not be published.
        """
        return cls(subject=_subject(request.url), headers=_headers(request), body=request.body)

    @property
    def size(self) -> int:
        """How many bytes a server counts: those of the headers as they travel, and of the body."""
        lines = (len(f"{name}: {value}\r\n") for name, value in self.headers.items())
        return len(_FIRST_LINE) + sum(lines) + len("\r\n") + len(self.body)


def _subject(url: URL) -> str:
    try:
        subject = unquote(url.target[1:], errors="strict")
    except UnicodeDecodeError:
        subject = ""
    if url.port or "?" in url.target or not _can_be_published_to(subject):
        raise TransportError(
            Reason.RECIPIENT_REFUSED,
            "its path is no subject to publish to, such as orders.created: words with dots between them, "
            f"at most {_LONGEST} bytes, without spaces, slashes, quotes and wildcards, and not beginning "
            "with $ or _",
        )
    return subject


def _can_be_published_to(subject: str) -> bool:
    short_enough = len(subject.encode()) <= _LONGEST
    return short_enough and subject.isprintable() and _SUBJECT.fullmatch(subject) is not None


def _headers(request: Request) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers:
        if name.lower() == "status" or name.lower().startswith("nats-"):
            raise TransportError(
                Reason.RECIPIENT_REFUSED,
                f"the header {name!r} is the server's own: Nats-Rollup empties a stream, and consumers take "
                f"what has a Status for an error",
            )
        # RFC 9110, section 5.3: those of one name are one, with commas between the values.
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return {**headers, MESSAGE_ID: str(request.id)}
