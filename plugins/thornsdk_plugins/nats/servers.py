"""The servers that the operator has configured: the only ones that are ever connected to."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import field, frozen

from thornsdk import URL
from thornsdk.errors import InvalidURL, InvalidValue

SCHEME: Final = "nats"
"""The scheme of the URLs of subscriptions."""

_DEFAULT_PORT = 4222
_SIGNS_OF_A_URL = frozenset(":/@")
_EXAMPLE = "nats://user:password@nats.internal:4222, or tls://… where TLS is a must"


@frozen(kw_only=True)
class Server:
    """A server, and how to log in there.

    Attributes:
        host: Its name or address.
        port: Its port.
        must_be_secure: Whether nothing is told to it without TLS. A server that asks for TLS gets it in any
            case.
        user: The user, or the token where there is no password; None for neither.
        password: The password, or None.
    """

    host: str
    port: int
    must_be_secure: bool
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)


def read_servers(servers: Mapping[str, str]) -> Mapping[str, Server]:
    """Reads the URLs of servers, by the names that the URLs of subscriptions have as their host.

    Raises:
        InvalidValue: If a name or a URL cannot be one. The error quotes no URL: it may hold a password.
    """
    given: object = servers  # It may come from a setting.
    if not isinstance(given, Mapping) or not given:
        raise InvalidValue(f"servers is no mapping of names to URLs, such as {_EXAMPLE}")
    return {_checked(name): _read(name, url) for name, url in servers.items()}


def _checked(name: object) -> str:
    if isinstance(name, str) and _SIGNS_OF_A_URL & set(name):
        raise InvalidValue(
            "a server has a name that looks like a URL, which may hold a password and is not shown: the name "
            "comes first, and then the URL"
        )
    try:
        url = URL.parse(f"{SCHEME}://{name}")
    except InvalidURL:
        url = None
    if url is None or url.host != name:
        raise InvalidValue(f"{name!r} is no name of a server: the host of a URL, in lower case")
    return url.host


def _read(name: str, url: object) -> Server:
    if not isinstance(url, str):
        raise _unusable(name)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # The cause may quote the password.
        raise _unusable(name) from None
    if parts.scheme not in {SCHEME, "tls"} or not parts.hostname or _has_more(parts):
        raise _unusable(name)
    return Server(
        host=parts.hostname,
        port=_DEFAULT_PORT if port is None else port,
        must_be_secure=parts.scheme == "tls",
        user=_plain(parts.username),
        password=_plain(parts.password),
    )


def _has_more(parts: SplitResult) -> bool:
    return bool(parts.path.strip("/") or parts.query or parts.fragment)


def _plain(text: str | None) -> str | None:
    return unquote(text) if text else None


def _unusable(name: str) -> InvalidValue:
    return InvalidValue(f"the server {name!r} has no URL that can be used, such as {_EXAMPLE}")


def _readable(_: object, __: object, servers: Mapping[str, str]) -> None:
    read_servers(servers)


@frozen(kw_only=True)
class NatsOptions:
    """What ``THORN_OPTIONS`` says for the transport.

    Attributes:
        servers: The URLs of servers, by name.

    Raises:
        InvalidValue: If a name or a URL cannot be one.
    """

    servers: Mapping[str, str] = field(repr=False, validator=_readable)
