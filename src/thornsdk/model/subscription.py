"""Subscriptions: who wants what, and where."""

import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from attrs import Attribute, field, frozen

from thornsdk.errors import InvalidSecret, InvalidValue
from thornsdk.model.headers import check_header, custom_headers
from thornsdk.model.limits import (
    RateLimit,
    WhenFailed,
    as_rate_limit,
    as_schedule,
    as_when_failed,
    check_path,
    count_of,
)
from thornsdk.model.patterns import EventPattern
from thornsdk.model.secret import OldSecret, Secret, SecretLike, as_secret
from thornsdk.model.url import URL
from thornsdk.typing import Headers

PatternsLike: TypeAlias = str | EventPattern | Iterable[str | EventPattern]
"""What is taken where patterns are given: one or several."""

SecretsLike: TypeAlias = SecretLike | Iterable[SecretLike]
"""What is taken where secrets are given: one or several, the current one first."""

JSON = "application/json"
"""The content type of a subscription that asks for no other."""


_CERTIFICATE = re.compile(r"[A-Za-z0-9_.-]+")


class Digest(StrEnum):
    """The hash function of the ``Hook-HMAC`` header."""

    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA512 = "sha512"


def as_patterns(patterns: PatternsLike) -> tuple[EventPattern, ...]:
    """Returns one or several patterns as a tuple of patterns.

    Raises:
        InvalidPattern: If no event could ever match one of them.
    """
    several = (patterns,) if isinstance(patterns, (str, EventPattern)) else tuple(patterns)
    return tuple(one if isinstance(one, EventPattern) else EventPattern(one) for one in several)


def as_secrets(secrets: SecretsLike) -> tuple[Secret, ...]:
    """Returns one or several secrets as a tuple of secrets.

    Raises:
        InvalidSecret: If one is empty or malformed.
    """
    several = (secrets,) if isinstance(secrets, (str, bytes, Secret)) else tuple(secrets)
    return tuple(as_secret(one) for one in several)


def _as_url(url: str | URL) -> URL:
    return URL.parse(url)


def _as_old_secrets(old_secrets: Iterable[OldSecret]) -> tuple[OldSecret, ...]:
    return tuple(old_secrets)


def _as_digest(digest: str | Digest) -> Digest:
    try:
        return Digest(digest)
    except ValueError:
        raise InvalidValue(f"{digest!r} is not a digest; there are: {', '.join(Digest)}") from None


def _some_patterns(_: object, __: object, patterns: tuple[EventPattern, ...]) -> None:
    if not patterns:
        raise InvalidValue("a subscription needs at least one event pattern")


def _some_secrets(_: object, __: object, secrets: tuple[Secret, ...]) -> None:
    if not secrets:
        raise InvalidSecret("a subscription needs at least one secret")


def check_tenant(_: object, attribute: "Attribute[str | None]", tenant: str | None) -> None:
    """Checks an owner or a sender.

    Raises:
        InvalidValue: If it is empty, or cannot be written in UTF-8.
    """
    if tenant is None:
        return
    if not tenant.strip():
        raise InvalidValue(f"the {attribute.name} must not be empty; give None for nobody")
    check_encodable(f"the {attribute.name}", tenant)


def check_encodable(what: str, text: str) -> None:
    """Checks that a text can be written in UTF-8.

    Raises:
        InvalidValue: If it cannot; the error names what it is.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidValue(f"{what} has a lone surrogate, which UTF-8 cannot hold") from None


def _some_reason(_: object, __: object, reason: str | None) -> None:
    if reason is None:
        return
    if not reason.strip():
        raise InvalidValue("the reason why a subscription is disabled must not be empty")
    check_encodable("the reason why a subscription is disabled", reason)


def _named(_: object, attribute: "Attribute[str | None]", value: str | None) -> None:
    if value is not None and not _CERTIFICATE.fullmatch(value):
        raise InvalidValue(
            f"the {attribute.name} of a subscription is a name of letters, digits, '-', '_' and '.'; "
            f"THORN_CLIENT_CERTIFICATES says which file it means"
        )


def _sendable(_: object, attribute: "Attribute[str]", value: str) -> None:
    if not value:
        raise InvalidValue(f"the {attribute.name} of a subscription must not be empty")
    check_header("Content-Type", value)


@frozen(kw_only=True)
class Subscription:
    """Who wants what, and where.

    A signer signs with `valid_secrets`, or with ``secrets[0]`` where its scheme has room for one signature.

    Attributes:
        id: Unique to the subscription. Sent as ``Hook-Subscription``.
        patterns: The events that are wanted; one that matches is enough.
        url: Where the requests go.
        secrets: What they are signed with, the current one first. The others verify too; they have no end
            before the next rotation.
        old_secrets: What they are signed with besides, each until its end; the latest first.
        content_type: How the payload is written.
        digest: The hash function of ``Hook-HMAC``.
        owner: The tenant that it belongs to; None for nobody.
        headers: What is sent besides the library's own headers.
        client_certificate: The name of the certificate that is shown to the receiver (mutual TLS); None for
            none. ``THORN_CLIENT_CERTIFICATES`` says which file it means: no key is ever in a store.
        rate_limit: How fast attempts may follow each other; None for as fast as they come. Given as a number,
            it is the attempts per second.
        max_in_flight: How many attempts may be under way at once, in all processes together; None for any
            number.
        ordered_by: The field of the payload by which messages are ordered, such as ``order_id``, or a path to
            it, such as ``order.id``: of those with one value, each waits for the one before. None for no
            order.
        when_failed: With `ordered_by`, what becomes of those that wait when the one before is given up.
        retry_schedule: How many seconds pass between its attempts, in place of the schedule of the event;
            empty for one attempt alone. None for that of the event.
        disabled: Why nothing is sent to it, or None for an active subscription.

    Raises:
        InvalidValue: If a part of it cannot be what it is given as.
    """

    id: UUID
    patterns: tuple[EventPattern, ...] = field(converter=as_patterns, validator=_some_patterns)
    url: URL = field(converter=_as_url)
    secrets: tuple[Secret, ...] = field(converter=as_secrets, validator=_some_secrets)
    content_type: str = field(default=JSON, validator=_sendable)
    digest: Digest = field(default=Digest.SHA256, converter=_as_digest)
    owner: str | None = field(default=None, validator=check_tenant)
    headers: Headers = field(default=(), converter=custom_headers, repr=False)
    client_certificate: str | None = field(default=None, validator=_named)
    rate_limit: RateLimit | None = field(default=None, converter=as_rate_limit)
    max_in_flight: int | None = field(default=None, validator=count_of("max_in_flight"))
    ordered_by: str | None = field(default=None, validator=check_path)
    when_failed: WhenFailed = field(default=WhenFailed.STOP, converter=as_when_failed)
    retry_schedule: tuple[float, ...] | None = field(default=None, converter=as_schedule)
    disabled: str | None = field(default=None, validator=_some_reason)
    old_secrets: tuple[OldSecret, ...] = field(default=(), converter=_as_old_secrets)

    @property
    def active(self) -> bool:
        """Whether anything is sent to it."""
        return self.disabled is None

    def valid_secrets(self, at: datetime) -> tuple[Secret, ...]:
        """Gives the secrets that sign at a moment: the current one first, the old ones last.

        Args:
            at: Such as the moment that a signer is given, when the attempt begins.
        """
        return (*self.secrets, *(one.secret for one in self.old_secrets if at < one.until))

    def wants(self, event: str) -> bool:
        """Tells whether a pattern of the subscription matches the event's name."""
        return any(pattern.matches(event) for pattern in self.patterns)
