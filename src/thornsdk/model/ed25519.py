"""Ed25519 (RFC 8032), as the package cryptography has it.

The package is imported when the first key is made, so that whoever signs with secrets alone need not have it.
"""

from typing import TYPE_CHECKING

from thornsdk.errors import MissingPackageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIZE = 32
"""The bytes of a private key, and of a public one (RFC 8032, section 5.1.5)."""


def private_key(seed: bytes) -> "Ed25519PrivateKey":
    """Returns the private key that these 32 bytes are.

    Raises:
        MissingPackageError: If the package is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as exc:
        raise _missing(exc) from exc
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_key(key: bytes) -> "Ed25519PublicKey":
    """Returns the public key that these 32 bytes are.

    Raises:
        MissingPackageError: If the package is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as exc:
        raise _missing(exc) from exc
    return Ed25519PublicKey.from_public_bytes(key)


def verifies(key: "Ed25519PublicKey", signature: bytes, data: bytes) -> bool:
    """Tells whether a signature was made over the data with the private key of this public one."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _missing(exc: ImportError) -> MissingPackageError:
    return MissingPackageError("Ed25519", str(exc), "pip install 'thornsdk[ed25519]'")
