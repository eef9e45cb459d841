"""URLs that webhooks are sent to, and their origins."""

import re
from functools import cached_property
from ipaddress import AddressValueError, IPv6Address, ip_address
from typing import NoReturn
from urllib.parse import SplitResult, quote, urlsplit

from attrs import field, frozen

from thornsdk.errors import InvalidURL
from thornsdk.typing import IPAddress

DEFAULT_PORTS = {"http": 80, "https": 443}

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_NAME = re.compile(r"(?=.{1,254}\Z)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_BRACKETS = re.compile(r"[\[\]]")
_LITERAL = re.compile(r"\[[^\[\]]*\](:.*)?")
# RFC 3986, section 3.3 and 3.4: what may stand in a path or query as it is, and the % of what is encoded.
_KEPT = "%/:?@!$&'()*+,;=-._~"
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")

_VISIBLE = re.compile(r"[!-~]+")


def _in_one_line(_: object, __: object, text: str) -> None:
    # It stands in the head of a request, where a line break would begin another header.
    if not _VISIBLE.fullmatch(text):
        _refuse("a part of it has a character that cannot be sent")


@frozen(order=True, cache_hash=True)
class Origin:
    """What a keep-alive connection belongs to: scheme, host and port.

    Attributes:
        scheme: In lower case.
        host: In lower case; an IPv6 address without its brackets.
        port: The port that is connected to; 0 where the scheme has no default and the URL gives none.
    """

    scheme: str
    host: str = field(validator=_in_one_line)
    port: int

    @property
    def authority(self) -> str:
        """Host and port as ``Host`` has them (RFC 9110, section 7.2): without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port in {0, DEFAULT_PORTS.get(self.scheme)} else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@frozen(order=False)
class URL:
    """A URL that a webhook is sent to, checked and split once.

    Its ``str`` is the whole URL. Its repr shows the origin alone, for a path or query may hold a secret.

    Attributes:
        text: The whole URL as it is sent to: scheme and host in lower case, and encoded what may not stand in
            a path or query as it is (RFC 3986, section 3.3 and 3.4).
        origin: Scheme, host and port.
        target: Path and query, as a request line has them.

    Example:
        >>> URL.parse("HTTPS://Example.com/hooks?key=1").origin
        Origin(scheme='https', host='example.com', port=443)
    """

    text: str = field(repr=False)
    origin: Origin
    target: str = field(repr=False, validator=_in_one_line)

    @classmethod
    def parse(cls, text: "str | URL") -> "URL":
        """Reads a URL.

        Args:
            text: An absolute URL with a host, without userinfo and fragment.

        Raises:
            InvalidURL: If it is anything else. The error never quotes userinfo, path or query.
        """
        if isinstance(text, URL):
            return text
        if _FORBIDDEN.search(text):
            _refuse("it has a space, a control character, a backslash or a lone surrogate in it")
        if "#" in text:
            _refuse("it has a fragment (#…), which is never sent")
        parts = _split(text)
        _check_parts(parts)
        origin = _origin(parts)
        target = _encoded(parts.path or "/")
        if parts.query:
            target += "?" + _encoded(parts.query)
        return cls(f"{origin}{target}", origin, target)

    @property
    def scheme(self) -> str:
        """The scheme, in lower case."""
        return self.origin.scheme

    @property
    def host(self) -> str:
        """The host, in lower case; an IPv6 address without its brackets."""
        return self.origin.host

    @cached_property
    def address(self) -> IPAddress | None:
        """The address that the host spells out, or None for a name."""
        return literal_address(self.host)

    @property
    def port(self) -> int:
        """The port that is connected to."""
        return self.origin.port

    def __str__(self) -> str:
        return self.text


def literal_address(host: str) -> IPAddress | None:
    """Returns the address that a host spells out in its normal form, or None for a name.

    Other spellings, such as ``0x7f.1``, count as names: what they resolve to is judged.
    """
    try:
        return ip_address(host)
    except ValueError:
        return None


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        # The cause may quote the URL.
        raise InvalidURL("this URL cannot be used: its host is malformed") from None


def _encoded(text: str) -> str:
    """Encodes what may not stand in a path or query as it is. What is encoded already stays so."""
    return quote(_STRAY_PERCENT.sub("%25", text), safe=_KEPT)


def _check_parts(parts: SplitResult) -> None:
    if not parts.scheme or not _SCHEME.fullmatch(parts.scheme):
        _refuse("it must start with a scheme, as in https://example.com/hooks")
    if "@" in parts.netloc:
        _refuse("it has a user name or password in it; a secret header or the signature serves that end")
    if not parts.hostname:
        _refuse("it has no host")


def _origin(parts: SplitResult) -> Origin:
    host = parts.hostname or ""
    if not parts.netloc.isascii():
        _refuse("its host is not ASCII; write it in the xn-- form")
    if _BRACKETS.search(parts.netloc):
        host = _ipv6(host) if _LITERAL.fullmatch(parts.netloc) else _refuse("its host is malformed")
    elif not _NAME.fullmatch(host):
        _refuse("its host is not a name or address")
    return Origin(parts.scheme, host, _port(parts))


def _ipv6(host: str) -> str:
    if "%" in host:
        _refuse("its address has a zone, which means something on one machine only")
    try:
        return str(IPv6Address(host))
    except AddressValueError:
        # The cause quotes the host.
        raise InvalidURL("this URL cannot be used: its host is not an IPv6 address") from None


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is None and not parts.netloc.endswith(":"):
        return DEFAULT_PORTS.get(parts.scheme, 0)
    if not port:
        _refuse("its port is not a number from 1 to 65535")
    return port


def _refuse(problem: str) -> NoReturn:
    raise InvalidURL(f"this URL cannot be used: {problem}")
