"""The receiving side: is this message authentic?

It needs nothing of the sending side, and works with any web framework: give it the headers and the exact
bytes of the body.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum

from attrs import field, frozen

from thornsdk.errors import InvalidSignature
from thornsdk.model import Digest, Secret, SecretsLike, as_secrets, header_pairs
from thornsdk.policy.signatures import (
    HOOK_DELIVERY,
    HOOK_EVENT,
    HOOK_HMAC,
    HOOK_SUBSCRIPTION,
    WEBHOOK_ID,
    WEBHOOK_SIGNATURE,
    WEBHOOK_TIMESTAMP,
    hook_hmac,
    standard_webhooks,
)
from thornsdk.typing import HeadersLike

TOLERANCE = 300.0
"""Seconds that the clocks of sender and receiver may differ, and a message may be under way."""

_DIGEST_BY_LENGTH = {20: Digest.SHA1, 32: Digest.SHA256, 64: Digest.SHA512}


class Scheme(StrEnum):
    """The signatures that can be verified."""

    STANDARD_WEBHOOKS = "standard-webhooks"
    """``webhook-signature``: covers id, time and body, so an old message cannot be sent again for new."""
    HOOK_HMAC = "hook-hmac"
    """``Hook-HMAC``: covers the body alone."""


@frozen(kw_only=True)
class Received:
    """A message that is authentic.

    Attributes:
        scheme: What proved it.
        id: The delivery's id: drop a message whose id was handled before. With `Scheme.HOOK_HMAC` the
            signature does not cover it. None where the sender gave none.
        event: The event's name; neither signature covers it. None where the sender gave none.
        subscription: The subscription's id; neither signature covers it. None where the sender gave none.
        sent_at: When the sender signed it; None with `Scheme.HOOK_HMAC`.
        body: The exact bytes that were verified.
    """

    scheme: Scheme
    id: str | None
    event: str | None
    subscription: str | None
    sent_at: datetime | None
    body: bytes = field(repr=False)


def verify(
    headers: HeadersLike,
    body: bytes,
    *,
    secrets: SecretsLike,
    tolerance: float = TOLERANCE,
    now: datetime | None = None,
    accept: Collection[Scheme] = tuple(Scheme),
) -> Received:
    """Verifies a message that was received.

    Where the message has Standard Webhooks headers, they decide; else ``Hook-HMAC`` does. ``Hook-HMAC`` has
    no time in it, so whoever saw a message can send it again later: give
    ``accept=[Scheme.STANDARD_WEBHOOKS]`` where that matters and the sender signs so.

    Args:
        headers: All headers as they came, a mapping or pairs; case does not matter.
        body: The exact bytes as they came, before any decoding.
        secrets: The secret that is shared with the sender; several while it is rotated.
        tolerance: How many seconds the message's time may lie before or after ``now``.
        now: The present time; by default the system's.
        accept: The schemes to accept.

    Returns:
        What was verified.

    Raises:
        InvalidSignature: If the message is not authentic, or its time is out of tolerance.
        InvalidSecret: If a secret is empty or malformed.
        TypeError: If the body is not bytes.

    Example:
        >>> headers = {"Hook-HMAC": "+2Yqsizi6g5IfL4+BrK5dRw++GZ00BB1vebKRgggWic="}
        >>> verify(headers, b"tampered", secrets="a secret")
        Traceback (most recent call last):
        ...
        thornsdk.errors.InvalidSignature: Hook-HMAC does not match the body: ...
    """
    if not isinstance(body, bytes):
        raise TypeError("the body must be the exact bytes that were received, not text made from them")
    known = as_secrets(secrets)
    if not known:
        raise InvalidSignature("no secret was given to verify with")
    fields = _fields(headers)
    if Scheme.STANDARD_WEBHOOKS in accept and WEBHOOK_SIGNATURE in fields:
        moment = datetime.now(UTC) if now is None else now
        sent_at = _verify_standard_webhooks(fields, body, known, tolerance, moment)
        return _received(Scheme.STANDARD_WEBHOOKS, fields, body, sent_at)
    if Scheme.HOOK_HMAC in accept and HOOK_HMAC.lower() in fields:
        _verify_hook_hmac(fields[HOOK_HMAC.lower()], body, known)
        return _received(Scheme.HOOK_HMAC, fields, body, None)
    names = " or ".join(
        {Scheme.STANDARD_WEBHOOKS: WEBHOOK_SIGNATURE, Scheme.HOOK_HMAC: HOOK_HMAC}[s] for s in accept
    )
    raise InvalidSignature(f"the message is not signed: it has no {names} header")


def _received(scheme: Scheme, fields: Mapping[str, str], body: bytes, sent_at: datetime | None) -> Received:
    signed_id = (
        fields.get(WEBHOOK_ID) if scheme is Scheme.STANDARD_WEBHOOKS else fields.get(HOOK_DELIVERY.lower())
    )
    return Received(
        scheme=scheme,
        id=signed_id,
        event=fields.get(HOOK_EVENT.lower()),
        subscription=fields.get(HOOK_SUBSCRIPTION.lower()),
        sent_at=sent_at,
        body=body,
    )


def _fields(headers: HeadersLike) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in header_pairs(headers):
        lower = name.lower()
        if lower.startswith(("hook-", "webhook-")):
            if lower in fields:
                raise InvalidSignature(f"the header {name} stands twice")
            if not value.isascii():
                raise InvalidSignature(f"the header {name} is not ASCII")
        fields[lower] = value
    return fields


def _verify_standard_webhooks(
    fields: Mapping[str, str], body: bytes, secrets: Iterable[Secret], tolerance: float, now: datetime
) -> datetime:
    for name in (WEBHOOK_ID, WEBHOOK_TIMESTAMP):
        if not fields.get(name):
            raise InvalidSignature(f"the message has {WEBHOOK_SIGNATURE} but no {name} header")
    timestamp = _timestamp(fields[WEBHOOK_TIMESTAMP])
    expected = [standard_webhooks(one.key, fields[WEBHOOK_ID], timestamp, body) for one in secrets]
    if not _any_equal(expected, fields[WEBHOOK_SIGNATURE].split()):
        raise InvalidSignature(
            f"{WEBHOOK_SIGNATURE} does not match: another secret, or a body that was changed on its way"
        )
    age = now.timestamp() - timestamp
    if abs(age) > tolerance:
        side = "old" if age > 0 else "ahead of time"
        raise InvalidSignature(f"the message is {abs(age):.0f} s {side}; {tolerance:.0f} s are tolerated")
    return datetime.fromtimestamp(timestamp, UTC)


def _timestamp(text: str) -> int:
    # The text is signed as it stands, and we sign whole seconds: no other spelling can verify.
    if not re.fullmatch(r"0|[1-9][0-9]{0,10}", text):
        raise InvalidSignature(f"{WEBHOOK_TIMESTAMP} is not a number of whole seconds")
    return int(text)


def _verify_hook_hmac(given: str, body: bytes, secrets: Iterable[Secret]) -> None:
    try:
        length = len(base64.b64decode(given, validate=True))
    except (binascii.Error, ValueError):
        length = 0
    digest = _DIGEST_BY_LENGTH.get(length)
    if digest is None:
        raise InvalidSignature(f"{HOOK_HMAC} is not base64 of an HMAC with sha1, sha256 or sha512")
    if not _any_equal([hook_hmac(one.key, body, digest) for one in secrets], [given]):
        raise InvalidSignature(
            f"{HOOK_HMAC} does not match the body: another secret, or a body that was changed on its way"
        )


def _any_equal(expected: Iterable[str], given: Collection[str]) -> bool:
    """Compares all with all, in a time that does not tell how much was right."""
    equal = False
    for one in expected:
        for other in given:
            equal |= hmac.compare_digest(one.encode(), other.encode())
    return equal
