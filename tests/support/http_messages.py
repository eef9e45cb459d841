"""Verifies HTTP message signatures (RFC 9421) with a package that we did not write."""

from uuid import UUID

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier
from http_message_signatures.algorithms import ED25519, HMAC_SHA256
from http_message_signatures.resolvers import MappingKeyResolver

from thornsdk import Secret, SigningKey

SUBSCRIPTION = UUID(int=1)
COVERED = (
    "@method",
    "@authority",
    "@path",
    "@query",
    "content-digest",
    "content-type",
    "hook-event",
    "hook-delivery",
    "hook-subscription",
)


@frozen
class Message:
    """A request as the package http-message-signatures takes it."""

    url: str
    headers: dict[str, str]
    method: str = "POST"


def by_key(*keys: SigningKey) -> HTTPMessageVerifier:
    known = {
        one.public_key.thumbprint: Ed25519PublicKey.from_public_bytes(one.public_key.key) for one in keys
    }
    return HTTPMessageVerifier(
        signature_algorithm=ED25519, key_resolver=MappingKeyResolver(public_keys=known, private_keys={})
    )


def by_secret(secret: str, subscription: UUID = SUBSCRIPTION) -> HTTPMessageVerifier:
    known = {str(subscription): Secret(secret).key}
    return HTTPMessageVerifier(
        signature_algorithm=HMAC_SHA256, key_resolver=MappingKeyResolver(public_keys=known, private_keys={})
    )
