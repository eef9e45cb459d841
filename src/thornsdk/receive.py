"""The receiving side: is this message authentic?

It needs nothing of the sending side, and works with any web framework: give it the headers and the exact
bytes of the body.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum

from attrs import field, frozen

from thornsdk.errors import InvalidSignature, InvalidValue
from thornsdk.model import (
    Digest,
    PublicKey,
    PublicKeysLike,
    Secret,
    SecretsLike,
    as_public_keys,
    as_secrets,
    header_pairs,
)
from thornsdk.model.message import check_zone
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
    standard_webhooks_content,
)
from thornsdk.typing import HeadersLike

TOLERANCE = 300.0
"""Seconds that the clocks of sender and receiver may differ, and a message may be under way."""

MAX_SIGNATURES = 20
"""How many signatures a message may have.

Each that a public key may have made costs a hash of the body, and a stranger sends as many as a header holds.
A sender makes one for each of its secrets and keys: a few, while it rotates them.
"""

_DIGEST_BY_LENGTH = {20: Digest.SHA1, 32: Digest.SHA256, 64: Digest.SHA512}


class Scheme(StrEnum):
    """The signatures that can be verified."""

    ED25519 = "ed25519"
    """``v1a`` of ``webhook-signature``: covers id, time and body, and who verifies cannot forge."""
    STANDARD_WEBHOOKS = "standard-webhooks"
    """``v1`` of ``webhook-signature``: covers id, time and body, so an old message cannot pass for new."""
    HOOK_HMAC = "hook-hmac"
    """``Hook-HMAC``: covers the body alone."""


_TAKES = {Scheme.STANDARD_WEBHOOKS: "secret", Scheme.HOOK_HMAC: "secret", Scheme.ED25519: "public key"}
_HEADERS = {
    Scheme.ED25519: WEBHOOK_SIGNATURE,
    Scheme.STANDARD_WEBHOOKS: WEBHOOK_SIGNATURE,
    Scheme.HOOK_HMAC: HOOK_HMAC,
}


@frozen(kw_only=True)
class Received:
    """A message that is authentic.

    Attributes:
        scheme: What proved it.
        id: The delivery's id: drop a message whose id was handled before. With `Scheme.HOOK_HMAC` the
            signature does not cover it. None where the sender gave none.
        event: The event's name; no scheme covers it. None where the sender gave none.
        subscription: The subscription's id; no scheme covers it. None where the sender gave none.
        sent_at: When the sender signed it; None with `Scheme.HOOK_HMAC`.
        body: The exact bytes that were verified.
    """

    scheme: Scheme
    id: str | None
    event: str | None
    subscription: str | None
    sent_at: datetime | None
    body: bytes = field(repr=False)


@frozen
class _Known:
    """What a message can be proved with, and the schemes that are accepted and can be proved with it."""

    secrets: tuple[Secret, ...]
    public_keys: tuple[PublicKey, ...]
    schemes: frozenset[Scheme]


def _is_tolerance(_: object, __: object, tolerance: float) -> None:
    given: object = tolerance
    if not (isinstance(given, (int, float)) and given >= 0):  # NaN is neither this nor that.
        raise InvalidValue(f"the tolerance is a number of seconds from 0, not {given!r}")


@frozen
class _Window:
    """When a message may have been sent."""

    now: datetime = field(validator=check_zone)
    tolerance: float = field(validator=_is_tolerance)

    def check(self, timestamp: int) -> None:
        age = self.now.timestamp() - timestamp
        if abs(age) > self.tolerance:
            side = "old" if age > 0 else "ahead of time"
            raise InvalidSignature(
                f"the message is {abs(age):.0f} s {side}; {self.tolerance:.0f} s are tolerated"
            )


def verify(
    headers: HeadersLike,
    body: bytes,
    *,
    secrets: SecretsLike = (),
    public_keys: PublicKeysLike = (),
    tolerance: float = TOLERANCE,
    now: datetime | None = None,
    accept: Collection[Scheme] = tuple(Scheme),
) -> Received:
    """Verifies a message that was received.

    A public key proves `Scheme.ED25519` alone, a secret proves the other two. So who gives public keys and no
    secrets takes nothing that somebody signed with a secret. Who gives both takes either; where a message has
    both, the public key decides what proved it.

    Where the message has Standard Webhooks headers, they decide; else ``Hook-HMAC`` does. ``Hook-HMAC`` has
    no time in it, so whoever saw a message can send it again later: give
    ``accept=[Scheme.STANDARD_WEBHOOKS]`` where that matters and the sender signs so.

    Args:
        headers: All headers as they came, a mapping or pairs of text; case does not matter.
        body: The exact bytes as they came, before any decoding.
        secrets: The secret that is shared with the sender; several while it is rotated.
        public_keys: The public key that the sender has published; several while it is rotated.
        tolerance: How many seconds the message's time may lie before or after ``now``.
        now: The present time, with a time zone; by default the system's.
        accept: The schemes to accept.

    Returns:
        What was verified.

    Raises:
        InvalidSignature: If the message is not authentic, or its time is out of tolerance, or it has more
            than 20 signatures.
        InvalidSecret: If a secret is empty or malformed.
        InvalidKey: If a public key is malformed.
        InvalidValue: If ``now`` has no time zone, or ``tolerance`` is no number of seconds from 0.
        MissingPackageError: If there are public keys, and the package that knows Ed25519 is not installed.
        TypeError: If the body is not bytes, or a header is not text.

    Example:
        >>> headers = {"Hook-HMAC": "+2Yqsizi6g5IfL4+BrK5dRw++GZ00BB1vebKRgggWic="}
        >>> verify(headers, b"tampered", secrets="a secret")
        Traceback (most recent call last):
        ...
        thornsdk.errors.InvalidSignature: Hook-HMAC does not match the body: ...
    """
    if not isinstance(body, bytes):
        raise TypeError("the body must be the exact bytes that were received, not text made from them")
    known = _known(as_secrets(secrets), as_public_keys(public_keys), accept)
    window = _Window(datetime.now(UTC) if now is None else now, tolerance)
    fields = _fields(headers)
    if WEBHOOK_SIGNATURE in fields and not known.schemes <= {Scheme.HOOK_HMAC}:
        scheme, sent_at = _verify_standard_webhooks(fields, body, known, window)
        return _received(scheme, fields, body, sent_at)
    if HOOK_HMAC.lower() in fields and Scheme.HOOK_HMAC in known.schemes:
        _verify_hook_hmac(fields[HOOK_HMAC.lower()], body, known.secrets)
        return _received(Scheme.HOOK_HMAC, fields, body, None)
    names = dict.fromkeys(_HEADERS[scheme] for scheme in Scheme if scheme in known.schemes)
    raise InvalidSignature(f"the message is not signed: it has no {' or '.join(names)} header")


def _known(
    secrets: tuple[Secret, ...], public_keys: tuple[PublicKey, ...], accept: Collection[Scheme]
) -> _Known:
    given = {"secret": secrets, "public key": public_keys}
    schemes = frozenset(scheme for scheme in Scheme if scheme in accept and given[_TAKES[scheme]])
    if not schemes:
        raise InvalidSignature(f"no {_what_proves(accept) or 'scheme'} was given to verify with")
    return _Known(secrets, public_keys, schemes)


def _what_proves(schemes: Collection[Scheme]) -> str:
    return " or ".join(dict.fromkeys(takes for scheme, takes in _TAKES.items() if scheme in schemes))


def _received(scheme: Scheme, fields: Mapping[str, str], body: bytes, sent_at: datetime | None) -> Received:
    return Received(
        scheme=scheme,
        id=fields.get(HOOK_DELIVERY.lower() if scheme is Scheme.HOOK_HMAC else WEBHOOK_ID),
        event=fields.get(HOOK_EVENT.lower()),
        subscription=fields.get(HOOK_SUBSCRIPTION.lower()),
        sent_at=sent_at,
        body=body,
    )


def _fields(headers: HeadersLike) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in header_pairs(headers):
        _check_text(name, value)
        lower = name.lower()
        if lower.startswith(("hook-", "webhook-")):
            if lower in fields:
                raise InvalidSignature(f"the header {name} stands twice")
            if not value.isascii():
                raise InvalidSignature(f"the header {name} is not ASCII")
        fields[lower] = value
    return fields


def _check_text(name: object, value: object) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(
            f"headers are given as text, not as {type(name).__name__} and {type(value).__name__}: "
            f"decode bytes as latin-1, and give one pair for each value of a list"
        )


def _verify_standard_webhooks(
    fields: Mapping[str, str], body: bytes, known: _Known, window: _Window
) -> tuple[Scheme, datetime]:
    for name in (WEBHOOK_ID, WEBHOOK_TIMESTAMP):
        if not fields.get(name):
            raise InvalidSignature(f"the message has {WEBHOOK_SIGNATURE} but no {name} header")
    # What costs little is judged first: strangers ask, too.
    timestamp = _timestamp(fields[WEBHOOK_TIMESTAMP])
    window.check(timestamp)
    given = fields[WEBHOOK_SIGNATURE].split()
    if len(given) > MAX_SIGNATURES:
        raise InvalidSignature(
            f"{WEBHOOK_SIGNATURE} has {len(given)} signatures; at most {MAX_SIGNATURES} may"
        )
    scheme = _proving(given, fields[WEBHOOK_ID], timestamp, body, known)
    return scheme, datetime.fromtimestamp(timestamp, UTC)


def _timestamp(text: str) -> int:
    # The text is signed as it stands, and we sign whole seconds: no other spelling can verify.
    if not re.fullmatch(r"0|[1-9][0-9]{0,10}", text):
        raise InvalidSignature(f"{WEBHOOK_TIMESTAMP} is not a number of whole seconds")
    return int(text)


def _proving(given: Collection[str], message_id: str, timestamp: int, body: bytes, known: _Known) -> Scheme:
    """Gives the first of the accepted schemes of Standard Webhooks that one of the signatures satisfies."""
    accepted = known.schemes - {Scheme.HOOK_HMAC}
    signatures = tuple(_of_v1a(given))
    if Scheme.ED25519 in accepted:
        content = standard_webhooks_content(message_id, timestamp, body)
        if any(key.verifies(one, content) for one in signatures for key in known.public_keys):
            return Scheme.ED25519
    if Scheme.STANDARD_WEBHOOKS in accepted:
        expected = [standard_webhooks(one.key, message_id, timestamp, body) for one in known.secrets]
        if _any_equal(expected, given):
            return Scheme.STANDARD_WEBHOOKS
    elif not signatures:
        raise InvalidSignature(f"{WEBHOOK_SIGNATURE} has no v1a signature, and no other is accepted")
    other = _what_proves(accepted)
    raise InvalidSignature(
        f"{WEBHOOK_SIGNATURE} does not match: another {other}, or a body that was changed on its way"
    )


def _of_v1a(given: Iterable[str]) -> Iterator[bytes]:
    """Gives the signatures of v1a. What is malformed is passed over, as every other version is."""
    for one in given:
        version, _, encoded = one.partition(",")
        if version == "v1a":
            try:
                yield base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                continue


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
