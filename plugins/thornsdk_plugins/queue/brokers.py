"""The brokers that the operator has named. No subscription ever holds their addresses and passwords."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import field, frozen

from thornsdk.errors import InvalidValue

PORTS: Final = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379, "sqs": 443}
"""The schemes that there are, and the port of each."""

# What a URL can have for its host, and what is no address in any spelling.
_NAME: Final = re.compile(r"[a-z]([a-z0-9_-]{0,61}[a-z0-9_])?")
# As in botocore: a label of a host name.
_REGION: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SIGNS_OF_A_URL: Final = frozenset(":/@")
_DEFAULT_SPACE: Final = {"amqp": "/", "amqps": "/", "redis": "0", "rediss": "0", "sqs": ""}


@frozen(kw_only=True)
class Broker:
    """A broker as the operator has configured it.

    Attributes:
        name: What stands as the host in the URLs of subscriptions.
        scheme: Which protocol it speaks, and whether over TLS.
        host: Where it is; of SQS, the region.
        port: Its port.
        user: Who publishes there; None for whom the protocol takes without a name.
        password: The password; None for none.
        space: The virtual host of AMQP, or the number of the database of Redis.
    """

    name: str
    scheme: str
    host: str = field(repr=False)
    port: int = field(repr=False)
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    space: str = field(repr=False)

    @property
    def speaks_amqp(self) -> bool:
        """Whether it speaks AMQP."""
        return self.scheme.startswith("amqp")

    @property
    def is_sqs(self) -> bool:
        """Whether it is Amazon's SQS; otherwise, what does not speak AMQP is a Redis."""
        return self.scheme == "sqs"

    @property
    def uses_tls(self) -> bool:
        """Whether it is spoken to over TLS."""
        return self.scheme in {"amqps", "rediss"}


def read_brokers(urls: Mapping[str, str]) -> dict[str, Broker]:
    """Reads the URLs of brokers.

    Args:
        urls: The URL of each, by its name.

    Raises:
        InvalidValue: If these are no URLs by names, a name cannot stand as the host of a URL, or a URL is not
            that of a broker. The error never quotes a URL: it may hold a password.
    """
    given: object = urls  # It may come from a setting.
    if not isinstance(given, Mapping):
        raise InvalidValue("brokers takes a mapping of names to URLs")
    if not urls:
        raise InvalidValue("no broker is named: nothing could be published")
    return {name: _broker(name, url) for name, url in urls.items()}


def _read_options(urls: Mapping[str, str]) -> Mapping[str, str]:
    read_brokers(urls)
    return urls


@frozen(kw_only=True)
class QueueOptions:
    """What ``THORN_OPTIONS`` says for the transport ``queue``.

    Attributes:
        brokers: The URL of each broker, by the name that stands as the host in the URLs of subscriptions.
    """

    brokers: Mapping[str, str] = field(repr=False, converter=_read_options)


def _broker(name: str, url: str) -> Broker:
    _check_name(name)
    try:
        parts = urlsplit(url)
        port = parts.port
    except (AttributeError, TypeError, ValueError):
        # The cause may quote the URL.
        raise _wrong(name, "it is not a URL") from None
    _check(name, parts)
    return Broker(
        name=name,
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=port or PORTS[parts.scheme],
        user=_decoded(parts.username),
        password=_decoded(parts.password),
        space=unquote(parts.path[1:]) or _DEFAULT_SPACE[parts.scheme],
    )


def _check_name(name: object) -> None:
    if isinstance(name, str) and _SIGNS_OF_A_URL & set(name):
        raise InvalidValue(
            "a broker has a name that looks like a URL, which may hold a password and is not shown: the name "
            "comes first, and then the URL"
        )
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidValue(
            f"{name!r} cannot be the name of a broker: it takes a lower-case letter, then letters, digits, - "
            f"and _, for it stands as the host in the URLs of subscriptions"
        )


def _check(name: str, parts: SplitResult) -> None:
    if parts.scheme not in PORTS:
        raise _wrong(name, f"it must start with one of {', '.join(f'{one}://' for one in PORTS)}")
    if not parts.hostname:
        raise _wrong(name, "it has no host")
    if parts.query or parts.fragment:
        # Kombu takes options there, and one of them would leave certificates unverified.
        raise _wrong(name, "it has a query or a fragment, and takes none")
    if parts.scheme.startswith("redis") and not (parts.path[1:] or "0").isdecimal():
        raise _wrong(name, "its path is not the number of a database")
    if parts.scheme == "sqs" and (parts.path[1:] or parts.port or not _REGION.fullmatch(parts.hostname)):
        raise _wrong(name, "its host is a region, such as eu-west-1, and it takes no port and no path")


def _wrong(name: str, problem: str) -> InvalidValue:
    return InvalidValue(f"the URL of the broker {name!r} cannot be used: {problem}")


def _decoded(text: str | None) -> str | None:
    return None if text is None else unquote(text)
