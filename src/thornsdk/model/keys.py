"""Keys for signatures that need no shared secret: a private key signs, and its public key verifies."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from attrs import Factory, field, frozen

from thornsdk.errors import InvalidKey
from thornsdk.model import ed25519
from thornsdk.model.encoded import from_base64

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNING_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"


def _bytes_of_public(key: "PublicKey") -> bytes:
    text = key._text  # noqa: SLF001 - of the class that this works for
    if text.startswith(SIGNING_PREFIX):
        raise InvalidKey(f"a public key is wanted, which starts with {PUBLIC_PREFIX}; this one is private")
    decoded = from_base64(text.removeprefix(PUBLIC_PREFIX)) if text.startswith(PUBLIC_PREFIX) else None
    if decoded is None or len(decoded) != ed25519.SIZE:
        raise InvalidKey(f"a public key is {PUBLIC_PREFIX} and then base64 of {ed25519.SIZE} bytes")
    return decoded


@frozen(eq=False, repr=False)
class PublicKey:
    """The public half of a `SigningKey`: whoever has it can verify, and nobody can sign with it.

    It is ``whpk_`` and base64 of the 32 bytes of an Ed25519 key (RFC 8032), as Standard Webhooks has it. It
    is no secret. A receiver must have it from the sender, never from a message.

    Its ``str`` is the text to publish.

    Raises:
        InvalidKey: If the text is anything else. The error never quotes it: it may be a private key.
        MissingPackageError: If the package that knows Ed25519 is not installed.
    """

    _text: str
    key: bytes = field(init=False, default=Factory(_bytes_of_public, takes_self=True))
    """The 32 bytes of the key."""

    def __attrs_post_init__(self) -> None:
        # A receiver that lacks the package learns it when it starts, not at its first message.
        _ = self._loaded

    @classmethod
    def from_key(cls, key: bytes) -> "PublicKey":
        """Makes the public key of these 32 bytes."""
        return cls(PUBLIC_PREFIX + base64.b64encode(key).decode())

    @cached_property
    def thumbprint(self) -> str:
        """What the key may be called by: its JWK thumbprint (RFC 7638, and RFC 8037 for Ed25519).

        It is made from the key alone, so that receivers can compute it in any language.

        Example:
            >>> PublicKey("whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").thumbprint
            'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k'
        """
        jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{_base64url(self.key)}"}}'
        return _base64url(hashlib.sha256(jwk.encode()).digest())

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Tells whether a signature was made over exactly this data with the private half."""
        return ed25519.verifies(self._loaded, signature, data)

    @cached_property
    def _loaded(self) -> "Ed25519PublicKey":
        return ed25519.public_key(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return PUBLIC_PREFIX + base64.b64encode(self.key).decode()

    def __repr__(self) -> str:
        return f"PublicKey({str(self)!r})"


def _seed_of(key: "SigningKey") -> bytes:
    text = key.reveal()
    if text.startswith(PUBLIC_PREFIX):
        raise InvalidKey(f"a signing key is wanted, which starts with {SIGNING_PREFIX}; this one is public")
    decoded = from_base64(text.removeprefix(SIGNING_PREFIX)) if text.startswith(SIGNING_PREFIX) else None
    if decoded is None or len(decoded) not in {ed25519.SIZE, 2 * ed25519.SIZE}:
        raise InvalidKey(
            f"a signing key is {SIGNING_PREFIX} and then base64 of {ed25519.SIZE} bytes, "
            f"or of {2 * ed25519.SIZE} with those of its public key behind"
        )
    seed, public = decoded[: ed25519.SIZE], decoded[ed25519.SIZE :]
    if public not in {b"", _public_bytes(seed)}:
        raise InvalidKey("this signing key is damaged: the public key in it belongs to another one")
    return seed


def _public_bytes(seed: bytes) -> bytes:
    return ed25519.private_key(seed).public_key().public_bytes_raw()


def _public_key(key: "SigningKey") -> PublicKey:
    return PublicKey.from_key(_public_bytes(key._seed))  # noqa: SLF001 - of the class that this works for


@frozen(eq=False, repr=False)
class SigningKey:
    """A private key that signs messages, so that everybody who has its `PublicKey` can verify them.

    It is ``whsk_`` and base64 of an Ed25519 key (RFC 8032), as Standard Webhooks has it: its 32 bytes, and
    behind them those of the public key, which may be left out.

    It never shows in a repr, a log or an error: `reveal` alone gives it away.

    Raises:
        InvalidKey: If the text is anything else, or its two halves do not belong together.
        MissingPackageError: If the package that knows Ed25519 is not installed.

    Example:
        >>> key = SigningKey.generate()
        >>> key.public_key.verifies(key.sign(b"data"), b"data")
        True
    """

    # Tools that show attrs classes by their fields, such as rich, heed these.
    _text: str = field(repr=False)
    _seed: bytes = field(init=False, repr=False, default=Factory(_seed_of, takes_self=True))
    public_key: PublicKey = field(init=False, default=Factory(_public_key, takes_self=True))
    """What verifies, to be published."""

    @classmethod
    def generate(cls) -> "SigningKey":
        """Makes a new key from 32 random bytes, in the form that has the public key in it."""
        seed = secrets.token_bytes(ed25519.SIZE)
        return cls(SIGNING_PREFIX + base64.b64encode(seed + _public_bytes(seed)).decode())

    def sign(self, data: bytes) -> bytes:
        """Returns the signature over the data, 64 bytes. It is always the same for the same data."""
        return self._loaded.sign(data)

    def reveal(self) -> str:
        """Gives the key's text, to keep it where secrets are kept."""
        return self._text

    @cached_property
    def _loaded(self) -> "Ed25519PrivateKey":
        # Loading it takes as long as signing.
        return ed25519.private_key(self._seed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SigningKey) and hmac.compare_digest(self._seed, other._seed)

    def __hash__(self) -> int:
        return hash(self._seed)

    def __repr__(self) -> str:
        return "SigningKey(***)"


SigningKeysLike: TypeAlias = str | SigningKey | Iterable[str | SigningKey]
"""What is taken where signing keys are given: one or several, the current one first."""

PublicKeysLike: TypeAlias = str | PublicKey | Iterable[str | PublicKey]
"""What is taken where public keys are given: one or several."""


def as_signing_keys(keys: SigningKeysLike) -> tuple[SigningKey, ...]:
    """Returns one or several signing keys as a tuple: for a signer that is given them as options.

    Raises:
        InvalidKey: If one is malformed, or no text.
        MissingPackageError: If the package that knows Ed25519 is not installed.
    """
    given: object = keys  # In settings, it may be anything.
    several = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    return tuple(_as_signing_key(one) for one in several)


def _as_signing_key(given: object) -> SigningKey:
    if isinstance(given, str):
        return SigningKey(given)
    if isinstance(given, SigningKey):
        return given
    raise InvalidKey(f"a signing key is given as text that starts with {SIGNING_PREFIX}")


def as_public_keys(keys: PublicKeysLike) -> tuple[PublicKey, ...]:
    """Returns one or several public keys as a tuple.

    Raises:
        InvalidKey: If one is malformed.
        MissingPackageError: If the package that knows Ed25519 is not installed.
    """
    several = (keys,) if isinstance(keys, (str, PublicKey)) else tuple(keys)
    return tuple(one if isinstance(one, PublicKey) else PublicKey(one) for one in several)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
