"""Secrets: what a signature is keyed on."""

import base64
import hmac
import secrets
from datetime import UTC, datetime
from typing import TypeAlias

from attrs import Factory, field, frozen

from thornsdk.errors import InvalidSecret, InvalidValue
from thornsdk.model.encoded import from_base64

PREFIX = "whsec_"
_RANDOM_BYTES = 32


def _key(secret: "Secret") -> bytes:
    text = secret.reveal()
    key = _decoded(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else _encoded(text)
    if not key:
        raise InvalidSecret("a secret must not be empty; thornsdk makes one where none is given")
    return key


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # The cause holds the secret.
        raise InvalidSecret("a secret has a lone surrogate in it, which UTF-8 cannot hold") from None


def _decoded(encoded: str) -> bytes:
    key = from_base64(encoded)
    if key is None:
        raise InvalidSecret(f"a secret that starts with {PREFIX} must go on as base64")
    return key


@frozen(eq=False, repr=False)
class Secret:
    """A secret that a sender shares with one subscriber.

    A secret is bytes. ``whsec_`` and base64 means the decoded bytes (as Standard Webhooks has it); any other
    text means its UTF-8 bytes. Every signer keys on these bytes, so one secret verifies every header.

    It never shows in a repr, a log or an error: `reveal` alone gives it away.

    Raises:
        InvalidSecret: If the text is empty, or starts with ``whsec_`` and does not go on as base64, or cannot
            be written in UTF-8.
    """

    # Tools that show attrs classes by their fields, such as rich, heed these.
    _text: str = field(repr=False)
    key: bytes = field(init=False, repr=False, default=Factory(_key, takes_self=True))
    """The bytes that signatures are keyed on."""

    @classmethod
    def generate(cls) -> "Secret":
        """Makes a new secret of 32 random bytes, in the ``whsec_`` form."""
        return cls.from_key(secrets.token_bytes(_RANDOM_BYTES))

    @classmethod
    def from_key(cls, key: bytes) -> "Secret":
        """Makes the secret of these bytes, in the ``whsec_`` form."""
        return cls(PREFIX + base64.b64encode(key).decode())

    def reveal(self) -> str:
        """Gives the secret's text, to hand it to the subscriber or to keep it in a store."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.key, other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return "Secret(***)"


SecretLike: TypeAlias = str | bytes | Secret
"""What is taken where one secret is given."""


def as_secret(secret: SecretLike) -> Secret:
    """Returns a secret that is given as text, as bytes or as it is.

    Raises:
        InvalidSecret: If it is empty or malformed.
    """
    if isinstance(secret, bytes):
        return Secret.from_key(secret)
    return secret if isinstance(secret, Secret) else Secret(secret)


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidValue("the end of an old secret needs a time zone, such as datetime.now(UTC) has")
    return moment.astimezone(UTC)


@frozen
class OldSecret:
    """A secret that was replaced by another, and still signs for a while.

    Attributes:
        secret: The secret.
        until: When it ends, in UTC: from that moment on, it signs nothing.

    Raises:
        InvalidValue: If the end has no time zone.
    """

    secret: Secret = field(converter=as_secret)
    until: datetime = field(converter=_in_utc)
